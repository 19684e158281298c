package revocation_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

func ask(t testing.TB, r *revocation.Replica, n int, at store.Position, want revocation.Verdict) {
	t.Helper()
	got, err := r.Ask(context.Background(), session(n), subject(n), at)
	if err != nil || got != want {
		t.Errorf("session %d at %d is %v, %v: want %v", n, at, got, err, want)
	}
}

// The store's answer and what this node holds both count, whichever is
// stricter.
func TestAsk(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now})
	d.add(ending(session(1), 0), ofSubject(subject(2), 0), superseding(session(3), 0)) // 20, 30, 40
	ask(t, r, 1, 19, revocation.Revoked)
	ask(t, r, 1, 20, revocation.Revoked) // an end covers every position
	ask(t, r, 1, 40, revocation.Revoked)
	ask(t, r, 2, 29, revocation.Revoked)
	ask(t, r, 3, 39, revocation.Expired)
	ask(t, r, 3, 40, revocation.Good)
	ask(t, r, 4, 40, revocation.Good)
	ask(t, r, 4, 9, revocation.Revoked)
	// The replica queries one session, and applies nothing else from the
	// answer.
	if r.Head() != 10 || r.Len() != 0 || r.Highest() != 40 {
		t.Errorf("head %d, %d entries, highest %d: want 10, none, and the head of the answers, 40", r.Head(), r.Len(), r.Highest())
	}
	// This node's own entries: each kind, and the floor.
	r.Apply(ending(session(11), 35))
	ask(t, r, 11, 34, revocation.Revoked)
	r.Apply(ofSubject(subject(12), 35))
	ask(t, r, 12, 34, revocation.Revoked)
	r.Apply(superseding(session(13), 35))
	ask(t, r, 13, 34, revocation.Expired)
	r.Apply(everyone(36))
	ask(t, r, 14, 35, revocation.Revoked)
	r.List().RaiseFloor(38)
	ask(t, r, 14, 37, revocation.Expired)
	ask(t, r, 14, 38, revocation.Good)
	// The store does not have the position: it went back.
	ask(t, r, 14, 41, revocation.Ahead)
	r.List().SetHead(100) // whatever this node has read
	ask(t, r, 14, 41, revocation.Ahead)
	d.drop(40)
	d.add(everyone(0))
	ask(t, r, 15, 39, revocation.Revoked)
	ask(t, r, 15, 50, revocation.Good)
}

// A missing answer is an outage, and never a verdict.
func TestPromise5_AskInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		d.add(ending(session(1), 0))
		r := still(t, d, revocation.Config{})
		d.onCutoffs(func(context.Context, store.ID, string) (store.Cutoffs, error) {
			return store.Cutoffs{Head: 1000}, errDown
		})
		for n := range 3 {
			if v, err := r.Ask(t.Context(), session(n), subject(n), 10); !errors.Is(err, errDown) || v != revocation.Unconfirmed {
				t.Errorf("%v, %v", v, err)
			}
		}
		// One that hangs is an outage after Timeout.
		d.onCutoffs(func(ctx context.Context, _ store.ID, _ string) (store.Cutoffs, error) {
			<-ctx.Done()
			return store.Cutoffs{Head: 1000}, ctx.Err()
		})
		began := time.Now()
		if v, err := r.Ask(t.Context(), session(1), "", 10); !errors.Is(err, context.DeadlineExceeded) || v != revocation.Unconfirmed {
			t.Errorf("%v, %v", v, err)
		}
		if took := time.Since(began); took != revocation.DefaultTimeout {
			t.Errorf("it took %v", took)
		}
		// A caller that leaves does not end the query of the others.
		ctx, leave := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		go func() { // asks, and leaves
			_, _ = r.Ask(ctx, session(2), "", 20)
		}()
		synctest.Wait()
		errs := make(chan error, 2)
		wait.Go(func() {
			_, err := r.Ask(t.Context(), session(2), "", 20)
			errs <- err
		})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wait.Go(func() {
			_, err := r.Ask(short, session(2), "", 20)
			if time.Since(began) != revocation.DefaultTimeout+time.Second {
				t.Errorf("a caller with a second to spare waited %v", time.Since(began))
			}
			errs <- err
		})
		synctest.Wait()
		leave()
		wait.Wait()
		if a, b := <-errs, <-errs; !errors.Is(a, context.DeadlineExceeded) || !errors.Is(b, context.DeadlineExceeded) {
			t.Errorf("%v, %v", a, b)
		}
	})
}

