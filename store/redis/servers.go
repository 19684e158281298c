package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// servers finds the server that holds the store, and keeps the engine's own
// clients. go-redis retries commands. A ClusterClient does so whatever its options
// are: after a lost connection it sends a command again, up to MaxRedirects times.
// Therefore the application's client supplies its options and the Cluster's
// topology, and never runs a command.
type servers struct {
	cluster *goredis.ClusterClient // nil without a Cluster
	key     string                 // a key of the store, which determines the slot
	wait    time.Duration          // added to the read timeout: a reply may wait for replicas

	mu      sync.Mutex
	base    *goredis.Options           // the application's, or nil until they are known
	current *goredis.Client            // nil if the server must be looked up
	found   time.Time                  // when current was looked up, in a Cluster
	search  *search                    // in progress, or nil
	clients map[string]*goredis.Client // by address
	closed  bool
}

// search is one query of a Cluster's topology. All calls that need it share it.
type search struct {
	done chan struct{}
	err  error // valid after done is closed
}

const (
	// maxTimeout bounds the wait for a server, or for a topology query, that does
	// not respond. The time for dialling is up to the application's dialer: its own,
	// or go-redis's with the application's DialTimeout, which with TLS no context
	// cuts short.
	maxTimeout = 5 * time.Second
	// maxLifetime bounds how long a connection is used, and how long a server is
	// used without another query of the topology. A master that its Sentinels cannot
	// reach, or that its name no longer points to, goes on answering as a master:
	// only a new connection reaches the other one. It is below the default
	// MaxStaleness.
	maxLifetime = 15 * time.Second
	// queriesPerLifetime is how often the topology is queried within a lifetime.
	// One query is not enough, because go-redis answers with the state as of the
	// query before.
	queriesPerLifetime = 3
	// maxClients bounds the number of clients if the nodes of a Cluster change
	// their addresses.
	maxClients = 8
	// maxMoves bounds how often a call follows a slot.
	maxMoves = 5
)

// lifetime is maxLifetime. Tests shorten it.
var lifetime = maxLifetime

func newServers(client goredis.UniversalClient, key string, wait time.Duration) (*servers, error) {
	s := &servers{key: key, wait: wait, clients: make(map[string]*goredis.Client)}
	switch c := client.(type) {
	case *goredis.Client:
		if c == nil {
			return nil, errors.New("the client is nil")
		}
		s.base = c.Options()
		s.current = s.engineClient(s.base.Addr)
	case *goredis.ClusterClient:
		if c == nil {
			return nil, errors.New("the client is nil")
		}
		s.cluster = c
	case *goredis.Ring:
		return nil, errors.New("the client is a Ring, which divides keys among servers that know nothing of each other; give it a Client or a ClusterClient")
	default:
		return nil, fmt.Errorf("the client is a %T; give it a *redis.Client or *redis.ClusterClient of go-redis v9, or use OpenURL", client)
	}
	return s, nil
}

// dial returns a client for a URL. It is a ClusterClient if the server belongs to a
// Cluster.
func dial(ctx context.Context, text string) (goredis.UniversalClient, error) {
	o, err := goredis.ParseURL(text)
	if err != nil {
		// The parser's error may quote a part of the URL, and thus of a password.
		return nil, errors.New("the URL cannot be parsed; want redis://user:password@host:6379/0, or rediss:// for TLS, with what is special in the password percent-encoded")
	}
	info, err := clusterInfo(ctx, *o)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || infoOf(info)["cluster_enabled"] != "1" {
		// Open reads the settings next, and returns the error then.
		return goredis.NewClient(o), nil
	}
	if o.DB != 0 {
		return nil, fmt.Errorf("the URL names database %d, and a Cluster has database 0 alone", o.DB)
	}
	return goredis.NewClusterClient(&goredis.ClusterOptions{
		Addrs: []string{o.Addr}, Username: o.Username, Password: o.Password, Protocol: o.Protocol, ClientName: o.ClientName,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, TLSConfig: o.TLSConfig,
		PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout, MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, MaxActiveConns: o.MaxActiveConns,
		PoolFIFO: o.PoolFIFO, ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime, ConnMaxLifetimeJitter: o.ConnMaxLifetimeJitter,
		MaxRetries: o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
	}), nil
}

// clusterInfo returns a server's INFO about a Cluster. If ctx ends, it closes the
// client to abort the command, because neither a dialer nor go-redis observes a
// context at every step.
func clusterInfo(ctx context.Context, o goredis.Options) (info string, err error) {
	o.DB = 0 // a Cluster has no other database, and would return only an error
	o.MaxRetries, o.DialerRetries, o.MinIdleConns = -1, 1, 0
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = bounded(o.DialTimeout), bounded(o.ReadTimeout), bounded(o.WriteTimeout)
	o.ContextTimeoutEnabled = true
	client := goredis.NewClient(&o)
	type result struct {
		info string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		info, err := client.Info(ctx, "cluster").Result()
		results <- result{info, err}
	}()
	select {
	case r := <-results:
		return r.info, errors.Join(r.err, client.Close())
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), client.Close())
	}
}

