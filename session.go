package wafer

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/hidden"
	"github.com/waferkit/wafer/store"
)

// Session is one login on one device, as one request sees it. It is immutable and
// safe for concurrent use. Save, Commit and the other calls that change a session
// give the request a new one.
type Session[T any] struct {
	// ID names the session for as long as it lives. It is not a secret: it opens
	// nothing.
	ID store.ID
	// Subject names the user whose session it is.
	Subject string
	// Started is the time of the login. Renew keeps it. It is zero for a request
	// with an access token, which does not have it.
	Started time.Time
	// Authenticated is the time of the user's last authentication.
	Authenticated time.Time
	// Actor acts for the subject, as given to the option [Actor]. It is empty if the
	// subject acts.
	Actor string
	// Level says how strongly the user authenticated, as given to the option
	// [Level]. It is empty if that is not known.
	Level string

	// Exactly one of these is set, and it is authoritative. The exported fields
	// are copies; a handler that modifies them changes nothing.
	content codec.Content      // of the request's cookie
	minted  *minted            // by this request
	access  *codec.AccessToken // of the request
	// readOnly is set if the response cannot carry cookies: to an upgrade or a
	// bearer token.
	readOnly bool
}

// minted is a session that is in no cookie of the request.
type minted struct {
	header codec.Session
	data   hidden.Bytes // in CBOR; nil if no data could be carried over
}

func newSession[T any](header codec.Session, data []byte) *Session[T] {
	s := &Session[T]{minted: &minted{header, hidden.Hide(data)}}
	s.show(&header)
	return s
}

// show sets the exported fields.
func (s *Session[T]) show(h *codec.Session) {
	s.ID, s.Subject, s.Started, s.Authenticated = store.ID(h.ID), h.Subject.Text(), h.Started, h.Authenticated
	s.Actor, s.Level = h.Actor.Text(), h.Level.Text()
}

// header returns the header of the cookie or token. It is parsed at each call:
// most requests need only the exported fields, and each would have to hold it.
func (s *Session[T]) header() codec.Session {
	switch {
	case s.minted != nil:
		return s.minted.header
	case s.access != nil:
		return tokenHeader(s.access)
	}
	return s.content.Session()
}

// encoded returns the session's data in CBOR, or nil if no data could be carried
// over.
func (s *Session[T]) encoded() []byte {
	if s.minted != nil {
		return s.minted.data.Reveal()
	}
	return s.content.Data()
}

// Methods returns how the user authenticated, as given to the option [Methods]. It
// is empty if that is not known.
func (s *Session[T]) Methods() []string {
	h := s.header()
	return strings.Fields(h.Methods.Text())
}

func (s *Session[T]) id() store.ID { return store.ID(s.header().ID) }

// Data decodes the session's data into a new copy. Changes to it have no effect
// until they are saved. An error means that the data was saved as another type;
// the struct tags of package cbor show how to change T between releases.
func (s *Session[T]) Data() (T, error) {
	var data T
	b := s.encoded()
	if b == nil {
		return data, nil
	}
	err := codec.UnmarshalData(b, &data)
	return data, err
}

// Deadline returns when the session ends if it is not refreshed: the earlier of
// its idle and absolute deadlines.
func (s *Session[T]) Deadline() time.Time {
	h := s.header()
	return h.Deadline()
}

// Position returns the session's position in the log: revocations above it apply
// to the session.
func (s *Session[T]) Position() store.Position { return store.Position(s.header().Position) }

// Format prints the session's id for every verb, so no data reaches a log.
func (s Session[T]) Format(f fmt.State, _ rune) { io.WriteString(f, s.ID.String()) }

// LogValue logs the session's id alone.
func (s Session[T]) LogValue() slog.Value { return slog.StringValue(s.ID.String()) }

// Device is a living session, for a page "Where you are signed in".
type Device struct {
	ID            store.ID
	Actor         string // acts for the subject; empty if the subject acts
	Label         string // as given to [Label]
	Native        bool
	Started       time.Time
	Authenticated time.Time
	Seen          time.Time // the last login, refresh or replaced answer; not each request
}
