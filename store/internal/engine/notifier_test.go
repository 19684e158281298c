package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/store"
)

var errClosed = errors.New("closed")

// log is a log that a test appends to.
type log struct {
	head  atomic.Uint64
	reads atomic.Int64
}

func newLog(head uint64) *log {
	l := new(log)
	l.head.Store(head)
	return l
}

func (l *log) after(p store.Position) func() (store.Batch, error) {
	return func() (store.Batch, error) {
		l.reads.Add(1)
		b := store.Batch{Head: store.Position(l.head.Load())}
		if b.Head > p {
			b.Entries = []store.Entry{{Position: b.Head}}
		}
		return b, nil
	}
}

// idle is a watch that only waits until it must return.
func idle(n **Notifier) func(store.Position) {
	return func(store.Position) {
		for !(*n).Idle() {
			(*n).Pause(time.Millisecond)
		}
	}
}

func newIdle() *Notifier {
	var n *Notifier
	n = NewNotifier(errClosed, idle(&n))
	return n
}

// Entries that are there already are returned at once, and nothing is watched.
func TestSinceReturnsWhatIsThere(t *testing.T) {
	n := NewNotifier(errClosed, func(store.Position) { t.Error("watched") })
	l := newLog(7)
	b, err := n.Since(t.Context(), time.Hour, l.after(5))
	if err != nil || len(b.Entries) != 1 || l.reads.Load() != 1 {
		t.Errorf("%+v, %v after %d reads", b, err, l.reads.Load())
	}
	b, err = n.Since(t.Context(), 0, l.after(7))
	if err != nil || len(b.Entries) != 0 || b.Head != 7 {
		t.Errorf("without a wait: %+v, %v", b, err)
	}
}

// A cursor that is broken stays so: its batch is returned without a wait.
func TestSinceReturnsABrokenCursor(t *testing.T) {
	n := NewNotifier(errClosed, func(store.Position) { t.Error("watched") })
	reads := 0
	b, err := n.Since(t.Context(), time.Hour, func() (store.Batch, error) {
		reads++
		return store.Batch{Broken: true, Head: 7}, nil
	})
	if err != nil || !b.Broken || reads != 1 {
		t.Errorf("%+v, %v after %d reads", b, err, reads)
	}
}

// A notification wakes the caller at once; without one it returns empty after its
// wait, to the moment.
func TestSinceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l, began := newIdle(), newLog(5), time.Now()
		go func() {
			time.Sleep(time.Second)
			n.Notify() // nothing new: the caller goes on waiting
			time.Sleep(time.Second)
			l.head.Store(6)
			n.Notify()
		}()
		b, err := n.Since(t.Context(), time.Minute, l.after(5))
		if err != nil || len(b.Entries) != 1 || time.Since(began) != 2*time.Second || l.reads.Load() != 3 {
			t.Errorf("%+v, %v after %v and %d reads", b, err, time.Since(began), l.reads.Load())
		}
		began = time.Now()
		b, err = n.Since(t.Context(), time.Minute, l.after(6))
		if err != nil || len(b.Entries) != 0 || time.Since(began) != time.Minute {
			t.Errorf("nothing new: %+v, %v after %v", b, err, time.Since(began))
		}
		n.Close()
		n.Wait()
	})
}

// An entry that commits between the read and the wait is not slept through.
func TestSinceMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l, began := newIdle(), newLog(5), time.Now()
		read := l.after(5)
		b, err := n.Since(t.Context(), time.Minute, func() (store.Batch, error) {
			b, err := read()
			if l.reads.Load() == 1 {
				l.head.Store(6)
				n.Notify()
			}
			return b, err
		})
		if err != nil || len(b.Entries) != 1 || time.Since(began) != 0 {
			t.Errorf("%+v, %v after %v", b, err, time.Since(began))
		}
		n.Close()
		n.Wait()
	})
}

// The context's end, a failed read and Close each end the wait with their error.
func TestSinceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := newIdle(), newLog(5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Since(ctx, time.Minute, l.after(5)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context ended: %v", err)
		}
		down := errors.New("down")
		if _, err := n.Since(t.Context(), time.Minute, func() (store.Batch, error) { return store.Batch{}, down }); err != down {
			t.Errorf("the read failed: %v", err)
		}
		go func() { time.Sleep(time.Second); n.Close() }()
		if _, err := n.Since(t.Context(), time.Minute, l.after(5)); err != errClosed {
			t.Errorf("closed: %v", err)
		}
		if _, err := n.Since(t.Context(), time.Minute, l.after(5)); err != errClosed {
			t.Errorf("closed before: %v", err)
		}
		n.Wait()
	})
}

// One watch runs while anybody waits, and none otherwise; one that gave up is
// followed by another.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *Notifier
		var started atomic.Int64
		var giveUp atomic.Bool
		n = NewNotifier(errClosed, func(head store.Position) {
			if started.Add(1); head != 5 {
				t.Errorf("the watch begins at %d", head)
			}
			for !n.Idle() {
				if giveUp.Load() {
					n.Abandon()
					return
				}
				n.Pause(time.Second)
			}
		})
		l := newLog(5)
		for range 3 {
			go n.Since(t.Context(), time.Minute, l.after(5))
		}
		synctest.Wait()
		if started.Load() != 1 || !n.Watching() {
			t.Errorf("%d watches for three callers", started.Load())
		}
		time.Sleep(2 * time.Minute)
		if n.Watching() {
			t.Error("it watches for nobody")
		}
		giveUp.Store(true)
		go n.Since(t.Context(), time.Minute, l.after(5))
		synctest.Wait()
		giveUp.Store(false)
		go n.Since(t.Context(), time.Minute, l.after(5))
		synctest.Wait()
		if started.Load() != 3 || !n.Watching() {
			t.Errorf("%d watches began, the second gave up", started.Load())
		}
		n.Close()
		n.Wait()
	})
}

// After a step with more to do the next one follows once others have had as long;
// otherwise it waits for the interval, give or take a half.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var at []time.Duration
		Sweep(ctx, time.Second, func(context.Context) (bool, error) {
			at = append(at, time.Since(began))
			time.Sleep(20 * time.Millisecond)
			switch len(at) {
			case 2, 3:
				return true, nil
			case 4:
				return true, errors.New("down") // tried again at the usual pace
			case 6:
				cancel()
			}
			return false, nil
		})
		if len(at) != 6 {
			t.Fatalf("%d steps", len(at))
		}
		for i, want := range [][2]time.Duration{
			{0, time.Second}, {520 * time.Millisecond, 1520 * time.Millisecond},
			{40 * time.Millisecond, 40 * time.Millisecond}, {40 * time.Millisecond, 40 * time.Millisecond},
			{520 * time.Millisecond, 1520 * time.Millisecond}, {520 * time.Millisecond, 1520 * time.Millisecond},
		} {
			gap := at[i]
			if i > 0 {
				gap -= at[i-1]
			}
			if gap < want[0] || gap > want[1] {
				t.Errorf("step %d came after %v: want %v to %v", i, gap, want[0], want[1])
			}
		}
	})
}
