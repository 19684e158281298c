package wafer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/bearer"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/keywatch"
	"github.com/waferkit/wafer/internal/live"
	"github.com/waferkit/wafer/internal/node"
	"github.com/waferkit/wafer/internal/resume"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Sessions is what an application uses: the middleware, and the calls that
// begin, change and end sessions. T is the session's data; it travels in the
// cookie, so keep it small. Sessions is safe for concurrent use.
type Sessions[T any] struct {
	config Config[T]

	// What is sealed and opened.
	ring          *keyring.Ring
	cookies       *codec.Cookies
	refreshTokens *codec.RefreshTokens
	commits       *codec.Commits
	access        *codec.AccessTokens // nil, as both bearers, without Config.Tokens

	// What is decided and written.
	node                 *node.Node
	gate                 *gate.Gate
	resumer              *resume.Resumer
	bearer               *bearer.Judge // of tokens for this application's own API
	bearerForAnyAudience *bearer.Judge // of every token that it mints
	protection           *http.CrossOriginProtection

	// What runs beside the requests.
	live  *live.Set
	watch *keywatch.Watch
}

// New returns the sessions of an application over a ring and a store, which
// stay the caller's. ctx bounds the first reading of the revocations, without
// which no cookie can be judged (but with [Config.NoReplica]: nothing is read).
// From then on the ring is read from its source once a minute; a static ring is
// not.
// Whatever does not fit together in the configuration is an error here and not
// later.
func New[T any](ctx context.Context, ring *keyring.Ring, db store.Store, config Config[T]) (*Sessions[T], error) {
	if ring == nil || db == nil {
		return nil, errors.New("wafer: New needs a ring and a store")
	}
	config, err := config.withDefaults(ring)
	if err != nil {
		return nil, err
	}
	watch := keywatch.New(ring, config.Now, observer(config.Observe).keys)
	config.Observe = countUnknown(config.Observe, watch)
	s := &Sessions[T]{config: config, ring: ring, watch: watch}
	if s.cookies, err = codec.NewCookies(ring, config.Realm, config.SessionCookie); err != nil {
		return nil, fmt.Errorf("wafer: Config.Realm: %w", err)
	}
	if s.refreshTokens, err = codec.NewRefreshTokens(ring, config.Realm); err != nil {
		return nil, err
	}
	if s.commits, err = codec.NewCommits(ring, config.Realm); err != nil {
		return nil, err
	}
	if _, err = ring.Primary(config.Now()); err != nil {
		return nil, fmt.Errorf("wafer: nothing can be sealed: %w", err)
	}
	if s.protection, err = config.protect(); err != nil {
		return nil, fmt.Errorf("wafer: Config.TrustedOrigins: %w", err)
	}
	if err = s.openTokens(); err != nil {
		return nil, err
	}
	config.warn()
	err = db.Announce(ctx, store.Announcement{
		Access: config.longest(), Absolute: config.MaxAbsolute, Leeway: config.leeway(), MaxStaleness: config.MaxStaleness,
	})
	if err != nil {
		return nil, fmt.Errorf("wafer: the store did not take the announcement of lifetimes: %w", err)
	}
	s.live = live.New(live.Config{
		Ask:     func(ctx context.Context, id store.ID) (store.Snapshot, error) { return s.node.Alive(ctx, id) },
		InTouch: s.inTouch, CatchUp: s.catchUp, Now: config.Now, Outage: s.liveEnded,
		Patience: max(config.StoreTimeout, config.MaxStaleness/3), Recheck: config.MaxStaleness,
	})
	known, err := s.openRevocations(ctx, db)
	if err != nil {
		return nil, err
	}
	if s.bearer != nil {
		s.bearer.Revocations, s.bearerForAnyAudience.Revocations = known, known
		if s.bearer.Verified, err = bearer.NewCache(config.Tokens.CachedTokens); err != nil {
			known.Close()
			return nil, err
		}
	}
	s.node, err = node.New(node.Config{
		Store: db, Revocations: known, Policy: config.policy(), Timeout: config.StoreTimeout,
		Observer: observer(config.Observe), ReloadRing: ring.Reload,
	})
	if err != nil {
		known.Close()
		return nil, err
	}
	s.gate = &gate.Gate{
		Ring: ring, Cookies: s.cookies, RefreshTokens: s.refreshTokens, Node: s.node, Access: config.Access, Leeway: config.leeway(),
		Now: config.Now, Observer: observer(config.Observe),
	}
	s.resumer = &resume.Resumer{
		Node: s.node, Ring: ring, Commits: s.commits, Mint: s.mint, Fits: s.fits, Observer: observer(config.Observe),
	}
	if config.Reload != nil {
		s.resumer.Reload = s.reload
	}
	s.watch.Start()
	return s, nil
}

// Close ends what New started. Ring and store stay the caller's. Sessions must
// not be used afterwards. Logouts that the store has not taken yet are given
// one last attempt, for at most StoreTimeout.
func (s *Sessions[T]) Close() {
	s.watch.Close()
	s.live.Close()
	s.node.Close()
	if s.bearer != nil {
		s.bearer.Verified.Close()
	}
}

// Format prints the realm alone, for every verb.
func (s *Sessions[T]) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "wafer sessions of realm %q", s.config.Realm)
}

// LogValue logs the realm alone.
func (s *Sessions[T]) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// openRevocations opens what the configuration chooses: a replica of the log, or
// a cache of the store's answers. ctx bounds the first read of the log.
func (s *Sessions[T]) openRevocations(ctx context.Context, db store.Store) (node.Revocations, error) {
	config := revocation.Config{
		MaxStaleness:   s.config.MaxStaleness,
		Limit:          s.config.MaxRevocations,
		Timeout:        s.config.StoreTimeout,
		Now:            s.config.Now,
		BeforeEveryone: s.ring.Reload,
		Applied:        s.live.Applied,
		Restore:        db.Restore,
		Observe: func(e revocation.Event) {
			s.config.Observe(replicaEvent(e, "that this node holds; it writes them back"))
		},
	}
	var known node.Revocations
	var err error
	if s.config.NoReplica {
		known, err = revocation.NewCache(db, config)
	} else {
		known, err = revocation.Follow(ctx, db, config)
	}
	if err != nil {
		return nil, fmt.Errorf("wafer: %w", err)
	}
	return known, nil
}

// mint returns the header of a session cookie as a family's snapshot has it.
// Its position is the family's own, never a head that was read later: what was
// revoked since counts against the cookie.
func (s *Sessions[T]) mint(now time.Time, snap store.Snapshot) codec.Session {
	f := &snap.Family
	// A little spread keeps the refreshes of a fleet's users apart.
	access := s.config.Access - rand.N(s.config.Access/10+1)
	return codec.Session{
		ID: codec.ID(f.ID), Subject: f.Subject, Position: uint64(f.Position), Generation: f.Generation,
		Issued: now, Access: now.Add(access), Idle: f.IdleDeadline(), Absolute: f.Absolute,
		Started: f.Started, Authenticated: f.Authenticated,
	}
}
