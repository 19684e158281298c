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

// Options configures [Open]. The zero value is ready to use.
type Options struct {
	// Schema names the schema of the tables. The name has at most 63 bytes, and
	// case matters: "Wafer" is not "wafer". The default is "wafer".
	Schema string
	// MustExist makes Open return an error if there is no log in this release's
	// schema, instead of creating or migrating it. It is for a role that may not
	// do that, and for tools that must never begin a log. Use [Migrate] or [SQL]
	// to create or migrate the schema then.
	MustExist bool
	// Poll is how often the engine queries the server for entries of other
	// nodes while a caller of Since waits for them. It bounds how long a
	// revocation takes to reach this node. The default is 25 ms.
	Poll time.Duration
	// Notify makes the server notify the other nodes of each group of
	// revocations, on a connection that each node keeps for that alone. An entry
	// then arrives after a millisecond or two. NOTIFY locks the whole server
	// while it commits, so leave it off if other programs on that server use it
	// much; the README has figures. It has no effect through a pooler in
	// transaction mode, where polling goes on.
	Notify bool
	// Timeout bounds one transaction, including its wait for locks. The default
	// is 5 s.
	Timeout time.Duration
}

// Store is a [store.Store] in one schema of a PostgreSQL database. It is safe for
// concurrent use, also while other processes use the same schema. [Open] or
// [OpenURL] makes one, and the caller closes it.
type Store struct {
	pool      *pgxpool.Pool
	owned     bool          // Close closes the pool
	reserved  *pgxpool.Pool // connections of Since, Cutoffs, Announce and LoadKeys alone
	options   Options
	sql       statements
	notifier  *engine.Notifier
	listening atomic.Bool // the listener is known to work
	lanes     lanes
	lists     *turns        // of Families, by subject
	asks      chan struct{} // of Cutoffs
	stop      context.CancelFunc
	done      sync.WaitGroup
	once      sync.Once // guards Close
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

// Open opens the store in a schema of the pool's database. Unless MustExist is set,
// it creates the schema and its log if there are none, and migrates an older schema.
// The caller owns the pool, and closes it after the store. ctx bounds Open alone.
//
// Open returns an error if the server would silently lose revocations (a standby,
// or fsync off), if the database is not in UTF-8, or if the schema belongs to
// another program or a later release, or is of the first edition of the store
// contract.
//
// One connection in the pool is enough. Besides, the store opens up to six more with
// the pool's settings, for Since, Cutoffs, Announce and LoadKeys alone. Every query mode of pgx works. Behind a
// pooler in transaction mode the mode must be one without prepared statements,
// such as default_query_exec_mode=exec in the URL.
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

// OpenURL is Open with a pool of its own, which Close closes. The url is a URL or
// a string of keywords and values for [pgxpool.ParseConfig]. If it has several
// hosts, the pool connects to the primary, also after a failover.
func OpenURL(ctx context.Context, url string, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's error quotes the string, and finds a password in it only if
		// that is where it should be.
		return nil, errors.New("postgres: open: the URL cannot be parsed; want postgres://user:password@host:5432/database, with what is special in the password percent-encoded, or keywords such as host=… user=… password='…' dbname=…")
	}
	if config.ConnConfig.ValidateConnect == nil {
		// Connect to the host that is not a standby, now and after a failover.
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
	reserved, err := reserve(pool)
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	s := &Store{pool: pool, reserved: reserved, options: o, sql: statementsOf(o.Schema), asks: make(chan struct{}, maxAsks), stop: stop}
	s.notifier = engine.NewNotifier(errClosed, s.watchHead)
	s.lanes = newLanes(s)
	// Lists use at most half of the pool, so that they leave room for what a login or
	// a refresh does.
	s.lists = newTurns(max(1, int(pool.Config().MaxConns)/2))
	s.done.Go(func() { s.lanes.run(run) })
	s.done.Go(func() { engine.Sweep(run, engine.SweepEvery, s.sweep) })
	if o.Notify {
		s.done.Go(func() { s.listen(run) })
	}
	return s, nil
}

// maxReserved bounds the connections that the engine opens besides the pool's, and
// maxAsks how many of them Cutoffs has. A node whose list is stale asks at each
// request, and must not be kept from reading the log by that.
const (
	maxReserved = 6
	maxAsks     = 4
)

// reserve returns a pool of few connections, made as those of the given pool are. It
// opens them when they are needed.
func reserve(pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	config := pool.Config()
	config.MaxConns, config.MinConns, config.MinIdleConns = maxReserved, 0, 0
	return pgxpool.NewWithConfig(context.Background(), config)
}

// Close stops the engine's goroutines, and closes the pool if OpenURL made it.
// Calls that are still waiting return an error. Close always returns nil, and a
// second Close does nothing.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.stop()
		s.notifier.Close()
		s.notifier.Wait()
		s.done.Wait()
		s.reserved.Close()
		if s.owned {
			s.pool.Close()
		}
	})
	return nil
}
