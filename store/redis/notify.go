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
	// checkEvery is how often the watch checks that the log is still the one that
	// it reads: the loss of a stream does not end an XREAD.
	checkEvery = time.Second
	// retryPause is the pause after a failure.
	retryPause = 100 * time.Millisecond
)

// notifier wakes the callers of Since: at once for this process's own entries, and
// as soon as the server sends an entry of another process. While a caller waits, one
// connection blocks in XREAD.
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

// notifyHead wakes all waiting callers, once for each head of a log.
func (n *notifier) notifyHead(log store.ID, head store.Position) {
	n.notifyOnce(fmt.Sprintf("%s%d", log[:], head))
}

// notifyOnce wakes all waiting callers, unless key is the one of the last
// notification. An empty key always wakes them.
func (n *notifier) notifyOnce(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if key != "" && key == n.last {
		return
	}
	n.last = key
	n.Notify()
}

// watch follows the stream until no caller waits any more. After a failure it wakes
// all of them, and their own reads return the error.
func (n *notifier) watch(store.Position) {
	for !n.Idle() {
		if err := n.awaitEntry(); err != nil {
			n.notifyOnce("")
			n.Pause(retryPause)
		}
	}
}

// awaitEntry notifies of the log's head, and then blocks until the next entry, for
// at most checkEvery.
func (n *notifier) awaitEntry() error {
	ctx := n.ctx // without a deadline: the connection has its timeouts
	var head any
	found := false
	reply, err := n.store.direct(ctx, "HMGET", n.store.servers.key, "id", "head")
	if err != nil {
		return err
	}
	if row, _ := reply.([]any); len(row) == 2 && row[0] != nil {
		// The first time, too: callers may have missed an entry from before the watch
		// began.
		head, found = row[1], true
		n.notifyOnce(fmt.Sprint(row[0], row[1]))
	} else {
		n.notifyOnce("") // the callers' reads create a new log
	}
	if !found {
		n.Pause(retryPause)
		return nil
	}
	return n.store.tryServers(ctx, func(ctx context.Context, node *goredis.Client) error {
		block := min(checkEvery, node.Options().ReadTimeout/2)
		err := node.Do(ctx, "XREAD", "COUNT", 1, "BLOCK", block.Milliseconds(), "STREAMS", n.store.key("entries"), fmt.Sprint(head)+"-0").Err()
		if errors.Is(err, goredis.Nil) {
			err = nil
		}
		return err
	})
}
