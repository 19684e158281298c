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

// errClosed: the engine was closed before the write was begun.
var errClosed = errors.New("sqlite: the store is closed")

// committer owns the writing connection. It gathers the writes that wait and
// commits them together; a lone one waits for nobody. A write that fails fails
// alone: its group is rolled back, and each of the others is done again by
// itself.
type committer struct {
	db   *sql.DB
	conn *sql.Conn
	now  func() time.Time
	tell func()
	busy time.Duration
	stmt map[string]*sql.Stmt // the connection's, by their text

	queue  chan *write
	closed chan struct{}
	once   sync.Once
}

// write is one caller's work. do may be called again after a rollback.
type write struct {
	ctx  context.Context
	do   func(t *tx) error
	err  error
	done chan struct{}
}

func newCommitter(db *sql.DB, conn *sql.Conn, o Options, tell func()) *committer {
	return &committer{
		db: db, conn: conn, now: o.Now, tell: tell, busy: o.BusyTimeout, stmt: make(map[string]*sql.Stmt),
		queue: make(chan *write, maxGroup), closed: make(chan struct{}),
	}
}

// submit has a write done and returns when it is durable. A caller that gives
// up before its write has begun leaves nothing behind; after that the write
// goes on, and the caller does not learn of its end.
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
		// The last group may have had it.
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

// gather takes what waits already, and waits for nobody.
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
			close(w.done) // it gave up before anything was done
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

// transact does a group in one transaction, or nothing of it. An error is one
// write's own, or everyone's: a file that is locked, or a disk that is full,
// would be so for each again.
func (c *committer) transact(group []*write) (own bool, err error) {
	ctx := context.Background() // what has begun is not half done because a caller left
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
		c.tell()
	}
	return false, nil
}

// askEvery is how often the file's lock is asked for while another process
// holds it.
const askEvery = time.Millisecond

// begin takes the file's one write lock. SQLite's own busy handler looks ten
// times a second at last: a neighbour that commits without a pause leaves the
// lock free for moments between, and could starve us until the timeout. Asking
// often finds such a moment.
func (c *committer) begin(ctx context.Context) error {
	until := time.Now().Add(c.busy)
	for {
		_, err := c.exec(ctx, "BEGIN IMMEDIATE")
		var code interface{ Code() int }
		if err == nil || !errors.As(err, &code) || code.Code()&0xff != sqliteBusy || time.Now().After(until) {
			return err
		}
		time.Sleep(askEvery/2 + rand.N(askEvery))
	}
}

// sqliteBusy is SQLITE_BUSY: https://www.sqlite.org/rescode.html#busy
const sqliteBusy = 5

// prepared returns the connection's statement of a text.
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
