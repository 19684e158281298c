package revocation_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Restore does what an honest store does: it appends the entries that no cutoff
// covers.
func (d *double) Restore(_ context.Context, r store.Restoration) (store.Snapshot, error) {
	if err := r.Check(); err != nil {
		return store.Snapshot{}, err
	}
	snap := store.Snapshot{Outcome: store.Unwritten}
	for _, e := range r.Entries {
		c := d.revoked(e.Session, e.Subject)
		cutoff := c.Everyone
		switch e.Kind {
		case store.KindSubject:
			cutoff = max(cutoff, c.Subject)
		case store.KindSession:
			if c.Ending != 0 {
				continue
			}
		}
		if cutoff >= e.Position {
			continue
		}
		d.mu.Lock()
		if d.head < r.Above { // add goes on ten above the head
			d.entries = append(d.entries, store.Entry{Kind: store.KindSuperseding, Session: store.ID{9}, Position: r.Above + 1, Previous: d.head})
			d.head = r.Above + 1
		}
		d.mu.Unlock()
		snap.Entry, snap.Outcome = d.add(e), store.Written
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	snap.Head, snap.Floor, snap.Log = d.head, d.floor, d.id
	return snap, nil
}

// restorer counts restorations, and fails them on demand.
type restorer struct {
	*double
	mu    sync.Mutex
	fails bool
	calls []store.Restoration
}

var errRefused = errors.New("the store refuses to write")

func (r *restorer) Restore(ctx context.Context, what store.Restoration) (store.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, what)
	if r.fails {
		return store.Snapshot{}, errRefused
	}
	return r.double.Restore(ctx, what)
}

func (r *restorer) fail(fails bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = fails
}

func (r *restorer) took() []store.Restoration {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// after returns the log's entries of a kind above p.
func (d *double) after(p store.Position, kind store.Kind) (found []store.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if e.Position > p && e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// A log loses an end, a subject and everyone, and goes on. New tokens from the
// store are above all of them. They count as revoked all the same, from the
// moment in which the loss is seen until it is written back. Tokens that
// nothing revokes are still good.
func TestPromise1_WhatTheLogLostCountsAboveEveryPosition(t *testing.T) {
	for _, everyoneToo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var rec recorder
			d := &restorer{double: newDouble(), fails: true}
			for range 5 {
				d.add(superseding(session(99), 0))
			}
			r := follow(t, d, revocation.Config{Observe: rec.observe, Restore: d.Restore})
			safe := d.add(ofSubject(subject(3), 0), ending(session(4), 0)) // in the backup
			d.add(ending(session(1), 0), ofSubject(subject(2), 0))
			if everyoneToo {
				d.add(everyone(0))
			}
			synctest.Wait()
			held := r.Head()
			p := d.regrow(safe, held+100)
			// The follower may have noticed before.
			if err := r.CatchUp(t.Context()); err != nil && !errors.Is(err, revocation.ErrRollback) {
				t.Fatalf("CatchUp: %v", err)
			}
			// Called while the log may not be reloaded yet, and again after.
			verdicts := func(when string) {
				t.Helper()
				for n, lost := range map[int]bool{1: true, 2: true, 3: false, 5: false} {
					want := revocation.Good
					if lost || everyoneToo {
						want = revocation.Revoked
					}
					v, err := r.Ask(t.Context(), session(n), subject(n), p)
					if v != want || err != nil {
						t.Errorf("%s: asked, session %d at %d is %v, %v: want %v", when, n, p, v, err, want)
					}
					if v, err := r.Confirm(t.Context(), session(n), subject(n), p); v != want || err != nil {
						t.Errorf("%s: session %d at %d is %v, %v: want %v", when, n, p, v, err, want)
					}
				}
			}
			verdicts("at first")
			time.Sleep(time.Second)
			verdicts("after the log was read anew")
			time.Sleep(5 * time.Minute)
			verdicts("after five minutes in which nothing was written back")
			if r.State(time.Now()) != revocation.Fresh {
				t.Error("a replica that cannot write back is not fresh any more")
			}
			if calls := d.took(); len(calls) < 5 || len(calls) > 200 {
				t.Errorf("%d attempts in five minutes", len(calls))
			}
			lost := 2
			if everyoneToo {
				lost = 3
			}
			told := false
			for _, e := range rec.take() {
				told = told || e.Lost == lost
				if e.Restored > 0 {
					t.Error("told of what was not restored")
				}
			}
			if !told {
				t.Error("nobody was told what was lost")
			}

			d.fail(false)
			time.Sleep(30 * time.Second)
			calls := d.took()
			if len(calls) != 1 || len(calls[0].Entries) != lost {
				t.Fatalf("it wrote back %+v", calls)
			}
			at, kinds := store.Position(0), []store.Kind{store.KindSession, store.KindSubject}
			if everyoneToo {
				kinds = []store.Kind{store.KindEveryone} // which covers the others
			}
			for _, kind := range kinds {
				found := d.after(p, kind)
				if len(found) != 1 || found[0].Reason == "" || kind == store.KindSession && found[0].Session != session(1) || found[0].Subject != "" && found[0].Subject != subject(2) {
					t.Errorf("of %v the log has %+v", kind, found)
				} else {
					at = max(at, found[0].Position)
				}
			}
			events := rec.take()
			if last := events[len(events)-1]; last.Restored != lost || last.Err != nil {
				t.Errorf("in the end it told %+v", events)
			}
			now := time.Now()
			// From here on positions decide again.
			check(t, r, now, 2, p, revocation.Revoked)
			check(t, r, now, 1, p, revocation.Revoked)
			for n := range 10 {
				want := revocation.Good
				if n == 4 || n == 1 { // which the log has ended, or has again: at every position
					want = revocation.Revoked
				}
				check(t, r, now, n, at, want)
			}
			time.Sleep(5 * time.Minute)
			if calls := d.took(); len(calls) != 0 {
				t.Errorf("afterwards it wrote %+v", calls)
			}
		})
	}
}

