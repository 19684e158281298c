package node

import (
	"context"
	"fmt"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/store"
)

// End ends sessions: on this node at once, in the store now or later. After an
// error, which matches sentinel.ErrUnavailable, the node keeps trying, unless the store
// refuses such a logout for good.
func (n *Node) End(ctx context.Context, reason, actor string, ids ...store.ID) error {
	r := store.Revocation{Sessions: ids, Reason: reason, Actor: actor}
	n.refuseAll(ids, n.Highest()+1)
	snap, err := n.writeRevocation(ctx, r)
	if err != nil {
		for _, id := range ids {
			if never(err) {
				n.observer.Alarm(id, 0, refusedLogout, err)
			} else {
				n.pending.add(logout{id, reason, actor})
			}
		}
		return n.Unavailable(ids[0], err)
	}
	n.refuseAll(ids, snap.Entry)
	for _, id := range ids {
		n.observer.Ended(id, reason, snap.Entry)
	}
	return nil
}

// EndOthers revokes every session of a subject except the survivor, which is
// reborn at the entry. The error matches sentinel.ErrConflict if nothing was
// revoked, ErrEnded if the survivor is dead and the others were revoked, or
// ErrUnavailable.
func (n *Node) EndOthers(ctx context.Context, subject string, survivor store.Rebirth, reason string) (store.Snapshot, error) {
	r := store.Revocation{
		Subjects: []string{subject}, Except: &survivor, Reason: reason, Actor: subject,
	}
	snap, err := n.writeRevocation(ctx, r)
	if err != nil {
		return snap, n.Unavailable(survivor.ID, err)
	}
	if snap.Outcome == store.Behind {
		return snap, sentinel.ErrConflict
	}
	n.Apply(store.Entry{Kind: store.KindSubject, Subject: subject, Position: snap.Entry})
	n.observer.Revoked(survivor.ID, reason, snap.Entry)
	if snap.State != store.Alive || snap.Family.Birth != snap.Entry {
		return snap, sentinel.ErrEnded
	}
	return snap, nil
}

// Revoke revokes what r names, in several calls if one cannot hold it, and
// returns the position of the last entry. An error means that some of it may be
// revoked.
func (n *Node) Revoke(ctx context.Context, r store.Revocation) (store.Position, error) {
	parts := r.Parts()
	if len(parts) == 0 {
		return 0, fmt.Errorf("wafer: Revoke: %w: it names no session, no subject and not everyone", store.ErrArgument)
	}
	var last store.Position
	for _, part := range parts {
		at, err := n.revoke(ctx, part)
		if err != nil {
			return last, err
		}
		last = max(last, at)
	}
	return last, nil
}

func (n *Node) revoke(ctx context.Context, r store.Revocation) (store.Position, error) {
	if err := r.Check(); err != nil {
		return 0, fmt.Errorf("wafer: Revoke: %w", err)
	}
	snap, err := n.writeRevocation(ctx, r)
	if err != nil {
		return 0, n.Unavailable(store.ID{}, err)
	}
	n.refuseAll(r.Sessions, snap.Entry)
	n.applyLocally(ctx, r, snap.Entry)
	n.observer.Revoked(store.ID{}, r.Reason, snap.Entry)
	return snap.Entry, nil
}

func (n *Node) writeRevocation(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	ctx, cancel := n.detached(ctx)
	defer cancel()
	return n.revokeUntil(ctx, r)
}

// revokeUntil is writeRevocation within the caller's context.
func (n *Node) revokeUntil(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	var session store.ID
	if len(r.Sessions) > 0 {
		session = r.Sessions[0]
	}
	return n.writeUntil(ctx, session, func(ctx context.Context, above store.Position) (store.Snapshot, error) {
		r.Above = above
		return n.store.Revoke(ctx, r)
	})
}

// applyLocally refuses on this node the subjects, and everyone, of a revocation
// whose last entry is at last. The entries of one call have consecutive
// positions: sessions, subjects, everyone.
func (n *Node) applyLocally(ctx context.Context, r store.Revocation, last store.Position) {
	if r.Everyone {
		// The revocation of a key may have come before this entry.
		ctx, cancel := n.detached(ctx)
		defer cancel()
		if err := n.config.ReloadRing(ctx); err != nil {
			n.observer.Alarm(store.ID{}, 0, "everyone is revoked, and the ring could not be reloaded", err)
		}
		n.Apply(store.Entry{Kind: store.KindEveryone, Position: last})
		last--
	}
	entries := make([]store.Entry, len(r.Subjects))
	for i := range entries {
		entries[i] = store.Entry{Kind: store.KindSubject, Subject: r.Subjects[i], Position: last - store.Position(len(entries)-1-i)}
	}
	n.Apply(entries...)
}

func (n *Node) refuseAll(ids []store.ID, at store.Position) {
	for _, id := range ids {
		n.refuse(id, at)
	}
}

// refuse refuses a session on this node, whatever the position of its cookies,
// before the entry arrives with the log.
func (n *Node) refuse(id store.ID, at store.Position) {
	if !id.IsZero() && at != 0 {
		n.Apply(store.Entry{Kind: store.KindSession, Session: id, Position: at})
	}
}
