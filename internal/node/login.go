package node

import (
	"context"
	"fmt"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/store"
)

// Start creates the family of a login and refuses on this node the families that
// it replaces. The error matches sentinel.ErrNotBefore, ErrLimit or
// ErrUnavailable.
func (n *Node) Start(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	snap, err := n.create(ctx, c)
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
		return snap, n.Unavailable(c.ID, fmt.Errorf("the store answered a new family with %q", snap.Outcome))
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

// Renew creates the family that replaces c.Renews and refuses that one on this
// node. The error matches sentinel.ErrConflict, ErrEnded or ErrUnavailable.
func (n *Node) Renew(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	snap, err := n.create(ctx, c)
	if err == nil {
		err = written(snap)
	}
	if err == nil {
		n.refuse(c.Renews.ID, snap.Entry)
	}
	return snap, err
}

func (n *Node) create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	snap, err := n.write(ctx, c.ID, func(ctx context.Context, above store.Position) (store.Snapshot, error) {
		c.Above = above
		return n.store.Create(ctx, c)
	})
	if err != nil {
		return snap, n.Unavailable(c.ID, err)
	}
	return snap, nil
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
