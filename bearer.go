package wafer

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/waferkit/wafer/codec"
)

// Bearer lets only requests with an access token pass (the header
// "Authorization: Bearer", RFC 6750 section 2.1). It ignores cookies. It answers
// all other requests by [Sessions.Error], with the challenge of RFC 6750 section 3.
// h, and Require inside it, get the session as from a cookie, but without Data. It
// can be ended and cannot be saved to.
//
// Handler and Require accept an access token too, if the request has none of the
// session's cookies. Such a route still needs protection from requests of other
// sites, since it accepts cookies.
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

// attachBearer is Attach for a request with an access token. It ignores cookies.
func (s *Sessions[T]) attachBearer(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	if a := s.attached(r.Context()); a != nil && a.bearer.load() != noBearer {
		_, err := a.get()
		return r, err
	}
	a := &attachment[T]{parent: r.Context(), owner: s}
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

// bearerSession sets a session to the content of an access token.
func bearerSession[T any](session *Session[T], t *codec.AccessToken) {
	session.readOnly, session.access = true, t
	h := tokenHeader(t)
	session.show(&h)
}

// tokenHeader returns the session header that an access token stands for. The
// token's expiry takes the place of the session's limits, which a token does not
// have.
func tokenHeader(t *codec.AccessToken) codec.Session {
	return codec.Session{
		ID: t.Session, Subject: t.Subject, Position: t.Position,
		Issued: t.Issued, Access: t.Expires, Idle: t.Expires, Absolute: t.Expires, Authenticated: t.Authenticated,
		Actor: t.Actor, Methods: t.Methods, Level: t.Level,
	}
}

// bearerState says whether a request is about an access token.
type bearerState uint8

const (
	noBearer     bearerState = iota // the request is about cookies
	absentBearer                    // a token was required, and there is none
	presentBearer
)

// bearerFlag holds a bearerState, which a Start in the same request may change.
type bearerFlag struct{ value atomic.Uint32 }

func (f *bearerFlag) load() bearerState   { return bearerState(f.value.Load()) }
func (f *bearerFlag) store(s bearerState) { f.value.Store(uint32(s)) }

// challenge returns the WWW-Authenticate of a refusal, or "". It names an error
// only if there was a token (RFC 6750 section 3.1).
func (b bearerState) challenge(status int) string {
	switch {
	case b == noBearer || status != http.StatusUnauthorized:
		return ""
	case b == absentBearer:
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

// bearerToken returns the request's access token. If the header comes more than
// once, the token is empty and will be refused: a proxy may have checked another.
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

// Scope returns the scope of the request's access token (RFC 6749 section 3.3). It
// is "" for a session by cookie.
func (s *Session[T]) Scope() string {
	if s.access == nil {
		return ""
	}
	return s.access.Scope.Text()
}

// Claims decodes the application's own claims of the request's access token into a
// struct or map, by encoding/json. It changes nothing if the session is by cookie
// or the token has no such claims.
func (s *Session[T]) Claims(into any) error {
	if s.access == nil || s.access.Claims.Text() == "" {
		return nil
	}
	return json.Unmarshal([]byte(s.access.Claims.Text()), into)
}
