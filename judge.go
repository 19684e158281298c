package wafer

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// finding is what is to be done about a request, before anything is done.
type finding uint8

const (
	// anonymous: there is no session, and no refresh would change that.
	anonymous finding = iota
	// present: the session cookie is good.
	present
	// due: the session cookie is no good, and the refresh token decides.
	due
)

// judge decides what a request's credentials are worth. It refreshes and
// writes nothing; it asks the store only where the replica cannot answer, or
// the request mixes two sessions. The error is an outage.
func (s *Sessions[T]) judge(ctx context.Context, now time.Time, header http.Header, c *credentials) (finding, error) {
	keys := s.ring.Set()
	s.readCookie(ctx, now, header, c)
	if !s.ownTokens(c) {
		s.readToken(ctx, now, c)
	}
	if c.mixed() {
		living, err := s.living(ctx, store.ID(c.cookie.ID))
		if err != nil {
			return anonymous, err
		}
		if living {
			// Two living sessions in one jar: somebody put one there. To pick
			// either would be a silent change of user.
			s.refuse(store.ID(c.token.Family), reasonMixed)
			return anonymous, nil
		}
		// A late answer from before a login or Renew: as if it were absent.
		c.hasCookie = false
		return due, nil
	}
	if c.hasCookie {
		if c.reloaded || s.ring.Set() != keys {
			now = s.config.Now() // there was a wait, and the list may have grown stale
		}
		good, err := s.good(ctx, now, &c.cookie)
		// Whoever has a leaked key seals at any position. The ring is reloaded
		// before an entry is applied that revokes everyone: where that came in
		// between, the cookie must open after it too.
		if good && s.ring.Set() != keys {
			var again credentials
			s.readCookie(ctx, now, header, &again)
			good = again.hasCookie && again.cookie == c.cookie
		}
		if good || err != nil {
			return present, err
		}
	}
	s.readToken(ctx, now, c)
	if c.hasToken {
		return due, nil
	}
	return anonymous, nil
}

// inTime says which limit of time a session cookie is past, or "".
func (s *Sessions[T]) inTime(now time.Time, c *codec.Session) string {
	switch {
	case c.Issued.After(now.Add(s.config.leeway())):
		return "issued in the future"
	case now.Before(c.Expires(s.config.Access)):
		return ""
	case !now.Before(c.Deadline()):
		return "past the session's limits"
	}
	return "past the access lifetime"
}

// good reports whether an authentic session cookie is good now. The error is an
// outage.
func (s *Sessions[T]) good(ctx context.Context, now time.Time, c *codec.Session) (bool, error) {
	if late := s.inTime(now, c); late != "" {
		s.refuse(store.ID(c.ID), late)
		return false, nil
	}
	id, at := store.ID(c.ID), store.Position(c.Position)
	verdict, err := s.node.Decide(ctx, now, id, c.Subject, at)
	if err != nil {
		return false, s.node.Unavailable(id, err)
	}
	switch verdict {
	case revocation.Good:
		return true, nil
	case revocation.Behind:
		s.config.Observe(Event{Kind: KindAlarm, Session: id, Position: at, Reason: "a cookie is ahead of the store's log: the store went back in time"})
	default:
		s.refuse(id, verdict.String())
	}
	return false, nil
}

// reasonMixed is a refusal that an operator should see.
const reasonMixed = "cookies of two living sessions"

func (s *Sessions[T]) refuse(id store.ID, reason string) {
	s.config.Observe(Event{Kind: KindRefused, Session: id, Reason: reason})
}

// living asks the store whether a family is alive and within its limits.
func (s *Sessions[T]) living(ctx context.Context, id store.ID) (bool, error) {
	snap, err := s.node.Family(ctx, id)
	if err != nil {
		return false, err
	}
	return snap.State == store.Alive && !snap.Family.Past(snap.Now), nil
}

// Check decides what session a request has. It writes nothing and refreshes
// nothing. It looks at cookies alone. The error matches [ErrNoSession], and [ErrExpired] too where a
// refresh would be due, whatever that would find; or [ErrUnavailable].
func (s *Sessions[T]) Check(r *http.Request) (*Session[T], error) {
	var c credentials
	found, err := s.judge(r.Context(), s.config.Now(), r.Header, &c)
	switch {
	case err != nil:
		return nil, err
	case found == present:
		session := &Session[T]{content: c.content}
		session.show(&c.cookie)
		return session, nil
	case found == due:
		return nil, fmt.Errorf("%w: %w", ErrNoSession, ErrExpired)
	}
	return nil, ErrNoSession
}

// upgrades reports whether the request asks for another protocol. Libraries
// that answer those drop the cookies of the response. (h2c is what some clients
// offer with every request; servers that do not know it answer as ever.)
func upgrades(r *http.Request) bool {
	for _, to := range r.Header["Upgrade"] {
		if to != "" && !strings.EqualFold(to, "h2c") {
			return true
		}
	}
	return r.Method == http.MethodConnect
}
