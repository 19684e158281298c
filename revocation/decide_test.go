package revocation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// A fresh replica decides without a query. One that is not fresh asks the
// store, and without an answer decides only by what it holds.
func TestReplica_Decide(t *testing.T) {
	clock, d := newClock(), newDouble()
	d.add(ending(session(1), 0), ofSubject(subject(2), 0)) // 20, 30
	asked := counted(d)
	r := still(t, d, revocation.Config{Now: clock.Now})
	decide := func(n int, at store.Position, want revocation.Verdict, queries int64) {
		t.Helper()
		before := asked.Load()
		v, err := r.Decide(t.Context(), clock.Now(), session(n), subject(n), at)
		if v != want || err != nil {
			t.Errorf("session %d at %d is %v, %v: want %v", n, at, v, err, want)
		}
		if n := asked.Load() - before; n != queries {
			t.Errorf("session %d at %d took %d queries: want %d", n, at, n, queries)
		}
	}
	decide(1, 19, revocation.Revoked, 0)
	decide(2, 29, revocation.Revoked, 0)
	decide(3, 9, revocation.Revoked, 0)
	decide(3, 30, revocation.Good, 0)
	d.add(superseding(session(4), 0)) // 40
	decide(4, 40, revocation.Good, 0) // it reads the log
	decide(4, 41, revocation.Ahead, 0)
	clock.move(revocation.DefaultMaxStaleness + time.Second)
	decide(3, 40, revocation.Good, 1)
	decide(1, 19, revocation.Revoked, 0)
	down := errors.New("down")
	d.onCutoffs(func(context.Context, store.ID, string) (store.Cutoffs, error) { return store.Cutoffs{}, down })
	if v, err := r.Decide(t.Context(), clock.Now(), session(3), subject(3), 40); v != revocation.Unconfirmed || !errors.Is(err, down) {
		t.Errorf("in an outage: %v, %v", v, err)
	}
	if v, err := r.Decide(t.Context(), clock.Now(), session(1), subject(1), 19); v != revocation.Revoked || err != nil {
		t.Errorf("a revocation that is held, in an outage: %v, %v", v, err)
	}
}

// A cache decides by a cached result, and asks the store if it has none or the
// result predates the token.
func TestCache_Decide(t *testing.T) {
	clock, d := newClock(), newDouble()
	d.add(ofSubject(subject(1), 0)) // 20
	asked := counted(d)
	c := newCache(t, d, revocation.Config{Now: clock.Now})
	decide := func(n int, at store.Position, want revocation.Verdict, queries int64) {
		t.Helper()
		before := asked.Load()
		v, err := c.Decide(t.Context(), clock.Now(), session(n), subject(n), at)
		c.Settle()
		if v != want || err != nil {
			t.Errorf("session %d at %d is %v, %v: want %v", n, at, v, err, want)
		}
		if n := asked.Load() - before; n != queries {
			t.Errorf("session %d at %d took %d queries: want %d", n, at, n, queries)
		}
	}
	decide(1, 19, revocation.Revoked, 1)
	decide(1, 19, revocation.Revoked, 0)
	decide(1, 20, revocation.Good, 0)
	decide(1, 21, revocation.Ahead, 1)
	d.add(superseding(session(2), 0)) // 30
	decide(1, 30, revocation.Good, 1)
	c.Apply(ending(session(3), 50))
	decide(3, 40, revocation.Revoked, 0)
	down := errors.New("down")
	d.onCutoffs(func(context.Context, store.ID, string) (store.Cutoffs, error) { return store.Cutoffs{}, down })
	if v, err := c.Decide(t.Context(), clock.Now(), session(4), subject(4), 30); v != revocation.Unconfirmed || !errors.Is(err, down) {
		t.Errorf("in an outage: %v, %v", v, err)
	}
}
