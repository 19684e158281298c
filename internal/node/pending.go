package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// maxPending bounds the logouts that wait for the store to come back.
const maxPending = 1024

// pending holds the logouts that the store has not taken. A goroutine tries them
// again; it runs only while there are any.
type pending struct {
	store    store.Store
	timeout  time.Duration
	observer Observer

	mu      sync.Mutex
	waiting []store.Revocation
	running bool
	closing context.Context // done when the node closes
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func newPending(s store.Store, timeout time.Duration, observer Observer) *pending {
	p := &pending{store: s, timeout: timeout, observer: observer}
	p.closing, p.cancel = context.WithCancel(context.Background())
	return p
}

// add queues a logout that failed.
func (p *pending) add(r store.Revocation) {
	if !p.queue(r) {
		p.observer.Alarm(r.Sessions[0], 0, "too many logouts wait for the store; this one is in force on this node only", nil)
	}
}

func (p *pending) queue(r store.Revocation) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) >= maxPending {
		return false
	}
	p.waiting = append(p.waiting, r)
	if !p.running {
		p.running = true
		p.done.Add(1)
		go p.run()
	}
	return true
}

func (p *pending) run() {
	defer p.done.Done()
	for attempt := 0; ; attempt++ {
		select {
		case <-p.closing.Done():
			last, cancel := context.WithTimeout(context.Background(), p.timeout) // for all of them together
			defer cancel()
			p.try(last)
			return
		case <-time.After(min(100*time.Millisecond<<min(attempt, 10), 30*time.Second)):
		}
		// An attempt that Close interrupts is made once more, by the last one.
		if p.try(p.closing) {
			return
		}
	}
}

// try reports whether none is left. It tries until all ends, and for at most the
// store's timeout with each.
func (p *pending) try(all context.Context) bool {
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.running = false
			p.mu.Unlock()
			return true
		}
		r := p.waiting[0]
		p.mu.Unlock()
		ctx, cancel := context.WithTimeout(all, p.timeout)
		_, err := p.store.Revoke(ctx, r)
		cancel()
		switch {
		case errors.Is(err, store.ErrArgument):
			// The store will never take it, and it must not block the others.
			p.observer.Alarm(r.Sessions[0], 0, "the store refuses a logout", err)
		case err != nil:
			return false
		}
		p.mu.Lock()
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
	}
}

func (p *pending) close() {
	p.cancel()
	p.done.Wait()
}
