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
	"github.com/waferkit/wafer/store"
)

// TokenConfig configures access tokens: JWTs for APIs, as RFC 9068 has them,
// signed by keys that are derived from the ring.
type TokenConfig[T any] struct {
	// Issuer is the iss of every token, such as "https://shop.example".
	// Required; 1 to 255 bytes.
	Issuer string
	// Audience names this application's own API. [Sessions.Bearer] accepts
	// tokens for it alone, and a token is for it where nobody asks for another.
	// Required; 1 to 255 bytes.
	Audience string
	// Audiences names other services that a client may ask a token for. Each
	// token is for one service, so that none can use it against another.
	Audiences []string
	// BrowserAudiences are those of Audience and Audiences that a browser's
	// session may get tokens for, at POST token; the first where it asks for
	// none. Empty, the default: that endpoint is off. A token that script can
	// read is one that injected script can read, too.
	BrowserAudiences []string
	// Lifetime is how long a token lives at most; it never outlives its
	// session. Default [Config.Access]; at most 1 h, at least 1 s.
	Lifetime time.Duration
	// ClientID is the client_id of every token. Default Issuer.
	ClientID string
	// Algorithms: the first signs, all are accepted and published. Default
	// EdDSA.
	Algorithms []codec.Algorithm
	// Claims, unless nil, adds to each token that is minted: it is the place
	// for roles. s has no Data for native clients. An error that wraps
	// [ErrEnded] ends the session; any other is an outage, and no token is
	// minted.
	Claims func(ctx context.Context, s *Session[T]) (TokenClaims, error)
	// Introspect says who may ask what a token is worth, at POST introspect
	// (RFC 7662), such as by a shared secret. Nil: that endpoint is off.
	Introspect func(r *http.Request) bool
	// CachedTokens is how many verified tokens are kept, at some 1.5 KB each,
	// so that each is verified once and judged by its revocation every time.
	// Default 16,384.
	CachedTokens int
}

// TokenClaims are what an application adds to an access token.
type TokenClaims struct {
	// Scope is what the token is good for (RFC 6749 section 3.3).
	Scope string
	// Extra, unless nil, is encoded by encoding/json to an object whose members
	// stand beside the registered claims. One that has a registered name is an
	// error.
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

// TokenPair is the answer to a native client: an access token for the API, and
// the refresh token that gets the next. Encoded as JSON it is the response of
// RFC 6749 section 5.1; send it with Cache-Control: no-store.
type TokenPair struct {
	AccessToken  string
	ExpiresIn    time.Duration // of the access token, in whole seconds; it may be up to one less
	RefreshToken string        // replaces the one before; "": none
	Scope        string
	Session      store.ID // not part of the JSON
}

// MarshalJSON returns the response of RFC 6749 section 5.1.
func (p TokenPair) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"refresh_token,omitempty"`
		Scope        string `json:"scope,omitempty"`
	}{p.AccessToken, "Bearer", int64(p.ExpiresIn / time.Second), p.RefreshToken, p.Scope})
}

// Format prints the session's id for every verb, so that no token reaches a log.
func (p TokenPair) Format(f fmt.State, _ rune) { io.WriteString(f, p.Session.String()) }

// LogValue logs the session's id alone.
func (p TokenPair) LogValue() slog.Value { return slog.StringValue(p.Session.String()) }

// errNoTokens is a programmer's mistake.
var errNoTokens = errors.New("wafer: Config.Tokens is not set: no access token can be minted or verified")

// openTokens makes what mints and verifies access tokens, if there are any.
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
	// Its answers are not kept: what is verified for another service must never
	// count here.
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

// longest is how old a position may be that anything carries which is still
// good: entries must not be dropped before. A cookie is refreshed without
// anybody noticing where they are; a token is refused. It carries the position
// of its cookie, up to Access old, which is that of a generation up to half of
// Access old.
func (c *Config[T]) longest() time.Duration {
	if c.Tokens == nil {
		return c.Access
	}
	return c.Access + c.Access/2 + c.Tokens.Lifetime
}

// mintAccess mints an access token of a session. Its position is the session's.
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
		Scope: claims.Scope, Claims: extra,
	})
	if err != nil {
		return nil, fmt.Errorf("wafer: an access token cannot be minted: %w", err)
	}
	return &TokenPair{
		AccessToken: token, ExpiresIn: time.Duration(expires.Unix()-now.Unix()) * time.Second,
		Scope: claims.Scope, Session: session.id(),
	}, nil
}

// claims asks the application what to add to a session's token. The error
// matches ErrEnded if that is to end it, or ErrUnavailable.
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

// claimsOf is claims of a session that lives: it is ended where that is due.
// The error then matches ErrNoSession.
func (s *Sessions[T]) claimsOf(ctx context.Context, session *Session[T]) (TokenClaims, error) {
	claims, err := s.claims(ctx, session)
	if errors.Is(err, ErrEnded) {
		if err = s.node.End(ctx, session.Position(), "ended by Claims", session.header().Subject, session.id()); err == nil {
			err = ErrNoSession
		}
	}
	return claims, err
}
