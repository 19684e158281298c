package codec

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/waferkit/wafer/keyring"
)

const (
	// MaxAccessToken is the longest access token in bytes. It travels in a
	// header, which proxies cut at 8 KiB.
	MaxAccessToken = 8192
	// MaxClaim is the longest iss, aud, sub, client_id or jti in bytes.
	MaxClaim = 255
	// MaxScope is the longest scope in bytes.
	MaxScope = 1024
	// MaxAudiences is how many audiences a token may have.
	MaxAudiences = 16
)

// AccessToken is what an access token says (RFC 9068, section 2.2). Times are
// whole seconds since 1970.
type AccessToken struct {
	Issuer   string   // iss: who minted it; minting takes the configured one
	Subject  string   // sub: 1 to MaxSubject bytes, UTF-8 without NUL
	Audience []string // aud: 1 to MaxAudiences services that it is for, each 1 to MaxClaim bytes
	ClientID string   // client_id: the client that asked for it, 1 to MaxClaim bytes
	ID       string   // jti: 1 to MaxClaim bytes; minting draws 130 random bits where it is empty
	Session  ID       // sid: the session that it was minted from; not zero
	Position uint64   // pos: of that session's family when this was minted; at most MaxPosition

	Issued        time.Time // iat
	Expires       time.Time // exp: after Issued
	Authenticated time.Time // auth_time: the last time the user proved who they are

	Scope string // scope: what it is good for (RFC 6749, section 3.3); at most MaxScope bytes, or empty

	// Claims are the application's own: one JSON object, or nil for none. Its
	// members stand beside the others in the token. None may have the name of
	// a registered claim, in any case: readers in Go take "Sub" for "sub".
	Claims json.RawMessage
}

// Format prints the session's id alone, so that no claim reaches a log.
func (t AccessToken) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%x", t.Session[:]) }

// LogValue logs the session's id alone.
func (t AccessToken) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// AccessTokensConfig configures [NewAccessTokens].
type AccessTokensConfig struct {
	// Realm names the application and its environment. Required; 1 to 255
	// bytes without NUL. Two realms on one ring have different keys.
	Realm string
	// Issuer is the iss of every token, usually a URL. Required; 1 to MaxClaim
	// bytes.
	Issuer string
	// Algorithms: the first signs, all verify and are published. To change
	// the one that signs, publish the new one behind it first. Default: EdDSA.
	Algorithms []Algorithm
}

// AccessTokens mints access tokens of one realm, and knows the keys that verify
// them: JWTs as RFC 9068 has them, signed by keys that every node derives from
// the ring alike. It is an [AccessKeys] for nodes that hold the ring; other
// services get its [AccessTokens.JWKS].
type AccessTokens struct {
	ring       *keyring.Ring
	realm      string
	issuer     string
	algorithms []Algorithm
}

// NewAccessTokens returns the codec of access tokens.
func NewAccessTokens(ring *keyring.Ring, c AccessTokensConfig) (*AccessTokens, error) {
	if ring == nil {
		return nil, errors.New("codec: no ring given")
	}
	if err := checkRealm(c.Realm); err != nil {
		return nil, err
	}
	if !wellFormed(c.Issuer, MaxClaim) {
		return nil, fmt.Errorf("codec: AccessTokensConfig.Issuer has %d bytes: want 1 to %d, UTF-8 without NUL, such as https://shop.example", len(c.Issuer), MaxClaim)
	}
	if c.Algorithms == nil {
		c.Algorithms = []Algorithm{EdDSA}
	}
	if err := checkAlgorithms(c.Algorithms); err != nil {
		return nil, err
	}
	return &AccessTokens{ring, c.Realm, c.Issuer, slices.Clone(c.Algorithms)}, nil
}

// Issuer returns the iss of every token.
func (a *AccessTokens) Issuer() string { return a.issuer }

func (a *AccessTokens) signs(algorithm Algorithm) bool {
	return slices.Contains(a.algorithms, algorithm)
}

// Mint returns the token that says t, signed by the key that is primary at time
// now. Fractions of a second are cut off. It refuses what no [AccessVerifier]
// accepts, another issuer than its own, and a life longer than the ring's. A
// token that is too long is [ErrLength].
func (a *AccessTokens) Mint(now time.Time, t AccessToken) (string, error) {
	if t.Issuer == "" {
		t.Issuer = a.issuer
	}
	if t.ID == "" {
		t.ID = rand.Text()
	}
	if err := a.check(now, &t); err != nil {
		return "", err
	}
	key, err := a.ring.Primary(now)
	if err != nil {
		return "", err
	}
	p, err := pair(key, pairOf{a.algorithms[0], a.realm})
	if err != nil {
		return "", err
	}
	claims, err := t.append(make([]byte, 0, 512))
	if err != nil {
		return "", err
	}
	token := make([]byte, 0, len(p.head)+encoding.EncodedLen(len(claims))+1+encoding.EncodedLen(signatureSize))
	if over := cap(token) - MaxAccessToken; over > 0 {
		return "", fmt.Errorf("codec: the access token is %d bytes too long; put less into Claims: %w", over, ErrLength)
	}
	token = encoding.AppendEncode(append(token, p.head...), claims)
	signature, err := p.sign(a.algorithms[0], string(token))
	if err != nil {
		return "", fmt.Errorf("codec: sign an access token: %w", err)
	}
	return string(encoding.AppendEncode(append(token, '.'), signature)), nil
}

func (a *AccessTokens) check(now time.Time, t *AccessToken) error {
	if t.Issuer != a.issuer {
		return errors.New("codec: an access token of another issuer than AccessTokensConfig.Issuer: leave AccessToken.Issuer empty")
	}
	if err := t.check(); err != nil {
		return fmt.Errorf("codec: mint an access token: %w", err)
	}
	if life := t.Expires.Sub(now); life <= 0 || life > a.ring.Life() {
		return fmt.Errorf("codec: an access token that expires in %v: want more than 0 and at most the ring's %v", life, a.ring.Life())
	}
	return nil
}
