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

// waysBack are the ways a log shows that it is not the one the replica holds.
// Before, it ends at 110 with an end of session 9.
var waysBack = map[string]func(d *double){
	"another log": func(d *double) {
		d.become(store.ID{0: 0xd1})
	},
	"another log that begins anew": func(d *double) {
		d.lose(0)
		d.become(store.ID{0: 0xd1})
		d.add(everyone(0))
	},
	"a head below the cursor": func(d *double) {
		d.lose(60)
	},
	"a predecessor that is not ours": func(d *double) {
		d.lose(60)
		d.mu.Lock()
		d.head = 200 // goes on above all that was known
		d.mu.Unlock()
		d.add(superseding(session(50), 0))
		d.mu.Lock()
		d.entries[len(d.entries)-1].Previous = 60
		d.mu.Unlock()
	},
	"a head that no entry reaches": func(d *double) {
		d.mu.Lock()
		d.head = 200
		d.mu.Unlock()
	},
	"the newest position, taken again": func(d *double) {
		d.lose(100)
		d.add(superseding(session(50), 0)) // at 110
	},
	"the positions of several, taken again": func(d *double) {
		d.lose(60)
		for i := range 5 {
			d.add(superseding(session(50+i), 0)) // up to 110
		}
	},
	"and others above": func(d *double) {
		d.lose(60)
		for i := range 8 {
			d.add(superseding(session(50+i), 0))
		}
	},
	"taken again, and dropped": func(d *double) {
		d.lose(60)
		for i := range 8 {
			d.add(superseding(session(50+i), 0))
		}
		d.drop(110)
	},
	"a gap that the floor does not explain": func(d *double) {
		d.drop(50)
		d.mu.Lock()
		d.head = 200
		d.mu.Unlock()
		d.add(superseding(session(50), 0))
	},
}

func rolledBack(events []revocation.Event) (n int) {
	for _, e := range events {
		if errors.Is(e.Err, revocation.ErrRollback) {
			n++
		}
	}
	return n
}

// Every way is noticed and reported, the log is read whole from the start, and
// the contents of the list remain in force.
func TestPromise1_LogThatWentBack(t *testing.T) {
	for name, goBack := range waysBack {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rec recorder
				d := newDouble()
				for i := range 10 {
					d.add(ending(session(i), 0))
				}
				r := follow(t, d, revocation.Config{Observe: rec.observe})
				synctest.Wait()
				d.calls()
				goBack(d)
				synctest.Wait()
				// The follower may have noticed before.
				if err := r.CatchUp(t.Context()); err != nil && !errors.Is(err, revocation.ErrRollback) {
					t.Fatalf("CatchUp: %v", err)
				}
				now := time.Now()
				events := rec.take()
				if len(events) == 0 || !errors.Is(events[0].Err, revocation.ErrRollback) || events[0].State != revocation.Unknown {
					t.Fatalf("events: %+v", events)
				}
				for i := range 10 {
					at := store.Position(20 + 10*i)
					if v := r.Check(now, session(i), subject(i), at-1); v != revocation.Revoked && (v != revocation.Expired || at > r.Floor()) {
						t.Errorf("session %d at %d is %v: want revoked", i, at-1, v)
					}
				}
				if name == "a head that no entry reaches" || name == "a gap that the floor does not explain" {
					d.lose(110) // the store comes to its senses
				}
				// The goroutine's earlier query is answered in the end.
				p := d.add(superseding(session(60), 0))
				time.Sleep(time.Minute)
				now = time.Now()
				if s := r.State(now); s != revocation.Fresh || r.Head() != p {
					t.Fatalf("it is %v, its head %d: want %d", s, r.Head(), p)
				}
				whole := false
				for _, q := range d.calls() {
					whole = whole || q.after == (store.Cursor{})
				}
				if !whole {
					t.Error("the log was not read from the start")
				}
				for i := range 10 {
					at := store.Position(20 + 10*i)
					if v := r.Check(now, session(i), subject(i), at-1); v != revocation.Revoked && (v != revocation.Expired || at > r.Floor()) {
						t.Errorf("the token that the entry at %d revoked is %v", at, v)
					}
				}
				check(t, r, now, 60, p-1, revocation.Expired)
				check(t, r, now, 61, p+1, revocation.Ahead)
			})
		})
	}
}

