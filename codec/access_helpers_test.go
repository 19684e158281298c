package codec_test

import (
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

const (
	accessIssuer   = "https://shop.example"
	accessAudience = "https://api.shop.example"
)

// issuing is AccessTokens with helpers for tests.
type issuing struct{ *codec.AccessTokens }

func newAccessTokens(t testing.TB, ring *keyring.Ring, realm string, algorithms ...codec.Algorithm) issuing {
	t.Helper()
	a, err := codec.NewAccessTokens(ring, codec.AccessTokensConfig{Realm: realm, Issuer: accessIssuer, Algorithms: algorithms})
	fatal(t, err)
	return issuing{a}
}

// kid returns the key id of tokens that are minted now.
func (a issuing) kid(t testing.TB) string {
	t.Helper()
	token, err := a.Mint(now, accessToken("anna"))
	fatal(t, err)
	header := segment(t, token, 0)
	_, after, _ := strings.Cut(header, `"kid":"`)
	kid, _, _ := strings.Cut(after, `"`)
	return kid
}

// newAccessVerifier returns a verifier of these algorithms, or of both if none is
// given.
func newAccessVerifier(t testing.TB, keys codec.AccessKeys, algorithms ...codec.Algorithm) *codec.AccessVerifier {
	t.Helper()
	if algorithms == nil {
		algorithms = []codec.Algorithm{codec.EdDSA, codec.ES256}
	}
	v, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: keys, Algorithms: algorithms, Issuer: accessIssuer, Audiences: []string{accessAudience}})
	fatal(t, err)
	return v
}

// accessToken returns the content of a token with a life of five minutes.
func accessToken(subject string) codec.AccessToken {
	at := now.Truncate(time.Second)
	return codec.AccessToken{
		Subject: codec.Hide(subject), Audience: []string{accessAudience}, ClientID: "shop-app", ID: "token-1",
		Session: idOf("a session"), Position: uint64(at.UnixMicro()),
		Issued: at, Expires: at.Add(5 * time.Minute), Authenticated: at.Add(-time.Hour),
	}
}

// segment returns a decoded segment of a token.
func segment(t testing.TB, token string, i int) string {
	t.Helper()
	b, err := specDecode(strings.Split(token, ".")[i])
	fatal(t, err)
	return string(b)
}

// withHeader and withPayload replace a segment and leave the signature.
func withHeader(token, header string) string {
	_, rest, _ := strings.Cut(token, ".")
	return specText([]byte(header)) + "." + rest
}

func withPayload(token, payload string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + specText([]byte(payload)) + "." + parts[2]
}
