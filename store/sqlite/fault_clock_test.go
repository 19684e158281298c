//go:build unix

package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// clocked is a file whose store is opened again for each run. Its clock jumps
// between runs.
type clocked struct {
	*testing.T
	clock *clock
	path  string
	db    *sqlite.Store
	last  store.Position
}

func newClocked(t *testing.T) *clocked {
	c := &clocked{T: t, clock: &clock{now: time.Now()}, path: filepath.Join(t.TempDir(), "wafer.db")}
	c.db = openOnly(t, c.path, sqlite.Options{Now: c.clock.Now})
	t.Cleanup(func() { c.db.Close() })
	return c
}

// jump ends the run, and begins another d later.
func (c *clocked) jump(d time.Duration) {
	c.Helper()
	if err := c.db.Close(); err != nil {
		c.Error(err)
	}
	c.clock.Move(d)
	c.db = openOnly(c.T, c.path, sqlite.Options{Now: c.clock.Now})
}

func (c *clocked) create(id store.ID, subject string, limit time.Duration) {
	c.Helper()
	s, err := c.db.Create(c.Context(), store.Creation{ID: id, Subject: subject, Idle: limit, Absolute: limit})
	if err != nil || s.Outcome != store.Written {
		c.Fatalf("create: %v, %v", s.Outcome, err)
	}
}

// revoke revokes, and checks that the new entry is above all earlier ones.
func (c *clocked) revoke(r store.Revocation) {
	c.Helper()
	s, err := c.db.Revoke(c.Context(), r)
	if err != nil || s.Outcome != store.Written || s.Entry <= c.last || s.Head != s.Entry {
		c.Fatalf("revoked %v at %d, after %d: %v", s.Outcome, s.Entry, c.last, err)
	}
	c.last = s.Entry
}

func (c *clocked) is(id store.ID, want ...store.State) store.Snapshot {
	c.Helper()
	s, err := c.db.Family(c.Context(), id)
	if err != nil {
		c.Fatal(err)
	}
	for _, w := range want {
		if s.State == w {
			return s
		}
	}
	c.Errorf("family %v is %v; want %v", id, s.State, want)
	return s
}

func (c *clocked) announce(access, absolute time.Duration) {
	c.Helper()
	if _, err := c.db.Announce(c.Context(), store.Announcement{Access: access, Absolute: absolute, Leeway: 10 * time.Second}); err != nil {
		c.Error(err)
	}
}

func (c *clocked) sweep() {
	c.Helper()
	if err := c.db.Sweep(c.Context()); err != nil {
		c.Error(err)
	}
}

// TestClockJumpsBack sets the clock an hour back between two runs.
func TestClockJumpsBack(t *testing.T) {
	c := newClocked(t)
	const access, absolute = 5 * time.Minute, 12 * time.Hour
	c.announce(access, absolute)
	alive, ended, cutOff, short := store.ID{1}, store.ID{2}, store.ID{3}, store.ID{4}
	c.create(alive, "alice", absolute)
	c.create(ended, "bob", absolute)
	c.create(cutOff, "carol", absolute)
	c.create(short, "dave", 30*time.Minute)
	c.revoke(store.Revocation{Sessions: []store.ID{ended}})
	c.revoke(store.Revocation{Subjects: []string{"carol"}})

	c.jump(-time.Hour)
	c.sweep()
	c.revoke(store.Revocation{Subjects: []string{"erin"}})
	first := c.last
	c.is(ended, store.Ended)
	c.is(cutOff, store.CutOff)
	// A generation issued in the future counts as young within the skew, and is
	// served. Beyond that it counts as old.
	for _, age := range []time.Duration{0, time.Minute} {
		s, err := c.db.Advance(t.Context(), store.Advance{ID: alive, Generation: 1, Age: age, Skew: time.Hour})
		if err != nil || s.Outcome != store.Unwritten || s.State != store.Alive || s.Family.Past(s.Now) {
			t.Errorf("a generation from the future: %v, %v, %v", s.Outcome, s.State, err)
		}
	}
	s, err := c.db.Advance(t.Context(), store.Advance{ID: alive, Generation: 1, Age: time.Minute, Skew: 59 * time.Minute})
	if err != nil || s.Outcome != store.Written || s.Family.Issued.After(s.Now) {
		t.Errorf("a generation from beyond the skew: %v, issued %v, %v", s.Outcome, s.Family.Issued, err)
	}
	s, err = c.db.Commit(t.Context(), store.Commit{ID: alive, Basis: c.last, Value: []byte("v")})
	if err != nil || s.Outcome != store.Written || s.Entry <= c.last {
		t.Errorf("commit: %v at %d, after %d, %v", s.Outcome, s.Entry, c.last, err)
	}
	c.last = s.Entry
	c.create(store.ID{5}, "alice", time.Hour)
	if s := c.is(store.ID{5}, store.Alive); s.Family.Birth < first {
		t.Errorf("born at %d, after a head of %d", s.Family.Birth, first)
	}
	// Entries that are not old by the clock are not dropped.
	b, err := c.db.Since(t.Context(), store.Cursor{}, 100, 0)
	if err != nil || b.Floor != 0 || len(b.Entries) != 5 {
		t.Errorf("%d entries, floor %d, %v", len(b.Entries), b.Floor, err)
	}
	previous := store.Position(0)
	for _, e := range b.Entries {
		if e.Position <= previous || e.Previous != previous {
			t.Errorf("entry %d after %d, which names %d", e.Position, previous, e.Previous)
		}
		previous = e.Position
	}

	// The clock catches up, and passes the limit of the short one.
	c.jump(time.Hour + time.Second)
	if s, err = c.db.Advance(t.Context(), store.Advance{ID: alive, Generation: 2, Basis: c.last}); err != nil || s.Outcome != store.Written {
		t.Errorf("caught up: %v, %v", s.Outcome, err)
	}
	c.sweep()
	c.is(short, store.Alive)
	c.is(alive, store.Alive)
	c.is(cutOff, store.CutOff)
	c.jump(time.Hour)
	c.sweep()
	c.is(short, store.Absent)
	c.is(alive, store.Alive)
	c.is(cutOff, store.CutOff)
	c.is(ended, store.Ended)
	c.revoke(store.Revocation{Everyone: true})
	c.is(alive, store.CutOff)
}

