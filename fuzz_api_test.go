package wafer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// fuzzTokens is the application that the fuzzers of the API send headers and
// forms to. In their inputs, {alice} stands for alice's access token.
type fuzzTokens struct {
	*Sessions[string]
	endpoints, api http.Handler
	tokens         map[string]string
	access         map[string]string // token to subject, for those that are good at the API
	expand         *strings.Replacer
	refused        string // the answer to a token that is refused
}

func newFuzzTokens(t testing.TB) *fuzzTokens {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var moved atomic.Int64
	clock := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(moved.Load())) }
	ring, err := keyring.Static(strings.Repeat("07", keyring.SecretSize))
	fatal(err)
	open := func(realm string) *Sessions[string] { // each realm on a store of its own
		db := memory.New(memory.Options{Now: clock})
		s, err := New(t.Context(), ring, db, Config[string]{
			Realm: realm, Now: clock, Observe: func(Event) {},
			Tokens: &TokenConfig[string]{
				Issuer: "https://shop.example", Audience: "api", Audiences: []string{"billing"}, BrowserAudiences: []string{"api"},
				Introspect: func(*http.Request) bool { return true },
			},
		})
		fatal(err)
		t.Cleanup(s.Close)
		return s
	}
	f := &fuzzTokens{Sessions: open(fuzzRealm), tokens: map[string]string{}, access: map[string]string{}}
	elsewhere := open(fuzzRealm + "2")
	f.endpoints = f.Endpoints()
	f.api = f.Bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := f.Get(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "session of ", session.Subject)
	}))
	issue := func(s *Sessions[string], subject string) *TokenPair {
		p, err := s.Issue(t.Context(), subject)
		fatal(err)
		f.tokens[subject], f.tokens[subject+"-refresh"] = p.AccessToken(), p.RefreshToken()
		return p
	}
	issue(f.Sessions, "dave") // expired
	moved.Add(int64(5 * time.Minute))
	issue(f.Sessions, "carol") // revoked
	_, err = f.Revoke(t.Context(), Revocation{Subjects: []string{"carol"}})
	fatal(err)
	issue(elsewhere, "erin") // in another realm
	for _, subject := range []string{"alice", "bob"} {
		f.access[issue(f.Sessions, subject).AccessToken()] = subject
	}
	var oldnew []string
	for name, token := range f.tokens {
		oldnew = append(oldnew, "{"+name+"}", token)
	}
	f.expand = strings.NewReplacer(oldnew...)
	_, f.refused = f.response([]string{"Bearer junk"})
	return f
}

func (f *fuzzTokens) response(lines []string) (status int, response string) {
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	r.Header["Authorization"] = lines
	f.api.ServeHTTP(w, r)
	return w.Code, fmt.Sprint(w.Header(), w.Body)
}

func (f *fuzzTokens) filled(input string, at uint16, xor byte) string {
	b := []byte(f.expand.Replace(input))
	if len(b) > 0 {
		b[int(at)%len(b)] ^= xor
	}
	return string(b)
}

var fuzzAuthorizations = []struct{ input, subject string }{
	{"", ""}, {"Bearer", ""}, {"Bearer ", ""}, {"Bearer {alice}", "alice"}, {"bearer  {bob}", "bob"}, {"Bearer {alice} ", ""},
	{"Bearer {alice}\nBearer {alice}", ""}, {"Bearer {alice}\n", ""}, {"Basic YTpi\nBearer {alice}", ""}, {"Bearer {alice}\nBasic YTpi", ""},
	{"{alice}", ""}, {"Bearer={alice}", ""}, {"Bearer \"{alice}\"", ""}, {"Bearer {alice},{bob}", ""}, {"Bearer {carol}", ""}, {"Bearer {dave}", ""},
	{"Bearer {erin}", ""}, {"Bearer {alice-refresh}", ""}, {"Bearer {bob-refresh}", ""}, {"Bearer {alice}.{bob}", ""}, {"Bearer {dave-refresh}{erin-refresh}{carol-refresh}", ""},
	{"Basic {alice}", ""}, {"DPoP {alice}", ""}, {" Bearer {alice}", ""}, {"Bearer\t{alice}", ""}, {"Bearer {alice}\x00", ""},
}

