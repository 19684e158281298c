package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

func TestRevocations(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	ctx := context.Background()
	first, err := n.Revocations(ctx, store.Cursor{})
	if err != nil || len(first) != 1 || first[0].Kind != store.KindEveryone {
		t.Fatalf("of a new log: %v, %v", first, err)
	}
	jar := w.browser().login(n, "alice", "")
	other := w.browser().login(n, "alice", "")
	id, second := store.ID(jar.cookie(w).ID), store.ID(other.cookie(w).ID)
	wants(t, "Commit", other.do(n, commit("x")), nil)
	wants(t, "EndOthers", other.do(n, endOthers), nil)
	wants(t, "End", other.do(n, end), nil)
	n.revoke(wafer.Revocation{Sessions: []store.ID{id}, Subjects: []string{"bob", "carol"}, Everyone: true, Reason: "audit", Actor: "root"})
	got, err := n.Revocations(ctx, first[0].Cursor())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range got {
		name := e.Subject
		if !e.Session.IsZero() {
			name = map[store.ID]string{id: "first", second: "second"}[e.Session]
		}
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprint(e.Kind, " ", name, " ", e.Reason, " by ", e.Actor)), " "))
	}
	want := []string{
		"subject alice logged out everywhere else by alice", "session second logout by alice",
		"session first audit by root", "subject bob audit by root", "subject carol audit by root", "everyone audit by root",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	last := got[len(got)-1].Cursor()
	if rest, err := n.Revocations(ctx, last); err != nil || len(rest) != 0 {
		t.Errorf("after the last: %v, %v", rest, err)
	}
	// More commits than a page holds lie before the next revocation.
	again := w.browser().login(n, "dora", "")
	for range store.MaxEntries + 5 {
		if _, err := w.mem.Commit(ctx, store.Commit{ID: store.ID(again.cookie(w).ID), Basis: store.MaxPosition, Value: []byte{1}}); err != nil {
			t.Fatal(err)
		}
	}
	subjects := make([]string, 2*store.MaxEntries+1)
	for i := range subjects {
		subjects[i] = fmt.Sprint("many ", i)
	}
	n.revoke(wafer.Revocation{Subjects: subjects})
	seen := 0
	for {
		page, err := n.Revocations(ctx, last)
		if err != nil || len(page) > store.MaxEntries {
			t.Fatal(len(page), err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Subject != subjects[seen] || e.Position <= last.Position {
				t.Fatalf("entry %d is %+v", seen, e)
			}
			seen, last = seen+1, e.Cursor()
		}
	}
	if seen != len(subjects) {
		t.Errorf("%d of %d were listed", seen, len(subjects))
	}
	n.store.fail()
	if _, err := n.Revocations(ctx, store.Cursor{}); !errors.Is(err, wafer.ErrUnavailable) {
		t.Errorf("in an outage: %v", err)
	}
}