// Ten nodes hold the same revocation, and the log has it once in the end. A
// login after the first of them wrote is not cut off by the others.
func TestPromise1_TenNodesWriteBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &restorer{double: newDouble()}
		var nodes []*revocation.Replica
		for range 10 {
			nodes = append(nodes, follow(t, d, revocation.Config{Restore: d.Restore}))
		}
		safe := d.add(superseding(session(99), 0))
		entries := ofSubjects(0, 700)
		for i := range 700 {
			entries = append(entries, ending(session(i), 0))
		}
		d.add(entries...)
		synctest.Wait()
		d.lose(safe)
		d.become(store.ID{0: 0xd1})
		time.Sleep(11 * time.Second)
		head := nodes[0].Head()
		for _, kind := range []store.Kind{store.KindSession, store.KindSubject} {
			if found := d.after(safe, kind); len(found) != 700 {
				t.Fatalf("of %v the log has %d", kind, len(found))
			}
		}
		for i, r := range nodes {
			if r.State(time.Now()) != revocation.Fresh || r.Head() != head {
				t.Fatalf("node %d is %v at %d", i, r.State(time.Now()), r.Head())
			}
			for n := range 700 {
				if v := r.Check(time.Now(), session(1000), subject(n), head); v != revocation.Good {
					t.Fatalf("a token of a login from after it is %v on node %d", v, i)
				}
				if v := r.Check(time.Now(), session(n), "", head); v != revocation.Revoked {
					t.Fatalf("a token of an ended session is %v on node %d", v, i)
				}
				if v := r.Check(time.Now(), session(n), subject(n), safe); v != revocation.Revoked {
					t.Fatalf("a token from before it is %v on node %d", v, i)
				}
			}
		}
		most := 0
		for _, call := range d.took() {
			most = max(most, len(call.Entries))
		}
		if most > store.MaxEntries {
			t.Errorf("%d entries in one call", most)
		}
	})
}

// A node that may not write waits until another has.
func TestPromise1_ReadOnlyReplicaWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		d := newDouble()
		r := follow(t, d, revocation.Config{Observe: rec.observe})
		safe := d.add(superseding(session(99), 0))
		d.add(ending(session(1), 0), ofSubject(subject(2), 0))
		d.add(ofSubjects(1000, 600)...)
		synctest.Wait()
		held := r.Head()
		p := d.regrow(safe, held+100)
		time.Sleep(5 * time.Minute)
		for _, n := range []int{1, 2, 1000, 1599} {
			check(t, r, time.Now(), n, p, revocation.Revoked)
		}
		check(t, r, time.Now(), 3, p, revocation.Good)
		// Another node writes a part back, and then the rest.
		at := d.add(ofSubjects(1000, 600)...)
		time.Sleep(time.Minute)
		check(t, r, time.Now(), 1000, at, revocation.Good)
		check(t, r, time.Now(), 2, at, revocation.Revoked)
		at = d.add(ending(session(1), 0), ofSubject(subject(2), 0))
		time.Sleep(time.Minute)
		for n := range 4 {
			want := revocation.Good
			if n == 1 {
				want = revocation.Revoked // an end covers every position
			}
			check(t, r, time.Now(), n, at, want)
		}
		restored := 0
		for _, e := range rec.take() {
			restored += e.Restored
		}
		if restored != 602 {
			t.Errorf("told of %d", restored)
		}
	})
}

