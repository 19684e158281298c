package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// pollEvery is how often the file is asked whether another process has written
// to it, while somebody waits for news. One reading of the file's data version
// costs some microseconds and reads no page.
const pollEvery = 100 * time.Millisecond

// news wakes those who wait for entries: at once for this process's own, and
// within pollEvery for another's.
type news struct {
	db *sql.DB

	closed  chan struct{}
	done    sync.WaitGroup // of poll
	mu      sync.Mutex
	next    chan struct{} // closed when there are news
	waiting int
	polling bool
}

func newNews(db *sql.DB) *news {
	return &news{db: db, next: make(chan struct{}), closed: make(chan struct{})}
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

// wait returns at news, or after d. The error is the context's, or errClosed.
func (n *news) wait(ctx context.Context, listening <-chan struct{}, d time.Duration) error {
	n.mu.Lock()
	select {
	case <-n.closed:
		n.mu.Unlock()
		return errClosed
	default:
	}
	if !n.polling {
		n.polling = true
		n.done.Go(n.poll)
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

// poll watches the file until nobody waits any more. The data version is a
// connection's own, so it keeps one.
func (n *news) poll() {
	ctx := context.Background()
	var last int64 = -1
	conn, err := n.db.Conn(ctx)
	if err == nil {
		defer conn.Close()
	}
	for {
		n.mu.Lock()
		if n.waiting == 0 || err != nil {
			// Those who still wait ask again when their time is up.
			n.polling = false
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		var version int64
		if err = conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err == nil && version != last {
			// Also the first time: what was written before this connection
			// began to look may not have been seen by those who wait.
			last = version
			n.tell()
		}
		select {
		case <-time.After(pollEvery):
		case <-n.closed:
			return
		}
	}
}

// wrap names the engine in an error.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlite: %w", err)
}
