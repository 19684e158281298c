package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// news wakes those who wait for entries: at once for this process's own, and
// within Options.Poll for another's, or sooner with Options.Notify.
type news struct {
	s *Store

	closed  chan struct{}
	done    sync.WaitGroup // of poll
	mu      sync.Mutex
	next    chan struct{} // closed when there are news
	told    bool          // the listener hears of them: polling is for safety alone
	waiting int
	polling bool
}

func newNews(s *Store) *news {
	return &news{s: s, next: make(chan struct{}), closed: make(chan struct{})}
}

// close ends polling and all waiting.
func (n *news) close() {
	n.mu.Lock()
	close(n.closed)
	n.mu.Unlock()
	n.done.Wait()
}

// listen returns what is closed at the next news. Each is followed by leave.
func (n *news) listen() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting++
	return n.next
}

func (n *news) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting--
}

// tell wakes everybody.
func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

// wait returns at news, or after d. head is what the caller has read. The error
// is the context's, or errClosed.
func (n *news) wait(ctx context.Context, listening <-chan struct{}, head store.Position, d time.Duration) error {
	n.mu.Lock()
	select {
	case <-n.closed:
		n.mu.Unlock()
		return errClosed
	default:
	}
	if !n.polling {
		n.polling = true
		n.done.Go(func() { n.poll(head) })
	}
	n.mu.Unlock()
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case <-listening:
	case <-timeout.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return errClosed
	}
	return nil
}

// poll watches the head until nobody waits any more.
func (n *news) poll(head store.Position) {
	first := true
	for {
		n.mu.Lock()
		if n.waiting == 0 {
			n.polling = false
			n.mu.Unlock()
			return
		}
		every := n.s.options.Poll
		if n.told {
			every = max(every, slowPoll)
		}
		n.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), n.s.options.Timeout)
		var now int64
		err := n.s.pool.QueryRow(ctx, n.s.sql.head).Scan(&now)
		cancel()
		// Another head, and not only a higher one: a log may go back. The first
		// time also where it is the one that was read: others wait who may have
		// read less.
		if err == nil && (first || store.Position(now) != head) {
			first, head = false, store.Position(now)
			n.tell()
		}
		select {
		case <-time.After(every):
		case <-n.closed:
			return
		}
	}
}

// slowPoll is how often the server is asked nevertheless while it tells.
const slowPoll = time.Second
