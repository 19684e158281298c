package codec_test

import (
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer/codec"
)

// jwtClaims are an access token's claims as an application would declare them for
// golang-jwt alone.
type jwtClaims struct {
	jwt.RegisteredClaims
	ClientID      string           `json:"client_id"`
	Session       string           `json:"sid"`
	Position      uint64           `json:"pos"`
	Authenticated *jwt.NumericDate `json:"auth_time"`
	Scope         string           `json:"scope"`
	Roles         []string         `json:"roles"`
}

func benchToken() codec.AccessToken {
	t := accessToken("anna@shop.example")
	t.Scope, t.Claims = codec.Hide("orders.read orders.write"), codec.Hide(`{"roles":["admin","editor"]}`)
	return t
}

// BenchmarkAccessVerify compares with golang-jwt's own parse of the same token,
// with all its checks enabled. wafer should take at most 1.15 times as long.
func BenchmarkAccessVerify(b *testing.B) {
	for _, algorithm := range []codec.Algorithm{codec.EdDSA, codec.ES256} {
		access := newAccessTokens(b, staticRing(b, secret(1)), realm, algorithm)
		token, err := access.Mint(now, benchToken())
		fatal(b, err)
		b.Run(string(algorithm)+"/wafer", func(b *testing.B) {
			verifier := newAccessVerifier(b, access, algorithm)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(ctx, now, token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(algorithm)+"/golang-jwt", func(b *testing.B) {
			kid := access.kid(b)
			public, err := access.AccessKey(ctx, now, kid, algorithm)
			fatal(b, err)
			parser := jwt.NewParser(jwt.WithValidMethods([]string{string(algorithm)}), jwt.WithStrictDecoding(),
				jwt.WithIssuer(accessIssuer), jwt.WithAudience(accessAudience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(10*time.Second))
			b.ReportAllocs()
			for b.Loop() {
				var claims jwtClaims
				if _, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return public, nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAccessMint compares with the signature alone. wafer should take at most
// 1.3 times as long.
func BenchmarkAccessMint(b *testing.B) {
	access, t := newAccessTokens(b, staticRing(b, secret(1)), realm, codec.EdDSA), benchToken()
	token, err := access.Mint(now, t)
	fatal(b, err)
	b.Run("wafer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := access.Mint(now, t); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ed25519.Sign", func(b *testing.B) {
		private, message := ed25519.NewKeyFromSeed(make([]byte, 32)), []byte(token[:len(token)-87])
		b.ReportAllocs()
		for b.Loop() {
			ed25519.Sign(private, message)
		}
	})
}

// BenchmarkAccessRefused measures refusals that need no signature.
func BenchmarkAccessRefused(b *testing.B) {
	ring := staticRing(b, secret(1))
	access := newAccessTokens(b, ring, realm, codec.EdDSA)
	verifier := newAccessVerifier(b, access, codec.EdDSA)
	token, err := access.Mint(now, benchToken())
	fatal(b, err)
	other, err := newAccessTokens(b, staticRing(b, secret(2)), realm, codec.EdDSA).Mint(now, benchToken())
	fatal(b, err)
	for what, token := range map[string]string{
		"no token": "opaque-token", "HS256": withHeader(token, `{"alg":"HS256","kid":"x","typ":"at+jwt"}`), "unknown key": other,
	} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(ctx, now, token); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// BenchmarkAccessBudget reports both ratios, each the median over pairs of runs
// side by side, so that a busy machine slows both.
func BenchmarkAccessBudget(b *testing.B) {
	access := newAccessTokens(b, staticRing(b, secret(1)), realm, codec.EdDSA)
	verifier, what := newAccessVerifier(b, access, codec.EdDSA), benchToken()
	token, err := access.Mint(now, what)
	fatal(b, err)
	public, err := access.AccessKey(ctx, now, access.kid(b), codec.EdDSA)
	fatal(b, err)
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithStrictDecoding(), jwt.WithIssuer(accessIssuer), jwt.WithAudience(accessAudience), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	private, message := ed25519.NewKeyFromSeed(make([]byte, 32)), []byte(token[:len(token)-87])
	took := func(do func() error) float64 {
		began := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		return float64(time.Since(began))
	}
	var verify, mint []float64
	for b.Loop() {
		ours := took(func() error { _, err := verifier.Verify(ctx, now, token); return err })
		theirs := took(func() error {
			_, err := parser.ParseWithClaims(token, new(jwtClaims), func(*jwt.Token) (any, error) { return public, nil })
			return err
		})
		minted := took(func() error { _, err := access.Mint(now, what); return err })
		signed := took(func() error { ed25519.Sign(private, message); return nil })
		verify, mint = append(verify, ours/theirs), append(mint, minted/signed)
	}
	slices.Sort(verify)
	slices.Sort(mint)
	b.ReportMetric(verify[len(verify)/2], "×golang-jwt")
	b.ReportMetric(mint[len(mint)/2], "×ed25519.Sign")
}
