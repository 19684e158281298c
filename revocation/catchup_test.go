package revocation_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Entries appended before the call are applied after it, in however many
// answers.
func TestPromise1_CatchUp(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now})
	d.most = 50
	for i := range 320 {
		d.add(ending(session(i), 0))
	}
	check(t, r, clock.Now(), 1, d.head, revocation.Ahead)
	d.calls()
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Head() != d.head || r.Len() != 320 || len(d.calls()) != 7 {
		t.Errorf("head %d of %d, %d entries", r.Head(), d.head, r.Len())
	}
	check(t, r, clock.Now(), 1, d.head, revocation.Revoked)
	check(t, r, clock.Now(), 320, d.head, revocation.Good)
	check(t, r, clock.Now(), 320, d.head+1, revocation.Ahead)
	for _, q := range d.calls() {
		if q.wait != 0 {
			t.Errorf("it asked for a wait of %v", q.wait)
		}
	}
	d.onSince(func(context.Context, sinceCall) (store.Batch, error) { return store.Batch{}, errDown })
	if err := r.CatchUp(t.Context()); !errors.Is(err, errDown) {
		t.Error(err)
	}
}

// A flight that was under way before the call may have sent its query before
// the entry was written. Its answer is of no use to the caller, so a request
// that is sent after the call follows. Callers that arrive meanwhile share that
// request.
func TestPromise1_CatchUpAsksAfterTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := still(t, d, revocation.Config{Timeout: time.Minute})
		d.calls()
		var h holder
		h.hold(t, d)
		go func() { _ = r.CatchUp(context.Background()) }() // asks too early
		synctest.Wait()
		p := d.add(ending(session(1), 0))
		const callers = 20
		var returned atomic.Int64
		for range callers {
			go func() {
				if err := r.CatchUp(context.Background()); err != nil {
					t.Error(err)
				}
				if r.Head() < p {
					t.Errorf("CatchUp returned, and the head is %d: the entry at %d was there before the call", r.Head(), p)
				}
				returned.Add(1)
			}()
			synctest.Wait()
		}
		if n := len(d.calls()); n != 1 {
			t.Fatalf("%d queries", n)
		}
		close(h.take(0).deliver)
		synctest.Wait()
		if n := returned.Load(); n != 0 {
			t.Errorf("%d callers returned with an answer from before their call", n)
		}
		if h.len() != 1 {
			t.Fatalf("%d queries are under way", h.len())
		}
		close(h.take(0).deliver)
		synctest.Wait()
		if returned.Load() != callers || r.Head() != p {
			t.Errorf("%d of %d callers returned, head %d", returned.Load(), callers, r.Head())
		}
	})
}

// The first flight's failure is not the caller's.
func TestCatchUp_AfterAnotherFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := still(t, d, revocation.Config{Timeout: time.Minute})
		var h holder
		h.hold(t, d)
		go func() {
			if err := r.CatchUp(context.Background()); !errors.Is(err, errDown) {
				t.Error(err)
			}
		}()
		synctest.Wait()
		p := d.add(everyone(0))
		done := make(chan error, 1)
		go func() { done <- r.CatchUp(context.Background()) }()
		synctest.Wait()
		a := h.take(0)
		a.err = errDown
		d.onSince(nil)
		close(a.deliver)
		if err := <-done; err != nil || r.Head() != p {
			t.Errorf("%v, head %d", err, r.Head())
		}
	})
}

// It takes Timeout at most, and no longer than the caller's context.
func TestPromise8_CatchUpIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := still(t, d, revocation.Config{Timeout: 5 * time.Second})
		d.onSince(func(ctx context.Context, _ sinceCall) (store.Batch, error) {
			<-ctx.Done()
			return store.Batch{}, ctx.Err()
		})
		began := time.Now()
		if err := r.CatchUp(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		go func() { _ = r.CatchUp(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := r.CatchUp(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// A store that has more and more, and gives nothing, is an error.
		d.onSince(func(_ context.Context, q sinceCall) (store.Batch, error) {
			return store.Batch{Log: d.id, Head: d.head + 100, More: true}, nil
		})
		time.Sleep(time.Minute)
		d.calls()
		if err := r.CatchUp(t.Context()); err == nil || len(d.calls()) > 2 {
			t.Errorf("a store that says there is more, and gives nothing: %v", err)
		}
	})
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := follow(t, d, revocation.Config{})
		synctest.Wait()
		d.calls()
		for p := range store.Position(11) {
			if err := r.WaitFor(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(d.calls()); n != 0 {
			t.Errorf("%d queries about what is known", n)
		}
		// Entries in the store are applied after one query.
		gate := make(chan struct{})
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			if q.wait > 0 {
				<-gate
			}
			return d.honest(ctx, q)
		})
		d.add(ending(session(1), 0))
		synctest.Wait()
		p := d.add(ending(session(2), 0))
		if err := r.WaitFor(t.Context(), p); err != nil || r.Head() < p {
			t.Errorf("%v, head %d", err, r.Head())
		}
		check(t, r, time.Now(), 2, p-1, revocation.Revoked)
		// WaitFor waits for an entry that is not there yet.
		done := make(chan error, 1)
		go func() { done <- r.WaitFor(context.Background(), p+10) }()
		time.Sleep(20 * time.Second)
		if len(done) != 0 {
			t.Fatal("it did not wait")
		}
		d.add(everyone(0))
		time.Sleep(5 * time.Second) // at most a sixth of MaxStaleness between two queries
		if len(done) != 1 {
			t.Fatal("it waits still")
		}
		if err := <-done; err != nil || r.Head() != p+10 {
			t.Errorf("%v, head %d", err, r.Head())
		}
		// And for no longer than the context allows, with the reason.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d.calls()
		began := time.Now()
		if err := r.WaitFor(ctx, p+20); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if n := len(d.calls()); n < 5 || n > 60 {
			t.Errorf("%d queries in a minute", n)
		}
		d.onSince(func(context.Context, sinceCall) (store.Batch, error) { return store.Batch{}, errDown })
		close(gate)
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.WaitFor(ctx, p+20); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) {
			t.Error(err)
		}
	})
}

// It waits for a fresh replica, too, even for a position that is long known.
func TestWaitFor_Fresh(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now})
	clock.move(time.Hour)
	if err := r.WaitFor(t.Context(), 0); err != nil || r.State(clock.Now()) != revocation.Fresh {
		t.Errorf("%v, %v", err, r.State(clock.Now()))
	}
}

// If each answer is older than MaxStaleness when it comes, the replica is never
// fresh, and the wait ends with the context all the same.
func TestWaitFor_EndsWhereAnswersAreAlwaysOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := still(t, d, revocation.Config{MaxStaleness: time.Second, Timeout: 5 * time.Second})
		time.Sleep(time.Minute)
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			b, _ := d.batch(q)
			time.Sleep(1500 * time.Millisecond)
			return b, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- r.WaitFor(ctx, 10) }()
		time.Sleep(time.Minute)
		select {
		case err := <-done:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		default:
			t.Error("it waits 40s after its context has ended")
			d.onSince(nil)
			<-done
		}
	})
}
