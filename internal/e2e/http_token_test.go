package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// The basis of the tests of access tokens and native clients: nodes that mint
// tokens, their endpoints under a prefix, and clients that present tokens.

const (
	apiIssuer   = "https://harness.example"
	apiAudience = "https://api.harness.example"
	apiBilling  = "https://billing.harness.example"
	apiReports  = "https://reports.harness.example"
	apiSecret   = "Basic YmlsbGluZzpzZWNyZXQ="
)

// withTokens makes a node mint access tokens.
func withTokens(configure ...func(*wafer.TokenConfig[basket])) func(*wafer.Config[basket]) {
	return func(c *wafer.Config[basket]) {
		c.Tokens = &wafer.TokenConfig[basket]{
			Issuer: apiIssuer, Audience: apiAudience, Audiences: []string{apiBilling, apiReports},
			BrowserAudiences: []string{apiAudience, apiBilling},
			Introspect:       func(r *http.Request) bool { return r.Header.Get("Authorization") == apiSecret },
		}
		for _, f := range configure {
			f(c.Tokens)
		}
	}
}

// api sends a request to the endpoints of a node. A body is sent as a form.
func (n *node) api(method, path, body string, configure ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://harness.example/session"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, f := range configure {
		f(r)
	}
	w := httptest.NewRecorder()
	http.StripPrefix("/session", n.Endpoints()).ServeHTTP(w, r)
	return w
}

func bearing(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

func authorized(r *http.Request) { r.Header.Set("Authorization", apiSecret) }

// from makes a request carry a browser's cookies.
func (b *browser) from(r *http.Request) {
	for name, value := range b.cookies {
		r.Header.Add("Cookie", name+"="+value)
	}
}

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// issue logs a native client in.
func (n *node) issue(subject string, options ...wafer.StartOption) *wafer.TokenPair {
	n.world.t.Helper()
	p, err := n.Issue(context.Background(), subject, options...)
	if err != nil {
		n.world.t.Fatal(err)
	}
	return p
}

func (n *node) refreshWith(token string, more ...string) *httptest.ResponseRecorder {
	return n.api(http.MethodPost, "/refresh", form(append([]string{"grant_type", "refresh_token", "refresh_token", token}, more...)...))
}

// refreshed performs a refresh, which must succeed.
func (n *node) refreshed(token string, more ...string) tokenResponse {
	n.world.t.Helper()
	return tokenAnswer(n.world.t, n.refreshWith(token, more...))
}

// tokenResponse is the response of RFC 6749 section 5.1.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    *int64 `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
}

func tokenAnswer(t testing.TB, w *httptest.ResponseRecorder) (p tokenResponse) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("no token: %d %s", w.Code, w.Body)
	}
	strict(t, w, &p)
	if p.AccessToken == "" || p.TokenType != "Bearer" || p.ExpiresIn == nil || *p.ExpiresIn <= 0 {
		t.Fatalf("the answer lacks something of RFC 6749 section 5.1: %s", w.Body)
	}
	return p
}

// strict decodes JSON without unknown members.
func strict(t testing.TB, w *httptest.ResponseRecorder, into any) {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("the media type is %q", got)
	}
	d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
}

// wantOAuth fails the test unless the answer is an error of RFC 6749 section
// 5.2.
func wantOAuth(t testing.TB, what string, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if got := strings.TrimSpace(w.Body.String()); w.Code != status || got != `{"error":"`+code+`"}` {
		t.Errorf("%s: %d %.200s, want %d %s", what, w.Code, got, status, code)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s: the header is %v", what, w.Header())
	}
	if after := w.Header().Get("Retry-After"); (after != "") != (status == http.StatusServiceUnavailable) {
		t.Errorf("%s: %d with Retry-After %q", what, status, after)
	}
}

// bearerOf returns how a node judges a bearer token: a subject such as "alice",
// "401" or "503".
func (n *node) bearerOf(token string) string {
	who, _ := n.bearer(header("Authorization", "Bearer "+token))
	return who
}

func (n *node) bearer(configure ...func(*http.Request)) (who string, w *httptest.ResponseRecorder) {
	return through401(n, n.Bearer, configure...)
}

func through401(n *node, middleware func(http.Handler) http.Handler, configure ...func(*http.Request)) (who string, w *httptest.ResponseRecorder) {
	r := httptest.NewRequest(http.MethodGet, "https://harness.example/api", nil)
	for _, f := range configure {
		f(r)
	}
	w = httptest.NewRecorder()
	middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := n.Get(r.Context())
		if err != nil {
			n.Error(w, r, err)
			return
		}
		fmt.Fprint(w, s.Subject)
	})).ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		return w.Body.String(), w
	}
	return fmt.Sprint(w.Code), w
}

func (n *node) wantBearer(what, token, want string) {
	n.world.t.Helper()
	if got := n.bearerOf(token); got != want {
		n.world.t.Errorf("%s: the access token is %q, want %q", what, got, want)
	}
}

// claimsOf decodes a token's payload without judging it.
func claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// dump returns a whole response: status, header and body.
func dump(w *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintln(&b, w.Code)
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		fmt.Fprintf(&b, "%s: %q\n", name, w.Header()[name])
	}
	io.WriteString(&b, w.Body.String())
	return b.String()
}

func (n *node) introspected(t testing.TB, token string) map[string]any {
	t.Helper()
	w := n.api(http.MethodPost, "/introspect", form("token", token), authorized)
	if w.Code != http.StatusOK {
		t.Fatalf("introspect: %d %s", w.Code, w.Body)
	}
	answer := map[string]any{}
	strict(t, w, &answer)
	return answer
}

func sessionID(t testing.TB, token string) store.ID {
	t.Helper()
	id, err := store.ParseID(fmt.Sprint(claimsOf(t, token)["sid"]))
	if err != nil {
		t.Fatal(err)
	}
	return id
}
