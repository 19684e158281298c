package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// An entry, a cutoff or a family that no answer can depend on any more takes no
// memory.
func TestNothingIsKeptForGood(t *testing.T) {
	now := time.Now()
	s := New(Options{Now: func() time.Time { return now }})
	if _, err := s.Announce(t.Context(), store.Announcement{Access: time.Minute, Absolute: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		name, err := store.NameOf(fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		c := store.Creation{
			ID: store.ID{1, byte(i)}, Subject: fmt.Sprint("subject ", i%50), Actor: fmt.Sprint("actor ", i), Names: []store.Name{name},
			Idle: time.Hour, Absolute: time.Hour, Known: time.Duration(i%2) * 2 * time.Hour,
		}
		if _, err := s.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, r := range [][]store.Revocation{
			nil,
			{{Name: name}},
			{{Subjects: []string{c.Actor, c.Subject}}, {Subjects: []string{c.Actor}}},
			{{Sessions: []store.ID{c.ID, {2, byte(i)}}}},
		}[i%4] {
			if _, err := s.Revoke(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(s.names.at) == 0 || len(s.subjects.of) == 0 || len(s.sessions) == 0 || len(s.families) != 200 || len(s.living.blocks) == 0 {
		t.Fatal("nothing is kept at all")
	}
	for range 100 {
		now = now.Add(5 * time.Minute)
		if _, err := s.Advance(t.Context(), store.Advance{ID: store.ID{3}, Generation: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for what, n := range map[string]int{
		"entries": len(s.entries), "cutoffs of names": len(s.names.at) + len(s.names.order), "cutoffs of subjects": len(s.subjects.of) + s.subjects.order.Len(),
		"cutoffs of sessions": len(s.sessions), "families": len(s.families) + len(s.due),
		"places in indexes": len(s.living.blocks) + len(s.bySubject) + len(s.byActor) + len(s.byName),
	} {
		if n != 0 {
			t.Errorf("%d %s are kept", n, what)
		}
	}
}