// An entry is not lost if the first entry of a log that begins anew covers it.
func TestReplica_NothingIsLostUnderEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &restorer{double: newDouble()}
		r := follow(t, d, revocation.Config{Restore: d.Restore})
		for i := range 10 {
			d.add(ending(session(i), 0), ofSubject(subject(i), 0))
		}
		synctest.Wait()
		d.mu2(func() {
			d.double.id, d.double.entries, d.double.head = store.ID{0: 0xd1}, nil, 1000
		})
		d.mu2(func() {
			d.double.entries = []store.Entry{{Kind: store.KindEveryone, Position: 1000}}
		})
		time.Sleep(time.Minute)
		if calls := d.took(); len(calls) != 0 {
			t.Errorf("it wrote %+v", calls)
		}
		check(t, r, time.Now(), 1, 999, revocation.Revoked)
		check(t, r, time.Now(), 100, 1000, revocation.Good)
	})
}

func (d *double) mu2(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// A log goes back a second time, before its first losses are written back. Both
// losses are written back.
func TestPromise1_LogThatGoesBackTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &restorer{double: newDouble(), fails: true}
		r := follow(t, d, revocation.Config{Restore: d.Restore})
		safe := d.add(superseding(session(99), 0))
		d.add(ofSubject(subject(1), 0))
		synctest.Wait()
		d.lose(safe)
		d.become(store.ID{0: 0xd1})
		time.Sleep(11 * time.Second)
		d.add(ofSubject(subject(2), 0))
		time.Sleep(10 * time.Second)
		d.lose(safe)
		d.become(store.ID{0: 0xd2})
		time.Sleep(11 * time.Second)
		d.fail(false)
		time.Sleep(time.Minute)
		if found := d.after(safe, store.KindSubject); len(found) != 2 {
			t.Errorf("the log has %+v", found)
		}
		for n := range 3 {
			check(t, r, time.Now(), n, r.Head(), revocation.Good)
		}
	})
}

// A logout that the store has not accepted is refused an hour of positions
// ahead. It is written back no higher than the store's highest position.
func TestReplica_WritesNothingBackAboveTheHighest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &restorer{double: newDouble()}
		r := follow(t, d, revocation.Config{Restore: d.Restore})
		safe := d.add(superseding(session(99), 0))
		synctest.Wait()
		r.Apply(ending(session(1), safe+1_000_000))
		highest := r.Highest()
		d.lose(safe - 10)
		time.Sleep(time.Minute)
		calls := d.took()
		if len(calls) != 1 || calls[0].Above != highest || calls[0].Entries[0].Position > highest {
			t.Errorf("it wrote %+v", calls)
		}
	})
}

// Any entry that ends a session covers every position. So an end is not lost while
// the log holds another one of the session, however far below.
func TestReplica_AnyEndIsEnough(t *testing.T) {
	// lose makes the log go back from an end at a high position.
	lose := func(d *double, id byte) {
		d.lose(10)
		d.become(store.ID{0: id})
		d.add(superseding(session(99), 0))
	}
	t.Run("while it waits for that", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var rec recorder
			d := newDouble()
			follow(t, d, revocation.Config{Observe: rec.observe}) // may not write
			for range 100 {
				d.add(superseding(session(99), 0))
			}
			d.add(ending(session(1), 0))
			synctest.Wait()
			lose(d, 0xd1)
			time.Sleep(time.Minute)
			d.add(ending(session(1), 0))
			time.Sleep(time.Minute)
			lost, restored := 0, 0
			for _, e := range rec.take() {
				lost, restored = max(lost, e.Lost), restored+e.Restored
			}
			if lost != 1 || restored != 1 {
				t.Errorf("%d lost, %d found again: want 1 and 1", lost, restored)
			}
		})
	})
	t.Run("when the log goes back twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := &restorer{double: newDouble(), fails: true}
			r := follow(t, d, revocation.Config{Restore: d.Restore})
			for range 100 {
				d.add(superseding(session(99), 0))
			}
			d.add(ending(session(1), 0))
			synctest.Wait()
			lose(d.double, 0xd1)
			time.Sleep(time.Minute)
			if len(d.took()) == 0 {
				t.Fatal("nothing is lost: the test shows nothing")
			}
			lose(d.double, 0xd2)
			d.add(ending(session(1), 0))
			time.Sleep(time.Minute)
			d.took()
			d.fail(false)
			time.Sleep(time.Minute)
			if calls := d.took(); len(calls) != 0 {
				t.Errorf("it writes back %+v", calls)
			}
			check(t, r, time.Now(), 1, r.Head(), revocation.Revoked)
		})
	})
	t.Run("on a node without a replica", func(t *testing.T) {
		clock, d := newClock(), &restorer{double: newDouble()}
		c := newCache(t, d, revocation.Config{Now: clock.Now, Restore: d.Restore})
		d.add(ending(session(1), 0)) // 20
		c.Apply(ending(session(1), 35))
		d.add(superseding(session(99), 0), superseding(session(99), 0)) // 40
		if v, err := c.Ask(t.Context(), session(1), subject(1), 40); v != revocation.Revoked || err != nil {
			t.Errorf("%v, %v", v, err)
		}
		if calls := d.took(); len(calls) != 0 {
			t.Errorf("it writes back %+v", calls)
		}
	})
}
