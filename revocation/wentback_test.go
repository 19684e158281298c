package revocation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Lower leaves nothing above the position and everything below it as it is.
func TestList_Lower(t *testing.T) {
	l := revocation.NewList(1024)
	l.Apply(ending(session(1), 50), superseding(session(2), 50), ofSubject("alice", 50), everyone(40),
		ending(session(3), 500), superseding(session(4), 500), ofSubject("bob", 500))
	l.SetHead(600)
	l.RaiseFloor(30)
	l.Lower(100)
	if l.Head() != 100 || l.Highest() != 100 || l.Floor() != 30 {
		t.Errorf("head %d, highest %d, floor %d", l.Head(), l.Highest(), l.Floor())
	}
	for n, want := range map[int]store.Cutoffs{
		1: {Ending: 50, Subject: 50}, 2: {Superseding: 50, Subject: 50}, 3: {Ending: 100, Subject: 50}, 4: {Superseding: 100, Subject: 50},
	} {
		want.Everyone, want.Floor, want.Head = 40, 30, 100
		if got := l.Cutoffs(session(n), "alice"); got != want {
			t.Errorf("session %d: %+v, want %+v", n, got, want)
		}
	}
	if c := l.Cutoffs(store.ID{}, "bob"); c.Subject != 100 {
		t.Errorf("bob is cut off at %d, want 100", c.Subject)
	}
	l.RaiseFloor(90)
	l.Apply(everyone(95))
	l.Lower(60)
	if c := l.Cutoffs(store.ID{}, "bob"); c.Everyone != 60 || c.Floor != 60 || c.Subject != 60 {
		t.Errorf("lowered again: %+v", c)
	}
}

// A node whose positions the log does not reach any more judges by those of the log
// again: what the log has not is written back, and logins are good.
func TestPromise1_ReplicaOfALogFarBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		d := &restorer{double: newDouble()}
		r := follow(t, d, revocation.Config{Observe: rec.observe, Restore: d.Restore})
		const far = 1 << 40
		d.add(superseding(session(9), 0), superseding(session(9), 0))
		synctest.Wait()
		r.Apply(ofSubject(subject(1), far), ending(session(2), far))
		r.Learn(far)
		r.WentBack(d.head)
		if r.Highest() != 30 {
			t.Errorf("it takes %d for known, want the head, 30", r.Highest())
		}
		if r.State(time.Now()) != revocation.Unknown {
			t.Errorf("before the log is read anew it is %v", r.State(time.Now()))
		}
		if events := rec.take(); len(events) != 1 || !errors.Is(events[0].Err, revocation.ErrRollback) {
			t.Errorf("events: %+v", events)
		}
		time.Sleep(time.Minute)
		if r.State(time.Now()) != revocation.Fresh {
			t.Errorf("it is %v", r.State(time.Now()))
		}
		calls := d.took()
		if len(calls) != 1 || len(calls[0].Entries) != 2 || calls[0].Above > 30 {
			t.Fatalf("it wrote back %+v", calls)
		}
		head := d.head
		check(t, r, time.Now(), 1, 30, revocation.Revoked)
		check(t, r, time.Now(), 1, head, revocation.Good) // a login after it
		check(t, r, time.Now(), 2, head, revocation.Revoked)
		check(t, r, time.Now(), 3, head, revocation.Good)
	})
}

// A write-back names the highest position that it offers, and not the highest that
// this node knows. If the engine refuses that, nothing above the head is asked for.
func TestReplica_WriteBackThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		var calls []store.Restoration
		var most store.Position // beyond the head
		restore := func(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
			calls = append(calls, r)
			if r.Above > d.revoked(store.ID{}, "").Head+most {
				return store.Snapshot{}, store.ErrAbove
			}
			return d.Restore(ctx, r)
		}
		r := follow(t, d, revocation.Config{Restore: restore})
		safe := d.add(superseding(session(9), 0)) // 20
		for range 100 {
			d.add(superseding(session(9), 0))
		}
		d.add(ofSubject(subject(1), 0)) // 1030
		d.add(superseding(session(9), 0), superseding(session(9), 0))
		synctest.Wait()
		d.lose(safe)
		d.become(store.ID{0: 0xd1})
		d.add(superseding(session(9), 0)) // 30
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(calls) != 2 || calls[0].Above != 1030 || calls[1].Above > 30 {
			t.Fatalf("it asked for %+v", calls)
		}
		head := d.revoked(store.ID{}, "").Head
		check(t, r, time.Now(), 1, 30, revocation.Revoked)
		check(t, r, time.Now(), 1, head, revocation.Good)
		if r.Highest() != head {
			t.Errorf("it takes %d for known, want %d", r.Highest(), head)
		}
	})
}

// A node without a replica uses no earlier answer, and writes back what it holds.
func TestPromise1_CacheOfALogFarBelow(t *testing.T) {
	var rec recorder
	clock, d := newClock(), &restorer{double: newDouble()}
	c := newCache(t, d, revocation.Config{Now: clock.Now, Observe: rec.observe, Restore: d.Restore})
	const far = 1 << 40
	d.add(superseding(session(9), 0), superseding(session(9), 0)) // 30
	confirm(t, c, 3, 30, revocation.Good)
	c.Settle()
	c.Apply(ofSubject(subject(1), far), ending(session(2), far))
	c.Learn(far)
	c.WentBack(30)
	if c.Highest() != 30 {
		t.Errorf("it takes %d for known, want the head, 30", c.Highest())
	}
	if events := rec.take(); len(events) != 1 || !errors.Is(events[0].Err, revocation.ErrRollback) {
		t.Errorf("events: %+v", events)
	}
	checks(t, c, clock.Now(), 3, 30, revocation.Unconfirmed)
	confirm(t, c, 3, 30, revocation.Good)
	confirm(t, c, 1, 30, revocation.Revoked)
	confirm(t, c, 2, 30, revocation.Revoked)
	for _, call := range d.took() {
		if call.Above > d.head {
			t.Errorf("it wrote back %+v over a head of %d", call, d.head)
		}
	}
	clock.move(time.Hour)                     // past the answer of before the write-back
	confirm(t, c, 1, d.head, revocation.Good) // a login after it
}
