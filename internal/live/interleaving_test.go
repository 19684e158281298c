package live

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/store"
)

// ended reports whether a response ended, and why.
func ended(one *Context) error {
	select {
	case <-one.Done():
		return one.Err()
	default:
		return nil
	}
}

// kept returns the numbers of contexts, sessions and subjects that the set holds.
func (l *Set) kept() (responses int64, sessions, subjects int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count.Load(), len(l.sessions), len(l.subjects)
}

// If more entries wait than the set queues, it checks every session once instead.
// That finds a revocation of everyone among the entries that were dropped. Later
// entries are handled as usual.
func TestPromise8_LivesAndTooManyNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := make(chan asked, 1<<10)
		l := newTestSet(asks)
		defer l.Close()
		one, two := l.Add(t.Context(), testHeader(1, 10)), l.Add(t.Context(), testHeader(2, 10))
		l.mu.Lock() // the set's goroutine is slow
		many := make([]store.Entry, maxQueued)
		for i := range many {
			many[i] = store.Entry{Kind: store.KindSession, Session: store.ID{0: 9, 1: byte(i)}, Position: 20}
		}
		l.Applied(many[:10])
		for range 5 {
			l.Applied(many)
			if l.inbox.Lock(); len(l.queued) > maxQueued {
				t.Errorf("%d entries wait", len(l.queued))
			}
			l.inbox.Unlock()
		}
		l.Applied([]store.Entry{{Kind: store.KindEveryone, Position: 30}})
		l.mu.Unlock()
		for range 2 {
			q := <-asks
			snap := livingAt(q.id, 40)
			if q.id[0] == 1 {
				snap.State = store.CutOff
			}
			q.answer <- snap
		}
		synctest.Wait()
		if err := ended(one); !errors.Is(err, sentinel.ErrEnded) {
			t.Errorf("the one that is cut off: %v", err)
		}
		if err := ended(two); err != nil {
			t.Errorf("the other: %v", err)
		}
		if len(asks) != 0 {
			t.Errorf("%d questions more", len(asks))
		}
		l.Applied([]store.Entry{{Kind: store.KindSession, Session: store.ID{0: 2}, Position: 50}})
		synctest.Wait()
		if err := ended(two); !errors.Is(err, sentinel.ErrEnded) {
			t.Errorf("an entry after them: %v", err)
		}
	})
}

// The contexts of a session come and go, and its record with them, while a query
// about it is in flight. The result for a record that is gone affects no other,
// and nothing is left behind.
func TestPromise8_LivesLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := make(chan asked, 8)
		l := newTestSet(asks)
		defer l.Close()
		request, hangUp := context.WithCancel(t.Context())
		l.Add(request, testHeader(1, 10))
		l.Recheck(store.ID{0: 1})
		q := <-asks
		hangUp()
		time.Sleep(2 * time.Second) // swept
		synctest.Wait()
		if n, a, b := l.kept(); n != 0 || a+b != 0 {
			t.Errorf("of a request that is over, %d responses, %d sessions and %d subjects are kept", n, a, b)
		}
		again := l.Add(t.Context(), testHeader(1, 10))
		q.answer <- store.Snapshot{State: store.Ended}
		synctest.Wait()
		if err := ended(again); err != nil {
			t.Errorf("the answer about one that is gone ended another: %v", err)
		}
		tab, closeTab := context.WithCancel(t.Context())
		l.Add(tab, testHeader(1, 12))
		other := l.Add(t.Context(), testHeader(3, 10))
		if n := l.count.Load(); n != 3 {
			t.Errorf("%d responses of 3 are counted", n)
		}
		closeTab()
		time.Sleep(2 * time.Second)
		if n, a, b := l.kept(); n != 2 || a != 2 || b != 1 {
			t.Errorf("%d responses of 2 are counted, in %d sessions of %d subjects", n, a, b)
		}
		l.End(store.ID{0: 1})
		if n := l.count.Load(); n != 1 || ended(again) == nil || ended(other) != nil {
			t.Errorf("%d responses of 1 are counted", n)
		}
		l.Applied([]store.Entry{{Kind: store.KindEveryone, Position: 20}})
		synctest.Wait()
		if n, a, b := l.kept(); n != 0 || a+b != 0 || !errors.Is(ended(other), sentinel.ErrEnded) {
			t.Errorf("in the end %d responses, %d sessions and %d subjects are kept", n, a, b)
		}
	})
}