// An answer that took longer than MaxStaleness proves nothing about the
// present.
func TestPromise1_AskTakesNoOldAnswer(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now, MaxStaleness: 30 * time.Second})
	for delay, good := range map[time.Duration]bool{0: true, 30 * time.Second: true, 30*time.Second + 1: false, 2 * time.Minute: false} {
		d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
			c := d.revoked(id, name)
			clock.move(delay) // and meanwhile it is revoked
			return c, nil
		})
		v, err := r.Ask(t.Context(), session(1), subject(1), 10)
		if good && (v != revocation.Good || err != nil) || !good && (v != revocation.Unconfirmed || err == nil) {
			t.Errorf("an answer that took %v: %v, %v", delay, v, err)
		}
	}
}

// Callers that ask about one session share one query, and a bounded number of
// queries is in flight.
func TestPromise8_AskIsCoalescedAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := still(t, d, revocation.Config{Timeout: time.Minute})
		gate := make(chan struct{})
		var now, most, all atomic.Int64
		d.onCutoffs(func(ctx context.Context, id store.ID, name string) (store.Cutoffs, error) {
			all.Add(1)
			for n := now.Add(1); ; {
				if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			defer now.Add(-1)
			<-gate
			return d.revoked(id, name), nil
		})
		var wait sync.WaitGroup
		const sessions, callers = 300, 5
		for n := range sessions {
			for range callers {
				wait.Go(func() { ask(t, r, n, 10, revocation.Good) })
			}
		}
		synctest.Wait()
		if now.Load() != revocation.MaxQueries || all.Load() != revocation.MaxQueries {
			t.Errorf("%d queries are under way, %d were asked: want %d", now.Load(), all.Load(), revocation.MaxQueries)
		}
		close(gate)
		wait.Wait()
		if all.Load() != sessions || most.Load() > revocation.MaxQueries {
			t.Errorf("%d queries for %d sessions, %d at a time", all.Load(), sessions, most.Load())
		}
	})
}

// Another subject of the same session is another query, also at the same time.
func TestPromise1_AskSharesNothingAcrossSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		p := d.add(ofSubject("alice", 0))
		r := still(t, d, revocation.Config{})
		gate := make(chan struct{})
		d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
			<-gate
			return d.revoked(id, name), nil
		})
		var wait sync.WaitGroup
		for name, want := range map[string]revocation.Verdict{"alice": revocation.Revoked, "bob": revocation.Good, "": revocation.Good} {
			for _, n := range []int{1, 2} {
				wait.Go(func() {
					if v, err := r.Ask(t.Context(), session(n), name, p-1); v != want || err != nil {
						t.Errorf("of %q: %v, %v: want %v", name, v, err, want)
					}
				})
			}
		}
		synctest.Wait()
		close(gate)
		wait.Wait()
	})
}

// A caller that gets no slot within Timeout has an outage, and leaves no slot
// occupied.
func TestPromise8_AskDoesNotWaitForATurnForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := still(t, d, revocation.Config{})
		gate := make(chan struct{})
		d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
			<-gate // hangs, and does not look at its context
			return d.revoked(id, name), nil
		})
		for n := range revocation.MaxQueries {
			go func() { _, _ = r.Ask(context.Background(), session(n), "", 10) }()
		}
		synctest.Wait()
		began := time.Now()
		if v, err := r.Ask(t.Context(), session(1000), "", 10); !errors.Is(err, context.DeadlineExceeded) || v != revocation.Unconfirmed {
			t.Errorf("%v, %v", v, err)
		}
		if took := time.Since(began); took != revocation.DefaultTimeout {
			t.Errorf("it took %v", took)
		}
		close(gate)
		synctest.Wait()
		ask(t, r, 1000, 10, revocation.Good)
	})
}

// An answer to a query that was in flight before the token was minted cannot
// show that the store does not have the token's position.
func TestAsk_JoinsNoAnswerFromBeforeTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := still(t, d, revocation.Config{})
		gate, queries := make(chan struct{}), 0
		d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
			queries++
			c := d.revoked(id, name)
			if queries == 1 {
				<-gate
			}
			return c, nil
		})
		go ask(t, r, 1, 10, revocation.Good)
		synctest.Wait()
		at := d.add(superseding(session(1), 0)) // a Commit, and a token at it
		done := make(chan struct{})
		go func() {
			ask(t, r, 1, at, revocation.Good)
			close(done)
		}()
		synctest.Wait()
		close(gate)
		<-done
		if queries != 2 {
			t.Errorf("%d queries", queries)
		}
		ask(t, r, 1, at+1, revocation.Ahead)
		if queries != 3 {
			t.Errorf("%d queries: a caller that sent the query itself need not ask again", queries)
		}
	})
}
