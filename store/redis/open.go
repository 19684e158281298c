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

// Options configures [Open]. The zero value is ready to use.
type Options struct {
	// Name is the prefix of all keys of the store, in braces. Stores with different
	// names can share a server. A name has at most 64 bytes, and no braces or NUL
	// bytes. The default is "wafer".
	Name string
	// MustExist makes Open fail with [ErrNoStore] if the server holds no store of
	// this name, instead of creating one. If the store is lost later, calls fail
	// with ErrNoStore instead of creating a new one.
	MustExist bool
	// Replicas is the number of replicas that must confirm a write before its call
	// returns. If the server keeps an append-only file and has WAITAOF (since 7.2),
	// the write must also be synchronised to the file, on the server and on the
	// replicas. If fewer confirm within ReplicaTimeout, the call fails with
	// [ErrReplicas]. The default, 0, waits for no replica.
	Replicas int
	// ReplicaTimeout bounds the wait for Replicas: 1 ms to 1 minute, by default
	// 1 s.
	ReplicaTimeout time.Duration
	// Logger receives warnings about server settings that can lose data when the
	// store is opened, an error if the settings later become ones that Open
	// refuses, and a warning if housekeeping fails. The default is [slog.Default].
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

// Errors that callers may want to distinguish. They are returned wrapped: use
// [errors.Is].
var (
	// ErrReplicas is returned if a write was done, but fewer replicas than
	// Options.Replicas confirmed it within Options.ReplicaTimeout.
	ErrReplicas = errors.New("fewer replicas than asked for have confirmed the write in time")
	// ErrNoStore is returned if Options.MustExist is set and the server holds no
	// store of that name.
	ErrNoStore = errors.New("there is no store of that name")
	errClosed  = errors.New("the store is closed")
)

// Store implements [store.Store]. It is safe for concurrent use, and any number of
// processes may use the same store.
type Store struct {
	name      string
	options   Options
	servers   *servers
	writes    *groupSender
	reads     *groupSender // separate if writes wait for replicas, otherwise the same as writes
	news      *groupSender // of Cutoffs, Announce and Since, which nothing else may keep waiting
	lists     *groupSender // of Families, one call at a time: a pipeline of lists would hold the server up
	notifier  *notifier
	stop      context.CancelFunc
	done      sync.WaitGroup
	owned     goredis.UniversalClient // the client that OpenURL made, or nil
	seen      seen
	announced announced

	once     sync.Once // of Close
	closeErr error
}

var _ store.Store = (*Store)(nil)

// Open opens the store on the server of a [goredis.Client] (including one made by
// NewFailoverClient) or a [goredis.ClusterClient], and creates the store if there
// is none. The client remains the caller's: Close does not close it. The engine uses
// its options and, with a Cluster, its topology, but not its connections, hooks or
// retries. A Ring is refused, because it would divide the store among several
// servers.
//
// Open fails if the server may evict keys, is a replica, or is older than Redis
// 6.2, or if the store has the schema of another release. It logs every other
// setting that can lose data: see [Durability.Warnings]. The caller closes the store
// with [Store.Close].
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

// prepare checks the server's settings, opens or creates the log, and starts the
// store's goroutines.
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
	sender := func(most int) *groupSender {
		g := newGroupSender(s.servers, s.options, d.waitsForFile(), most)
		g.start(run, &s.done)
		return g
	}
	s.writes, s.news, s.lists = sender(maxGroup), sender(maxGroup), sender(1)
	s.reads = s.writes
	if s.options.Replicas > 0 {
		s.reads = sender(maxGroup) // so that reads do not queue behind writes that wait
	}
	s.notifier = newNotifier(run, s)
	if err := s.openLog(ctx); err != nil {
		stop()
		s.done.Wait()
		return err
	}
	for _, w := range d.Warnings() {
		s.options.Logger.WarnContext(ctx, "wafer: redis: "+w, slog.String("store", s.name))
	}
	watch, every, place := newSettingsWatch(s), sweepEvery, ""
	s.done.Go(func() {
		engine.Sweep(run, every, func(ctx context.Context) (bool, error) {
			var more bool
			var err error
			place, more, err = s.sweep(ctx, place)
			watch.swept(ctx, err)
			return more, err
		})
	})
	return nil
}

// OpenURL is like [Open], with a client of its own, which [Store.Close] closes. The
// URL is one that go-redis parses (redis://, rediss://, unix://). If its server
// belongs to a Cluster, the other nodes are found through that server.
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

// Close stops the store's goroutines and closes its connections. Calls in progress
// return an error, but the server may still carry out what they have sent. Further
// calls of Close do nothing and return the same error.
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
