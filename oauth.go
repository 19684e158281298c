package wafer

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// maxForm bounds the forms that the endpoints read, in bytes.
const maxForm = 16 << 10

// The errors of RFC 6749 section 5.2.
const (
	invalidRequest       = "invalid_request"
	invalidGrant         = "invalid_grant"
	unsupportedGrantType = "unsupported_grant_type"
	// invalidTarget is of RFC 8707 section 2: no token may be minted for the
	// audience.
	invalidTarget = "invalid_target"
	// temporarilyUnavailable is of RFC 6749 section 4.1.2.1. The status is 503.
	temporarilyUnavailable = "temporarily_unavailable"
)

// oauthForm reads the form in the body of a POST. No parameter may come twice, and
// one without a value counts as absent (RFC 6749 section 3.2).
func oauthForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, errors.New("the body is no form")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return nil, fmt.Errorf("the parameter %q comes %d times", name, len(values))
		}
	}
	return r.PostForm, nil
}

// oauthError answers with an error of RFC 6749 section 5.2. The client learns only
// the code.
func (s *Sessions[T]) oauthError(w http.ResponseWriter, status int, code string) {
	if status == http.StatusServiceUnavailable {
		retryAfter(w, s.retry())
	}
	private(w.Header())
	writeJSON(w, status, map[string]string{"error": code})
}

// oauthRefuse answers a grant that failed.
func (s *Sessions[T]) oauthRefuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrUnavailable):
		s.oauthError(w, http.StatusServiceUnavailable, temporarilyUnavailable)
	default:
		s.oauthError(w, http.StatusBadRequest, invalidGrant)
	}
}

// tokenEndpoint mints an access token from a browser's session. It does not accept
// an access token instead, which could otherwise extend itself.
func (s *Sessions[T]) tokenEndpoint(w http.ResponseWriter, r *http.Request) {
	r, err := s.Attach(w, r)
	if err == nil && s.attached(r.Context()).bearer.load() != noBearer {
		err = ErrNoSession
	}
	if err != nil {
		s.Error(w, r, err)
		return
	}
	audience := s.config.Tokens.BrowserAudiences[0]
	if r.ContentLength != 0 {
		form, err := oauthForm(w, r)
		if err != nil {
			s.oauthError(w, http.StatusBadRequest, invalidRequest)
			return
		}
		if asked := form.Get("audience"); asked != "" {
			audience = asked
		}
	}
	if !slices.Contains(s.config.Tokens.BrowserAudiences, audience) {
		s.oauthError(w, http.StatusBadRequest, invalidTarget)
		return
	}
	session, err := s.Get(r.Context())
	var pair *TokenPair
	if err == nil {
		pair, err = s.tokenOf(r.Context(), session, audience)
	}
	if err != nil {
		s.Error(w, r, err)
		return
	}
	pair.WriteResponse(w)
}

func (s *Sessions[T]) tokenOf(ctx context.Context, session *Session[T], audience string) (*TokenPair, error) {
	claims, err := s.claimsOf(ctx, session)
	if err != nil {
		return nil, err
	}
	pair, err := s.mintAccess(s.config.Now(), session, audience, claims)
	if err != nil {
		return nil, s.unavailableUnless(ErrNoSession, session.id(), err)
	}
	return pair, nil
}

func (s *Sessions[T]) refreshEndpoint(w http.ResponseWriter, r *http.Request) {
	form, err := oauthForm(w, r)
	if err != nil || form.Get("grant_type") == "" {
		s.oauthError(w, http.StatusBadRequest, invalidRequest)
		return
	}
	if form.Get("grant_type") != "refresh_token" {
		s.oauthError(w, http.StatusBadRequest, unsupportedGrantType)
		return
	}
	if form.Get("refresh_token") == "" {
		s.oauthError(w, http.StatusBadRequest, invalidRequest)
		return
	}
	audience := form.Get("audience")
	if audience == "" {
		audience = s.config.Tokens.Audience
	}
	if audience != s.config.Tokens.Audience && !slices.Contains(s.config.Tokens.Audiences, audience) {
		s.oauthError(w, http.StatusBadRequest, invalidTarget)
		return
	}
	pair, err := s.refreshNative(r.Context(), form.Get("refresh_token"), audience)
	if err != nil {
		s.oauthRefuse(w, err)
		return
	}
	pair.WriteResponse(w)
}

