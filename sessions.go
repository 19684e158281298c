package wafer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/bearer"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/keywatch"
	"github.com/waferkit/wafer/internal/live"
	"github.com/waferkit/wafer/internal/node"
	"github.com/waferkit/wafer/internal/peers"
	"github.com/waferkit/wafer/internal/resume"
	"github.com/waferkit/wafer/internal/seals"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Sessions is the entry point of this package: the middleware, and the calls that
// begin, change and end sessions. T is the session's data. It travels in the
// cookie, so keep it small. Sessions is safe for concurrent use.
type Sessions[T any] struct {
	config Config[T]

	// These seal and open.
	ring          *keyring.Ring
	cookies       *codec.Cookies
	refreshTokens *codec.RefreshTokens
	commits       *codec.Commits
	seals         seals.Seals
	access        *codec.AccessTokens // nil, as both bearers, without Config.Tokens

	// These decide and write.
	node                 *node.Node
	gate                 *gate.Gate
	resumer              *resume.Resumer
	bearer               *bearer.Judge // of tokens for this application's own API
	bearerForAnyAudience *bearer.Judge // of every token that it mints
	protection           *http.CrossOriginProtection

	// These run beside the requests.
	live  *live.Set
	watch *keywatch.Watch
	peers *peers.Peers
}

// New returns the sessions of an application. ring and db stay the caller's; close
// them after Sessions. ctx bounds the initial read of the revocation log. With
// [Config.NoReplica] nothing is read. From then on a goroutine reads the ring from
// its source about once a minute, unless the ring is static.
//
// A configuration whose fields contradict each other is an error of New, not of a
// later call.
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
	if err := s.openCodecs(); err != nil {
		return nil, err
	}
	if s.protection, err = config.protect(); err != nil {
		return nil, fmt.Errorf("wafer: Config.TrustedOrigins: %w", err)
	}
	config.warn()
	if s.peers, err = peers.New(ctx, newID(), s.announcement(db)); err != nil {
		return nil, fmt.Errorf("wafer: %w", err)
	}
	if err := s.openNode(ctx, db); err != nil {
		return nil, err
	}
	s.gate = &gate.Gate{
		Ring: ring, Cookies: s.cookies, RefreshTokens: s.refreshTokens, Revocations: s.node.Revocations, Node: s.node,
		Access: config.Access, Leeway: config.leeway(), Now: config.Now, Observer: observer(config.Observe),
	}
	s.resumer = &resume.Resumer{
		Node: s.node, Ring: ring, Commits: s.commits, Mint: s.mint, Fits: s.fits, Observer: observer(config.Observe),
	}
	if config.Reload != nil {
		s.resumer.Reload = s.reload
	}
	s.watch.Start()
	s.peers.Start()
	return s, nil
}

// announcement says what this node tells the store and the other nodes.
func (s *Sessions[T]) announcement(db store.Store) peers.Config {
	c := &s.config
	return peers.Config{
		Announce: db.Announce,
		Announcement: store.Announcement{
			Access: c.longest(), Absolute: c.MaxAbsolute, Leeway: c.leeway(), MaxStaleness: c.MaxStaleness,
			Realm: c.Realm, Instance: c.SessionCookie,
		},
		Settings: []peers.Setting{
			{Name: "Access", Value: c.Access.String()}, {Name: "Idle", Value: c.Idle.String()}, {Name: "Absolute", Value: c.Absolute.String()},
			{Name: "MaxIdle", Value: c.MaxIdle.String()}, {Name: "MaxAbsolute", Value: c.MaxAbsolute.String()},
			{Name: "Grace", Value: c.Grace.String()}, {Name: "StrictRotation", Value: strconv.FormatBool(c.StrictRotation)},
			{Name: "MaxStaleness", Value: c.MaxStaleness.String()}, {Name: "Skew", Value: c.Skew.String()},
			{Name: "MaxSessions", Value: strconv.Itoa(c.MaxSessions)}, {Name: "EndOldest", Value: strconv.FormatBool(c.EndOldest)},
			{Name: "RefreshCookie", Value: c.RefreshCookie},
		},
		Ring: func() (store.ID, uint64) {
			set := s.ring.Set()
			return store.ID(set.ID()), set.Version()
		},
		Timeout: c.StoreTimeout, Now: c.Now,
		Alarm:  func(reason string) { c.Observe(Event{Kind: KindAlarm, Reason: reason}) },
		Inform: func(reason string) { c.Observe(Event{Kind: KindPeers, Reason: reason}) },
	}
}

