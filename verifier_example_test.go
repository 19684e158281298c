package wafer_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// A service that holds no secret, only the application's public keys by their
// URL and its revocation log.
func ExampleNewVerifier() {
	ctx := context.Background()
	// The application, elsewhere.
	ring, err := keyring.Static(strings.Repeat("00ff", keyring.SecretSize/2))
	if err != nil {
		log.Fatal(err)
	}
	db := memory.New(memory.Options{})
	sessions, err := wafer.New(ctx, ring, db, wafer.Config[struct{}]{
		Realm:  "shop.example/production",
		Tokens: &wafer.TokenConfig[struct{}]{Issuer: "https://shop.example", Audience: "https://orders.example"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	application := httptest.NewServer(sessions.Endpoints())
	defer application.Close()

	// The service.
	verifier, err := wafer.NewVerifier(ctx, wafer.VerifierConfig{
		Issuer:    "https://shop.example",
		Audiences: []string{"https://orders.example"},
		JWKSURL:   application.URL + "/jwks.json",
		Log:       db, // such as a sqlite.Store on the application's file
	})
	if err != nil {
		log.Fatal(err)
	}
	defer verifier.Close()
	orders := verifier.Bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := verifier.Get(r.Context())
		if err != nil {
			verifier.Error(w, r, err)
			return
		}
		fmt.Fprintf(w, "The orders of %s.", session.Subject)
	}))

	// A client.
	pair, err := sessions.Issue(ctx, "alice")
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range []string{pair.AccessToken(), "forged"} {
		r := httptest.NewRequest("GET", "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		orders.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 The orders of alice.
	// 401 Unauthorized
}
