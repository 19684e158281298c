package wafer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/store"
)

// Handler finds the session of each request and attaches it to the request's
// context, for [Sessions.Get] and for the calls that change a session. If a
// refresh is due, Handler refreshes the session and writes its new cookies.
//
// Handler never answers a request itself. An anonymous request reaches h, and so
// does one that cannot be judged because the store is down: public pages stay up.
// Handler does not wrap the ResponseWriter.
func (s *Sessions[T]) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, _ = s.Attach(w, r)
		h.ServeHTTP(w, r)
	})
}

// Require lets only requests with a session pass, and answers the others by
// [Sessions.Error]. It attaches the session if Handler has not done so.
func (s *Sessions[T]) Require(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, err := s.Attach(w, r)
		if err != nil {
			s.Error(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// RequireRecent is Require for actions that need a recent authentication, by
// [Sessions.Start] or [Sessions.Reauthenticate], at most d ago. It refuses older
// ones with [ErrReauthenticate]. A session in which somebody acts for the subject
// counts as older: see [Actor].
func (s *Sessions[T]) RequireRecent(d time.Duration) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return s.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session, err := s.Get(r.Context())
			if err == nil {
				h := session.header()
				if h.Actor.Text() != "" || s.config.Now().Sub(h.Authenticated) > d {
					err = ErrReauthenticate
				}
			}
			if err != nil {
				s.Error(w, r, err)
				return
			}
			h.ServeHTTP(w, r)
		}))
	}
}

// requireSubject is Require for what only the subject may do. It refuses a session in
// which somebody acts for the subject with ErrActor.
func (s *Sessions[T]) requireSubject(h http.Handler) http.Handler {
	return s.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := s.Get(r.Context())
		if err == nil {
			err = onlySubject(session.header())
		}
		if err != nil {
			s.Error(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	}))
}

// onlySubject returns ErrActor if somebody acts for the subject.
func onlySubject(h codec.Session) error {
	if h.Actor.Text() != "" {
		return ErrActor
	}
	return nil
}

// acting returns who acts in a session, for the entries of the log.
func acting(h codec.Session) string { return cmp.Or(h.Actor.Text(), h.Subject.Text()) }

// Attach is what Handler does, for routers that are not net/http handlers. It
// returns the request with its session attached, and the error that Get will
// return. A request that has its session attached already is returned unchanged.
func (s *Sessions[T]) Attach(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	if a := s.attached(r.Context()); a != nil {
		_, err := a.get()
		return r, err
	}
	var cookies gate.Cookies
	s.find(r.Header, &cookies)
	if s.bearer != nil && cookies.None() {
		if _, found := bearerToken(r.Header); found {
			return s.attachBearer(w, r)
		}
		w.Header().Add("Vary", "Authorization") // a token would change the response
	}
	now := s.config.Now()
	a := &attachment[T]{parent: r.Context(), owner: s}
	var c gate.Credentials
	found, err := s.gate.Judge(r.Context(), now, &cookies, &c)
	var session *Session[T]
	switch {
	case err != nil:
	case found == gate.Valid:
		session = &a.first
		session.content = c.Content
		session.show(&c.Cookie)
	case found == gate.Refreshable:
		session, err = s.resume(w, r, now, &c)
	}
	if session == nil && err == nil {
		err = ErrNoSession
	}
	a.none = err
	if session != nil {
		session.readOnly = upgrades(r)
		a.current.Store(session)
		privateBy(w.Header(), &a.values)
	} else {
		vary(w.Header())
	}
	return a.request(r), err
}

// Check decides what session a request has, by its cookies alone. It writes
// nothing and refreshes nothing. The error matches [ErrNoSession], and
// [ErrExpired] too if a refresh is due, whatever that would find; or
// [ErrUnavailable].
func (s *Sessions[T]) Check(r *http.Request) (*Session[T], error) {
	var c gate.Credentials
	var cookies gate.Cookies
	s.find(r.Header, &cookies)
	found, err := s.gate.Judge(r.Context(), s.config.Now(), &cookies, &c)
	switch {
	case err != nil:
		return nil, err
	case found == gate.Valid:
		session := &Session[T]{content: c.Content}
		session.show(&c.Cookie)
		return session, nil
	case found == gate.Refreshable:
		return nil, fmt.Errorf("%w: %w", ErrNoSession, ErrExpired)
	}
	return nil, ErrNoSession
}

// upgrades reports whether the request asks for another protocol. Libraries that
// answer such requests drop the response's cookies. Some clients offer h2c with
// every request, and servers that do not speak it answer as usual.
func upgrades(r *http.Request) bool {
	for _, to := range r.Header["Upgrade"] {
		if to != "" && !strings.EqualFold(to, "h2c") {
			return true
		}
	}
	return r.Method == http.MethodConnect
}

