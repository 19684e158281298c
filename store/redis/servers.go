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
// clients. go-redis retries commands, a ClusterClient whatever its options say
// (after a lost connection it sends a command again, up to MaxRedirects times),
// so the application's client is asked for its options and for the Cluster's
// topology, and never to run a command.
type servers struct {
	cluster *goredis.ClusterClient // nil: one server
	key     string                 // of the slot
	wait    time.Duration          // an answer may take that much longer

	mu      sync.Mutex
	base    *goredis.Options           // the application's; nil: not known yet
	current *goredis.Client            // nil: to be found
	found   time.Time                  // when, of a Cluster
	search  *search                    // under way; else nil
	clients map[string]*goredis.Client // by address
	closed  bool
}

// search is one question to a Cluster's topology; all who need it share it.
type search struct {
	done chan struct{}
	err  error // once done
}

const (
	// maxTimeout bounds how long a server, or a topology, that says nothing is
	// waited for. How long dialling takes is up to the application's dialer: its
	// own, or go-redis's with the application's DialTimeout, which with TLS no
	// context cuts short.
	maxTimeout = 5 * time.Second
	// maxLifetime bounds how long a connection is used, and a server without
	// asking the topology again. A master that its Sentinels cannot reach, or
	// that its name no longer points to, goes on answering as one: nothing but
	// a new connection finds the other. Below the default MaxStaleness.
	maxLifetime = 15 * time.Second
	// asksPerLifetime is how often a topology is asked meanwhile: go-redis tells
	// what it knew when it was asked before.
	asksPerLifetime = 3
	// maxClients bounds the clients of a Cluster whose nodes change addresses.
	maxClients = 8
	// maxMoves bounds how often a call follows a slot.
	maxMoves = 5
)

// lifetime is maxLifetime but for tests.
var lifetime = maxLifetime

