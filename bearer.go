package wafer

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/waferkit/wafer/codec"
)

// Bearer lets only requests with an access token pass (RFC 6750 section 2.1:
// the header "Authorization: Bearer"). It looks at the token alone, whatever
// cookies come beside it. The others are answered by [Sessions.Error], with
// the challenge of RFC 6750 section 3. h, and Require inside of it, sees the
// session as a cookie would show it, but without Data; it can be ended, and not
// saved to.
//
// Handler and Require take an access token too, where the request has none of
// the session's cookies. Such a route must still be protected from requests of
// other sites, for the cookies' sake.
func (s *Sessions[T]) Bearer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, err := s.attachBearer(w, r)
		if err != nil {
			s.Error(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// attachBearer is Attach by the access token alone.
func (s *Sessions[T]) attachBearer(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	if a := s.attached(r.Context()); a != nil && a.bearer.load() != noBearer {
		_, err := a.get()
		return r, err
	}
	a := &attachment[T]{Context: r.Context(), owner: s}
	a.bearer.store(absentBearer)
	w.Header().Add("Vary", "Authorization")
	if s.bearer == nil {
		a.none = errNoTokens
		return a.request(r), a.none
	}
	token, found := bearerToken(r.Header)
	if !found {
		a.none = ErrNoSession
		return a.request(r), a.none
	}
	a.bearer.store(presentBearer)
	access, err := s.bearer.Token(r.Context(), token)
	if err != nil {
		a.none, a.unsure = err, access
		return a.request(r), err
	}
	bearerSession(&a.first, access)
	a.current.Store(&a.first)
	privateBy(w.Header(), &a.values)
	return a.request(r), nil
}

// bearerSession sets a session to what an access token says.
func bearerSession[T any](session *Session[T], t *codec.AccessToken) {
	session.readOnly, session.access = true, t
	h := tokenHeader(t)
	session.show(&h)
}

// tokenHeader is what an access token says of a session. It knows no limits of
// the session but its own.
func tokenHeader(t *codec.AccessToken) codec.Session {
	return codec.Session{
		ID: t.Session, Subject: t.Subject, Position: t.Position,
		Issued: t.Issued, Access: t.Expires, Idle: t.Expires, Absolute: t.Expires, Authenticated: t.Authenticated,
	}
}

// bearerState is what an attachment knows of access tokens.
type bearerState uint8

const (
	noBearer bearerState = iota // it is about cookies
	absentBearer
	presentBearer
)

// bearerFlag is a bearerState that a Start in the same request may change.
type bearerFlag struct{ value atomic.Uint32 }

func (f *bearerFlag) load() bearerState   { return bearerState(f.value.Load()) }
func (f *bearerFlag) store(s bearerState) { f.value.Store(uint32(s)) }

// challenge is the WWW-Authenticate of a refusal. One without a token names no
// error (RFC 6750 section 3.1).
func (b bearerState) challenge(status int) string {
	switch {
	case b == noBearer || status != http.StatusUnauthorized:
		return ""
	case b == absentBearer:
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

// bearerToken returns the request's access token. Several are none: what stands
// between the client and this server might have looked at another.
func bearerToken(header http.Header) (token string, found bool) {
	values := header["Authorization"]
	if len(values) == 0 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	if len(values) > 1 {
		return "", true
	}
	return strings.TrimLeft(token, " "), true
}

// Scope returns what the request's access token is good for; "" of a session
// by cookie.
func (s *Session[T]) Scope() string {
	if s.access == nil {
		return ""
	}
	return s.access.Scope
}

// Claims decodes the application's own claims of the request's access token
// into a struct or map, by encoding/json. Of a session by cookie, or a token
// without such claims, it changes nothing.
func (s *Session[T]) Claims(into any) error {
	if s.access == nil || s.access.Claims == nil {
		return nil
	}
	return json.Unmarshal(s.access.Claims, into)
}