// An entry at or below the position at which a session was found alive does not
// affect it: the session was minted, or confirmed, after that entry.
func TestLive_EntriesFromBeforeTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := make(chan asked, 8)
		l := newTestSet(asks)
		defer l.Close()
		one := l.Add(t.Context(), testHeader(1, 10))
		old := l.Add(t.Context(), testHeader(1, 5)) // an older cookie of the same
		news := func(p store.Position) {
			l.Applied([]store.Entry{{Kind: store.KindSubject, Subject: "alice", Position: p}, {Kind: store.KindEveryone, Position: p}})
			synctest.Wait()
		}
		news(8)
		news(10)
		if ended(one) != nil || ended(old) != nil || len(asks) != 0 {
			t.Fatalf("%v, %v, and %d questions", ended(one), ended(old), len(asks))
		}
		l.Recheck(store.ID{0: 1})
		q := <-asks
		q.answer <- livingAt(q.id, 30)
		synctest.Wait()
		news(30)
		if ended(one) != nil || ended(old) != nil || len(asks) != 0 {
			t.Fatalf("confirmed at 30: %v, %v, and %d questions", ended(one), ended(old), len(asks))
		}
		news(31)
		if ended(one) == nil || ended(old) == nil {
			t.Errorf("after everyone was revoked: %v, %v", ended(one), ended(old))
		}
	})
}

// A function that is called when a context ends may call the set back.
func TestLive_AfterFuncMayCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestSet(make(chan asked, 8))
		one := l.Add(t.Context(), testHeader(1, 10))
		var next *Context
		context.AfterFunc(one, func() {
			next = l.Add(t.Context(), testHeader(1, 40))
			l.End(store.ID{0: 7})
			l.Applied(nil)
		})
		cancelled := make(chan struct{})
		stop := context.AfterFunc(one, func() { close(cancelled) })
		l.Applied([]store.Entry{{Kind: store.KindEveryone, Position: 20}})
		synctest.Wait()
		<-cancelled
		if stop() || next == nil {
			t.Error("one of two functions was not called")
		}
		l.Close()
		if err := ended(next); !errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("after close: %v", err)
		}
		l.Recheck(store.ID{0: 1})
		l.recheckAll()
		l.Close()
	})
}

// Close does not wait for a store that hangs. The sessions that are being checked
// end as unavailable.
func TestLive_CloseWhileItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := make(chan asked, 1<<10)
		l := newTestSet(asks)
		var all []*Context
		for i := range 200 {
			all = append(all, l.Add(t.Context(), testHeader(byte(i), 10)))
		}
		l.Applied(nil)
		synctest.Wait()
		if len(asks) != maxQueries {
			t.Errorf("%d questions are under way: want %d", len(asks), maxQueries)
		}
		began := time.Now()
		l.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("close took %v", took)
		}
		for i, one := range all {
			if err := ended(one); !errors.Is(err, sentinel.ErrUnavailable) {
				t.Fatalf("response %d: %v", i, err)
			}
		}
		if n := l.count.Load(); n != 0 {
			t.Errorf("%d responses are counted", n)
		}
	})
}

// A node that was out of touch for a moment queries no session. One that stays out
// of touch queries each once per interval, and at once when it loses touch again.
func TestLive_OutOfTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away, gone atomic.Bool
		var catchUps, questions atomic.Int64
		l := newTestSet(nil)
		defer l.Close()
		l.config.InTouch = func() bool { return !away.Load() }
		l.config.CatchUp = func(context.Context) bool { catchUps.Add(1); return !gone.Load() }
		l.config.Ask = func(_ context.Context, id store.ID) (store.Snapshot, error) {
			questions.Add(1)
			return livingAt(id, 20), nil
		}
		one := l.Add(t.Context(), testHeader(1, 10))
		want := func(when string, c, q int64) {
			t.Helper()
			synctest.Wait()
			if catchUps.Load() != c || questions.Load() != q || ended(one) != nil {
				t.Errorf("%s: %d of %d attempts, %d of %d questions: %v", when, catchUps.Load(), c, questions.Load(), q, ended(one))
			}
		}
		time.Sleep(10*time.Second + time.Millisecond)
		want("in touch", 0, 0)
		away.Store(true)
		time.Sleep(30 * time.Second)
		want("for a moment", 1, 0)
		gone.Store(true)
		time.Sleep(time.Minute)
		want("after a minute", 2, 1)
		time.Sleep(time.Minute)
		want("after two", 3, 2)
		away.Store(false)
		time.Sleep(5 * time.Second)
		away.Store(true)
		time.Sleep(2 * time.Second)
		want("out of touch anew", 4, 3)
	})
}
