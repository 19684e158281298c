package wafer

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// Session is one login on one device, as this request has it. It is an
// immutable view and safe for concurrent use; Save, Commit and the others give
// the request a new one.
type Session[T any] struct {
	// ID names the session for as long as it lives. It is no secret: it opens
	// nothing.
	ID store.ID
	// Subject is whose session it is.
	Subject string
	// Started is the login. Renew keeps it. An access token does not tell: zero.
	Started time.Time
	// Authenticated is when the user last proved who they are.
	Authenticated time.Time

	// One of them says what the session is. Calls that change it go by that:
	// the exported fields are a view, which a handler may change.
	content codec.Content      // of the request's cookie
	minted  *minted            // by this request
	access  *codec.AccessToken // of the request
	// readOnly: the request cannot carry an answer (an upgrade, a bearer token).
	readOnly bool
}

// minted is a session that is in no cookie of the request.
type minted struct {
	header codec.Session
	data   []byte // in CBOR; nil: none could be carried
}

func newSession[T any](header codec.Session, data []byte) *Session[T] {
	s := &Session[T]{minted: &minted{header, data}}
	s.show(&header)
	return s
}

// show sets the fields that a handler sees.
func (s *Session[T]) show(h *codec.Session) {
	s.ID, s.Subject, s.Started, s.Authenticated = store.ID(h.ID), h.Subject, h.Started, h.Authenticated
}

// header is what the cookie says, or the token. It is read anew each time:
// most requests need no more than is shown, and each would have to keep it.
func (s *Session[T]) header() codec.Session {
	switch {
	case s.minted != nil:
		return s.minted.header
	case s.access != nil:
		return tokenHeader(s.access)
	}
	return s.content.Session()
}

// encoded is the session's data in CBOR; nil: none could be carried.
func (s *Session[T]) encoded() []byte {
	if s.minted != nil {
		return s.minted.data
	}
	return s.content.Data()
}

func (s *Session[T]) id() store.ID { return store.ID(s.header().ID) }

// Data decodes the session's data into a fresh copy; changing it changes
// nothing until it is saved. An error means that the data was saved as another
// type: see the tags of package cbor for how to change T between releases.
func (s *Session[T]) Data() (T, error) {
	var data T
	b := s.encoded()
	if b == nil {
		return data, nil
	}
	err := codec.UnmarshalData(b, &data)
	return data, err
}

// Deadline returns when the session ends unless it is refreshed before: the
// earlier of its idle and absolute deadlines.
func (s *Session[T]) Deadline() time.Time {
	h := s.header()
	return h.Deadline()
}

// Position returns the place in the log that the session is judged from.
func (s *Session[T]) Position() store.Position { return store.Position(s.header().Position) }

// Format prints the session's id for every verb, so that no data reaches a log.
func (s Session[T]) Format(f fmt.State, _ rune) { io.WriteString(f, s.ID.String()) }

// LogValue logs the session's id alone.
func (s Session[T]) LogValue() slog.Value { return slog.StringValue(s.ID.String()) }

// Device is a living session, for a page "where you are signed in".
type Device struct {
	ID            store.ID
	Label         string // as given to [Label]
	Native        bool
	Started       time.Time
	Authenticated time.Time
	Seen          time.Time // the last login, refresh or forgiven answer; not each request
}
