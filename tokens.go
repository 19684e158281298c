package wafer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/bearer"
	"github.com/waferkit/wafer/internal/hidden"
	"github.com/waferkit/wafer/store"
)

// TokenConfig configures access tokens: JWTs for APIs (RFC 9068), signed by keys
// that are derived from the ring.
type TokenConfig[T any] struct {
	// Issuer is the iss of every token, such as "https://shop.example".
	// Required; 1 to 255 bytes.
	Issuer string
	// Audience names this application's own API. [Sessions.Bearer] accepts tokens
	// for this audience only, and tokens are minted for it unless the client asks
	// for another. Required; 1 to 255 bytes.
	Audience string
	// Audiences names the other services for which a client may get tokens. Each
	// token is for one service, so no service can use it against another.
	Audiences []string
	// BrowserAudiences are those of Audience and Audiences for which a browser's
	// session may get tokens at POST token. The first is the default. Empty, which
	// is the default, turns that endpoint off: a token that a script can read is
	// one that an injected script can read too.
	BrowserAudiences []string
	// Lifetime is the longest lifetime of a token. No token outlives its session.
	// Default [Config.Access]; at least 1 s, at most 1 h.
	Lifetime time.Duration
	// ClientID is the client_id of every token. Default Issuer.
	ClientID string
	// Algorithms are accepted and published. The first one signs. Default EdDSA.
	Algorithms []codec.Algorithm
	// Claims returns what to add to a token that is about to be minted, such as
	// roles. For native clients s has no Data. An error that wraps [ErrEnded] ends
	// the session. Any other error is an outage, and no token is minted. Nil adds
	// nothing.
	Claims func(ctx context.Context, s *Session[T]) (TokenClaims, error)
	// Introspect decides who may use POST introspect (RFC 7662), for example by a
	// shared secret. Nil turns that endpoint off.
	Introspect func(r *http.Request) bool
	// CachedTokens is the number of verified tokens in the cache, at some 1.5 KB
	// each. A cached token's signature is not verified again; its revocation is
	// checked every time. Default 16,384; at least 1.
	CachedTokens int
}

// TokenClaims holds what an application adds to an access token.
type TokenClaims struct {
	// Scope is the token's scope (RFC 6749 section 3.3).
	Scope string
	// Extra is encoded by encoding/json to an object, whose members stand beside
	// the registered claims. A member with a registered name is an error. Nil adds
	// none.
	Extra any
}

const (
	maxTokenLifetime    = time.Hour
	defaultCachedTokens = 16384
)

func (c *TokenConfig[T]) withDefaults(access time.Duration) *TokenConfig[T] {
	if c == nil {
		return nil
	}
	d := *c
	d.Lifetime = cmp.Or(d.Lifetime, min(access, maxTokenLifetime))
	d.ClientID = cmp.Or(d.ClientID, d.Issuer)
	d.CachedTokens = cmp.Or(d.CachedTokens, defaultCachedTokens)
	if d.Algorithms == nil {
		d.Algorithms = []codec.Algorithm{codec.EdDSA}
	}
	d.Algorithms, d.Audiences, d.BrowserAudiences = slices.Clone(d.Algorithms), slices.Clone(d.Audiences), slices.Clone(d.BrowserAudiences)
	return &d
}

func (c *TokenConfig[T]) check() error {
	switch {
	case c == nil:
		return nil
	case c.Lifetime < time.Second || c.Lifetime > maxTokenLifetime:
		return fmt.Errorf("wafer: Config.Tokens.Lifetime is %v: want 1s to %v", c.Lifetime, maxTokenLifetime)
	case c.CachedTokens < 1:
		return fmt.Errorf("wafer: Config.Tokens.CachedTokens is %d: want at least 1", c.CachedTokens)
	case len(c.ClientID) > codec.MaxClaim || !utf8.ValidString(c.ClientID) || strings.ContainsRune(c.ClientID, 0):
		return fmt.Errorf("wafer: Config.Tokens.ClientID has %d bytes: want at most %d, of UTF-8 without NUL", len(c.ClientID), codec.MaxClaim)
	}
	for _, audience := range c.BrowserAudiences {
		if audience != c.Audience && !slices.Contains(c.Audiences, audience) {
			return fmt.Errorf("wafer: Config.Tokens.BrowserAudiences has %q, which is neither Audience nor one of Audiences", audience)
		}
	}
	return nil
}

// TokenPair is the response to a native client: an access token for the API, and
// the refresh token for the next one. Send it by [TokenPair.WriteResponse], or
// take the tokens by their methods. Nothing else returns them: no printing, no
// log and no JSON encoding of a value that contains a pair.
type TokenPair struct {
	Session   store.ID
	ExpiresIn time.Duration // of the access token, in whole seconds; up to one more than is left
	access    hidden.Text
	refresh   hidden.Text
	scope     hidden.Text
}

// AccessToken returns the access token.
func (p TokenPair) AccessToken() string { return p.access.Reveal() }

// RefreshToken returns the refresh token, which replaces the previous one. It
// returns "" if there is none.
func (p TokenPair) RefreshToken() string { return p.refresh.Reveal() }

// Scope returns the scope of the access token (RFC 6749 section 3.3).
func (p TokenPair) Scope() string { return p.scope.Reveal() }

