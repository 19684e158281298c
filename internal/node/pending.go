package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

// logout is the end of one session that the store has not taken.
type logout struct {
	session       store.ID
	reason, actor string
}

// pending holds the logouts that the store has not taken, one for each session,
// however often its logout is repeated. A goroutine tries them again; it runs only
// while there are any.
type pending struct {
	revoke   func(ctx context.Context, r store.Revocation) (store.Snapshot, error)
	refuse   func(session store.ID, at store.Position) // on this node, once the store has taken it
	timeout  time.Duration
	limit    int // of the logouts that wait
	observer Observer

	mu      sync.Mutex
	waiting []logout // the next to try comes first
	named   map[store.ID]struct{}
	count   atomic.Int64 // of named, for readers that take no lock
	running bool
	closing context.Context // done when the node closes
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func newPending(c Config, revoke func(ctx context.Context, r store.Revocation) (store.Snapshot, error), refuse func(store.ID, store.Position)) *pending {
	p := &pending{revoke: revoke, refuse: refuse, timeout: c.Timeout, limit: c.MaxPending, observer: c.Observer, named: make(map[store.ID]struct{})}
	p.closing, p.cancel = context.WithCancel(context.Background())
	return p
}

// waits reports whether the logout of a session waits.
func (p *pending) waits(session store.ID) bool {
	if p.count.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, waits := p.named[session]
	return waits
}

// add queues a logout that failed. It reports one that has no room.
func (p *pending) add(l logout) {
	if !p.queue(l) {
		p.observer.Alarm(l.session, 0, "too many logouts wait for the store; this one is in force on this node only", nil)
	}
}

func (p *pending) queue(l logout) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, waits := p.named[l.session]; waits {
		return true
	}
	if len(p.waiting) >= p.limit {
		return false
	}
	p.waiting = append(p.waiting, l)
	p.named[l.session] = struct{}{}
	p.count.Store(int64(len(p.named)))
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
			p.finish()
			return
		case <-time.After(min(100*time.Millisecond<<min(attempt, 10), 30*time.Second)):
		}
		before := p.left()
		// An attempt that Close interrupts is made once more, by finish.
		for p.left() > 0 && p.tryNext(p.closing) {
		}
		if p.stopIfNone() {
			return
		}
		if p.left() < before {
			attempt = -1 // the store takes some, so the next pause is short
		}
	}
}

// finish tries each logout that is left once more, for at most the timeout all
// together, and reports those that the store has not taken.
func (p *pending) finish() {
	all, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	for n := p.left(); n > 0 && all.Err() == nil; n-- {
		p.tryNext(all)
	}
	p.mu.Lock()
	lost := p.waiting
	p.waiting, p.running = nil, false // this node refuses the sessions to its end
	p.mu.Unlock()
	for _, l := range lost {
		p.observer.Alarm(l.session, 0, "the process ends, and the store has not taken this logout; other nodes accept the session", nil)
	}
}

// tryNext tries the first logout, until ctx ends and for at most the timeout. If
// that fails, the logout becomes the last one, so that it does not hold up the
// others, and tryNext reports false. One that the store will never take is given
// up.
func (p *pending) tryNext(ctx context.Context) bool {
	p.mu.Lock()
	l := p.waiting[0]
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	snap, err := p.revoke(ctx, store.Revocation{Sessions: []store.ID{l.session}, Reason: l.reason, Actor: l.actor})
	cancel()
	if err != nil && never(err) {
		p.observer.Alarm(l.session, 0, refusedLogout, err)
		err = nil
	} else if err == nil {
		p.refuse(l.session, snap.Entry) // before it no longer waits
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = p.waiting[1:]
	if err != nil {
		p.waiting = append(p.waiting, l)
		return false
	}
	delete(p.named, l.session)
	p.count.Store(int64(len(p.named)))
	return true
}

const refusedLogout = "the store refuses a logout; it is in force on this node only"

// never reports whether the store refuses a logout for good.
func never(err error) bool {
	return errors.Is(err, store.ErrArgument) || errors.Is(err, store.ErrAbove)
}

func (p *pending) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// stopIfNone reports whether none is left. The next logout then begins a new
// goroutine.
func (p *pending) stopIfNone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = len(p.waiting) > 0
	return !p.running
}

func (p *pending) close() {
	p.cancel()
	p.done.Wait()
}
