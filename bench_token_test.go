package wafer_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// benchTokens returns sessions that mint, access tokens of theirs, and the key
// that verifies them.
func benchTokens(b *testing.B, n int) (*wafer.Sessions[benchAccount], []string, ed25519.PublicKey) {
	b.Helper()
	ring, err := keyring.Static(strings.Repeat("5a", keyring.SecretSize))
	if err != nil {
		b.Fatal(err)
	}
	sessions, err := wafer.New(context.Background(), ring, memory.New(memory.Options{}), wafer.Config[benchAccount]{
		Realm: "bench", Observe: func(wafer.Event) {},
		Tokens: &wafer.TokenConfig[benchAccount]{Issuer: "https://bench.example", Audience: "api", Lifetime: time.Hour, CachedTokens: 1024},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sessions.Close)
	first, err := sessions.Issue(context.Background(), benchSubject, wafer.Limits(0, 0))
	if err != nil {
		b.Fatal(err)
	}
	at, err := sessions.Position(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	access, err := codec.NewAccessTokens(ring, codec.AccessTokensConfig{Realm: "bench", Issuer: "https://bench.example"})
	if err != nil {
		b.Fatal(err)
	}
	tokens := make([]string, n)
	now := time.Now()
	for i := range tokens {
		tokens[i], err = access.Mint(now, codec.AccessToken{
			Subject: codec.Hide(benchSubject), Audience: []string{"api"}, ClientID: "https://bench.example", Session: codec.ID(first.Session),
			Position: uint64(at), Issued: now, Expires: now.Add(5 * time.Minute), Authenticated: now,
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	set, err := access.JWKS(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	key, err := set.AccessKey(context.Background(), time.Now(), set.KeyIDs()[0], codec.EdDSA)
	if err != nil {
		b.Fatal(err)
	}
	return sessions, tokens, key.(ed25519.PublicKey)
}

// BenchmarkBearer is a request with an access token: from the Authorization
// header to the identity, not revoked. golang-jwt is that library's own parse
// of the same token, signature and claims, without a check of revocation.
// "again" presents a cached token, and "first" a new one.
func BenchmarkBearer(b *testing.B) {
	parse := func(b *testing.B, key ed25519.PublicKey, token string) {
		var claims jwt.MapClaims
		_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("https://bench.example"), jwt.WithAudience("api"))
		if err != nil || claims["sub"] != benchSubject {
			b.Fatal(err)
		}
	}
	b.Run("golang-jwt", func(b *testing.B) {
		_, tokens, key := benchTokens(b, 1)
		b.ReportAllocs()
		for b.Loop() {
			parse(b, key, tokens[0])
		}
	})
	serve := func(b *testing.B, sessions *wafer.Sessions[benchAccount]) func(token string) {
		var failed error
		h := sessions.Bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s, err := sessions.Get(r.Context()); err != nil || s.Subject != benchSubject {
				failed = fmt.Errorf("%v, %v", s, err)
			}
			w.Header()["X-Seen"] = nil
		}))
		w := &discard{make(http.Header)}
		r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
		line := make([]string, 1)
		r.Header["Authorization"] = line
		return func(token string) {
			clear(w.header)
			line[0] = token
			h.ServeHTTP(w, r)
			if _, seen := w.header["X-Seen"]; failed != nil || !seen {
				b.Fatal("the request was refused: ", failed)
			}
		}
	}
	b.Run("again", func(b *testing.B) {
		sessions, tokens, _ := benchTokens(b, 1)
		request := serve(b, sessions)
		line := "Bearer " + tokens[0]
		for range 3 {
			request(line)
			time.Sleep(10 * time.Millisecond) // until it is cached
		}
		b.ReportAllocs()
		for b.Loop() {
			request(line)
		}
	})
	b.Run("first", func(b *testing.B) {
		const fresh = 20000 // more than a run presents, and more than the cache holds
		sessions, tokens, _ := benchTokens(b, fresh)
		request := serve(b, sessions)
		lines := make([]string, len(tokens))
		for i, token := range tokens {
			lines[i] = "Bearer " + token
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			request(lines[i%fresh])
			i++
		}
	})
}
