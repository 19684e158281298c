package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// maxGroup bounds how many writes share one commit.
const maxGroup = 256

// errClosed if the engine is closed before a write has begun.
var errClosed = errors.New("sqlite: the store is closed")

// committer owns the writing connection. It commits the writes that are waiting as
// one group, and never delays a write to let others join. If a write fails, the
// group is rolled back and each write is repeated by itself, so that the others
// succeed.
type committer struct {
	db     *sql.DB
	conn   *sql.Conn
	now    func() time.Time
	notify func()
	busy   time.Duration
	stmt   map[string]*sql.Stmt // the connection's statements, by their text

	queue  chan *write
	closed chan struct{}
	once   sync.Once
}

// write is the work of one call. do may be called again after a rollback.
type write struct {
	ctx  context.Context
	do   func(t *tx) error
	err  error
	done chan struct{}
}

func newCommitter(db *sql.DB, conn *sql.Conn, o Options, notify func()) *committer {
	return &committer{
		db: db, conn: conn, now: o.Now, notify: notify, busy: o.BusyTimeout, stmt: make(map[string]*sql.Stmt),
		queue: make(chan *write, maxGroup), closed: make(chan struct{}),
	}
}

// submit runs a write and returns when it is durable. If the caller gives up before
// the write has begun, nothing is written. If it gives up later, the write goes on
// without it.
func (c *committer) submit(ctx context.Context, do func(t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{ctx: ctx, do: do, done: make(chan struct{})}
	select {
	case c.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return errClosed
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		// The write may have been in the last group.
		select {
		case <-w.done:
			return w.err
		default:
			return errClosed
		}
	}
}

func (c *committer) run(ctx context.Context) {
	defer c.once.Do(func() { close(c.closed) })
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-c.queue:
			c.commit(c.gather(w))
		}
	}
}

// gather returns a group of the writes that are waiting already.
func (c *committer) gather(first *write) []*write {
	group := []*write{first}
	for len(group) < maxGroup {
		select {
		case w := <-c.queue:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

func (c *committer) commit(group []*write) {
	live := group[:0]
	for _, w := range group {
		if w.err = w.ctx.Err(); w.err != nil {
			close(w.done) // its caller gave up before it began
			continue
		}
		live = append(live, w)
	}
	if len(live) == 0 {
		return
	}
	own, err := c.transact(live)
	if own && len(live) > 1 {
		for _, w := range live {
			_, w.err = c.transact([]*write{w})
			close(w.done)
		}
		return
	}
	for _, w := range live {
		w.err = err
		close(w.done)
	}
}

// transact runs a group in one transaction, whole or not at all. own reports whether
// the error is that of a single write. Any other error, such as a locked file or a
// full disk, would fail each write again.
func (c *committer) transact(group []*write) (own bool, err error) {
	ctx := context.Background() // a caller that gives up must not stop the group
	if err := c.begin(ctx); err != nil {
		return false, fmt.Errorf("sqlite: begin: %w", err)
	}
	defer func() {
		if err != nil {
			// Some errors, such as a full disk, have rolled back already.
			_, _ = c.exec(ctx, "ROLLBACK")
		}
	}()
	t := &tx{c: c, ctx: ctx}
	if err := t.begin(); err != nil {
		return false, fmt.Errorf("sqlite: %w", err)
	}
	for _, w := range group {
		if err := w.do(t); err != nil {
			return true, fmt.Errorf("sqlite: %w", err)
		}
	}
	if err := t.end(); err != nil {
		return false, fmt.Errorf("sqlite: %w", err)
	}
	if _, err := c.exec(ctx, "COMMIT"); err != nil {
		return false, fmt.Errorf("sqlite: commit: %w", err)
	}
	if t.appended {
		c.notify()
	}
	return false, nil
}

// lockEvery is how often begin tries to lock the file while another process holds
// the lock.
const lockEvery = time.Millisecond

// begin locks the file for writing. SQLite's own busy handler ends up trying ten
// times a second. Another process that commits without a pause leaves the lock free
// only for moments between its commits, and could starve this one until the timeout.
// Trying often finds such a moment.
func (c *committer) begin(ctx context.Context) error {
	until := time.Now().Add(c.busy)
	for {
		_, err := c.exec(ctx, "BEGIN IMMEDIATE")
		var code interface{ Code() int }
		if err == nil || !errors.As(err, &code) || code.Code()&0xff != sqliteBusy || time.Now().After(until) {
			return err
		}
		time.Sleep(lockEvery/2 + rand.N(lockEvery))
	}
}

// sqliteBusy is SQLITE_BUSY: https://www.sqlite.org/rescode.html#busy
const sqliteBusy = 5

// prepared returns the connection's prepared statement for a text.
func (c *committer) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, found := c.stmt[text]; found {
		return s, nil
	}
	s, err := c.conn.PrepareContext(ctx, text)
	if err == nil {
		c.stmt[text] = s
	}
	return s, err
}

func (c *committer) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := c.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (c *committer) close() error {
	var errs []error
	for _, s := range c.stmt {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.conn.Close(), c.db.Close())...)
}