// attachment holds the session that Handler found for a request, and what the
// request has made of it since.
type attachment[T any] struct {
	context attachedContext[T]
	parent  context.Context
	owner   *Sessions[T]
	current atomic.Pointer[Session[T]]
	first   Session[T]         // current points to it at first; embedded to save an allocation
	none    error              // why current is nil
	bearer  bearerFlag         // whether the request is about an access token
	unsure  *codec.AccessToken // authentic, but in an outage nobody can say whether it is revoked
	ended   atomic.Bool        // End was called
	changes sync.Mutex         // held while a call changes the session
	values  privateValues      // of the response's header
	in      http.Request       // the attached request
}

// request returns the request with the attachment as its context. The request is
// embedded in the attachment to save an allocation.
func (a *attachment[T]) request(r *http.Request) *http.Request {
	a.context.attachment = a
	a.in = *r.WithContext(&a.context)
	return &a.in
}

// attachedContext is the context of an attached request. It stands between its
// users and the attachment because package fmt may follow one pointer, but not
// two, and the attachment contains the request with its cookies. It is embedded in
// the attachment to save an allocation.
type attachedContext[T any] struct{ attachment *attachment[T] }

// Deadline implements [context.Context].
func (c *attachedContext[T]) Deadline() (time.Time, bool) { return c.attachment.parent.Deadline() }

// Done implements [context.Context].
func (c *attachedContext[T]) Done() <-chan struct{} { return c.attachment.parent.Done() }

// Err implements [context.Context].
func (c *attachedContext[T]) Err() error { return c.attachment.parent.Err() }

// attachmentKey is the context key of the attachment of one Sessions.
type attachmentKey[T any] struct{ owner *Sessions[T] }

// Value implements [context.Context].
func (c *attachedContext[T]) Value(key any) any {
	if k, ok := key.(attachmentKey[T]); ok && k.owner == c.attachment.owner {
		return c.attachment
	}
	return c.attachment.parent.Value(key)
}

// Format keeps the request's values out of logs that print contexts.
func (c *attachedContext[T]) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// String returns the name that a derived context prints for this one.
func (c *attachedContext[T]) String() string { return "wafer.Attach" }

func (a *attachment[T]) get() (*Session[T], error) {
	if session := a.current.Load(); session != nil {
		return session, nil
	}
	if a.none == nil || a.ended.Load() {
		return nil, ErrNoSession
	}
	return nil, a.none
}

func (s *Sessions[T]) attached(ctx context.Context) *attachment[T] {
	a, _ := ctx.Value(attachmentKey[T]{s}).(*attachment[T])
	return a
}

// Get returns the session of a request that has passed Handler. After a Start or
// Save in the same request it is the new session. The error is [ErrNoSession] if
// the request is anonymous, and matches [ErrUnavailable] if nobody can say
// whether it is.
func (s *Sessions[T]) Get(ctx context.Context) (*Session[T], error) {
	a := s.attached(ctx)
	if a == nil {
		return nil, errNotAttached
	}
	return a.get()
}

// Error answers a request with the status that belongs to an error of this
// package: 401 no session, 403 authentication too old or not the subject, 409 conflict, 413 too
// large, 503 unavailable, 400 for an argument that no store accepts, 500 for any
// other error. All refusals with one status look the same.
//
// [Config.ErrorHandler] replaces the answer. Retry-After, Vary and Cache-Control
// are set before it is called. A 401 has a WWW-Authenticate only if the request
// was about an access token, since cookies are not a scheme of RFC 9110.
func (s *Sessions[T]) Error(w http.ResponseWriter, r *http.Request, err error) {
	bearer := noBearer
	if a := s.attached(r.Context()); a != nil {
		bearer = a.bearer.load()
	}
	private(w.Header())
	refuse(w, r, err, s.retry(), bearer, s.config.ErrorHandler)
}

// retry returns how long a client should wait after a 503. It is shorter than
// the grace, so that a client that waits is not mistaken for a thief.
func (s *Sessions[T]) retry() time.Duration { return s.config.Grace / 3 }

// retryAfter sets the Retry-After header, in whole seconds, at least 1.
func retryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(d/time.Second))))
}

// refuse answers a request with the status that belongs to err, by answer unless
// that is nil.
func refuse(w http.ResponseWriter, r *http.Request, err error, retry time.Duration, bearer bearerState, answer func(http.ResponseWriter, *http.Request, error)) {
	status := Status(err)
	if status == http.StatusServiceUnavailable {
		retryAfter(w, retry)
	}
	if challenge := bearer.challenge(status); challenge != "" {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if answer != nil {
		answer(w, r, err)
		return
	}
	http.Error(w, http.StatusText(status), status)
}

// Status returns the status code that belongs to an error of this package, as
// [Sessions.Error] sends it.
func Status(err error) int {
	switch {
	case errors.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrNoSession), errors.Is(err, ErrEnded):
		return http.StatusUnauthorized
	case errors.Is(err, ErrReauthenticate), errors.Is(err, ErrActor):
		return http.StatusForbidden
	case errors.Is(err, ErrConflict), errors.Is(err, ErrExpired), errors.Is(err, ErrNotBefore), errors.Is(err, ErrLimit):
		return http.StatusConflict
	case errors.Is(err, ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, store.ErrArgument):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
