// Package engine holds what the engines share: waking the callers of Since, and
// running the housekeeping.
package engine

import (
	"context"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// Notifier wakes the callers of Since when the log may have new entries. The
// engine calls Notify for its own writes. For the writes of other processes it
// supplies a watch, which runs only while callers wait. A Notifier is safe for
// concurrent use.
type Notifier struct {
	errClosed error
	watch     func(head store.Position)

	closed   chan struct{}
	watchers sync.WaitGroup
	mu       sync.Mutex
	next     chan struct{} // closed at the next notification
	waiting  int
	watching bool
}

// NewNotifier returns a notifier. watch runs in a goroutine of its own while
// callers wait: it calls Notify when the log may have new entries, and returns as
// soon as Idle returns true. head is the log's head as the first caller has read
// it. Since returns errClosed after Close.
func NewNotifier(errClosed error, watch func(head store.Position)) *Notifier {
	return &Notifier{errClosed: errClosed, watch: watch, closed: make(chan struct{}), next: make(chan struct{})}
}

// Close wakes all callers, for good. It does not wait for the watch: see Wait.
func (n *Notifier) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.closed)
}

// Wait waits until the watch has returned. Call it after Close.
func (n *Notifier) Wait() { n.watchers.Wait() }

// Notify wakes all callers that wait.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

// Since reads the log until there are entries, for up to wait. read returns a
// batch of what the log has now. A batch whose cursor is broken is returned at
// once: no entry will mend it.
func (n *Notifier) Since(ctx context.Context, wait time.Duration, read func() (store.Batch, error)) (store.Batch, error) {
	until := time.Now().Add(wait)
	for {
		next := n.subscribe() // before the read, so that no entry falls in between
		b, err := read()
		left := time.Until(until)
		again := err == nil && len(b.Entries) == 0 && !b.Broken && left > 0
		if again {
			err = n.await(ctx, next, b.Head, left)
		}
		n.unsubscribe()
		if !again || err != nil {
			return b, err
		}
	}
}

// subscribe returns a channel that is closed at the next notification. Each call
// is followed by unsubscribe.
func (n *Notifier) subscribe() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting++
	return n.next
}

func (n *Notifier) unsubscribe() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting--
}

// await returns at the next notification or after d. The error is the context's,
// or errClosed.
func (n *Notifier) await(ctx context.Context, next <-chan struct{}, head store.Position, d time.Duration) error {
	n.mu.Lock()
	select {
	case <-n.closed:
		n.mu.Unlock()
		return n.errClosed
	default:
	}
	if !n.watching {
		n.watching = true
		n.watchers.Go(func() { n.watch(head) })
	}
	n.mu.Unlock()
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case <-next:
	case <-timeout.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return n.errClosed
	}
	return nil
}

// Idle reports whether the watch must return, because no caller waits any more or
// because of Close. The next caller starts another watch.
func (n *Notifier) Idle() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.closed:
	default:
		if n.waiting > 0 {
			return false
		}
	}
	n.watching = false
	return true
}

// Watching reports whether a watch runs.
func (n *Notifier) Watching() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.watching
}

// Abandon ends a watch that cannot go on. Callers read again when their time is
// up, and the next one starts another watch.
func (n *Notifier) Abandon() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watching = false
}

// Pause waits for d, or until Close.
func (n *Notifier) Pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.closed:
	}
}
