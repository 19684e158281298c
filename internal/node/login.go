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

// Start seals and creates the family of a login and refuses on this node the
// families that it replaces. Creation.Authenticated may be zero, which is the time
// of the login. The error matches sentinel.ErrNotBefore, ErrLimit or
// ErrUnavailable.
func (n *Node) Start(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	authenticated := c.Authenticated
	snap, err := n.create(ctx, &c, func(engine time.Time) (err error) {
		if c.Started, c.Authenticated = engine, engine; !authenticated.IsZero() && authenticated.Before(engine) {
			c.Authenticated = time.UnixMilli(authenticated.UnixMilli())
		}
		c.Seal, err = n.config.Seals.Seal(n.config.Now(), &store.Family{
			ID: c.ID, Subject: c.Subject, Native: c.Native, Key: c.Key, Names: c.Names, Actor: c.Actor, Methods: c.Methods, Level: c.Level,
			Started: c.Started, Authenticated: c.Authenticated, Idle: c.Idle, Absolute: c.Absolute,
		})
		return err
	})
	if err != nil {
		return snap, err
	}
	switch snap.Outcome {
	case store.Written:
	case store.Early:
		return snap, sentinel.ErrNotBefore
	case store.Full:
		return snap, sentinel.ErrLimit
	default:
		return snap, n.unexpected(c.ID, snap)
	}
	for _, id := range c.Ends {
		n.refuse(id, snap.Head) // whether it ended now or before, it is dead at the head
	}
	if c.EndOldest && snap.Entry != 0 {
		// Only the log names the families that the limit ended. If reading it
		// fails, the entries arrive within MaxStaleness.
		_ = n.CatchUp(ctx)
	}
	return snap, nil
}

// Renewal says how a session goes on under a new id.
type Renewal struct {
	Key            store.Key // of a live proof, or zero
	Reauthenticate bool      // the user has authenticated again, by Methods at Level
	Methods, Level string
}

// Renew seals and creates the family that replaces c.Renews, of which ID and Basis
// are given, and refuses that one on this node. The error matches
// sentinel.ErrConflict, ErrEnded or ErrUnavailable.
func (n *Node) Renew(ctx context.Context, c store.Creation, r Renewal) (store.Snapshot, error) {
	// A family that is bound meanwhile has another seal: it is read again, once.
	for turn := 0; ; turn++ {
		old, err := n.Family(ctx, c.Renews.ID)
		if err != nil {
			return old, err
		}
		if old.State != store.Alive || old.Family.Past(old.Now) {
			return old, sentinel.ErrEnded
		}
		if err := n.Verify(ctx, &old.Family); err != nil {
			return old, err
		}
		f := old.Family
		f.ID, c.Renews.Seal, c.Renews.Key = c.ID, old.Family.Seal, r.Key
		snap, err := n.create(ctx, &c, func(engine time.Time) (err error) {
			if r.Reauthenticate {
				f.Authenticated, f.Methods, f.Level = engine, r.Methods, r.Level
				c.Renews.Authenticated, c.Renews.Methods, c.Renews.Level = engine, r.Methods, r.Level
			}
			c.Seal, err = n.config.Seals.Seal(n.config.Now(), &f)
			return err
		})
		switch {
		case err != nil:
			return snap, err
		case snap.Outcome == store.Changed && turn == 0:
			continue
		case snap.Outcome == store.Changed, snap.Outcome == store.OffClock, snap.Outcome == store.Again:
			return snap, n.unexpected(c.ID, snap)
		}
		if err = written(snap); err == nil {
			n.refuse(c.Renews.ID, snap.Entry)
		}
		return snap, err
	}
}

// Verify returns nil if a family's row is as this instance sealed it. The error
// matches sentinel.ErrEnded if it is not, which is reported, or ErrUnavailable.
func (n *Node) Verify(ctx context.Context, f *store.Family) error {
	switch err := n.config.Seals.Verify(ctx, n.config.Now(), f); {
	case err == nil:
		return nil
	case errors.Is(err, refresh.ErrUnverifiable):
		return n.Unavailable(f.ID, err)
	default:
		n.observer.Alarm(f.ID, 0, "a session's row in the store is not as it was sealed", err)
		return sentinel.ErrEnded
	}
}

// maxTurns bounds how often the store may answer that there is more to do. Each
// turn takes a thousand rows out of the way.
const maxTurns = 1000

// create calls seal with the engine's time as this node last saw it, and creates
// the family. If that time was off, it does so once more.
func (n *Node) create(ctx context.Context, c *store.Creation, seal func(engine time.Time) error) (snap store.Snapshot, err error) {
	c.Leeway = n.config.Leeway
	off := false
	for range maxTurns {
		if err := seal(n.clock.now(n.config.Now())); err != nil {
			return snap, n.Unavailable(c.ID, err)
		}
		snap, err = n.write(ctx, c.ID, func(ctx context.Context, above store.Position) (store.Snapshot, error) {
			c.Above = above
			return n.store.Create(ctx, *c)
		})
		switch {
		case err != nil:
			return snap, n.Unavailable(c.ID, err)
		case snap.Outcome == store.OffClock && !off:
			off = true // write has learnt the engine's time
		case snap.Outcome != store.Again:
			return snap, nil
		}
	}
	return snap, nil
}

func (n *Node) unexpected(id store.ID, snap store.Snapshot) error {
	return n.Unavailable(id, fmt.Errorf("the store answered a new family with %q", snap.Outcome))
}

// Commit keeps a value with the family. Cookies from before are out of date on
// this node when it returns. The error matches sentinel.ErrConflict, ErrEnded or
// ErrUnavailable.
func (n *Node) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	snap, err := n.write(ctx, c.ID, func(ctx context.Context, above store.Position) (store.Snapshot, error) {
		c.Above = above
		return n.store.Commit(ctx, c)
	})
	if err != nil {
		return snap, n.Unavailable(c.ID, err)
	}
	if err := written(snap); err != nil {
		return snap, err
	}
	n.Apply(store.Entry{Kind: store.KindSuperseding, Session: c.ID, Position: snap.Entry})
	return snap, nil
}

// written returns the error that belongs to the outcome of a write to a family.
func written(snap store.Snapshot) error {
	switch snap.Outcome {
	case store.Written:
		return nil
	case store.Behind:
		return sentinel.ErrConflict
	}
	return sentinel.ErrEnded
}