func newServers(client goredis.UniversalClient, key string, wait time.Duration) (*servers, error) {
	s := &servers{key: key, wait: wait, clients: make(map[string]*goredis.Client)}
	switch c := client.(type) {
	case *goredis.Client:
		if c == nil {
			return nil, errors.New("the client is nil")
		}
		s.base = c.Options()
		s.current = s.own(s.base.Addr)
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

// dial returns a client of a URL: a ClusterClient if the server says so.
func dial(ctx context.Context, text string) (goredis.UniversalClient, error) {
	o, err := goredis.ParseURL(text)
	if err != nil {
		// The parser's error may quote a part of the URL, and so of a password.
		return nil, errors.New("the URL cannot be parsed; want redis://user:password@host:6379/0, or rediss:// for TLS, with what is special in the password percent-encoded")
	}
	info, err := ask(ctx, *o)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || infoOf(info)["cluster_enabled"] != "1" {
		// An error here is one of the settings' reading, which comes next and
		// says so.
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

// ask asks a server whether it belongs to a Cluster. Closing the client cuts the
// question off: neither a dialler nor go-redis looks at a context all the time.
func ask(ctx context.Context, o goredis.Options) (info string, err error) {
	o.DB = 0 // a Cluster has no other, and would say no more than that
	o.MaxRetries, o.DialerRetries, o.MinIdleConns = -1, 1, 0
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = bounded(o.DialTimeout), bounded(o.ReadTimeout), bounded(o.WriteTimeout)
	o.ContextTimeoutEnabled = true
	client := goredis.NewClient(&o)
	type answer struct {
		info string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		info, err := client.Info(ctx, "cluster").Result()
		answered <- answer{info, err}
	}()
	select {
	case a := <-answered:
		return a.info, errors.Join(a.err, client.Close())
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), client.Close())
	}
}

// own returns the engine's own client of a server.
func (s *servers) own(addr string) *goredis.Client {
	if c := s.clients[addr]; c != nil {
		return c
	}
	o := s.base
	mine := *o
	mine.Addr = addr
	mine.MaxRetries = -1
	mine.DialerRetries = 1
	mine.DialTimeout = bounded(o.DialTimeout)
	mine.ReadTimeout = bounded(o.ReadTimeout) + s.wait
	mine.WriteTimeout = bounded(o.WriteTimeout)
	mine.ContextTimeoutEnabled = true
	if mine.ConnMaxLifetime <= 0 || mine.ConnMaxLifetime > lifetime {
		mine.ConnMaxLifetime = lifetime
	}
	mine.ConnMaxLifetimeJitter = 0
	mine.MinIdleConns, mine.MaxActiveConns = 0, 0
	mine.ClientSideCache, mine.ClientSideCacheConfig = nil, nil
	// go-redis writes to the application's while connections are made, and a
	// connection must not be handed to where a push message says.
	mine.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	mine.PushNotificationProcessor = nil  // it belongs to the application's client
	mine.PipelinePoolSize = 2 * gatherers // of writes and of reads
	mine.PipelineReadBufferSize, mine.PipelineWriteBufferSize = 1<<16, 1<<16
	if s.cluster != nil && s.cluster.Options().ReadOnly {
		mine.OnConnect = masterOnly(o.OnConnect)
	}
	c := goredis.NewClient(&mine)
	s.clients[addr] = c
	return c
}

// masterOnly takes back what go-redis asks for on the connections of a
// ClusterClient that reads from replicas: they would answer the engine, too.
func masterOnly(next func(context.Context, *goredis.Conn) error) func(context.Context, *goredis.Conn) error {
	return func(ctx context.Context, conn *goredis.Conn) error {
		if next != nil {
			if err := next(ctx, conn); err != nil {
				return err
			}
		}
		err := conn.ReadWrite(ctx).Err()
		if err != nil && isReply(err) && strings.Contains(err.Error(), "cluster support disabled") {
			err = nil // behind Sentinels; its connections are as others
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

// get returns the client of the server that holds the store, as far as is known.
func (s *servers) get(ctx context.Context) (*goredis.Client, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	current := s.current
	if current != nil && (s.cluster == nil || time.Since(s.found) < lifetime/asksPerLifetime) {
		s.mu.Unlock()
		return current, nil
	}
	asked := s.search
	if asked == nil {
		asked = &search{done: make(chan struct{})}
		s.search = asked
		go s.find(asked)
	}
	s.mu.Unlock()
	timeout := time.NewTimer(maxTimeout)
	defer timeout.Stop()
	select {
	case <-asked.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timeout.C:
		return nil, fmt.Errorf("find the master of the store's slot: the Cluster has not told within %v", maxTimeout)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errClosed
	case asked.err != nil:
		return nil, fmt.Errorf("find the master of the store's slot: %w", asked.err)
	case s.current == nil:
		return nil, errors.New("find the master of the store's slot: it has failed again")
	}
	return s.current, nil
}

// find asks the application's client, which may ask the nodes, for as long as
// its own timeouts let it.
func (s *servers) find(asked *search) {
	ctx, cancel := context.WithTimeout(context.Background(), maxTimeout)
	defer cancel()
	node, err := s.cluster.MasterForKey(ctx, s.key)
	s.cluster.ReloadState(ctx) // beside, for the next time
	s.mu.Lock()
	defer s.mu.Unlock()
	asked.err, s.search = err, nil
	if err == nil && !s.closed {
		s.base, s.found = node.Options(), time.Now()
		s.use(s.base.Addr)
	}
	close(asked.done)
}

// known is the client that calls go to; nil while it is looked for.
func (s *servers) known() *goredis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// use makes a server the current one.
func (s *servers) use(addr string) {
	if len(s.clients) >= maxClients && s.clients[addr] == nil {
		for old, c := range s.clients {
			if c != s.current {
				delete(s.clients, old)
				_ = c.Close() // what still uses it fails, and was going to
				break
			}
		}
	}
	s.current = s.own(addr)
}

// follow goes to where the slot has moved. Nothing was executed here.
func (s *servers) follow(from *goredis.Client, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.cluster == nil || s.current != from {
		return // somebody has followed already
	}
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		// The same host: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#moved-redirection
		if host, _, err = net.SplitHostPort(from.Options().Addr); err == nil {
			addr = net.JoinHostPort(host, port)
		}
	}
	s.cluster.ReloadState(context.Background())
	s.use(addr)
}

// failed makes the next call look for the server anew, if the error says that
// this one may be the wrong one.
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
		// New connections go to where the name, or a Sentinel, points now.
		delete(s.clients, s.base.Addr)
		s.current = s.own(s.base.Addr)
		_ = c.Close() // what still uses it fails, and was going to
	}
}

// notServing reports whether a server says of itself that another one has the
// store. Before 7.0 that is in the middle of a script's error.
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
