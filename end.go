package wafer

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// End is logout: it deletes the cookies in the browser, refuses the session on
// this node at once, and ends it in the store. It finds the session by either
// cookie, expired or not, and needs none. An error matches [ErrUnavailable] and
// says that the store did not take it: the logout is in force on this node and
// is tried again until the store takes it, but the answer should be 503.
func (s *Sessions[T]) End(w http.ResponseWriter, r *http.Request) error {
	a, done := s.changing(r.Context())
	defer done()
	if a != nil && a.bearer.load() != noBearer {
		return s.endBearer(r.Context(), a)
	}
	now := s.config.Now()
	cookies := s.find(r.Header)
	c := s.gate.Read(r.Context(), now, &cookies)
	named := c.Families()
	ids, at, actor := named[:], c.Position(), c.Cookie.Subject
	if a != nil {
		// The session that this request began or renewed is in no cookie yet.
		if current := a.current.Swap(nil); current != nil {
			ids, at, actor = append(ids, current.id()), max(at, current.Position()), current.header().Subject
		}
		a.ended.Store(true)
	}
	s.setCookie(w, s.config.SessionCookie, "", now, time.Time{})
	s.setCookie(w, s.config.RefreshCookie, "", now, time.Time{})
	slices.SortFunc(ids, func(a, b store.ID) int { return slices.Compare(a[:], b[:]) })
	ids = slices.DeleteFunc(slices.Compact(ids), store.ID.IsZero)
	if len(ids) == 0 {
		return nil
	}
	return s.node.End(r.Context(), at, "logout", actor, ids...)
}

// endBearer ends the session of an access token, and looks at no cookie.
// A token that is not good names no session: then it returns why. In an outage
// an authentic one does.
func (s *Sessions[T]) endBearer(ctx context.Context, a *attachment[T]) error {
	current := a.current.Swap(nil)
	ended := a.ended.Swap(true)
	switch t := a.unsure; {
	case current != nil:
		return s.node.End(ctx, current.Position(), "logout", current.header().Subject, current.id())
	case ended:
		return nil // ended before, in this request
	case t != nil:
		return s.node.End(ctx, store.Position(t.Position), "logout", t.Subject, store.ID(t.Session))
	}
	return a.none
}

// EndOthers is "log out everywhere else": it revokes every session of the
// subject but this one, and re-issues this session's cookie.
//
// Errors: [ErrEnded] if this session is itself dead by now, as when a thief was
// faster: the others are revoked all the same; [ErrConflict] if it was
// committed since this request's cookie, and nothing was revoked; [ErrExpired]
// in an upgrade; [ErrNoSession]; [ErrUnavailable].
func (s *Sessions[T]) EndOthers(w http.ResponseWriter, r *http.Request) error {
	a, current, done, err := s.change(r.Context())
	if err != nil {
		return err
	}
	defer done()
	survivor := store.Rebirth{ID: current.id(), Basis: current.Position()}
	snap, err := s.node.EndOthers(r.Context(), current.header().Subject, survivor, "logged out everywhere else")
	if err != nil {
		return err
	}
	return s.rewriteAt(w, a, snap, current.header(), current.encoded())
}

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
