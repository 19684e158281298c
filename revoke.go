package wafer

import (
	"context"

	"github.com/waferkit/wafer/store"
)

// Revocation says whose sessions to end. The zero value names nobody and is an
// error.
type Revocation struct {
	Sessions []store.ID
	Subjects []string
	Everyone bool
	// Reason and Actor are kept with the revocation, for an audit: at most 255
	// bytes each.
	Reason, Actor string
}

// Revoke ends the sessions it names: at once on this node, at most
// [Config.MaxStaleness] later on every other, and for good. It returns the
// position from which [Sessions.WaitFor] waits. An error means that a part may
// have been revoked; revoking again does no harm.
func (s *Sessions[T]) Revoke(ctx context.Context, r Revocation) (store.Position, error) {
	return s.node.Revoke(ctx, store.Revocation{
		Sessions: r.Sessions, Subjects: r.Subjects, Everyone: r.Everyone, Reason: r.Reason, Actor: r.Actor,
	})
}

// WaitFor returns when this node has applied every revocation up to a
// position. Every other node has, MaxStaleness after it was returned.
func (s *Sessions[T]) WaitFor(ctx context.Context, p store.Position) error {
	return s.node.WaitFor(ctx, p)
}

// Devices returns the living sessions of a subject, those started last first,
// at most 1,000.
func (s *Sessions[T]) Devices(ctx context.Context, subject string) ([]Device, error) {
	families, err := s.node.Families(ctx, subject)
	if err != nil {
		return nil, err
	}
	devices := make([]Device, len(families))
	for i, f := range families {
		devices[i] = Device{
			ID: f.ID, Label: f.Label, Native: f.Native,
			Started: f.Started, Authenticated: f.Authenticated, Seen: f.Issued,
		}
	}
	return devices, nil
}

// Revocations lists what was revoked after a position, oldest first, at most
// 1,000 entries, with the reason and the actor of each: for an audit page, or
// to copy them to where they are kept. Go on from the last one's Position,
// until none comes. Logouts, replaced sessions and replays are among them.
//
// The log keeps an entry only as long as a cookie from before it could still be
// good, some [Config.Access] and leeway. Who needs them for longer copies them
// in time, or records [KindRevoked] and [KindEnded] events.
func (s *Sessions[T]) Revocations(ctx context.Context, after store.Position) ([]store.Entry, error) {
	return s.node.Entries(ctx, after)
}
