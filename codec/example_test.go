package codec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// The state between a password and the second factor is a small secret that the
// browser holds for a few minutes. It is not a session, and is never accepted
// as one.
func ExampleValues() {
	ring, err := keyring.Static("y9l3gW3yy7pJYIYpSLSHfKfcC7Hbvq5JmYAQjF4mz4M=") // a real program reads it from the environment
	if err != nil {
		panic(err)
	}
	clock := time.Now()
	values, err := codec.NewValues(ring, codec.ValuesConfig{
		Realm:    "shop.example/production",
		Lifetime: 5 * time.Minute,
		Now:      func() time.Time { return clock },
	})
	if err != nil {
		panic(err)
	}

	// After the password: this goes into a cookie.
	pending, err := values.Seal("pending-second-factor", []byte("anna"))
	if err != nil {
		panic(err)
	}

	// With the second factor:
	subject, err := values.Open(context.Background(), "pending-second-factor", pending)
	fmt.Printf("%s %v\n", subject, err)

	// It opens under its own name only, and for five minutes.
	_, err = values.Open(context.Background(), "remember-this-device", pending)
	fmt.Println(errors.Is(err, codec.ErrForged))
	clock = clock.Add(5 * time.Minute)
	_, err = values.Open(context.Background(), "pending-second-factor", pending)
	fmt.Println(errors.Is(err, codec.ErrExpired))
	// Output:
	// anna <nil>
	// true
	// true
}

// An application that uses gorilla/sessions can seal its cookies under a ring. To
// rotate, it puts a new secret in front of the old one. No user notices.
func ExampleValues_gorillaSessions() {
	shop := func(secrets ...string) *sessions.CookieStore {
		ring, err := keyring.Static(secrets...)
		if err != nil {
			panic(err)
		}
		values, err := codec.NewValues(ring, codec.ValuesConfig{Realm: "shop.example/production", Lifetime: 24 * time.Hour})
		if err != nil {
			panic(err)
		}
		return &sessions.CookieStore{
			Codecs:  []securecookie.Codec{values},
			Options: &sessions.Options{Path: "/", MaxAge: 24 * 60 * 60, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode},
		}
	}

	store := shop("y9l3gW3yy7pJYIYpSLSHfKfcC7Hbvq5JmYAQjF4mz4M=")
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	basket, _ := store.Get(r, "basket")
	basket.Values["pears"] = 3
	if err := basket.Save(r, w); err != nil {
		panic(err)
	}

	store = shop("bQ0q1zMZ1Qm4wVfVXG2cnM6rUZKcC7aZdG5bL1xj5ts=", "y9l3gW3yy7pJYIYpSLSHfKfcC7Hbvq5JmYAQjF4mz4M=")
	r = httptest.NewRequest("GET", "/", nil)
	r.AddCookie(w.Result().Cookies()[0])
	basket, err := store.Get(r, "basket")
	fmt.Println(basket.Values["pears"], err)
	// Output: 3 <nil>
}

// An access token for an API is verified by another service, which has only the
// public keys and not the ring.
func ExampleAccessTokens() {
	ring, err := keyring.Static("y9l3gW3yy7pJYIYpSLSHfKfcC7Hbvq5JmYAQjF4mz4M=") // a real program reads it from the environment
	if err != nil {
		panic(err)
	}
	tokens, err := codec.NewAccessTokens(ring, codec.AccessTokensConfig{Realm: "shop.example/production", Issuer: "https://shop.example"})
	if err != nil {
		panic(err)
	}
	now := time.Now()
	token, err := tokens.Mint(now, codec.AccessToken{
		Subject: codec.Hide("anna"), Session: codec.ID{1, 2, 3}, Position: 42, // of the session that the token is minted from
		Audience: []string{"https://orders.shop.example"}, ClientID: "shop-app",
		Issued: now, Expires: now.Add(5 * time.Minute), Authenticated: now,
		Scope: codec.Hide("orders.read"), Claims: codec.Hide(`{"roles":["editor"]}`),
	})
	if err != nil {
		panic(err)
	}
	published, err := tokens.JWKS(now)
	if err != nil {
		panic(err)
	}
	document, err := json.Marshal(published)
	if err != nil {
		panic(err)
	}

	// In the other service:
	keys, err := codec.ParseJWKS(document)
	if err != nil {
		panic(err)
	}
	verifier, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{
		Keys:       keys,
		Algorithms: []codec.Algorithm{codec.EdDSA},
		Issuer:     "https://shop.example",
		Audiences:  []string{"https://orders.shop.example"},
	})
	if err != nil {
		panic(err)
	}
	who, err := verifier.Verify(context.Background(), now, token)
	fmt.Println(who.Subject.Text(), who.Scope.Text(), who.Claims.Text(), err)
	_, err = verifier.Verify(context.Background(), now.Add(5*time.Minute), token)
	fmt.Println(errors.Is(err, codec.ErrExpired))
	// Output:
	// anna orders.read {"roles":["editor"]} <nil>
	// true
}

// Cookies in gorilla's own format, under the ring's keys.
func ExampleGorilla() {
	ring, err := keyring.Static("y9l3gW3yy7pJYIYpSLSHfKfcC7Hbvq5JmYAQjF4mz4M=")
	if err != nil {
		panic(err)
	}
	g, err := codec.NewGorilla(ring, codec.GorillaConfig{Realm: "shop.example/production", Lifetime: 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	text, err := g.Encode("basket", []string{"pear", "plum"})
	if err != nil {
		panic(err)
	}
	var basket []string
	fmt.Println(g.Decode("basket", text, &basket), basket)
	// Output: <nil> [pear plum]
}
