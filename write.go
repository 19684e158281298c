package wafer

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/resume"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// resume continues a session by its refresh token and writes its cookies. If the
// request asks for an upgrade, it writes nothing.
func (s *Sessions[T]) resume(w http.ResponseWriter, r *http.Request, now time.Time, c *gate.Credentials) (*Session[T], error) {
	if upgrades(r) {
		resumed, err := s.resumer.Look(r.Context(), now, c)
		if err != nil {
			return nil, err
		}
		return newSession[T](resumed.Header, resumed.Data), nil
	}
	resumed, err := s.resumer.Refresh(r.Context(), now, c)
	if err != nil {
		return nil, err
	}
	if err := s.write(w, now, &resumed); err != nil {
		return nil, err
	}
	s.config.Observe(Event{Kind: KindRefreshed, Session: store.ID(resumed.Header.ID), Reason: resumed.How, Lost: resumed.Lost})
	return newSession[T](resumed.Header, resumed.Data), nil
}

// reload calls the application's Reload and encodes what it returns.
func (s *Sessions[T]) reload(ctx context.Context, header codec.Session, data []byte) ([]byte, error) {
	fresh, err := s.config.Reload(ctx, newSession[T](header, data))
	if err != nil {
		return nil, fmt.Errorf("wafer: Config.Reload: %w", err)
	}
	return codec.MarshalData(fresh)
}

// begun writes the cookies of a family that was just created.
func (s *Sessions[T]) begun(w http.ResponseWriter, a *attachment[T], kind Kind, snap store.Snapshot, data []byte) error {
	now := s.config.Now()
	begun := resume.Session{Header: s.mint(now, snap), Data: data, Token: refresh.Newest(&snap.Family), At: snap.Now}
	if err := s.write(w, now, &begun); err != nil {
		return err
	}
	if a != nil {
		a.current.Store(newSession[T](begun.Header, data))
		a.bearer.store(noBearer) // the request is about cookies from here on
	}
	s.config.Observe(Event{Kind: kind, Session: snap.Family.ID, Position: snap.Entry})
	return nil
}

// rewriteAt is rewrite at the position of the entry that the store has just
// appended for the family.
func (s *Sessions[T]) rewriteAt(w http.ResponseWriter, a *attachment[T], snap store.Snapshot, header codec.Session, data []byte) error {
	header.Position = uint64(snap.Entry)
	return s.rewrite(w, a, resume.Session{Header: header, Data: data, At: snap.Now})
}

// rewrite writes the session cookie alone: the refresh token stays as it is.
func (s *Sessions[T]) rewrite(w http.ResponseWriter, a *attachment[T], changed resume.Session) error {
	if err := s.write(w, s.config.Now(), &changed); err != nil {
		return err
	}
	a.current.Store(newSession[T](changed.Header, changed.Data))
	return nil
}

// write seals a session and writes its cookie, and its refresh token if the
// browser does not have it. Max-Age counts from the engine's time, which set the
// deadlines: a node whose clock is ahead must not make the browser drop cookies
// early. The error matches ErrUnavailable.
func (s *Sessions[T]) write(w http.ResponseWriter, now time.Time, c *resume.Session) error {
	value, err := s.cookies.Seal(now, &c.Header, c.Data)
	var token string
	anew := c.Token != codec.RefreshToken{}
	if err == nil && anew {
		token, err = s.refreshTokens.Mint(now, c.Token)
	}
	if err != nil {
		return s.node.Unavailable(store.ID(c.Header.ID), err)
	}
	deadline := c.Header.Deadline()
	if anew {
		s.setCookie(w, s.config.RefreshCookie, token, c.At, deadline)
	}
	s.setCookie(w, s.config.SessionCookie, value, c.At, deadline)
	return nil
}
