package node

import (
	"context"
	"fmt"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/store"
)

// Position returns the head of the store's log.
func (n *Node) Position(ctx context.Context) (store.Position, error) {
	ctx, cancel := n.detached(ctx)
	defer cancel()
	c, err := n.store.Cutoffs(ctx, store.ID{}, "")
	if err != nil {
		return 0, n.Unavailable(store.ID{}, err)
	}
	return c.Head, nil
}

// Family reads one family.
func (n *Node) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	ctx, cancel := n.detached(ctx)
	defer cancel()
	snap, err := n.store.Family(ctx, id)
	if err != nil {
		return snap, n.Unavailable(id, err)
	}
	return snap, nil
}

// Alive reads the family of a long-lived response, until ctx ends. Its state is
// Ended if this node knows the family to be revoked and the store has lost that.
func (n *Node) Alive(ctx context.Context, id store.ID) (store.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, n.config.Timeout)
	defer cancel()
	snap, err := n.store.Family(ctx, id)
	if err == nil && n.Dead(&snap.Family) {
		snap.State = store.Ended
	}
	return snap, err
}

// Families lists living families, at most q.Limit. It asks for as many pages as
// that takes. The PageCursor is zero if there are no more.
func (n *Node) Families(ctx context.Context, q store.Query) (families []store.Family, next store.PageCursor, err error) {
	ctx, cancel := n.detached(ctx)
	defer cancel()
	most := q.Limit
	for {
		page, err := n.store.Families(ctx, q)
		if err != nil {
			return nil, next, n.Unavailable(store.ID{}, err)
		}
		families = append(families, page.Families...)
		q.After, q.Limit = page.Next, most-len(families)
		if q.Limit <= 0 || page.Next == (store.PageCursor{}) {
			return families, page.Next, nil
		}
	}
}

// Entries lists the entries after a cursor that revoke something, at most
// store.MaxEntries. A cursor whose entry the log no longer has counts as its
// beginning.
func (n *Node) Entries(ctx context.Context, after store.Cursor) ([]store.Entry, error) {
	ctx, cancel := n.detached(ctx)
	defer cancel()
	for {
		b, err := n.store.Since(ctx, after, store.MaxEntries, 0)
		if err == nil && b.Broken {
			b, err = n.store.Since(ctx, store.Cursor{}, store.MaxEntries, 0)
		}
		if err != nil {
			return nil, n.Unavailable(store.ID{}, err)
		}
		entries := make([]store.Entry, 0, len(b.Entries))
		for _, e := range b.Entries {
			after = e.Cursor()
			if e.Kind != store.KindSuperseding { // a Commit revokes nothing
				entries = append(entries, e)
			}
		}
		if len(entries) > 0 || !b.More {
			return entries, nil
		}
	}
}

// WaitFor returns when this node has applied every entry up to p.
func (n *Node) WaitFor(ctx context.Context, p store.Position) error {
	if err := n.Revocations.WaitFor(ctx, p); err != nil {
		return fmt.Errorf("%w: %w", sentinel.ErrUnavailable, err)
	}
	return nil
}
