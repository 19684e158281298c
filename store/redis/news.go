package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
)

const (
	// lookEvery is how often the listener looks whether the log is still the
	// one that it listens to: a stream that is gone wakes nobody.
	lookEvery = time.Second
	// listenAgain is how long a listener that failed keeps the next one waiting.
	listenAgain = 100 * time.Millisecond
)

// news wakes those who wait for entries: at once for this process's own, and as
// soon as the server tells for another's. One connection listens, while
// somebody waits.
type news struct {
	store *Store
	ctx   context.Context // ends when the store closes

	closed    chan struct{}
	done      sync.WaitGroup // of listener
	mu        sync.Mutex
	next      chan struct{} // closed when there are news
	waiting   int
	listening bool
	told      string // the log and the head of the last news
}

func newNews(ctx context.Context, s *Store) *news {
	return &news{store: s, ctx: ctx, next: make(chan struct{}), closed: make(chan struct{})}
}

// close ends all waiting. The listener ends with its connection: see done.
func (n *news) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.closed)
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

// tell wakes everybody, once for each head of a log.
func (n *news) tell(log store.ID, head store.Position) {
	n.tellAbout(fmt.Sprintf("%s%d", log[:], head))
}

func (n *news) tellAbout(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if what != "" && what == n.told {
		return
	}
	n.told = what
	close(n.next)
	n.next = make(chan struct{})
}

// wait returns at news, or after d. The error is the context's, or errClosed.
func (n *news) wait(ctx context.Context, listening <-chan struct{}, d time.Duration) error {
	n.mu.Lock()
	select {
	case <-n.closed:
		n.mu.Unlock()
		return fmt.Errorf("redis: since: %w", errClosed)
	default:
	}
	if !n.listening {
		n.listening = true
		n.done.Go(n.listener)
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
		return fmt.Errorf("redis: since: %w", errClosed)
	}
	return nil
}

// listener listens until nobody waits any more, or until it cannot. Then those
// who wait ask for themselves, and learn what is wrong.
func (n *news) listener() {
	var err error
	for {
		n.mu.Lock()
		select {
		case <-n.closed:
			err = errClosed
		default:
		}
		if n.waiting == 0 || err != nil {
			if err == nil || errors.Is(err, errClosed) {
				n.listening = false
				n.mu.Unlock()
				return
			}
			n.mu.Unlock()
			n.tellAbout("")
			select {
			case <-time.After(listenAgain):
			case <-n.closed:
			}
			err = nil
			continue
		}
		n.mu.Unlock()
		err = n.look()
	}
}

// look tells where the log has come to, and listens for what comes next.
func (n *news) look() error {
	ctx := n.ctx // and the connection has its timeouts
	var head any
	found := false
	reply, err := n.store.direct(ctx, "HMGET", n.store.servers.key, "id", "head")
	if err != nil {
		return err
	}
	if row, _ := reply.([]any); len(row) == 2 && row[0] != nil {
		// Also the first time: what was written before this connection began to
		// look may not have been seen by those who wait.
		head, found = row[1], true
		n.tellAbout(fmt.Sprint(row[0], row[1]))
	} else {
		n.tellAbout("") // those who wait make a new one
	}
	if !found {
		time.Sleep(listenAgain)
		return nil
	}
	return n.store.tryServers(ctx, func(ctx context.Context, node *goredis.Client) error {
		block := min(lookEvery, node.Options().ReadTimeout/2)
		err := node.Do(ctx, "XREAD", "COUNT", 1, "BLOCK", block.Milliseconds(), "STREAMS", n.store.key("entries"), fmt.Sprint(head)+"-0").Err()
		if errors.Is(err, goredis.Nil) {
			err = nil
		}
		return err
	})
}
