package codec

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// DefaultLeeway is twice the default clock skew between nodes.
const DefaultLeeway = 10 * time.Second

// maxLeeway prevents a wrong unit from disabling a check.
const maxLeeway = 5 * time.Minute

// AccessVerifierConfig configures [NewAccessVerifier]. All fields except Leeway
// are required, because a check without its configuration would not be made.
type AccessVerifierConfig struct {
	// Keys finds the key that a token names: an [AccessTokens] on a node
	// that holds the ring, a [JWKS] elsewhere.
	Keys AccessKeys
	// Algorithms are the accepted algorithms. Any other is refused,
	// whatever the key.
	Algorithms []Algorithm
	// Issuer is the only iss that is accepted.
	Issuer string
	// Audiences are the names of this service. A token is refused if any of
	// its audiences is not one of them, even if another is. Otherwise this
	// service could use the token against the other one, or the reverse.
	Audiences []string
	// Leeway is how far in the future iat and nbf may be. It never excuses
	// an expiry. 0 means [DefaultLeeway]; at most 5 minutes.
	Leeway time.Duration
}

// AccessVerifier verifies access tokens (RFC 9068, section 4). It does not
// check revocation; the caller does, with the Session, Subject and Position of
// the token. It is immutable and safe for concurrent use.
type AccessVerifier struct {
	keys       AccessKeys
	algorithms []Algorithm
	issuer     string
	audiences  []string
	leeway     time.Duration
	parser     *jwt.Parser
}

// NewAccessVerifier returns a verifier. An empty list of algorithms or
// audiences and an empty issuer are errors here, because the JWT library treats
// the first as "any" and skips the other checks.
func NewAccessVerifier(c AccessVerifierConfig) (*AccessVerifier, error) {
	if c.Keys == nil {
		return nil, errors.New("codec: AccessVerifierConfig.Keys is nil: want where public keys come from, such as an AccessTokens or a JWKS")
	}
	if err := checkAlgorithms(c.Algorithms); err != nil {
		return nil, err
	}
	if !wellFormed(c.Issuer, MaxClaim) {
		return nil, fmt.Errorf("codec: AccessVerifierConfig.Issuer has %d bytes: want 1 to %d, UTF-8 without NUL: who mints the tokens", len(c.Issuer), MaxClaim)
	}
	if len(c.Audiences) == 0 {
		return nil, errors.New("codec: AccessVerifierConfig.Audiences is empty: want the names of this service")
	}
	for _, audience := range c.Audiences {
		if !wellFormed(audience, MaxClaim) {
			return nil, fmt.Errorf("codec: AccessVerifierConfig.Audiences has one of %d bytes: want 1 to %d, UTF-8 without NUL", len(audience), MaxClaim)
		}
	}
	if c.Leeway == 0 {
		c.Leeway = DefaultLeeway
	}
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		return nil, fmt.Errorf("codec: AccessVerifierConfig.Leeway is %v: want 0 to %v", c.Leeway, maxLeeway)
	}
	methods := make([]string, len(c.Algorithms))
	for i, a := range c.Algorithms {
		methods[i] = string(a)
	}
	return &AccessVerifier{
		c.Keys, slices.Clone(c.Algorithms), c.Issuer, slices.Clone(c.Audiences), c.Leeway,
		// The library's validation of claims is off: its leeway would excuse
		// an expiry too, and it accepts a foreign audience beside one of ours.
		// Verify checks every claim itself.
		jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}, nil
}

// Refusals that are more specific than their class.
var (
	errSegments  = fmt.Errorf("%w: want three segments of unpadded base64url", ErrEncoding)
	errHeader    = fmt.Errorf("%w: the header is not strict JSON with exactly alg, kid and typ", ErrEncoding)
	errType      = fmt.Errorf("%w: the header's typ is not at+jwt", ErrEncoding)
	errSyntax    = fmt.Errorf("%w: the payload is not JSON, or a segment not strict base64url", ErrEncoding)
	errAlgorithm = fmt.Errorf("%w: an algorithm that is not accepted, or not its key's", ErrForged)
	errKeyType   = fmt.Errorf("%w: the key is not of the token's algorithm", ErrForged)
	errHighS     = fmt.Errorf("%w: the second of two forms of an ES256 signature", ErrForged)
	errIssuer    = fmt.Errorf("%w: minted by another issuer", ErrForged)
	errAudience  = fmt.Errorf("%w: minted for another audience", ErrForged)
	errIssued    = fmt.Errorf("%w: issued in the future", ErrEarly)
	errNotBefore = fmt.Errorf("%w: not valid yet", ErrEarly)
)

// Verify authenticates a token and checks its claims. The caller owns the
// result. ctx bounds the reload that an unknown key id causes.
//
// The length is checked first, and the header before a key is looked up. The
// payload is not used before the signature is verified. The only key that is
// tried is the one that the token names. The error matches one of this package,
// or one that the Keys of the configuration returned.
func (v *AccessVerifier) Verify(ctx context.Context, now time.Time, token string) (AccessToken, error) {
	if token == "" || len(token) > MaxAccessToken {
		return AccessToken{}, ErrLength
	}
	if !threeSegments(token) {
		return AccessToken{}, errSegments
	}
	kid, algorithm, err := readHeader(token)
	if err != nil {
		return AccessToken{}, err
	}
	payload, err := v.authenticate(ctx, now, token, kid, algorithm)
	if err != nil {
		return AccessToken{}, err
	}
	var t AccessToken
	nbf, err := t.parse(payload)
	if err != nil {
		return AccessToken{}, fmt.Errorf("%w: %w", ErrContent, err)
	}
	if err := v.checkClaims(now, nbf, &t); err != nil {
		return AccessToken{}, err
	}
	return t, nil
}