// revokeEndpoint ends the session of a refresh token, of a browser or a native
// client, or of an access token (RFC 7009). A token that is not good gets the same
// answer as one that is (section 2.2).
func (s *Sessions[T]) revokeEndpoint(w http.ResponseWriter, r *http.Request) {
	form, err := oauthForm(w, r)
	if err != nil || form.Get("token") == "" {
		s.oauthError(w, http.StatusBadRequest, invalidRequest)
		return
	}
	session, err := s.sessionOf(r.Context(), form.Get("token"))
	if err == nil {
		err = s.node.End(r.Context(), "revoked by its client", session.actor, session.id)
	}
	private(w.Header())
	if errors.Is(err, ErrUnavailable) {
		s.oauthError(w, http.StatusServiceUnavailable, temporarilyUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// named is the session that an authentic token names.
type named struct {
	id    store.ID
	actor string // who acts in it; "" if unknown
}

func (s *Sessions[T]) sessionOf(ctx context.Context, token string) (named, error) {
	if strings.HasPrefix(token, codec.RefreshPrefix) {
		t, err := s.refreshTokens.Parse(ctx, s.config.Now(), token)
		if err != nil {
			return named{}, ErrNoSession
		}
		return named{id: store.ID(t.Family)}, nil
	}
	t, err := s.bearerForAnyAudience.Token(ctx, token)
	if t == nil {
		return named{}, err
	}
	// In an outage too: an authentic token is enough to end its session.
	return named{store.ID(t.Session), acting(tokenHeader(t))}, nil
}

// jwksAge is for how long caches may keep the key set. A key is published at least
// [keyring.Lead], an hour, before it signs.
const jwksAge = 5 * time.Minute

func (s *Sessions[T]) jwksEndpoint(w http.ResponseWriter, r *http.Request) {
	set, err := s.access.JWKS(s.config.Now())
	if err != nil {
		s.Error(w, r, err)
		return
	}
	b, err := set.MarshalJSON()
	if err != nil {
		s.Error(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	if w.Header()["Set-Cookie"] == nil { // by a Handler around this one
		w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(jwksAge/time.Second)))
	}
	w.Write(b)
}

// inactive is the answer about every token that is not good (RFC 7662 section 2.2).
var inactive = map[string]any{"active": false}

// introspectEndpoint says whether a token is active (RFC 7662). It changes nothing.
func (s *Sessions[T]) introspectEndpoint(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm) // the hook may read the form
	if !s.config.Tokens.Introspect(r) {
		private(w.Header())
		http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
		return
	}
	form, err := oauthForm(w, r)
	if err != nil || form.Get("token") == "" {
		s.oauthError(w, http.StatusBadRequest, invalidRequest)
		return
	}
	answer, err := s.introspect(r.Context(), form.Get("token"))
	if errors.Is(err, ErrUnavailable) {
		s.oauthError(w, http.StatusServiceUnavailable, temporarilyUnavailable)
		return
	}
	if err != nil {
		answer = inactive
	}
	private(w.Header())
	writeJSON(w, http.StatusOK, answer)
}

func (s *Sessions[T]) introspect(ctx context.Context, token string) (map[string]any, error) {
	if strings.HasPrefix(token, codec.RefreshPrefix) {
		return s.introspectRefresh(ctx, token)
	}
	t, err := s.bearerForAnyAudience.Token(ctx, token)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"active": true, "token_type": "Bearer", "client_id": t.ClientID, "sub": t.Subject.Text(), "sid": store.ID(t.Session),
		"iss": t.Issuer, "aud": t.Audience, "jti": t.ID,
		"exp": t.Expires.Unix(), "iat": t.Issued.Unix(), "auth_time": t.Authenticated.Unix(),
	}
	if scope := t.Scope.Text(); scope != "" {
		answer["scope"] = scope
	}
	acted(answer, t.Actor.Text(), t.Methods.Text(), t.Level.Text())
	return answer, nil
}

// introspectRefresh judges a refresh token without presenting it: a replay ends
// nothing here.
func (s *Sessions[T]) introspectRefresh(ctx context.Context, token string) (map[string]any, error) {
	t, err := s.refreshTokens.Parse(ctx, s.config.Now(), token)
	if err != nil {
		return nil, ErrNoSession
	}
	id := store.ID(t.Family)
	snap, err := s.node.Family(ctx, id)
	if err != nil {
		return nil, err
	}
	f := &snap.Family
	policy := s.config.policy()
	verdict, _ := policy.Judge(refresh.Request{Family: id, Generation: t.Generation, Copy: t.Copy, Native: f.Native, Key: f.Key, Basis: store.MaxPosition}, snap)
	if verdict == refresh.Refuse || verdict == refresh.Replay || verdict == refresh.Ahead || s.node.Dead(f) {
		return nil, ErrNoSession
	}
	if err := s.node.Verify(ctx, f); errors.Is(err, ErrEnded) {
		return nil, ErrNoSession
	} else if err != nil {
		return nil, err
	}
	deadline := f.IdleDeadline()
	if f.Deadline().Before(deadline) {
		deadline = f.Deadline()
	}
	answer := map[string]any{
		"active": true, "sub": f.Subject, "sid": f.ID,
		"iat": f.Issued.Unix(), "exp": deadline.Unix(), "auth_time": f.Authenticated.Unix(),
	}
	acted(answer, f.Actor, f.Methods, f.Level)
	return answer, nil
}

// acted adds to an answer who acts for the subject (RFC 8693 section 4.1), and how and
// how strongly the user authenticated (RFC 9068 section 2.2.1), where that is known.
func acted(answer map[string]any, actor, methods, level string) {
	if actor != "" {
		answer["act"] = map[string]string{"sub": actor}
	}
	if methods != "" {
		answer["amr"] = strings.Fields(methods)
	}
	if level != "" {
		answer["acr"] = level
	}
}
