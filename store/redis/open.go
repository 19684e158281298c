package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/internal/engine"
)

// Options configures [Open]. The zero value is ready.
type Options struct {
	// Name is what the keys of the store begin with, in braces: stores of
	// different names share a server. At most 64 bytes, without braces.
	// Default "wafer".
	Name string
	// MustExist makes Open fail where the server holds no such store, and every
	// later call where it holds it no more, instead of making a new one.
	MustExist bool
	// Replicas is how many replicas must have a write before its call returns.
	// Where the server keeps an append-only file and knows WAITAOF (since 7.2),
	// the write must also be synchronised to the file, here and there. Fewer
	// within ReplicaTimeout make the call fail with [ErrReplicas]. Default 0:
	// none is waited for.
	Replicas int
	// ReplicaTimeout is how long Replicas are waited for. Default 1 s, at most
	// a minute.
	ReplicaTimeout time.Duration
	// Logger is told what the server's settings can lose: by Open, and later
	// where they have become worse. It is told when housekeeping fails. Default
	// [slog.Default].
	Logger *slog.Logger
}

const (
	defaultName           = "wafer"
	maxName               = 64
	defaultReplicaTimeout = time.Second
	maxReplicaTimeout     = time.Minute
)

func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = defaultName
	}
	if len(o.Name) > maxName || strings.ContainsAny(o.Name, "{}\x00") {
		return o, fmt.Errorf("Options.Name is %q: want at most %d bytes, without braces, since it is the hash tag of every key", o.Name, maxName)
	}
	if o.ReplicaTimeout == 0 {
		o.ReplicaTimeout = defaultReplicaTimeout
	}
	if o.Replicas < 0 || o.ReplicaTimeout < time.Millisecond || o.ReplicaTimeout > maxReplicaTimeout {
		return o, fmt.Errorf("Options.Replicas is %d and ReplicaTimeout %v: want at least 0, and 1ms to %v", o.Replicas, o.ReplicaTimeout, maxReplicaTimeout)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

// Errors that callers may want to tell apart. Each is wrapped.
var (
	// ErrReplicas: the write was done, and fewer replicas than Options.Replicas
	// have confirmed it.
	ErrReplicas = errors.New("fewer replicas than asked for have confirmed the write in time")
	// ErrNoStore: the server holds no store of that name, and Options.MustExist
	// is set.
	ErrNoStore = errors.New("there is no store of that name")
	errClosed  = errors.New("the store is closed")
)

// Store is the engine. It is safe for concurrent use, by any number of
// processes on the same server.
type Store struct {
	name      string
	options   Options
	servers   *servers
	gather    *gatherer
	reads     *gatherer // where writes wait for replicas; else gather
	notifier  *notifier
	stop      context.CancelFunc
	done      sync.WaitGroup
	owned     goredis.UniversalClient // by OpenURL; else nil
	seen      seen
	announced announced

	once     sync.Once // of Close
	closeErr error
}

var _ store.Store = (*Store)(nil)

// Open opens the store on the server of a [goredis.Client] (also one made by
// NewFailoverClient) or [goredis.ClusterClient], and makes it if there is none.
// The client stays the caller's, and open: its options are used, not its
// connections, and neither its hooks nor its retries. A Ring is refused: it
// would divide what must be one.
//
// Open fails if the server may evict keys or is a replica; it logs what else it
// finds, see [Store.Durability].
func Open(ctx context.Context, client goredis.UniversalClient, o Options) (*Store, error) {
	s, err := open(ctx, client, o)
	if err != nil {
		return nil, fmt.Errorf("redis: open: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, client goredis.UniversalClient, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	nodes, err := newServers(client, "{"+o.Name+"}:log", o.ReplicaTimeout)
	if err != nil {
		return nil, err
	}
	s := &Store{name: o.Name, options: o, servers: nodes}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, nodes.close())
	}
	return s, nil
}

// prepare looks at the server, finds or makes the log, and starts what runs
// beside.
func (s *Store) prepare(ctx context.Context) error {
	d, err := s.Durability(ctx)
	if err != nil {
		return err
	}
	if err := d.refusal(); err != nil {
		return err
	}
	run, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.gather = newGatherer(s.servers, s.options, d.waitsForFile())
	s.reads = s.gather
	if s.options.Replicas > 0 {
		s.reads = newGatherer(s.servers, s.options, false) // reads do not stand behind writes that wait
		s.reads.start(run, &s.done)
	}
	s.notifier = newNotifier(run, s)
	s.gather.start(run, &s.done)
	if err := s.find(ctx); err != nil {
		stop()
		s.done.Wait()
		return err
	}
	for _, w := range d.Warnings() {
		s.options.Logger.WarnContext(ctx, "wafer: redis: "+w, slog.String("store", s.name))
	}
	watch, every := newWatch(s), tidyEvery
	s.done.Go(func() {
		engine.Sweep(run, every, func(ctx context.Context) (bool, error) {
			more, err := s.tidy(ctx)
			watch.tidied(ctx, err)
			return more, err
		})
	})
	return nil
}

// OpenURL opens the store on the server of a URL, as go-redis parses it
// (redis://, rediss://, unix://), with a client of its own, which Close closes.
// If that server belongs to a Cluster, the others are found by it.
func OpenURL(ctx context.Context, url string, o Options) (*Store, error) {
	client, err := dial(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("redis: open: %w", err)
	}
	s, err := Open(ctx, client, o)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	s.owned = client
	return s, nil
}

// Close ends the engine's goroutines and connections. Calls under way get an
// error; what they have sent may still be done. Closing again does nothing.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.stop()
		s.notifier.Close()
		s.closeErr = s.servers.close()
		s.done.Wait()
		s.notifier.Wait()
		if s.owned != nil {
			s.closeErr = errors.Join(s.closeErr, s.owned.Close())
		}
		if s.closeErr != nil {
			s.closeErr = fmt.Errorf("redis: close: %w", s.closeErr)
		}
	})
	return s.closeErr
}