// A log that went back once is one alarm.
func TestReplica_WentBackIsReportedOnce(t *testing.T) {
	for name, goBack := range waysBack {
		if name == "a head that no entry reaches" || name == "a gap that the floor does not explain" {
			continue // these go on: the store is broken
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rec recorder
				d := newDouble()
				for i := range 10 {
					d.add(ending(session(i), 0))
				}
				r := follow(t, d, revocation.Config{Observe: rec.observe})
				synctest.Wait()
				goBack(d)
				time.Sleep(2 * time.Minute)
				events := rec.take()
				if n := rolledBack(events); n != 1 {
					t.Errorf("%d alarms: %+v", n, events)
				}
				if last := events[len(events)-1]; last.State != revocation.Fresh || last.Err != nil || r.State(time.Now()) != revocation.Fresh {
					t.Errorf("in the end %+v", last)
				}
			})
		})
	}
}

// While the log is reloaded, in several answers, the replica is unknown, and
// revoked tokens are revoked all the same.
func TestPromise1_ReplicaIsUnknownWhileItReadsAnew(t *testing.T) {
	d, clock := newDouble(), newClock()
	for i := range 10 {
		d.add(ending(session(i), 0))
	}
	r := still(t, d, revocation.Config{Now: clock.Now})
	d.lose(60)
	d.become(store.ID{0: 0xd1})
	for i := range 30 {
		d.add(ending(session(100+i), 0)) // 70 to 360
	}
	d.most = 7
	if err := r.Read(t.Context(), 0); !errors.Is(err, revocation.ErrRollback) {
		t.Fatal(err)
	}
	for answer := range 6 { // 36 entries
		if s := r.State(clock.Now()); s != revocation.Unknown {
			t.Fatalf("after %d answers it is %v", answer, s)
		}
		check(t, r, clock.Now(), 9, 109, revocation.Revoked)
		check(t, r, clock.Now(), 200, 30, revocation.Unconfirmed)
		check(t, r, clock.Now(), 200, 1000, revocation.Unconfirmed)
		if err := r.Read(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if r.State(clock.Now()) != revocation.Fresh || r.Head() != 360 {
		t.Errorf("it is %v, its head %d", r.State(clock.Now()), r.Head())
	}
	check(t, r, clock.Now(), 129, 359, revocation.Revoked)
	check(t, r, clock.Now(), 9, 109, revocation.Revoked)
}

// An answer from before the reload is from another past. It neither puts the
// cursor back, nor confirms, nor raises the alarm again.
func TestPromise1_AnswersFromBeforeTheReload(t *testing.T) {
	for _, before := range []bool{true, false} { // the answer was made before the log went back, or after
		synctest.Test(t, func(t *testing.T) {
			var rec recorder
			d := newDouble()
			for i := range 10 {
				d.add(ending(session(i), 0))
			}
			r := still(t, d, revocation.Config{Observe: rec.observe})
			var h holder
			hold := func() {
				h.hold(t, d)
				go func() { _ = r.Read(context.Background(), time.Hour) }()
				synctest.Wait()
				d.onSince(nil)
			}
			if before {
				hold()
			}
			d.lose(60)
			if !before {
				hold()
			}
			if err := r.Read(t.Context(), 0); !errors.Is(err, revocation.ErrRollback) {
				t.Fatal(err)
			}
			hold() // one after the reload has begun, which is good
			rec.take()
			close(h.take(0).deliver)
			synctest.Wait()
			if s := r.State(time.Now()); s != revocation.Unknown {
				t.Errorf("an answer from before made it %v", s)
			}
			if n := rolledBack(rec.take()); n != 0 {
				t.Errorf("an answer from before raised %d alarms more", n)
			}
			close(h.take(0).deliver)
			synctest.Wait()
			if s := r.State(time.Now()); s != revocation.Fresh || r.Head() != 60 {
				t.Errorf("after the log was read anew: %v, head %d", s, r.Head())
			}
		})
	}
}

// The head may fall then: the log no longer has the positions above it.
func TestReplica_HeadFallsWithTheLog(t *testing.T) {
	d, clock := newDouble(), newClock()
	for i := range 10 {
		d.add(ending(session(i), 0))
	}
	r := still(t, d, revocation.Config{Now: clock.Now})
	check(t, r, clock.Now(), 50, 105, revocation.Good)
	d.lose(60)
	_ = r.Read(t.Context(), 0)
	if err := r.Read(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if r.Head() != 60 {
		t.Errorf("head %d", r.Head())
	}
	check(t, r, clock.Now(), 50, 105, revocation.Ahead)
	check(t, r, clock.Now(), 50, 60, revocation.Good)
}