// TestPromise1_ClockJumpForgetsNoCutoff stamps a family by a clock that is ahead,
// so that it outlives a cutoff stamped after the clock was set right. The family
// must not come back when the cutoff is old enough to be dropped.
func TestPromise1_ClockJumpForgetsNoCutoff(t *testing.T) {
	c := newClocked(t)
	const absolute = 12 * time.Hour
	c.announce(5*time.Minute, absolute)
	family := store.ID{1}
	c.create(family, "alice", absolute) // until 12 h
	c.jump(-time.Hour)
	c.revoke(store.Revocation{Subjects: []string{"alice"}}) // kept until 11 h
	c.is(family, store.CutOff)
	c.jump(absolute + time.Minute)
	c.sweep()
	c.is(family, store.CutOff, store.Absent)
	page, err := c.db.Families(t.Context(), store.Query{Subject: "alice", Limit: 10})
	if err != nil || len(page.Families) != 0 {
		t.Errorf("%d families have come back, %v", len(page.Families), err)
	}
	c.jump(time.Hour)
	c.sweep() // the family
	c.sweep() // its cutoff
	c.is(family, store.Absent)
	// Then there is no more reason to keep the cutoff.
	if k, err := c.db.Cutoffs(t.Context(), store.ID{}, "alice"); err != nil || k.Subject != 0 {
		t.Errorf("the cutoff of somebody without families is kept: %+v, %v", k, err)
	}
}

// TestPromise1_ClockJumpsAheadAndBack runs housekeeping by a clock that is far
// ahead for a while. No cutoff may be dropped while a family is below it.
func TestPromise1_ClockJumpsAheadAndBack(t *testing.T) {
	c := newClocked(t)
	const absolute = 12 * time.Hour
	c.announce(5*time.Minute, absolute)
	const n = 600 // more than one step of housekeeping takes
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			s, err := c.db.Create(t.Context(), store.Creation{ID: store.ID{2, byte(i >> 8), byte(i)}, Subject: fmt.Sprint("subject", i%50), Idle: absolute, Absolute: absolute})
			if err != nil || s.Outcome != store.Written {
				t.Errorf("create: %v, %v", s.Outcome, err)
			}
		})
	}
	group.Wait()
	for i := range 50 {
		c.revoke(store.Revocation{Subjects: []string{fmt.Sprint("subject", i)}})
	}
	ended := store.ID{3}
	c.create(ended, "bob", absolute)
	c.revoke(store.Revocation{Sessions: []store.ID{ended}})
	c.jump(1000 * time.Hour)
	// One step of housekeeping runs, or a few, and then the clock is set right.
	if _, err := c.db.SweepOnce(t.Context()); err != nil {
		t.Error(err)
	}
	c.jump(-1000 * time.Hour)
	for i := range n {
		c.is(store.ID{2, byte(i >> 8), byte(i)}, store.CutOff, store.Absent)
	}
	c.is(ended, store.Ended, store.Absent)
	before := headOf(t, c.db)
	c.revoke(store.Revocation{Subjects: []string{"bob"}})
	b, err := c.db.Since(t.Context(), before, 100, 0)
	if err != nil || len(b.Entries) != 1 || b.Head != c.last {
		t.Errorf("%d entries, %v", len(b.Entries), err)
	}
}
