package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/internal/engine"
)

const (
	// lookEvery is how often the watch checks that the log is still the one that
	// it reads: a stream that is gone wakes nobody.
	lookEvery = time.Second
	// listenAgain is the pause after a failure.
	listenAgain = 100 * time.Millisecond
)

// notifier wakes the callers of Since: at once for this process's own entries, and
// as soon as the server sends another's. One connection blocks in XREAD while
// somebody waits.
type notifier struct {
	*engine.Notifier
	store *Store
	ctx   context.Context // ends when the store closes

	mu   sync.Mutex
	last string // the log and the head of the last notification
}

func newNotifier(ctx context.Context, s *Store) *notifier {
	n := &notifier{store: s, ctx: ctx}
	n.Notifier = engine.NewNotifier(fmt.Errorf("redis: since: %w", errClosed), n.watch)
	return n
}

// notifyHead wakes everybody, once for each head of a log.
func (n *notifier) notifyHead(log store.ID, head store.Position) {
	n.notifyOnce(fmt.Sprintf("%s%d", log[:], head))
}

// notifyOnce wakes everybody unless the last notification had the same key.
func (n *notifier) notifyOnce(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if key != "" && key == n.last {
		return
	}
	n.last = key
	n.Notify()
}

// watch follows the stream until nobody waits any more. After a failure it wakes
// everybody: their own reads return the error.
func (n *notifier) watch(store.Position) {
	for !n.Idle() {
		if err := n.look(); err != nil {
			n.notifyOnce("")
			n.Pause(listenAgain)
		}
	}
}

// look notifies of the log's head and blocks until the next entry.
func (n *notifier) look() error {
	ctx := n.ctx // and the connection has its timeouts
	var head any
	found := false
	reply, err := n.store.direct(ctx, "HMGET", n.store.servers.key, "id", "head")
	if err != nil {
		return err
	}
	if row, _ := reply.([]any); len(row) == 2 && row[0] != nil {
		// The first time too: those who wait may have missed an entry from before
		// this connection began to look.
		head, found = row[1], true
		n.notifyOnce(fmt.Sprint(row[0], row[1]))
	} else {
		n.notifyOnce("") // the reads of those who wait make a new log
	}
	if !found {
		n.Pause(listenAgain)
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
