package wafer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// maxPending bounds the logouts that wait for the store to come back.
const maxPending = 1024

// ender goes on trying the logouts that the store did not take. It has a
// goroutine only while there is something to try.
type ender struct {
	store   store.Store
	timeout time.Duration
	observe func(Event)

	mu      sync.Mutex
	pending []store.Revocation
	running bool
	once    sync.Once
	closing chan struct{}
	done    sync.WaitGroup
}

func newEnder(s store.Store, timeout time.Duration, observe func(Event)) *ender {
	return &ender{store: s, timeout: timeout, observe: observe, closing: make(chan struct{})}
}

// add takes over a logout that failed.
func (e *ender) add(r store.Revocation) {
	if !e.keep(r) {
		e.observe(Event{Kind: KindAlarm, Session: r.Sessions[0], Reason: "too many logouts wait for the store; this one is in force on this node only"})
	}
}

func (e *ender) keep(r store.Revocation) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.pending) >= maxPending {
		return false
	}
	e.pending = append(e.pending, r)
	if !e.running {
		e.running = true
		e.done.Add(1)
		go e.run()
	}
	return true
}

func (e *ender) run() {
	defer e.done.Done()
	for attempt := 0; ; attempt++ {
		select {
		case <-e.closing:
			e.try(e.timeout) // for all that waits
			return
		case <-time.After(min(100*time.Millisecond<<min(attempt, 10), 30*time.Second)):
		}
		if e.try(time.Hour) {
			return
		}
	}
}

// try reports whether nothing is left. It goes on for at most the given time,
// and for StoreTimeout with each.
func (e *ender) try(most time.Duration) bool {
	all, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	for {
		e.mu.Lock()
		if len(e.pending) == 0 {
			e.running = false
			e.mu.Unlock()
			return true
		}
		r := e.pending[0]
		e.mu.Unlock()
		ctx, cancel := context.WithTimeout(all, e.timeout)
		_, err := e.store.Revoke(ctx, r)
		cancel()
		switch {
		case errors.Is(err, store.ErrArgument):
			// It never will be taken, and must not stand in the way of others.
			e.observe(Event{Kind: KindAlarm, Session: r.Sessions[0], Reason: "the store refuses a logout", Err: err})
		case err != nil:
			return false
		}
		e.mu.Lock()
		e.pending = e.pending[1:]
		e.mu.Unlock()
	}
}

func (e *ender) close() {
	e.once.Do(func() { close(e.closing) })
	e.done.Wait()
}
