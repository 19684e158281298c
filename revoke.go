package wafer

import (
	"context"

	"github.com/waferkit/wafer/store"
)

// Revocation says which sessions to end. The zero value names none and is an
// error.
type Revocation struct {
	Sessions []store.ID
	Subjects []string
	Everyone bool
	// Reason and Actor are kept with the revocation, for audits. At most 255 bytes
	// each.
	Reason, Actor string
}

// Revoke ends the sessions that r names, for good: at once on this node, within
// [Config.MaxStaleness] on every other. It returns the position to give to
// [Sessions.WaitFor]. After an error some of the sessions may be revoked; revoking
// again does no harm. The error matches [ErrUnavailable], or the argument is wrong.
func (s *Sessions[T]) Revoke(ctx context.Context, r Revocation) (store.Position, error) {
	return s.node.Revoke(ctx, store.Revocation{
		Sessions: r.Sessions, Subjects: r.Subjects, Everyone: r.Everyone, Reason: r.Reason, Actor: r.Actor,
	})
}

// WaitFor returns when this node has applied every revocation up to position p, or
// with an error that matches [ErrUnavailable] when ctx ends. Every other node has
// applied them [Config.MaxStaleness] after Revoke returned.
func (s *Sessions[T]) WaitFor(ctx context.Context, p store.Position) error {
	return s.node.WaitFor(ctx, p)
}

// Devices returns the living sessions of a subject, newest first, at most 1,000.
// The error matches [ErrUnavailable].
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

// Revocations lists what was revoked after a position, oldest first, at most 1,000
// entries, with the reason and the actor of each. It is for audit pages and
// archives. Call it again with the last entry's Position until it returns no
// entries. Logouts, replaced sessions and replays are among them.
//
// The log keeps an entry only as long as an older cookie could still be good, some
// [Config.Access] and the leeway. If you need entries for longer, copy them in
// time, or record events of [KindRevoked] and [KindEnded].
func (s *Sessions[T]) Revocations(ctx context.Context, after store.Position) ([]store.Entry, error) {
	return s.node.Entries(ctx, after)
}
