package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// cutoffs returns the sizes of the two places where the cutoffs of subjects are.
func (s *shifted) cutoffs() [2]int64 {
	ctx := s.t.Context()
	return [2]int64{s.client.HLen(ctx, "{wafer}:subjects").Val() - 1, s.client.ZCard(ctx, "{wafer}:forget").Val()} // one field is ''
}

// TestPromise8_OneCutoffForEachSubject: however often a subject is revoked, the server
// keeps one record of it, which moves, and nothing once that is old.
func TestPromise8_OneCutoffForEachSubject(t *testing.T) {
	s := newShifted(t)
	var last store.Position
	for i := range 300 {
		snap, err := s.Revoke(t.Context(), store.Revocation{Subjects: []string{"mallory", fmt.Sprint("user-", i%3)}})
		must(t, err)
		last = snap.Entry
		if i%100 == 0 {
			s.move(time.Hour)
			must(t, s.Tidy(t.Context()))
		}
	}
	if n := s.cutoffs(); n != [2]int64{4, 4} {
		t.Errorf("%d records of 4 subjects", n)
	}
	s.move(time.Hour)
	must(t, s.Tidy(t.Context()))
	if n := s.client.XLen(t.Context(), "{wafer}:entries").Val(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
	s.move(10 * time.Hour) // 11 h after the last, and 14 h after the first
	must(t, s.Tidy(t.Context()))
	if c, err := s.Cutoffs(t.Context(), store.ID{}, "mallory"); err != nil || c.Subject != last-1 {
		t.Errorf("the cutoff is %d, %v; want %d", c.Subject, err, last-1)
	}
	s.move(2 * time.Hour)
	must(t, s.Tidy(t.Context()))
	if n := s.cutoffs(); n != [2]int64{} {
		t.Errorf("%d records are left", n)
	}
}

// TestPromise1_ACutoffStaysAsLongAsItCutsOff: a cutoff is not forgotten before its entry
// is dropped, nor while a family of its subject, or one in which the subject acts, is
// below it, and others are forgotten meanwhile.
func TestPromise1_ACutoffStaysAsLongAsItCutsOff(t *testing.T) {
	for name, c := range map[string]store.Creation{
		"its own":          {Subject: "carol"},
		"in which it acts": {Subject: "anna", Actor: "carol"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShifted(t)
			c.ID, c.Idle, c.Absolute = newID(), 12*time.Hour, 12*time.Hour
			if snap, err := s.Create(t.Context(), c); err != nil || snap.Outcome != store.Written {
				t.Fatal(snap.Outcome, err)
			}
			s.move(-3 * time.Hour) // the family was started while the clock was ahead
			for i := range 200 {   // more than one step looks at
				s.revokeSubject(fmt.Sprint("user-", i))
			}
			s.revokeSubject("carol")
			s.move(13 * time.Hour) // the cutoffs are old, and the family has two hours left
			for range 3 {
				must(t, s.Tidy(t.Context()))
				s.is(c.ID, store.CutOff)
				s.move(time.Minute)
			}
			if n := s.cutoffs(); n != [2]int64{1, 1} {
				t.Errorf("%d records; want that of carol", n)
			}
			s.move(2 * time.Hour)
			must(t, s.Tidy(t.Context()))
			s.is(c.ID, store.Absent)
			if n := s.cutoffs(); n != [2]int64{} {
				t.Errorf("%d records are left", n)
			}
		})
	}
}

// TestPromise1_ACutoffOutlivesItsEntry: entries that stay, since one before them was
// appended while the clock was ahead, keep their subjects' cutoffs.
func TestPromise1_ACutoffOutlivesItsEntry(t *testing.T) {
	s := newShifted(t)
	s.move(1000 * time.Hour)
	s.revokeSubject("first")
	s.move(-1000 * time.Hour)
	s.revokeSubject("alice")
	s.move(13 * time.Hour)
	must(t, s.Tidy(t.Context()))
	if n := s.client.XLen(t.Context(), "{wafer}:entries").Val(); n == 0 {
		t.Fatal("the entries are dropped")
	}
	if c, err := s.Cutoffs(t.Context(), store.ID{}, "alice"); err != nil || c.Subject == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	s.move(1000 * time.Hour)
	must(t, s.Tidy(t.Context()))
	if n := s.cutoffs(); n != [2]int64{} {
		t.Errorf("%d records are left", n)
	}
}

// TestNamesGoWithTheirEntries: the cutoff of a name, and the id of its entry, are
// dropped with the entry.
func TestNamesGoWithTheirEntries(t *testing.T) {
	s := newShifted(t)
	kept := func() int64 { return s.client.HLen(t.Context(), "{wafer}:sessions").Val() - 1 } // one field is ''
	for _, id := range []store.ID{newID(), {}, newID()} {
		if snap, err := s.Revoke(t.Context(), store.Revocation{Name: store.Name{1}, ID: id}); err != nil || snap.Outcome != store.Written {
			t.Fatal(snap.Outcome, err)
		}
		s.move(3 * time.Minute)
	}
	if n := kept(); n != 3 { // the cutoff, and two ids
		t.Errorf("%d fields; want 3", n)
	}
	must(t, s.Tidy(t.Context())) // two of the entries are old
	if n := kept(); n != 2 {
		t.Errorf("%d fields once the older entries are dropped; want 2", n)
	}
	s.move(time.Hour)
	must(t, s.Tidy(t.Context()))
	if n := kept(); n != 0 {
		t.Errorf("%d fields once all entries are dropped", n)
	}
}
