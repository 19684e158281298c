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
	"github.com/waferkit/wafer/internal/keywatch"
	"github.com/waferkit/wafer/internal/live"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Sessions is what an application uses: the middleware, and the calls that
// begin, change and end sessions. T is the session's data; it travels in the
// cookie, so keep it small. Sessions is safe for concurrent use.
type Sessions[T any] struct {
	config    Config[T]
	store     store.Store
	ring      *keyring.Ring
	cookies   *codec.Cookies
	tokens    *codec.RefreshTokens
	commits   *codec.Commits
	refresher *refresh.Refresher
	replica   revocations
	ender     *ender
	live      *live.Set
	watch     *keywatch.Watch

	access               *codec.AccessTokens // nil, as both bearers: Config.Tokens is not set
	bearer               *bearer.Judge       // of tokens for this application's own API
	bearerForAnyAudience *bearer.Judge       // of all that it mints
	protection           *http.CrossOriginProtection
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
	s := &Sessions[T]{config: config, store: db, ring: ring, watch: watch}
	if s.cookies, err = codec.NewCookies(ring, config.Realm, config.SessionCookie); err != nil {
		return nil, fmt.Errorf("wafer: Config.Realm: %w", err)
	}
	if s.tokens, err = codec.NewRefreshTokens(ring, config.Realm); err != nil {
		return nil, err
	}
	if s.commits, err = codec.NewCommits(ring, config.Realm); err != nil {
		return nil, err
	}
	if s.refresher, err = refresh.New(db, config.policy(), config.StoreTimeout); err != nil {
		return nil, err
	}
	s.refresher.Above = func() store.Position { return s.replica.Highest() }
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
		Ask: s.alive, InTouch: s.inTouch, CatchUp: s.catchUp, Now: config.Now, Outage: s.liveEnded,
		Patience: max(config.StoreTimeout, config.MaxStaleness/3), Recheck: config.MaxStaleness,
	})
	if s.replica, err = s.openRevocations(ctx); err != nil {
		return nil, err
	}
	if s.bearer != nil {
		s.bearer.Revocations, s.bearerForAnyAudience.Revocations = s.replica, s.replica
		if s.bearer.Verified, err = bearer.NewCache(config.Tokens.CachedTokens); err != nil {
			s.replica.Close()
			return nil, err
		}
	}
	s.ender = newEnder(db, config.StoreTimeout, config.Observe)
	s.watch.Start()
	return s, nil
}

// Close ends what New started. Ring and store stay the caller's. Sessions must
// not be used afterwards. Logouts that the store has not taken yet are given
// one last attempt, for at most StoreTimeout.
func (s *Sessions[T]) Close() {
	s.watch.Close()
	s.live.Close()
	s.ender.close()
	s.replica.Close()
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

func (s *Sessions[T]) observeReplica(e revocation.Event) {
	s.config.Observe(replicaEvent(e, "that this node holds; it writes them back"))
}

// detached gives a use of the store its time, whatever the client does: what
// was begun must not be lost because a tab was closed.
func (s *Sessions[T]) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.config.StoreTimeout)
}

// unavailable reports an outage and returns the error for the caller. What the
// store refuses as an argument is the caller's mistake, and no outage.
func (s *Sessions[T]) unavailable(id store.ID, err error) error {
	if errors.Is(err, store.ErrArgument) {
		return fmt.Errorf("wafer: %w", err)
	}
	return s.outage(id, err)
}

// outage reports an outage and returns the error for the caller. A client that
// hung up while it waited is none to report.
func (s *Sessions[T]) outage(id store.ID, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.config.Observe(Event{Kind: KindUnavailable, Session: id, Err: err})
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
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

// above is the highest position that this node knows of, for new ones to
// exceed: also that of entries which the store has lost since.
func (s *Sessions[T]) above(at store.Position) store.Position {
	return max(at, s.replica.Highest())
}
