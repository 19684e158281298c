package wafer

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/waferkit/wafer/store"
)

// Revocation says which sessions to end. The zero value names none and is an
// error.
type Revocation struct {
	Sessions []store.ID
	Subjects []string
	// Names ends the sessions that bear one of these, as given to [Names], and
	// also a login with one of them that is on its way.
	Names    []string
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
	names, err := hashed(r.Names)
	if err != nil {
		return 0, fmt.Errorf("wafer: Revoke: %w", err)
	}
	var last store.Position
	if len(names) == 0 || len(r.Sessions)+len(r.Subjects) > 0 || r.Everyone {
		last, err = s.node.Revoke(ctx, store.Revocation{
			Sessions: r.Sessions, Subjects: r.Subjects, Everyone: r.Everyone, Reason: r.Reason, Actor: r.Actor,
		})
		if err != nil {
			return last, err
		}
	}
	for _, name := range names {
		at, _, err := s.node.RevokeName(ctx, name, store.ID{}, r.Reason, r.Actor)
		if last = max(last, at); err != nil {
			return last, err
		}
	}
	return last, nil
}

// hashed returns the hashes of names in rising order, each once.
func hashed(handles []string) ([]store.Name, error) {
	names := make([]store.Name, len(handles))
	for i, handle := range handles {
		var err error
		if names[i], err = store.NameOf(handle); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(names, func(a, b store.Name) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(names), nil
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
	if err := store.CheckSubject(subject); err != nil {
		return nil, fmt.Errorf("wafer: Devices: %w", err)
	}
	families, _, err := s.node.Families(ctx, store.Query{Subject: subject, Limit: store.MaxLooked})
	if err != nil {
		return nil, err
	}
	devices := make([]Device, len(families))
	for i, f := range families {
		devices[i] = Device{
			ID: f.ID, Actor: f.Actor, Label: f.Label, Native: f.Native,
			Started: f.Started, Authenticated: f.Authenticated, Seen: f.Issued,
		}
	}
	return devices, nil
}

// Revocations lists what was revoked after an entry, oldest first, at most 1,000
// entries, with the reason and the actor of each. It is for audit pages and
// archives. Call it with the zero Cursor first, and again with the last entry's
// Cursor until it returns no entries. Logouts, replaced sessions and
// replays are among them.
//
// If the log no longer has the entry, because it went back or was dropped,
// Revocations begins again at the log's beginning.
//
// The log keeps an entry only as long as an older cookie could still be good, some
// [Config.Access] and the leeway. If you need entries for longer, copy them in
// time, or record events of [KindRevoked] and [KindEnded].
func (s *Sessions[T]) Revocations(ctx context.Context, after store.Cursor) ([]store.Entry, error) {
	return s.node.Entries(ctx, after)
}