// engineClient returns the engine's own client of a server. The caller holds s.mu,
// except in newServers.
func (s *servers) engineClient(addr string) *goredis.Client {
	if c := s.clients[addr]; c != nil {
		return c
	}
	o := s.base
	options := *o
	options.Addr = addr
	options.MaxRetries = -1
	options.DialerRetries = 1
	options.DialTimeout = bounded(o.DialTimeout)
	options.ReadTimeout = bounded(o.ReadTimeout) + s.wait
	options.WriteTimeout = bounded(o.WriteTimeout)
	options.ContextTimeoutEnabled = true
	if options.ConnMaxLifetime <= 0 || options.ConnMaxLifetime > lifetime {
		options.ConnMaxLifetime = lifetime
	}
	options.ConnMaxLifetimeJitter = 0
	options.MinIdleConns, options.MaxActiveConns = 0, 0
	options.ClientSideCache, options.ClientSideCacheConfig = nil, nil
	// go-redis writes to the application's config while it connects, and a push
	// message must not move a connection to another server.
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	options.PushNotificationProcessor = nil       // it belongs to the application's client
	options.PipelinePoolSize = 5 * groupsInFlight // for four senders, and the batches of Since
	options.PipelineReadBufferSize, options.PipelineWriteBufferSize = 1<<16, 1<<16
	if s.cluster != nil && s.cluster.Options().ReadOnly {
		options.OnConnect = masterOnly(o.OnConnect)
	}
	c := goredis.NewClient(&options)
	s.clients[addr] = c
	return c
}

// masterOnly undoes the READONLY that go-redis sends on the connections of a
// ClusterClient that reads from replicas. Otherwise replicas would answer the
// engine, too.
func masterOnly(next func(context.Context, *goredis.Conn) error) func(context.Context, *goredis.Conn) error {
	return func(ctx context.Context, conn *goredis.Conn) error {
		if next != nil {
			if err := next(ctx, conn); err != nil {
				return err
			}
		}
		err := conn.ReadWrite(ctx).Err()
		if err != nil && isReply(err) && strings.Contains(err.Error(), "cluster support disabled") {
			err = nil // a server behind Sentinels, whose connections are ordinary ones
		}
		return err
	}
}

func bounded(d time.Duration) time.Duration {
	if d <= 0 || d > maxTimeout {
		return maxTimeout
	}
	return d
}

// get returns the client of the server that holds the store, as far as is known. In
// a Cluster it queries the topology first, unless the last query is recent.
func (s *servers) get(ctx context.Context) (*goredis.Client, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	current := s.current
	if current != nil && (s.cluster == nil || time.Since(s.found) < lifetime/queriesPerLifetime) {
		s.mu.Unlock()
		return current, nil
	}
	pending := s.search
	if pending == nil {
		pending = &search{done: make(chan struct{})}
		s.search = pending
		go s.find(pending)
	}
	s.mu.Unlock()
	timeout := time.NewTimer(maxTimeout)
	defer timeout.Stop()
	select {
	case <-pending.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timeout.C:
		return nil, fmt.Errorf("find the master of the store's slot: the Cluster has not answered within %v", maxTimeout)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errClosed
	case pending.err != nil:
		return nil, fmt.Errorf("find the master of the store's slot: %w", pending.err)
	case s.current == nil:
		return nil, errors.New("find the master of the store's slot: it has failed again")
	}
	return s.current, nil
}

// find queries the application's client. That may query the nodes, for as long as
// its own timeouts allow.
func (s *servers) find(pending *search) {
	ctx, cancel := context.WithTimeout(context.Background(), maxTimeout)
	defer cancel()
	node, err := s.cluster.MasterForKey(ctx, s.key)
	s.cluster.ReloadState(ctx) // in the background, for the next query
	s.mu.Lock()
	defer s.mu.Unlock()
	pending.err, s.search = err, nil
	if err == nil && !s.closed {
		s.base, s.found = node.Options(), time.Now()
		s.use(s.base.Addr)
	}
	close(pending.done)
}

// known returns the current client, or nil if the server must be looked up.
func (s *servers) known() *goredis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// use makes a server the current one. The caller holds s.mu.
func (s *servers) use(addr string) {
	if len(s.clients) >= maxClients && s.clients[addr] == nil {
		for old, c := range s.clients {
			if c != s.current {
				delete(s.clients, old)
				_ = c.Close() // calls that still use it would fail anyway
				break
			}
		}
	}
	s.current = s.engineClient(addr)
}

// follow switches to the server that the slot has moved to. The server that
// replied MOVED has executed nothing.
func (s *servers) follow(from *goredis.Client, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.cluster == nil || s.current != from {
		return // another call has followed already
	}
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		// An empty host means the same one: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#moved-redirection
		if host, _, err = net.SplitHostPort(from.Options().Addr); err == nil {
			addr = net.JoinHostPort(host, port)
		}
	}
	s.cluster.ReloadState(context.Background())
	s.use(addr)
}

// failed makes the next call look up the server again, if the error shows that c
// may be the wrong one.
func (s *servers) failed(c *goredis.Client, err error) {
	wrong := notServing(err)
	if !wrong && (isReply(err) || errors.Is(err, ErrReplicas)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.current != c:
	case s.cluster != nil:
		s.current = nil
		s.cluster.ReloadState(context.Background())
	case wrong:
		// New connections go to the server that the name, or a Sentinel, points to now.
		delete(s.clients, s.base.Addr)
		s.current = s.engineClient(s.base.Addr)
		_ = c.Close() // calls that still use it would fail anyway
	}
}

// notServing reports whether an error shows that the server does not serve the
// store: it is a replica, or its Cluster is down. Before 7.0 the code stands in the
// middle of a script's error.
func notServing(err error) bool {
	if errors.Is(err, errReplica) {
		return true
	}
	if !isReply(err) {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "READONLY") || strings.Contains(text, "CLUSTERDOWN") || strings.Contains(text, "MASTERDOWN")
}

func (s *servers) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, c := range s.clients {
		errs = append(errs, c.Close())
	}
	s.clients = nil
	return errors.Join(errs...)
}