// openCodecs opens what seals and opens under the ring.
func (s *Sessions[T]) openCodecs() (err error) {
	if s.cookies, err = codec.NewCookies(s.ring, s.config.Realm, s.config.SessionCookie); err != nil {
		return fmt.Errorf("wafer: Config.Realm: %w", err)
	}
	instance := codec.Instance{Realm: s.config.Realm, SessionCookie: s.config.SessionCookie}
	if s.refreshTokens, err = codec.NewRefreshTokens(s.ring, instance); err != nil {
		return err
	}
	if s.commits, err = codec.NewCommits(s.ring, instance); err != nil {
		return err
	}
	if s.seals, err = seals.New(s.ring, instance); err != nil {
		return err
	}
	if _, err = s.ring.Primary(s.config.Now()); err != nil {
		return fmt.Errorf("wafer: nothing can be sealed: %w", err)
	}
	return s.openTokens()
}

// openNode opens the node's side of the store. ctx bounds the initial read of the
// log. The live contexts come first, since the replica hands them what it applies.
func (s *Sessions[T]) openNode(ctx context.Context, db store.Store) error {
	config := &s.config
	s.live = live.New(live.Config{
		Ask:     func(ctx context.Context, id store.ID) (store.Snapshot, error) { return s.node.Alive(ctx, id) },
		InTouch: s.inTouch, CatchUp: s.catchUp, Now: config.Now, Outage: s.liveEnded,
		Patience: max(config.StoreTimeout, config.MaxStaleness/3), Recheck: config.MaxStaleness,
	})
	known, err := s.openRevocations(ctx, db)
	if err != nil {
		return err
	}
	s.node, err = node.New(node.Config{
		Store: db, Revocations: known, Policy: config.policy(), Timeout: config.StoreTimeout,
		MaxPending: config.MaxRevocations, Seals: s.seals, Leeway: config.leeway(), Now: config.Now,
		EngineNow: s.peers.EngineNow(), Observer: observer(config.Observe), ReloadRing: s.ring.Reload,
	})
	if err == nil && s.bearer != nil {
		s.bearer.Revocations, s.bearerForAnyAudience.Revocations = s.node.Revocations, s.node.Revocations
		s.bearer.Verified, err = bearer.NewCache(config.Tokens.CachedTokens)
	}
	if err != nil {
		known.Close()
	}
	return err
}

// Close stops the goroutines that New and later calls started, and waits for
// them. It tries the logouts that the store has not taken yet one last time, for
// at most [Config.StoreTimeout]. Sessions must not be used afterwards.
func (s *Sessions[T]) Close() {
	s.peers.Close()
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

// mint returns the header of a session cookie for a family. Its position is the
// family's own, never a head that was read later: a revocation since the write
// must count against the cookie.
func (s *Sessions[T]) mint(now time.Time, snap store.Snapshot) codec.Session {
	f := &snap.Family
	// The spread keeps the refreshes of many users apart.
	access := s.config.Access - rand.N(s.config.Access/10+1)
	return codec.Session{
		ID: codec.ID(f.ID), Subject: codec.Hide(f.Subject), Position: uint64(f.Position), Generation: f.Generation,
		Issued: now, Access: now.Add(access), Idle: f.IdleDeadline(), Absolute: f.Deadline(),
		Started: f.Started, Authenticated: f.Authenticated, Bound: !f.Key.IsZero(),
		Actor: codec.Hide(f.Actor), Methods: codec.Hide(oneSpace(f.Methods)), Level: codec.Hide(f.Level),
	}
}

// oneSpace returns words with one space between them. The family seal covers the
// words, but not what a store puts between them.
func oneSpace(words string) string { return strings.Join(strings.Fields(words), " ") }
