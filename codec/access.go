package codec

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/waferkit/wafer/keyring"
)

const (
	// MaxAccessToken is the length of the longest access token in bytes.
	// Tokens are sent in a header, and proxies limit headers to 8 KiB.
	MaxAccessToken = 8192
	// MaxClaim is the length of the longest iss, aud, sub, client_id or jti
	// in bytes.
	MaxClaim = 255
	// MaxScope is the length of the longest scope in bytes.
	MaxScope = 1024
	// MaxAudiences is the most audiences that a token may have.
	MaxAudiences = 16
)

// AccessToken is the content of an access token (RFC 9068, section 2.2). Times
// are whole seconds since 1970.
type AccessToken struct {
	Issuer   string   // iss: the issuer; Mint uses the configured one if it is empty
	Subject  Hidden   // sub: 1 to MaxSubject bytes, UTF-8 without NUL
	Audience []string // aud: the services that the token is for: 1 to MaxAudiences of 1 to MaxClaim bytes each
	ClientID string   // client_id: the client that requested it; 1 to MaxClaim bytes
	ID       string   // jti: 1 to MaxClaim bytes; Mint draws 130 random bits if it is empty
	Session  ID       // sid: the session that the token was minted from; not zero
	Position uint64   // pos: the position of that session's family at minting; at most MaxPosition

	Issued        time.Time // iat
	Expires       time.Time // exp: after Issued
	Authenticated time.Time // auth_time: the last authentication of the user

	Scope Hidden // scope: RFC 6749, section 3.3; at most MaxScope bytes; may be empty

	// These are omitted if they are empty. Each has at most MaxClaim bytes.
	Actor   Hidden // act: the sub of who acts for the subject (RFC 8693, section 4.1)
	Methods Hidden // amr: of the last authentication (RFC 8176), words with one space between them
	Level   Hidden // acr: of the last authentication

	// Claims are the application's own claims: one JSON object, or empty if
	// there are none. Its members are members of the token, beside the
	// registered claims. None may have the name of a registered claim, in
	// any case: Go programs may read "Sub" as "sub".
	Claims Hidden
}

// Format prints only the session's id.
func (t AccessToken) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%x", t.Session[:]) }

// LogValue logs only the session's id.
func (t AccessToken) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// AccessTokensConfig configures [NewAccessTokens].
type AccessTokensConfig struct {
	// Realm names the application and its environment: 1 to 255 bytes
	// without NUL. Required. Two realms on one ring have different keys.
	Realm string
	// Issuer is the iss of every token, usually a URL: 1 to MaxClaim bytes.
	// Required.
	Issuer string
	// Algorithms lists the algorithms in use. The first one signs; all of
	// them verify and are published. To change the algorithm that signs,
	// first publish the new one behind it. Default: EdDSA alone.
	Algorithms []Algorithm
}

// AccessTokens mints the access tokens of one realm and has the keys that
// verify them. The tokens are JWTs as in RFC 9068, signed by keys that every
// node derives from the ring in the same way. AccessTokens is an [AccessKeys]
// for nodes that hold the ring; other services use its [AccessTokens.JWKS].
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

// signs reports whether algorithm is one of those configured.
func (a *AccessTokens) signs(algorithm Algorithm) bool {
	return slices.Contains(a.algorithms, algorithm)
}

// Mint returns the token with the content t, signed by the key that is primary
// at time now. It truncates times to whole seconds. It refuses content that no
// [AccessVerifier] accepts, another issuer than its own, and a life that is
// longer than the ring's. The error matches [ErrLength] if the token would be
// too long. It is [keyring.ErrNoPrimary] if no key may seal.
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
	p, err := pair(key, pairID{a.algorithms[0], a.realm})
	if err != nil {
		return "", err
	}
	claims, err := t.append(make([]byte, 0, 512))
	if err != nil {
		return "", err
	}
	token := make([]byte, 0, len(p.head)+encoding.EncodedLen(len(claims))+1+encoding.EncodedLen(signatureSize))
	if excess := cap(token) - MaxAccessToken; excess > 0 {
		return "", fmt.Errorf("codec: the access token is %d bytes too long; put less into Claims: %w", excess, ErrLength)
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
