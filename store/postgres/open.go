package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/internal/engine"
)

// Options configures [Open]. The zero value is ready.
type Options struct {
	// Schema is where the tables are: at most 63 bytes, quoted as it is given,
	// so "Wafer" is not "wafer". Default "wafer".
	Schema string
	// MustExist makes Open fail where there is no log of this release's schema,
	// instead of making or migrating it: for a role that may not, and for tools
	// that must never begin a log. [Migrate] and [SQL] do it then.
	MustExist bool
	// Poll is how often the server is asked for news of other nodes, while
	// somebody waits for them; so long, at most, a revocation takes to them.
	// Default 25 ms.
	Poll time.Duration
	// Notify has the server tell the other nodes of each group of revocations,
	// on a connection that each node keeps for that alone. News then take a
	// millisecond or two. NOTIFY takes a lock of the whole server while it
	// commits, so leave it out where others on that server use it much; the
	// README has figures. It does not work through a pooler in transaction
	// mode: polling goes on there as if it were not set.
	Notify bool
	// Timeout bounds one transaction, waiting for locks included. Default 5 s.
	Timeout time.Duration
}

// Store is the engine. It is safe for concurrent use, and by other processes on
// the same schema.
type Store struct {
	pool      *pgxpool.Pool
	owned     bool // Close closes the pool
	options   Options
	sql       statements
	notifier  *engine.Notifier
	listening atomic.Bool // the listener is known to work
	lanes     lanes
	stop      context.CancelFunc
	done      sync.WaitGroup
	once      sync.Once // of Close
}

var _ store.Store = (*Store)(nil)

const (
	defaultSchema  = "wafer"
	defaultPoll    = 25 * time.Millisecond
	defaultTimeout = 5 * time.Second
)

var errClosed = errors.New("postgres: the store is closed")

func (o *Options) fill() {
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	if o.Poll <= 0 {
		o.Poll = defaultPoll
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
}

// Open opens the store in a schema of the pool's database, and makes the schema
// and its log if there are none; the pool stays the caller's, and is closed
// after the store. A server that would lose revocations in silence (a standby,
// one with fsync off), a database that is not in UTF-8, and a schema of another
// program or of a later release are errors.
//
// One connection is enough. Every query mode of pgx will do; behind a pooler in
// transaction mode it must be one without prepared statements, such as
// default_query_exec_mode=exec in the URL.
func Open(ctx context.Context, pool *pgxpool.Pool, o Options) (*Store, error) {
	if pool == nil {
		return nil, errors.New("postgres: open: no pool was given")
	}
	s, err := open(ctx, pool, o)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	return s, nil
}

// OpenURL is Open with a pool of its own, which Close closes. The URL, or a
// string of keywords and values, is what [pgxpool.ParseConfig] takes; of several
// hosts in it the primary is taken, also after a failover.
func OpenURL(ctx context.Context, url string, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err) // pgx keeps the password out
	}
	if config.ConnConfig.ValidateConnect == nil {
		// Of several hosts the one that is no standby, now and after a failover.
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	s, err := Open(ctx, pool, o)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

func open(ctx context.Context, pool *pgxpool.Pool, o Options) (*Store, error) {
	o.fill()
	if err := prepare(ctx, pool, o); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	s := &Store{pool: pool, options: o, sql: statementsOf(o.Schema), stop: stop}
	s.notifier = engine.NewNotifier(errClosed, s.watchHead)
	s.lanes = newLanes(s)
	s.done.Go(func() { s.lanes.run(run) })
	s.done.Go(func() { engine.Sweep(run, engine.SweepEvery, s.tidy) })
	if o.Notify {
		s.done.Go(func() { s.listenAlways(run) })
	}
	return s, nil
}

// Close ends the engine's goroutines, and the pool if OpenURL made it. What
// waits to be written gets an error. Closing again does nothing.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.stop()
		s.notifier.Close()
		s.notifier.Wait()
		s.done.Wait()
		if s.owned {
			s.pool.Close()
		}
	})
	return nil
}