// WriteResponse answers a request with the pair, as RFC 6749 section 5.1 specifies:
// status 200, the tokens in JSON, and headers that forbid caches to store them.
func (p TokenPair) WriteResponse(w http.ResponseWriter) {
	private(w.Header())
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"refresh_token,omitempty"`
		Scope        string `json:"scope,omitempty"`
	}{p.AccessToken(), "Bearer", int64(p.ExpiresIn / time.Second), p.RefreshToken(), p.Scope()})
}

// MarshalJSON always fails: tokens leave a program only on purpose, by
// [TokenPair.WriteResponse] or the methods of the pair.
func (p TokenPair) MarshalJSON() ([]byte, error) { return nil, errPairNotMarshalled }

var errPairNotMarshalled = errors.New("wafer: a TokenPair does not marshal: send it by its WriteResponse")

// Format prints the session's id for every verb.
func (p TokenPair) Format(f fmt.State, _ rune) { io.WriteString(f, p.Session.String()) }

// LogValue logs the session's id alone.
func (p TokenPair) LogValue() slog.Value { return slog.StringValue(p.Session.String()) }

// errNoTokens is a programmer's mistake, so Error answers it with 500.
var errNoTokens = errors.New("wafer: Config.Tokens is not set: no access token can be minted or verified")

// openTokens opens what mints and verifies access tokens, if Config.Tokens is set.
func (s *Sessions[T]) openTokens() error {
	c := s.config.Tokens
	if c == nil {
		return nil
	}
	var err error
	s.access, err = codec.NewAccessTokens(s.ring, codec.AccessTokensConfig{Realm: s.config.Realm, Issuer: c.Issuer, Algorithms: c.Algorithms})
	if err != nil {
		return fmt.Errorf("wafer: Config.Tokens: %w", err)
	}
	if s.bearer, err = s.newBearer(c.Audience); err != nil {
		return err
	}
	// This one has no cache: a token that was verified for another service must
	// never be accepted here.
	s.bearerForAnyAudience, err = s.newBearer(append([]string{c.Audience}, c.Audiences...)...)
	return err
}

func (s *Sessions[T]) newBearer(audiences ...string) (*bearer.Judge, error) {
	verifier, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{
		Keys: s.access, Algorithms: s.config.Tokens.Algorithms, Issuer: s.config.Tokens.Issuer, Audiences: audiences, Leeway: s.config.leeway(),
	})
	if err != nil {
		return nil, fmt.Errorf("wafer: Config.Tokens: %w", err)
	}
	return &bearer.Judge{
		Verifier: verifier, Keys: func() any { return s.ring.Set() }, Now: s.config.Now, Observer: observer(s.config.Observe),
	}, nil
}

// longest returns the maximum age of the position in any valid credential. The log
// must keep entries for at least that long. A cookie below the floor is refreshed
// silently, but an access token is refused. A token's position is as old as its
// cookie (up to Access) plus the generation it was minted from (up to Access/2).
func (c *Config[T]) longest() time.Duration {
	if c.Tokens == nil {
		return c.Access
	}
	return c.Access + c.Access/2 + c.Tokens.Lifetime
}

// mintAccess mints an access token from a session, at the session's position.
func (s *Sessions[T]) mintAccess(now time.Time, session *Session[T], audience string, claims TokenClaims) (*TokenPair, error) {
	var extra json.RawMessage
	if claims.Extra != nil {
		var err error
		if extra, err = json.Marshal(claims.Extra); err != nil {
			return nil, fmt.Errorf("wafer: Config.Tokens.Claims: %w", err)
		}
	}
	expires := now.Add(s.config.Tokens.Lifetime)
	if deadline := session.Deadline(); deadline.Before(expires) {
		expires = deadline
	}
	if expires.Unix() <= now.Unix() {
		return nil, fmt.Errorf("%w: it has less than a second left", ErrNoSession)
	}
	h := session.header()
	token, err := s.access.Mint(now, codec.AccessToken{
		Subject: h.Subject, Audience: []string{audience}, ClientID: s.config.Tokens.ClientID,
		Session: h.ID, Position: h.Position, Issued: now, Expires: expires, Authenticated: h.Authenticated,
		Scope: codec.Hide(claims.Scope), Claims: codec.Hide(string(extra)),
		Actor: h.Actor, Methods: h.Methods, Level: h.Level,
	})
	if err != nil {
		return nil, fmt.Errorf("wafer: an access token cannot be minted: %w", err)
	}
	return &TokenPair{
		Session: session.id(), ExpiresIn: time.Duration(expires.Unix()-now.Unix()) * time.Second,
		access: hidden.HideText(token), scope: hidden.HideText(claims.Scope),
	}, nil
}

// claims calls the application's Claims. The error matches ErrEnded if the session
// is to end, or ErrUnavailable.
func (s *Sessions[T]) claims(ctx context.Context, session *Session[T]) (TokenClaims, error) {
	if s.config.Tokens.Claims == nil {
		return TokenClaims{}, nil
	}
	claims, err := s.config.Tokens.Claims(ctx, session)
	if err != nil && !errors.Is(err, ErrEnded) {
		err = s.node.Outage(session.id(), fmt.Errorf("wafer: Config.Tokens.Claims: %w", err))
	}
	return claims, err
}

// claimsOf is claims for a session that exists. If Claims says so, it ends the
// session and returns ErrNoSession.
func (s *Sessions[T]) claimsOf(ctx context.Context, session *Session[T]) (TokenClaims, error) {
	claims, err := s.claims(ctx, session)
	if errors.Is(err, ErrEnded) {
		if err = s.node.End(ctx, "ended by Claims", session.header().Subject.Text(), session.id()); err == nil {
			err = ErrNoSession
		}
	}
	return claims, err
}
