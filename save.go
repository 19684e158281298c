package wafer

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/resume"
	"github.com/waferkit/wafer/store"
)

// Save seals new data into the session cookie. It makes no store call, so the last
// of several saves wins. The session's owner can put back any value that was
// sealed since the refresh before last; until the answer to the last refresh is
// used, since the refresh before that. Use [Sessions.Commit] for data that must not
// be put back, such as a coupon that was spent.
//
// Errors: [ErrTooLarge]; [ErrExpired] if the handler took longer than the cookie's
// own lifetime; [ErrNoSession]; [ErrUnavailable]. After an error no cookie was
// written.
func (s *Sessions[T]) Save(w http.ResponseWriter, r *http.Request, data T) error {
	a, current, done, err := s.change(r.Context())
	if err != nil {
		return err
	}
	defer done()
	header := current.header()
	b, err := s.encode(&header, data)
	if err != nil {
		return err
	}
	now := s.config.Now()
	if !now.Before(header.Expires(s.config.Access)) {
		return ErrExpired
	}
	// The engine's clock set the deadline, and this node's may be ahead of it. The
	// cookie must not die before the refresh token.
	return s.rewrite(w, a, resume.Session{Header: header, Data: b, At: now.Add(-s.config.Skew)})
}

// Commit is the save that cannot be rolled back. The store keeps the sealed data
// with the session (up to 4 KB), and every earlier cookie is out of date in the
// same step. Whatever the browser then loses, mixes up or puts back, the session
// goes on from the last committed data. Earlier access tokens are out of date too;
// their clients refresh.
//
// Errors: [ErrConflict] if another request committed after this request's cookie
// was sealed, so two tabs cannot lose each other's update; [ErrEnded];
// [ErrTooLarge]; [ErrExpired] in an upgrade; [ErrNoSession]; [ErrUnavailable],
// after which the data may be committed or not. After an error no cookie was
// written.
func (s *Sessions[T]) Commit(w http.ResponseWriter, r *http.Request, data T) error {
	a, current, done, err := s.change(r.Context())
	if err != nil {
		return err
	}
	defer done()
	h := current.header()
	id := store.ID(h.ID)
	b, err := s.encode(&h, data)
	if err != nil {
		return err
	}
	value, err := s.commits.Seal(s.config.Now(), h.ID, b)
	if errors.Is(err, codec.ErrLength) {
		return fmt.Errorf("%w: %d bytes are %d too many to commit", ErrTooLarge, len(b), len(b)-codec.MaxCommit)
	}
	if err != nil {
		return s.node.Unavailable(id, err)
	}
	snap, err := s.node.Commit(r.Context(), store.Commit{
		ID: id, Basis: store.Position(h.Position), Value: value, Actor: acting(h),
	})
	if err != nil {
		return err
	}
	return s.rewriteAt(w, a, snap, h, b)
}