// No token that we did not mint is ever accepted, no header with two tokens is,
// and every refusal looks the same.
func FuzzAuthorization(f *testing.F) {
	pool := newFuzzTokens(f)
	for i, seed := range fuzzAuthorizations {
		f.Add(seed.input, uint16(0), byte(0))
		f.Add(seed.input, uint16(13*i+8), byte(1<<(i%8)))
	}
	f.Fuzz(func(t *testing.T, input string, at uint16, xor byte) {
		lines := strings.Split(pool.filled(input, at, xor), "\n")
		status, response := pool.response(lines)
		switch status {
		case http.StatusOK:
			// This check shares nothing with the code under test.
			if len(lines) != 1 || len(lines[0]) < 8 || !strings.EqualFold(lines[0][:7], "bearer ") {
				t.Errorf("%q was answered %q", lines, response)
				return
			}
			if subject := pool.access[strings.Trim(lines[0][7:], " ")]; subject == "" || !strings.HasSuffix(response, "session of "+subject) || strings.HasSuffix(lines[0], " ") {
				t.Errorf("%q is of %q, and was answered %q", lines, subject, response)
			}
		case http.StatusUnauthorized:
			if response != pool.refused && response != strings.Replace(pool.refused, `Bearer error="invalid_token"`, "Bearer", 1) {
				t.Errorf("%q was answered %q, another %q", lines, response, pool.refused)
			}
		default:
			t.Errorf("%q was answered %d", lines, status)
		}
	})
}

var fuzzForms = []struct{ path, media, query, body string }{
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=refresh_token&refresh_token={alice-refresh}"},
	{"/refresh", "application/x-www-form-urlencoded; charset=utf-8", "grant_type=x", "refresh_token={bob-refresh}&grant_type=refresh_token&audience=billing"},
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=refresh_token&refresh_token={alice-refresh}&audience=other"},
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=refresh_token&refresh_token={alice-refresh}&refresh_token={bob-refresh}"},
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=refresh_token&refresh_token={dave-refresh}"},
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=refresh_token&refresh_token={carol-refresh}"},
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=refresh_token&refresh_token={erin-refresh}"},
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=refresh_token&refresh_token={alice}"},
	{"/refresh", "application/x-www-form-urlencoded", "", "grant_type=password&username=alice"},
	{"/refresh", "application/x-www-form-urlencoded", "refresh_token={alice-refresh}", "grant_type=refresh_token"},
	{"/refresh", "application/json", "", `{"grant_type":"refresh_token","refresh_token":"{alice-refresh}"}`},
	{"/refresh", "multipart/form-data; boundary=x", "", "--x\r\n"},
	{"/refresh", "", "", "grant_type=refresh_token;refresh_token={alice-refresh}"},
	{"/introspect", "application/x-www-form-urlencoded", "", "token={alice}"},
	{"/introspect", "application/x-www-form-urlencoded", "", "token={bob-refresh}&token_type_hint=refresh_token"},
	{"/introspect", "application/x-www-form-urlencoded", "", "token={carol}&%zz"},
	{"/introspect", "application/x-www-form-urlencoded", "%zz", "token={erin}"},
	{"/introspect", "application/x-www-form-urlencoded", "", "token={dave}&token={alice}"},
	{"/revoke", "application/x-www-form-urlencoded", "", "token={erin}"},
	{"/revoke", "application/x-www-form-urlencoded", "", "token={carol-refresh}"},
	{"/revoke", "application/x-www-form-urlencoded", "", "token=wfr1_AAAA&x=\x00"},
	{"/token", "application/x-www-form-urlencoded", "audience=api", "audience=api"},
	{"/logout", "", "", ""},
}

// fuzzGood names the tokens of which a form must contain at least one, whole
// and percent-encoded or not, for its answer to be other than a refusal.
var fuzzGood = []string{"alice", "bob", "alice-refresh", "bob-refresh", "dave-refresh"}

