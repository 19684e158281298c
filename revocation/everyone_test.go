package revocation_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
)

// Before everyone is revoked the ring is reloaded; until that succeeds neither
// that entry nor any after it is applied, and it is tried again.
func TestPromise1_BeforeEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errRing := errors.New("the ring could not be reloaded")
		var following atomic.Pointer[revocation.Replica]
		var rec recorder
		var fail atomic.Bool
		var calls atomic.Int64
		d := newDouble()
		r := follow(t, d, revocation.Config{Observe: rec.observe, BeforeEveryone: func(ctx context.Context) error {
			calls.Add(1)
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("BeforeEveryone has no deadline")
			}
			if r := following.Load(); r != nil {
				// Called before the entry is in force.
				if c := r.List().Cutoffs(session(9), ""); c.Everyone != 10 {
					t.Errorf("it was called after the entry was applied: %+v", c)
				}
			}
			if fail.Load() {
				return errRing
			}
			return nil
		}})
		following.Store(r)
		if n := calls.Load(); n != 1 {
			t.Fatalf("for the log's first entry it was called %d times", n)
		}
		synctest.Wait()
		fail.Store(true)
		calls.Store(0)
		d.mu.Lock() // all in one answer
		appended := d.appended
		d.appended = make(chan struct{})
		d.mu.Unlock()
		d.add(ending(session(1), 0))      // 20
		d.add(superseding(session(2), 0)) // 30
		d.add(everyone(0))                // 40
		d.add(ending(session(3), 0))      // 50
		close(appended)
		synctest.Wait()
		if calls.Load() == 0 {
			t.Fatal("it was not called")
		}
		now := time.Now()
		check(t, r, now, 1, 19, revocation.Revoked)
		check(t, r, now, 2, 29, revocation.Expired)
		check(t, r, now, 9, 10, revocation.Good)
		if c := r.List().Cutoffs(session(3), ""); c.Everyone != 10 || c.Ending != 0 || r.Head() >= 40 {
			t.Errorf("the entry that could not be prepared, or one after it, was applied: %+v, head %d", c, r.Head())
		}
		if err := r.CatchUp(t.Context()); !errors.Is(err, errRing) {
			t.Errorf("CatchUp: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := r.WaitFor(ctx, 40); !errors.Is(err, errRing) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitFor: %v", err)
		}
		cancel()
		// For as long as it fails the replica is not confirmed.
		time.Sleep(time.Minute)
		if s := r.State(time.Now()); s != revocation.Stale {
			t.Errorf("after a minute it is %v", s)
		}
		events := rec.take()
		if len(events) < 2 || !errors.Is(events[0].Err, errRing) || events[len(events)-1].State != revocation.Stale {
			t.Errorf("events: %+v", events)
		}
		if n := calls.Load(); n < 5 || n > 100 {
			t.Errorf("it was called %d times in a minute", n)
		}
		fail.Store(false)
		calls.Store(0)
		time.Sleep(10 * time.Second)
		now = time.Now()
		if r.State(now) != revocation.Fresh || r.Head() != 50 || calls.Load() != 1 {
			t.Errorf("%v, head %d, called %d times", r.State(now), r.Head(), calls.Load())
		}
		check(t, r, now, 9, 39, revocation.Revoked)
		check(t, r, now, 9, 40, revocation.Good)
		check(t, r, now, 3, 49, revocation.Revoked)
	})
}

// Follow goes on trying, too.
func TestFollow_BeforeEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errRing := errors.New("the ring could not be reloaded")
		calls := 0
		before := func(context.Context) error {
			if calls++; calls < 4 {
				return errRing
			}
			return nil
		}
		r := follow(t, newDouble(), revocation.Config{BeforeEveryone: before})
		if calls != 4 || r.Head() != 10 {
			t.Errorf("called %d times, head %d", calls, r.Head())
		}
		calls = -1000
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := revocation.Follow(ctx, newDouble(), revocation.Config{BeforeEveryone: before}); !errors.Is(err, errRing) {
			t.Error(err)
		}
	})
}

// An entry that was dropped before this node read it may have revoked everyone,
// after the revocation of a key: the ring is reloaded for it all the same,
// before the replica is confirmed.
func TestPromise1_BeforeEveryoneForAGap(t *testing.T) {
	errRing := errors.New("the ring could not be reloaded")
	clock := newClock()
	calls, fail := 0, false
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now, BeforeEveryone: func(context.Context) error {
		calls++
		if fail {
			return errRing
		}
		return nil
	}})
	clock.move(time.Hour) // an outage
	calls, fail = 0, true
	d.add(ending(session(1), 0))
	p := d.add(everyone(0))
	d.drop(p)
	d.add(superseding(session(2), 0))
	if err := r.CatchUp(t.Context()); !errors.Is(err, errRing) || calls == 0 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	check(t, r, clock.Now(), 3, p, revocation.Unconfirmed)
	calls, fail = 0, false
	if err := r.CatchUp(t.Context()); err != nil || calls == 0 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	check(t, r, clock.Now(), 3, p-1, revocation.Expired)
	check(t, r, clock.Now(), 3, p, revocation.Good)
	// If nothing was dropped unread there is no need for it.
	calls = 0
	d.drop(d.head)
	if err := r.CatchUp(t.Context()); err != nil || calls != 0 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}