// authenticate verifies the signature with the key that the token names, and
// returns the payload.
func (v *AccessVerifier) authenticate(ctx context.Context, now time.Time, token, kid string, algorithm Algorithm) ([]byte, error) {
	if !slices.Contains(v.algorithms, algorithm) {
		return nil, errAlgorithm
	}
	var payload rawClaims
	var refused error
	parsed, err := v.parser.ParseWithClaims(token, &payload, func(*jwt.Token) (any, error) {
		var key crypto.PublicKey
		if key, refused = v.keys.AccessKey(ctx, now, kid, algorithm); refused == nil && !algorithm.fits(key) {
			refused = errKeyType
		}
		return key, refused
	})
	switch {
	case refused != nil:
		return nil, refused
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, errSyntax
	case err != nil:
		return nil, ErrForged
	case algorithm == ES256 && highS(parsed.Signature):
		return nil, errHighS
	}
	return payload.text, nil
}

// rawClaims receives the payload from the JWT library unparsed. Its getters are
// never called.
type rawClaims struct {
	jwt.RegisteredClaims
	text []byte
}

func (c *rawClaims) UnmarshalJSON(text []byte) error {
	c.text = bytes.Clone(text)
	return nil
}

// checkClaims decides whether a token is accepted, given authentic and
// well-formed claims.
func (v *AccessVerifier) checkClaims(now, nbf time.Time, t *AccessToken) error {
	if t.Issuer != v.issuer {
		return errIssuer
	}
	for _, audience := range t.Audience {
		if !slices.Contains(v.audiences, audience) {
			return errAudience
		}
	}
	switch soon := now.Add(v.leeway); {
	case !now.Before(t.Expires):
		return ErrExpired
	case t.Issued.After(soon):
		return errIssued
	case nbf.After(soon):
		return errNotBefore
	}
	return nil
}

// threeSegments reports whether a token is three texts in the alphabet of
// base64url, separated by dots. The standard decoder would skip line breaks.
func threeSegments(token string) bool {
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.':
			dots++
		default:
			return false
		}
	}
	return dots == 2
}

const (
	accessType = "at+jwt" // RFC 9068, section 2.1
	// maxKid is the length of the longest key id in bytes.
	maxKid = 64
)

// appendHeader appends the only header that this package writes.
func appendHeader(dst []byte, algorithm Algorithm, kid string) []byte {
	dst = appendString(append(dst, `{"alg":`...), string(algorithm))
	dst = appendString(append(dst, `,"kid":`...), kid)
	return append(dst, `,"typ":"`+accessType+`"}`...)
}

// readHeader reads the first segment. It accepts exactly three members. This
// package writes no others, and others could only cause trouble: a key or its
// address (jwk, jku, x5c, x5u), another form of the payload (b64, zip), or
// critical extensions (crit).
func readHeader(token string) (kid string, algorithm Algorithm, err error) {
	segment, _, _ := strings.Cut(token, ".")
	header, err := decode(segment, 0)
	if err != nil {
		return "", "", err
	}
	kind := ""
	err = readObject(header, func(name, value, _ []byte) error {
		text, ok := readString(value)
		switch string(name) {
		case "alg":
			algorithm = Algorithm(text)
		case "kid":
			kid = text
		case "typ":
			kind = text
		default:
			ok = false
		}
		if !ok {
			return errHeader
		}
		return nil
	})
	if err != nil || algorithm == "" || kid == "" || len(kid) > maxKid {
		return "", "", errHeader
	}
	if !strings.EqualFold(kind, accessType) && !strings.EqualFold(kind, "application/"+accessType) {
		return "", "", errType
	}
	return kid, algorithm, nil
}

// signatureSize is the size of a signature of either algorithm, in bytes.
const signatureSize = 64

// p256Order is the order of P-256. p256Half is half of it, rounded down.
var (
	p256Order = elliptic.P256().Params().N
	p256Half  = new(big.Int).Rsh(p256Order, 1).FillBytes(make([]byte, signatureSize/2))
)

// highS reports whether s of an ES256 signature (r, s) is above half the order.
// Anybody can turn a signature (r, s) into another one, (r, order - s), without
// the key. Only the one with the lower s is written and accepted, so that a
// token has one form.
func highS(signature []byte) bool {
	return bytes.Compare(signature[signatureSize/2:], p256Half) > 0
}

// sign returns the signature over signed: a header and a payload with a dot in
// between.
func (p *keyPair) sign(algorithm Algorithm, signed string) ([]byte, error) {
	signature, err := algorithm.method().Sign(signed, p.private)
	if err != nil {
		return nil, err
	}
	if algorithm == ES256 && highS(signature) {
		s := new(big.Int).SetBytes(signature[signatureSize/2:])
		s.Sub(p256Order, s).FillBytes(signature[signatureSize/2:])
	}
	return signature, nil
}