// No form, whatever its type and address, is answered by a 5xx, by anything but
// JSON, or by a token for a token that it does not contain.
func FuzzForms(f *testing.F) {
	pool := newFuzzTokens(f)
	for i, seed := range fuzzForms {
		f.Add(seed.path, seed.media, seed.query, seed.body, uint16(0), byte(0))
		f.Add(seed.path, seed.media, seed.query, seed.body, uint16(11*i+40), byte(1<<(i%8)))
	}
	f.Fuzz(func(t *testing.T, path, media, query, body string, at uint16, xor byte) {
		if !slices.Contains([]string{"/refresh", "/introspect", "/token", "/logout"}, path) {
			path = "/refresh" // only seeds revoke: a revocation would end good sessions
			if body == "" {
				path = "/revoke"
			}
		}
		body = pool.filled(body, at, xor)
		r, w := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)), httptest.NewRecorder()
		r.Header["Content-Type"] = []string{media}
		r.URL.RawQuery = pool.expand.Replace(query)
		pool.endpoints.ServeHTTP(w, r)
		if w.Code >= 500 || strings.Contains(w.Header().Get("Set-Cookie"), "=wfr1_") {
			t.Fatalf("%s %q %q %q: %d %s", path, media, query, body, w.Code, w.Body)
		}
		if path == "/token" && w.Code != http.StatusUnauthorized {
			t.Errorf("a request without a session got %d %s", w.Code, w.Body)
		}
		if path == "/token" || path == "/logout" {
			return
		}
		answer := map[string]any{}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s %q %q %q: %v in %q, %v", path, media, query, body, err, w.Body, w.Header())
		}
		if answer["access_token"] == nil && answer["active"] != true {
			return
		}
		plain := strings.ToLower(media)
		if !strings.Contains(plain, "x-www-form-urlencoded") || len(body) > maxForm {
			t.Errorf("%q of %d bytes is no form, and was answered %s", media, len(body), w.Body)
		}
		if !strings.Contains(body, "%") && !slices.ContainsFunc(fuzzGood, func(name string) bool { return strings.Contains(body, pool.tokens[name]) }) {
			t.Errorf("%q holds no good token, and was answered %s", body, w.Body)
		}
	})
}

// The seeds reach acceptance and refusal at the API and at the endpoints.
func TestFuzzAPISeeds(t *testing.T) {
	pool := newFuzzTokens(t)
	reached := map[string]int{}
	for _, seed := range fuzzAuthorizations {
		status, response := pool.response(strings.Split(pool.filled(seed.input, 0, 0), "\n"))
		if seed.subject == "" && status != http.StatusUnauthorized || seed.subject != "" && !strings.HasSuffix(response, "session of "+seed.subject) {
			t.Errorf("%.100q: %d %q, want the session of %q", seed.input, status, response, seed.subject)
		}
		reached[seed.subject]++
	}
	for _, seed := range fuzzForms {
		r, w := httptest.NewRequest(http.MethodPost, seed.path, strings.NewReader(pool.filled(seed.body, 0, 0))), httptest.NewRecorder()
		r.Header.Set("Content-Type", seed.media)
		r.URL.RawQuery = seed.query
		pool.endpoints.ServeHTTP(w, r)
		switch {
		case strings.Contains(w.Body.String(), `"access_token"`):
			reached["a token"]++
		case strings.Contains(w.Body.String(), `"active":true`):
			reached["active"]++
		case strings.Contains(w.Body.String(), `"error":`):
			reached[w.Body.String()]++
		}
	}
	if reached[""] < 15 || reached["alice"] < 1 || reached["bob"] < 1 || reached["a token"] < 2 || reached["active"] < 2 || len(reached) < 8 {
		t.Errorf("the seeds of the API's fuzz tests are gone: %v", reached)
	}
	for name := range pool.tokens {
		if !slices.ContainsFunc(fuzzAuthorizations, func(seed struct{ input, subject string }) bool { return strings.Contains(seed.input, "{"+name+"}") }) {
			t.Errorf("no seed uses {%s}", name)
		}
	}
}
