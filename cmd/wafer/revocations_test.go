package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

func openStoreFile(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// lines decodes JSON lines.
func lines(t *testing.T, text string) (all []entryView) {
	t.Helper()
	for line := range strings.Lines(text) {
		var v entryView
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, v)
	}
	return all
}

func TestRevocations(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	s.request(anna, func(w http.ResponseWriter, r *http.Request) error { return s.sessions.Commit(w, r, cart{}) })
	id := store.ID(s.open(anna).ID)
	snap, err := s.db.Revoke(t.Context(), store.Revocation{
		Sessions: []store.ID{id}, Subjects: []string{"bob\x1b[2Jx"}, Reason: "a\nreason\u202e", Actor: "ops",
	})
	if err != nil {
		t.Fatal(err)
	}
	args := with([]string{"revocations"}, s.store()...)
	var kinds []string
	for _, v := range lines(t, s.command(exitDone, "", with(args, "--json", "--all")...).out) {
		kinds = append(kinds, v.Kind)
	}
	if got := strings.Join(kinds, " "); got != "everyone superseding session subject" {
		t.Errorf("with --all: %s", got)
	}
	all := lines(t, s.command(exitDone, "", with(args, "--json")...).out)
	if len(all) != 3 || all[1].Session != id.String() || all[1].Actor != "ops" || all[2].Subject != "bob\x1b[2Jx" ||
		all[2].Reason != "a\nreason\u202e" || all[2].Position != snap.Entry || all[0].Reason != "the log begins" || time.Since(all[2].Time) > time.Minute {
		t.Errorf("%+v", all)
	}
	r := s.command(exitDone, "", args...)
	if strings.Count(r.out, "\n") != 3 || strings.ContainsAny(r.out, "\x1b\u202e") {
		t.Errorf("not three plain lines: %q", r.out)
	}
	contains(t, r.out, id.String(), "reason: a\uFFFDreason", "actor: ops", fmt.Sprint(snap.Entry))
	r = s.command(exitDone, "", with(args, "--after", fmt.Sprint(snap.Entry-1))...)
	if strings.Count(r.out, "\n") != 1 || !strings.HasPrefix(r.out, fmt.Sprint(snap.Entry)) {
		t.Errorf("after %d: %q", snap.Entry-1, r.out)
	}
	if r = s.command(exitDone, "", with(args, "--after", fmt.Sprint(snap.Entry), "--json")...); r.out != "" {
		t.Errorf("after the head: %q", r.out)
	}
	s.command(exitUsage, "", with(args, "--after", "9007199254740992")...)
	s.command(exitUsage, "", with(args, "--after", "-1")...)
}

// A log of more than one batch is read whole.
func TestRevocationsOfManyBatches(t *testing.T) {
	s := openShop(t, 0)
	const n = 2*store.MaxEntries + 300
	for i := 0; i < n; i += 100 {
		var r store.Revocation
		for k := range 100 {
			r.Subjects = append(r.Subjects, fmt.Sprint(i+k))
		}
		if _, err := s.db.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	all := lines(t, s.command(exitDone, "", with([]string{"revocations", "--json"}, s.store()...)...).out)
	if len(all) != n+1 || all[n].Subject != fmt.Sprint(n-1) {
		t.Errorf("%d entries: want %d", len(all), n+1)
	}
}

// Following shows later entries, and an interrupt ends it without an error.
func TestRevocationsFollow(t *testing.T) {
	s := openShop(t, 0)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int)
	go func() {
		e := &env{stdin: strings.NewReader(""), stdout: in, stderr: &stderr, now: time.Now}
		code <- run(ctx, e, with([]string{"revocations", "--follow", "--json"}, s.store()...))
	}()
	d := json.NewDecoder(out)
	next := func() (v entryView) {
		t.Helper()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := next(); v.Kind != "everyone" {
		t.Errorf("%+v", v)
	}
	for i := range 3 {
		if _, err := s.db.Revoke(t.Context(), store.Revocation{Subjects: []string{fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
		if v := next(); v.Subject != fmt.Sprint(i) {
			t.Errorf("%+v: want %d", v, i)
		}
	}
	interrupt()
	select {
	case c := <-code:
		if c != exitDone {
			t.Errorf("exit code %d: %s", c, stderr.String())
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it goes on after an interrupt")
	}
}

// rolledBackLog is a store whose log is another one from the second query on.
type rolledBackLog struct {
	store.Store
	asked int
}

func (g *rolledBackLog) Since(_ context.Context, after store.Position, _ int, _ time.Duration) (store.Batch, error) {
	g.asked++
	b := store.Batch{Log: store.ID{1}, Head: 30, Floor: 10, Entries: []store.Entry{{Position: 30, Kind: store.KindEveryone}}}
	if g.asked > 1 {
		b = store.Batch{Log: store.ID{2}, Head: 5, Entries: []store.Entry{{Position: 5, Kind: store.KindSubject, Subject: "anna"}}}
	}
	if after >= b.Head {
		b.Entries = nil
	}
	return b, nil
}

// A log that was rolled back is reported, and read from its beginning.
func TestRevocationsWentBack(t *testing.T) {
	var out, stderr bytes.Buffer
	e := &env{stdout: &out, stderr: &stderr}
	r := logReader{flags: e.flags("revocations", "", ""), db: &rolledBackLog{}}
	for range 3 {
		if _, err := r.next(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, stderr.String(), "up to position 10 have been dropped", "went back")
	if got := strings.Fields(out.String()); len(got) != 7 || got[0] != "30" || got[3] != "5" {
		t.Errorf("%q", got)
	}
}
