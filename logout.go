package wafer

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/store"
)

// End is logout: it deletes the cookies in the browser, refuses the session on
// this node at once, and ends it in the store. It finds the session by either
// cookie, expired or not, and does nothing if there is none. An error matches
// [ErrUnavailable]: the store did not take the logout. It is in force on this
// node and is tried again until the store takes it, but answer with a 503.
func (s *Sessions[T]) End(w http.ResponseWriter, r *http.Request) error {
	a, done := s.changing(r.Context())
	defer done()
	if a != nil && a.bearer.load() != noBearer {
		return s.endBearer(r.Context(), a)
	}
	now := s.config.Now()
	var cookies gate.Cookies
	s.find(r.Header, &cookies)
	c := s.gate.Read(r.Context(), now, &cookies)
	named := c.Families()
	ids, actor := named[:], acting(c.Cookie)
	if a != nil {
		// The session that this request began or renewed is in no cookie yet.
		if current := a.current.Swap(nil); current != nil {
			h := current.header()
			ids, actor = append(ids, store.ID(h.ID)), acting(h)
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
	return s.node.End(r.Context(), "logout", actor, ids...)
}

// endBearer ends the session of the request's access token and ignores its
// cookies. A token that is not good names no session, and endBearer returns why;
// but in an outage an authentic token is enough.
func (s *Sessions[T]) endBearer(ctx context.Context, a *attachment[T]) error {
	current := a.current.Swap(nil)
	ended := a.ended.Swap(true)
	switch t := a.unsure; {
	case current != nil:
		h := current.header()
		return s.node.End(ctx, "logout", acting(h), store.ID(h.ID))
	case ended:
		return nil // an earlier call of this request did it
	case t != nil:
		return s.node.End(ctx, "logout", acting(tokenHeader(t)), store.ID(t.Session))
	}
	return a.none
}

// EndOthers is "log out everywhere else": it revokes every session of the
// subject but this one, and re-issues this session's cookie.
//
// Errors: [ErrEnded] if this session is dead itself, because a thief was faster:
// the others are revoked all the same; [ErrConflict] if the session was committed
// after this request's cookie was sealed, and nothing was revoked; [ErrActor];
// [ErrExpired] in an upgrade; [ErrNoSession]; [ErrUnavailable].
func (s *Sessions[T]) EndOthers(w http.ResponseWriter, r *http.Request) error {
	a, current, done, err := s.change(r.Context())
	if err != nil {
		return err
	}
	defer done()
	h := current.header()
	if err := onlySubject(h); err != nil {
		return err
	}
	survivor := store.Rebirth{ID: store.ID(h.ID), Basis: store.Position(h.Position)}
	snap, err := s.node.EndOthers(r.Context(), h.Subject.Text(), survivor, "logged out everywhere else")
	if err != nil {
		return err
	}
	return s.rewriteAt(w, a, snap, h, current.encoded())
}
