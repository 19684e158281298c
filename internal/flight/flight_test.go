package flight_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/flight"
)

var errFailed = errors.New("failed")

// result is the outcome of a call of Do.
type result struct {
	value    int
	err      error
	panicked any
	took     time.Duration
}

// do runs Do in a goroutine of its own.
func do[K comparable](g *flight.Group[K, int], ctx context.Context, key K, f func() (int, error)) <-chan result {
	done := make(chan result, 1)
	began := time.Now()
	go func() {
		r := result{err: errors.New("the goroutine ended")}
		defer func() {
			r.panicked, r.took = recover(), time.Since(began)
			done <- r
		}()
		r.value, r.err = g.Do(ctx, key, f)
	}()
	return done
}

func never() (int, error) { panic("two calls for one key") }

// Callers for one key share one call, its value and its error; the next caller
// makes a new one.
func TestDo_Shares(t *testing.T) {
	for _, want := range []error{nil, errFailed} {
		synctest.Test(t, func(t *testing.T) {
			var g flight.Group[string, int]
			gate := make(chan struct{})
			all := []<-chan result{do(&g, t.Context(), "key", func() (int, error) { <-gate; return 7, want })}
			synctest.Wait()
			for range 100 {
				all = append(all, do(&g, t.Context(), "key", never))
			}
			synctest.Wait()
			for i, done := range all {
				if len(done) != 0 {
					t.Fatalf("caller %d did not wait", i)
				}
			}
			close(gate)
			for i, done := range all {
				if r := <-done; r.value != 7 || r.err != want || r.panicked != nil {
					t.Errorf("caller %d: %+v", i, r)
				}
			}
			if v, err := g.Do(t.Context(), "key", func() (int, error) { return 8, nil }); v != 8 || err != nil {
				t.Errorf("the next caller got %d, %v", v, err)
			}
		})
	}
}

// A waiter waits no longer than its context, and the call goes on for the
// others. The caller that runs f runs it to its end.
func TestDo_ContextBoundsTheWaitingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[int, int]
		run := func() (int, error) { time.Sleep(time.Minute); return 7, nil }
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		leader := do(&g, short, 1, run)
		synctest.Wait()
		impatient, patient := do(&g, short, 1, never), do(&g, t.Context(), 1, never)
		if r := <-impatient; !errors.Is(r.err, context.DeadlineExceeded) || r.value != 0 || r.took != time.Second {
			t.Errorf("the impatient waiter: %+v", r)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if r := <-do(&g, ended, 1, never); !errors.Is(r.err, context.Canceled) || r.took != 0 {
			t.Errorf("a waiter that was gone before: %+v", r)
		}
		for name, done := range map[string]<-chan result{"the leader": leader, "the patient waiter": patient} {
			if r := <-done; r.value != 7 || r.err != nil || r.took != time.Minute {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if r := <-do(&g, ended, 1, run); r.value != 7 || r.err != nil {
			t.Errorf("a leader whose context has ended: %+v", r)
		}
	})
}

// A call that panics or exits its goroutine leaves its waiters with an error,
// and the key free.
func TestDo_DeathOfTheLeader(t *testing.T) {
	for name, die := range map[string]func(){
		"panic":             func() { panic("boom") },
		"Goexit":            runtime.Goexit,
		"a runtime's panic": func() { _ = make([]int, 0)[len(t.Name())] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g flight.Group[int, int]
				gate := make(chan struct{})
				leader := do(&g, t.Context(), 1, func() (int, error) { <-gate; die(); return 7, nil })
				synctest.Wait()
				var waiters []<-chan result
				for range 10 {
					waiters = append(waiters, do(&g, t.Context(), 1, never))
				}
				synctest.Wait()
				close(gate)
				for _, done := range waiters {
					if r := <-done; r.err == nil || r.value != 0 || r.panicked != nil {
						t.Errorf("a waiter: %+v", r)
					}
				}
				if r := <-leader; name != "Goexit" && r.panicked == nil {
					t.Errorf("the leader: %+v", r)
				}
				if v, err := g.Do(t.Context(), 1, func() (int, error) { return 8, nil }); v != 8 || err != nil {
					t.Errorf("the next caller got %d, %v", v, err)
				}
			})
		})
	}
}

// Calls for different keys do not wait for each other, and neither does a call
// that is made inside another.
func TestDo_KeysAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{ a, b string }
		var g flight.Group[key, int]
		gate := make(chan struct{})
		slow := do(&g, t.Context(), key{"x", "y"}, func() (int, error) { <-gate; return 1, nil })
		synctest.Wait()
		for i, k := range []key{{"x", ""}, {"", "y"}, {"xy", ""}, {"y", "x"}, {}} {
			if r := <-do(&g, t.Context(), k, func() (int, error) { return i, nil }); r.value != i || r.err != nil {
				t.Errorf("%v: %+v", k, r)
			}
		}
		inner := <-do(&g, t.Context(), key{"outer", ""}, func() (int, error) {
			return g.Do(t.Context(), key{"inner", ""}, func() (int, error) { return 5, nil })
		})
		if inner.value != 5 || inner.err != nil {
			t.Errorf("a call in a call: %+v", inner)
		}
		// Two groups share nothing.
		var other flight.Group[key, int]
		if r := <-do(&other, t.Context(), key{"x", "y"}, func() (int, error) { return 2, nil }); r.value != 2 {
			t.Errorf("another group: %+v", r)
		}
		close(gate)
		if r := <-slow; r.value != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// From all sides at once: no two calls for one key overlap, and every caller
// gets the result of a call of its key that had not ended when it asked.
func TestDo_UnderConcurrency(t *testing.T) {
	var g flight.Group[int, int64]
	const keys, workers = 3, 8
	var running [keys]atomic.Int32
	var calls atomic.Int64
	var work sync.WaitGroup
	rounds := 40_000
	if testing.Short() {
		rounds /= 4
	}
	for worker := range workers {
		work.Go(func() {
			var last [keys]int64
			for i := range rounds / workers {
				k := (worker + i) % keys
				call, err := g.Do(context.Background(), k, func() (int64, error) {
					if running[k].Add(1) != 1 {
						t.Errorf("two calls for key %d", k)
					}
					defer running[k].Add(-1)
					runtime.Gosched()
					return calls.Add(1), nil
				})
				if err != nil || call <= last[k] {
					t.Errorf("key %d: call %d after %d, %v", k, call, last[k], err)
					return
				}
				last[k] = call
			}
		})
	}
	work.Wait()
	t.Logf("%d calls for %d callers", calls.Load(), rounds)
	if calls.Load() == int64(rounds) {
		t.Error("none was shared: the test shows nothing")
	}
}
