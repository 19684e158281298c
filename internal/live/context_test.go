package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/store"
)

// A context says why it is done. Whatever the reason, its Err matches
// context.Canceled, as callers expect of a request that is over.
func TestContextCauses(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(l *Set, hangUp func())
		want error // nil: it goes on
	}{
		"nothing":              {func(*Set, func()) {}, nil},
		"another session":      {func(l *Set, _ func()) { l.End(store.ID{0: 2}) }, nil},
		"the session":          {func(l *Set, _ func()) { l.End(store.ID{0: 1}) }, sentinel.ErrEnded},
		"the request":          {func(_ *Set, hangUp func()) { hangUp() }, context.Canceled},
		"the set":              {func(l *Set, _ func()) { l.Close() }, sentinel.ErrUnavailable},
		"the session, then it": {func(l *Set, hangUp func()) { l.End(store.ID{0: 1}); hangUp(); l.Close() }, sentinel.ErrEnded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTestSet(make(chan asked, 8))
				defer l.Close()
				request, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				c := l.Add(request, testHeader(1, 10))
				if c.Err() != nil || ended(c) != nil {
					t.Errorf("before anything ended: %v", c.Err())
				}
				row.end(l, hangUp)
				if err := c.Err(); !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
					t.Errorf("at once: %v, want %v", err, row.want)
				}
				time.Sleep(sweepEvery + time.Millisecond) // the end of a request is found by the sweep
				synctest.Wait()
				err := ended(c)
				if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want %v", err, row.want)
				}
			})
		})
	}
}

// Canceled returns a context that is done already, and Add after Close too.
func TestContextsThatAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := ended(Canceled(t.Context(), sentinel.ErrNoSession)); !errors.Is(err, sentinel.ErrNoSession) || !errors.Is(err, context.Canceled) {
			t.Errorf("Canceled: %v", err)
		}
		l := newTestSet(nil)
		l.Close()
		if err := ended(l.Add(t.Context(), testHeader(1, 10))); !errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
		if n, sessions, subjects := l.kept(); n != 0 || sessions+subjects != 0 {
			t.Errorf("after Close %d contexts, %d sessions and %d subjects are kept", n, sessions, subjects)
		}
	})
}

// AfterFunc calls each function once, when the context is done or at once if it
// is. A function that was stopped in time is not called.
func TestContextAfterFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContext(t.Context())
		calls := make(chan string, 8)
		c.AfterFunc(func() { calls <- "first" })
		stop := c.AfterFunc(func() { calls <- "stopped" })
		if !stop() || stop() {
			t.Error("stop says whether it was in time: once")
		}
		late := c.AfterFunc(func() { calls <- "second" })
		synctest.Wait()
		if len(calls) != 0 {
			t.Errorf("%d calls before the end", len(calls))
		}
		c.end(errEnded)
		c.end(errExpired) // the first cause counts
		stopLast := c.AfterFunc(func() { calls <- "third" })
		synctest.Wait()
		if late() || stopLast() {
			t.Error("a function that was called was stopped in time")
		}
		close(calls)
		got := map[string]int{}
		for name := range calls {
			got[name]++
		}
		if len(got) != 3 || got["first"] != 1 || got["second"] != 1 || got["third"] != 1 {
			t.Errorf("calls %v", got)
		}
		if err := c.Err(); !errors.Is(err, sentinel.ErrEnded) {
			t.Errorf("it ended because of %v", err)
		}
	})
}

// A derived context needs no goroutine, and ends with this one.
func TestContextDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContext(t.Context())
		derived, cancel := context.WithCancel(c)
		defer cancel()
		if len(c.after) != 1 {
			t.Errorf("%d functions wait, want the derived context's", len(c.after))
		}
		c.end(errExpired)
		<-derived.Done()
		if err := context.Cause(derived); !errors.Is(err, sentinel.ErrExpired) {
			t.Errorf("the derived one ended because of %v", err)
		}
	})
}

// A context that is printed shows nothing of its request.
func TestPromise7_ContextsPrintNothing(t *testing.T) {
	type key struct{}
	c := newContext(context.WithValue(t.Context(), key{}, "secret"))
	derived := context.WithValue(c, key{}, 1)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		if got := fmt.Sprintf(format, c); got != "wafer.Live" {
			t.Errorf("%s of it is %q", format, got)
		}
	}
	if got := fmt.Sprint(derived); strings.Contains(got, "secret") || !strings.Contains(got, "wafer.Live") {
		t.Errorf("a derived one is %q", got)
	}
}

// The store's answer about a session decides about its contexts. One outage is
// one report, with the number of contexts that it ended.
func TestAnswers(t *testing.T) {
	down := errors.New("down")
	for name, row := range map[string]struct {
		state   store.State
		age     time.Duration // of the last refresh; the idle limit is an hour
		err     error
		want    error
		outages int
	}{
		"alive":           {state: store.Alive},
		"just within":     {state: store.Alive, age: time.Hour - 1},
		"past its limits": {state: store.Alive, age: time.Hour, want: sentinel.ErrExpired},
		"ended":           {state: store.Ended, want: sentinel.ErrEnded},
		"cut off":         {state: store.CutOff, want: sentinel.ErrEnded},
		"absent":          {state: store.Absent, want: sentinel.ErrEnded},
		"an outage":       {err: down, want: sentinel.ErrUnavailable, outages: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTestSet(nil)
				defer l.Close()
				l.config.Ask = func(_ context.Context, id store.ID) (store.Snapshot, error) {
					snap := livingAt(id, 20)
					snap.State, snap.Family.Issued = row.state, snap.Now.Add(-row.age)
					return snap, row.err
				}
				var outages []int
				l.config.Outage = func(n int, err error) {
					if outages = append(outages, n); err != row.err {
						t.Errorf("an outage because of %v", err)
					}
				}
				all := []*Context{l.Add(t.Context(), testHeader(1, 10)), l.Add(t.Context(), testHeader(1, 10)), l.Add(t.Context(), testHeader(2, 10))}
				l.mu.Lock()
				l.queueAll()
				l.queueAll() // those that are queued are queued once
				if len(l.toCheck) != 2 {
					t.Errorf("%d sessions are to be checked, want 2", len(l.toCheck))
				}
				l.mu.Unlock()
				synctest.Wait()
				for i, c := range all {
					if err := ended(c); !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
						t.Errorf("context %d: %v, want %v", i, err, row.want)
					}
				}
				if n, _, _ := l.kept(); (n == 0) != (row.want != nil) {
					t.Errorf("%d contexts are kept", n)
				}
				if row.outages == 0 && len(outages) != 0 || row.outages != 0 && (len(outages) != 1 || outages[0] != row.outages) {
					t.Errorf("outages of %v contexts, want %d", outages, row.outages)
				}
			})
		})
	}
}

// A store that hangs keeps no response alive for longer than Patience.
func TestPromise2_AHangingStoreEndsResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestSet(make(chan asked, 8))
		defer l.Close()
		outages := 0
		l.config.Outage = func(n int, err error) { outages += n }
		c := l.Add(t.Context(), testHeader(1, 10))
		l.Recheck(store.ID{0: 1})
		time.Sleep(l.config.Patience - 1)
		synctest.Wait()
		if err := ended(c); err != nil {
			t.Errorf("before Patience is over: %v", err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if err := ended(c); !errors.Is(err, sentinel.ErrUnavailable) || outages != 1 {
			t.Errorf("after Patience: %v, and %d outages", err, outages)
		}
	})
}
