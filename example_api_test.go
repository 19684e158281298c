package wafer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// newAPI returns the sessions of the API's examples, which mint access tokens.
func newAPI() *wafer.Sessions[shopper] {
	ring, err := keyring.Static(strings.Repeat("00ff", keyring.SecretSize/2))
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := wafer.New(context.Background(), ring, memory.New(memory.Options{}), wafer.Config[shopper]{
		Realm:   "shop.example/production",
		Observe: func(wafer.Event) {},
		Tokens: &wafer.TokenConfig[shopper]{
			Issuer:   "https://shop.example",
			Audience: "https://shop.example/api",
			// Pages may get tokens for the API, to call it from a script.
			BrowserAudiences: []string{"https://shop.example/api"},
			Claims: func(ctx context.Context, s *wafer.Session[shopper]) (wafer.TokenClaims, error) {
				// Read the roles of s.Subject here.
				return wafer.TokenClaims{Scope: "orders:read"}, nil
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	return sessions
}

// call makes a client's request, with an access token unless it is empty.
func call(app http.Handler, method, path, token, form string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://shop.example"+path, strings.NewReader(form))
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	return w
}

// An API for clients with access tokens.
func ExampleSessions_Bearer() {
	sessions := newAPI()
	defer sessions.Close()

	api := sessions.Bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		fmt.Fprintln(w, s.Subject, "may", s.Scope())
	}))

	pair, err := sessions.Issue(context.Background(), "alice")
	if err != nil {
		log.Fatal(err)
	}
	answer := func(token string) {
		w := call(api, http.MethodGet, "/orders", token, "")
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"), strings.TrimSpace(w.Body.String()))
	}
	answer(pair.AccessToken())
	answer("")
	if _, err := sessions.Revoke(context.Background(), wafer.Revocation{Subjects: []string{"alice"}}); err != nil {
		log.Fatal(err)
	}
	answer(pair.AccessToken())
	// Output:
	// 200  alice may orders:read
	// 401 Bearer Unauthorized
	// 401 Bearer error="invalid_token" Unauthorized
}

// The login of a native client: it gets a pair of tokens and no cookies.
func ExampleSessions_Issue() {
	sessions := newAPI()
	defer sessions.Close()

	login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Check the credentials here; then:
		pair, err := sessions.Issue(r.Context(), "alice", wafer.Label("phone"))
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		pair.WriteResponse(w)
	})

	var pair struct {
		TokenType string `json:"token_type"`
		ExpiresIn int    `json:"expires_in"`
		Scope     string `json:"scope"`
	}
	w := call(login, http.MethodPost, "/login", "", "")
	if err := json.Unmarshal(w.Body.Bytes(), &pair); err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Code, pair.TokenType, pair.ExpiresIn, pair.Scope)
	// Output:
	// 200 Bearer 300 orders:read
}

// The endpoints, under a prefix. Here a native client refreshes, lists its
// devices, and logs out.
func ExampleSessions_Endpoints() {
	sessions := newAPI()
	defer sessions.Close()

	mux := http.NewServeMux()
	mux.Handle("/session/", http.StripPrefix("/session", sessions.Endpoints()))

	pair, err := sessions.Issue(context.Background(), "alice", wafer.Label("phone"))
	if err != nil {
		log.Fatal(err)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {pair.RefreshToken()}}.Encode()
	w := call(mux, http.MethodPost, "/session/refresh", "", refresh)
	var next struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &next); err != nil {
		log.Fatal(err)
	}
	fmt.Println("refresh", w.Code)

	w = call(mux, http.MethodGet, "/session/devices", next.AccessToken, "")
	var list struct {
		Devices []struct {
			Label   string
			Current bool
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		log.Fatal(err)
	}
	fmt.Println("devices", w.Code, list.Devices)

	w = call(mux, http.MethodPost, "/session/logout", next.AccessToken, "")
	fmt.Println("logout", w.Code)
	w = call(mux, http.MethodPost, "/session/refresh", "", refresh)
	fmt.Println("refresh", w.Code, strings.TrimSpace(w.Body.String()))
	// Output:
	// refresh 200
	// devices 200 [{phone true}]
	// logout 204
	// refresh 400 {"error":"invalid_grant"}
}
