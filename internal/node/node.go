// Package node is one node's side of the store: the store itself, and what this
// node knows to be revoked.
//
// Every write goes through a [Node], so promise 1 is kept in one place: the call
// is detached from the client and bounded in time, its position exceeds every
// position that this node has seen the log reach, the log's head is learnt from the
// answer, and what was revoked is refused on this node when the call returns. The
// position of a credential is authentic and no more: whoever has a leaked key
// chooses it. So it is never what a call has to exceed.
package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// Observer receives what operators should know.
type Observer interface {
	Unavailable(session store.ID, err error)
	Alarm(session store.ID, at store.Position, reason string, err error)
	Ended(session store.ID, reason string, at store.Position)
	// Revoked reports a revocation. session is the one that survived it, if any.
	Revoked(session store.ID, reason string, at store.Position)
}

// Seals seals and verifies the rows of families: see package internal/seals.
type Seals interface {
	Seal(now time.Time, f *store.Family) (store.Seal, error)
	Verify(ctx context.Context, now time.Time, f *store.Family) error
}

// Config configures [New]. All fields are required.
type Config struct {
	Store       store.Store
	Revocations Revocations
	Policy      refresh.Policy
	Seals       Seals
	Timeout     time.Duration // of each store call
	Leeway      time.Duration
	Now         func() time.Time
	EngineNow   time.Time // the engine's time when New is called
	MaxPending  int       // logouts that wait for the store, each of another session
	Observer    Observer
	// ReloadRing is called before a revocation of everyone takes effect here: it
	// may follow the revocation of a key.
	ReloadRing func(context.Context) error
}

// Node is safe for concurrent use.
type Node struct {
	Revocations
	config    Config
	store     store.Store
	observer  Observer
	refresher *refresh.Refresher
	pending   *pending
	clock     engineClock
}

// New returns a node over a store, which stays the caller's. Close closes the
// Revocations.
func New(c Config) (*Node, error) {
	refresher, err := refresh.New(c.Store, c.Policy, c.Timeout)
	if err != nil {
		return nil, err
	}
	n := &Node{Revocations: c.Revocations, config: c, store: c.Store, observer: c.Observer, refresher: refresher}
	n.clock.learn(c.EngineNow, c.Now())
	refresher.Revoke = n.revokeUntil
	refresher.Verify = func(ctx context.Context, f *store.Family) error {
		return n.config.Seals.Verify(ctx, n.config.Now(), f)
	}
	n.pending = newPending(c, n.revokeUntil, n.refuse)
	n.Revocations = withWaiting{c.Revocations, n.pending}
	return n, nil
}

// Close tries the pending logouts one last time, for at most Timeout, reports those
// that the store has not taken, and closes the Revocations.
func (n *Node) Close() {
	n.pending.close()
	n.Revocations.Close()
}

// detached returns a context for one store call. It outlives the client's
// hang-up: a write that was begun must not be lost because a tab was closed.
func (n *Node) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), n.config.Timeout)
}

// write makes one call that writes, detached from the client, above every position
// that this node has seen the log reach, and learns the log's head from the answer.
// If the store refuses that position, the log has gone back: write accepts its head,
// has the log read anew, and repeats the call once. session is for the report of a
// call that is refused again.
func (n *Node) write(ctx context.Context, session store.ID, call func(ctx context.Context, above store.Position) (store.Snapshot, error)) (store.Snapshot, error) {
	ctx, cancel := n.detached(ctx)
	defer cancel()
	return n.writeUntil(ctx, session, call)
}

// writeUntil is write within the caller's context.
func (n *Node) writeUntil(ctx context.Context, session store.ID, call func(ctx context.Context, above store.Position) (store.Snapshot, error)) (store.Snapshot, error) {
	snap, err := call(ctx, n.Highest())
	if errors.Is(err, store.ErrAbove) {
		var known store.Cutoffs
		if known, err = n.store.Cutoffs(ctx, store.ID{}, ""); err != nil {
			return store.Snapshot{}, err
		}
		n.WentBack(known.Head)
		if snap, err = call(ctx, known.Head); errors.Is(err, store.ErrAbove) {
			n.observer.Alarm(session, known.Head, "the store takes no entry above its own head", err)
		}
	}
	if err == nil {
		n.Learn(snap.Head)
		n.clock.learn(snap.Now, n.config.Now())
	}
	return snap, err
}

// Unavailable reports an outage and returns the error for the caller. An argument
// that the store refuses is the caller's mistake and no outage.
func (n *Node) Unavailable(id store.ID, err error) error {
	if errors.Is(err, store.ErrArgument) {
		return fmt.Errorf("wafer: %w", err)
	}
	return n.Outage(id, err)
}

// Outage reports an outage and returns the error for the caller. It reports
// nothing if the client hung up while it waited.
func (n *Node) Outage(id store.ID, err error) error {
	if !errors.Is(err, context.Canceled) {
		n.observer.Unavailable(id, err)
	}
	return fmt.Errorf("%w: %w", sentinel.ErrUnavailable, err)
}
