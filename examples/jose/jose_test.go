package jose

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

const (
	realm    = "shop.example/test"
	issuer   = "https://shop.example"
	audience = "https://orders.example"
)

// mustRun reports whether a test that cannot run here fails instead of being
// skipped.
func mustRun() bool { return os.Getenv("CI") != "" || os.Getenv("WAFER_CI") != "" }

func unable(t *testing.T, format string, args ...any) {
	t.Helper()
	if mustRun() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// node is a directory with the scripts and their dependencies.
type node struct{ dir string }

func newNode(t *testing.T) *node {
	t.Helper()
	for _, command := range []struct{ name, from string }{{"node", "nodejs"}, {"npm", "npm"}} {
		if _, err := exec.LookPath(command.name); err != nil {
			unable(t, "%s is not installed; it is in Debian's package %s", command.name, command.from)
		}
	}
	n := &node{t.TempDir()}
	for _, name := range []string{"package.json", "package-lock.json", "verify.mjs", "check.mjs", "forge.mjs"} {
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(n.dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = n.dir
	if out, err := install.CombinedOutput(); err != nil {
		unable(t, "npm ci: %v\n%s", err, out)
	}
	return n
}

// run runs a script with JSON as its input and output.
func (n *node) run(t *testing.T, script string, input, output any) {
	t.Helper()
	b, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = n.dir, bytes.NewReader(b), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("node %s: %v\n%s", script, err, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), output); err != nil {
		t.Fatalf("node %s printed %q: %v", script, &stdout, err)
	}
}

// shop is an application whose tokens are signed by one algorithm.
type shop struct {
	t         *testing.T
	algorithm codec.Algorithm
	ring      *keyring.Ring
	sessions  *wafer.Sessions[struct{}]
	mux       *http.ServeMux
	url       string
}

func newRing(t *testing.T) *keyring.Ring {
	t.Helper()
	secret := make([]byte, keyring.SecretSize)
	rand.Read(secret)
	ring, err := keyring.Static(hex.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func newShop(t *testing.T, algorithm codec.Algorithm) *shop {
	t.Helper()
	s := &shop{t: t, algorithm: algorithm, ring: newRing(t), mux: http.NewServeMux()}
	var err error
	s.sessions, err = wafer.New(t.Context(), s.ring, memory.New(memory.Options{}), wafer.Config[struct{}]{
		Realm: realm, Observe: func(wafer.Event) {},
		Tokens: &wafer.TokenConfig[struct{}]{
			Issuer: issuer, Audience: audience, Audiences: []string{"https://other.example"},
			Algorithms: []codec.Algorithm{algorithm},
			Claims: func(context.Context, *wafer.Session[struct{}]) (wafer.TokenClaims, error) {
				return wafer.TokenClaims{Scope: "orders:read", Extra: map[string]any{"role": "clerk"}}, nil
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sessions.Close)
	s.mux.Handle("/session/", http.StripPrefix("/session", s.sessions.Endpoints()))
	server := httptest.NewServer(s.mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// token gets a token as a native client does.
func (s *shop) token(audience string) string {
	s.t.Helper()
	pair, err := s.sessions.Issue(s.t.Context(), "alice")
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.PostForm(s.url+"/session/refresh", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {pair.RefreshToken()}, "audience": {audience},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		s.t.Fatalf("POST /refresh: %s, %v", resp.Status, err)
	}
	return answer.AccessToken
}

// mint makes a token that no application would issue.
func mint(t *testing.T, ring *keyring.Ring, c codec.AccessTokensConfig, now time.Time) string {
	t.Helper()
	tokens, err := codec.NewAccessTokens(ring, c)
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Mint(now, codec.AccessToken{
		Subject: codec.Hide("alice"), Audience: []string{audience}, ClientID: "test", Session: codec.ID{1}, Position: 1,
		Issued: now, Expires: now.Add(5 * time.Minute), Authenticated: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *shop) jwks() json.RawMessage {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, httptest.NewRequest("GET", "/session/jwks.json", nil))
	return w.Body.Bytes()
}

// answer is the result of check.mjs for a token.
type answer struct {
	Claims map[string]any
	Code   string
	Claim  string
}

func (a answer) String() string { return strings.TrimSpace(a.Code + " " + a.Claim) }

func (s *shop) check(t *testing.T, n *node, path string, tokens map[string]string) (answers map[string]answer) {
	t.Helper()
	n.run(t, "check.mjs", map[string]any{
		"config": map[string]any{"jwksURL": s.url + path, "issuer": issuer, "audience": audience, "algorithm": s.algorithm},
		"tokens": tokens,
	}, &answers)
	return answers
}

func TestJose(t *testing.T) {
	n := newNode(t)
	for _, algorithm := range []codec.Algorithm{codec.EdDSA, codec.ES256} {
		t.Run(string(algorithm), func(t *testing.T) {
			s := newShop(t, algorithm)
			s.verifiedByNode(t, n)
			s.forgedByNode(t, n)
		})
	}
}

// verifiedByNode checks that jose accepts our tokens and refuses those that it
// must not accept.
func (s *shop) verifiedByNode(t *testing.T, n *node) {
	other := codec.ES256
	if s.algorithm == other {
		other = codec.EdDSA
	}
	ours := codec.AccessTokensConfig{Realm: realm, Issuer: issuer, Algorithms: []codec.Algorithm{s.algorithm}}
	with := func(change func(*codec.AccessTokensConfig)) codec.AccessTokensConfig {
		c := ours
		change(&c)
		return c
	}
	now := time.Now()
	good := s.token(audience)
	head, rest, _ := strings.Cut(good, ".")
	tests := map[string]struct{ token, want string }{
		"good":            {good, ""},
		"minted alike":    {mint(t, s.ring, ours, now), ""}, // otherwise the cases below show nothing
		"audience":        {s.token("https://other.example"), "ERR_JWT_CLAIM_VALIDATION_FAILED aud"},
		"issuer":          {mint(t, s.ring, with(func(c *codec.AccessTokensConfig) { c.Issuer = "https://mallory.example" }), now), "ERR_JWT_CLAIM_VALIDATION_FAILED iss"},
		"expired":         {mint(t, s.ring, ours, now.Add(-time.Hour)), "ERR_JWT_EXPIRED exp"},
		"realm":           {mint(t, s.ring, with(func(c *codec.AccessTokensConfig) { c.Realm = "shop.example/staging" }), now), "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"},
		"algorithm":       {mint(t, s.ring, with(func(c *codec.AccessTokensConfig) { c.Algorithms = []codec.Algorithm{other} }), now), "ERR_JOSE_ALG_NOT_ALLOWED"},
		"ring":            {mint(t, newRing(t), ours, now), "ERR_JWKS_NO_MATCHING_KEY"},
		"payload changed": {head + "." + rest[:8] + "A" + rest[9:], "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"},
		"nothing":         {"", "ERR_JWS_INVALID"},
	}
	tokens := map[string]string{}
	for name, test := range tests {
		tokens[name] = test.token
	}
	answers := s.check(t, n, "/session/jwks.json", tokens)
	for name, test := range tests {
		if got := answers[name]; got.String() != test.want {
			t.Errorf("jose, %s: %q, want %q", name, got, test.want)
		}
	}
	claims := answers["good"].Claims
	if claims["sub"] != "alice" || claims["scope"] != "orders:read" || claims["role"] != "clerk" || claims["iss"] != issuer || claims["aud"] != audience {
		t.Errorf("jose read the claims %v", claims)
	}
}

// forgery is the output of forge.mjs.
type forgery struct {
	Keys              json.RawMessage
	Good, Bad, Forged map[string]string
}

// forgedByNode checks tokens that jose signs. A Verifier that trusts jose's
// keys accepts a correct token, and refuses every other one for the reason that
// it was made for.
func (s *shop) forgedByNode(t *testing.T, n *node) {
	token := s.token(audience)
	var f forgery
	n.run(t, "forge.mjs", map[string]any{"jwks": s.jwks(), "token": token, "audience": audience}, &f)
	if len(f.Good) < 6 || len(f.Bad) < 50 || len(f.Forged) < 40 {
		t.Fatalf("forge.mjs made %d good, %d bad and %d forged tokens", len(f.Good), len(f.Bad), len(f.Forged))
	}

	trusting := newVerifier(t, wafer.VerifierConfig{Document: f.Keys, Algorithms: []codec.Algorithm{codec.EdDSA, codec.ES256}})
	for name, token := range f.Good {
		if err := trusting.verify(token); err != nil {
			t.Errorf("good, %s: %v", name, err)
		}
	}
	for name, token := range f.Bad {
		if err, want := trusting.verify(token), reason(name); want == nil || !errors.Is(err, want) {
			t.Errorf("bad, %s: %v, want %v", name, err, want)
		}
	}

	// A verifier that trusts only the application refuses all of them.
	ours := newVerifier(t, wafer.VerifierConfig{JWKSURL: s.url + "/session/jwks.json", Algorithms: []codec.Algorithm{s.algorithm}})
	if err := ours.verify(token); err != nil {
		t.Errorf("a good token of the application: %v", err)
	}
	own := s.sessions.Bearer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var group sync.WaitGroup
	for _, tokens := range []map[string]string{f.Good, f.Bad, f.Forged} {
		for name, token := range tokens {
			group.Go(func() { // an unknown key id waits for a fetch
				if _, err := ours.Verify(t.Context(), token); !errors.Is(err, wafer.ErrNoSession) {
					t.Errorf("forged, %s, at a Verifier: %v", name, err)
				}
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				if own.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
					t.Errorf("forged, %s, at the application: %d", name, w.Code)
				}
			})
		}
	}
	group.Wait()

	// The verifying script is no laxer on the points that matter.
	s.mux.HandleFunc("/node.json", func(w http.ResponseWriter, r *http.Request) { w.Write(f.Keys) })
	tokens, want := map[string]string{}, map[string]string{}
	for name, code := range map[string]string{
		"typ JWT":                  "ERR_JWT_CLAIM_VALIDATION_FAILED typ",
		"no typ":                   "ERR_JWT_CLAIM_VALIDATION_FAILED typ",
		"another typ":              "ERR_JWT_CLAIM_VALIDATION_FAILED typ",
		"expired":                  "ERR_JWT_EXPIRED exp",
		"not valid yet":            "ERR_JWT_CLAIM_VALIDATION_FAILED nbf",
		"another audience":         "ERR_JWT_CLAIM_VALIDATION_FAILED aud",
		"another issuer":           "ERR_JWT_CLAIM_VALIDATION_FAILED iss",
		"another kid":              "ERR_JWKS_NO_MATCHING_KEY",
		"an issuer with a slash":   "ERR_JWT_CLAIM_VALIDATION_FAILED iss",
		"a critical extension":     "ERR_JOSE_NOT_SUPPORTED",
		"without sid":              "ERR_JWT_CLAIM_VALIDATION_FAILED sid",
		"without exp":              "ERR_JWT_CLAIM_VALIDATION_FAILED exp",
		"exp as text":              "ERR_JWT_CLAIM_VALIDATION_FAILED exp",
		"its kid, another key":     "ERR_JWKS_NO_MATCHING_KEY",
		"the key embedded":         "ERR_JWKS_NO_MATCHING_KEY",
		"the key at an address":    "ERR_JWKS_NO_MATCHING_KEY",
		"as it should be":          "",
		"an array of one audience": "",
	} {
		for _, set := range []map[string]string{f.Good, f.Bad, f.Forged} {
			full := fmt.Sprintf("%s: %s", s.algorithm, name)
			if token, found := set[full]; found {
				tokens[full], want[full] = token, code
			}
		}
	}
	for name, token := range f.Forged {
		if strings.HasPrefix(name, "alg ") || strings.HasPrefix(name, "HS256 ") {
			tokens[name], want[name] = token, "*"
		}
	}
	answers := s.check(t, n, "/node.json", tokens)
	for name, code := range want {
		if got := answers[name]; code != "*" && got.String() != code || code == "*" && got.Code == "" {
			t.Errorf("jose, %s: %q, want %q", name, got, code)
		}
	}
	if len(want) < 30 {
		t.Errorf("jose was given %d tokens only", len(want))
	}
}

// reason returns the error with which a bad token must be refused.
func reason(name string) error {
	_, name, _ = strings.Cut(name, ": ")
	switch name {
	case "typ JWT", "no typ", "another typ", "no kid", "an embedded key", "a critical extension":
		return codec.ErrEncoding
	case "another kid":
		return keyring.ErrUnknown
	case "the kid of another algorithm", "another audience", "one audience too many", "another issuer",
		"an issuer with a slash", "the other form of the signature":
		return codec.ErrForged
	case "expired":
		return codec.ErrExpired
	case "issued in the future", "not valid yet":
		return codec.ErrEarly
	case "exp as text", "exp with a fraction", "another case of a claim":
		return codec.ErrContent
	}
	if strings.HasPrefix(name, "without ") {
		return codec.ErrContent
	}
	return nil
}

// verifier is a Verifier that keeps the error of its last refusal.
type verifier struct {
	*wafer.Verifier
	mu   sync.Mutex
	last error
}

func newVerifier(t *testing.T, c wafer.VerifierConfig) *verifier {
	t.Helper()
	v := new(verifier)
	c.Issuer, c.Audiences, c.InsecureWithoutRevocations = issuer, []string{audience}, true
	c.Observe = func(e wafer.Event) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.last = e.Err
	}
	var err error
	if v.Verifier, err = wafer.NewVerifier(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func (v *verifier) verify(token string) error {
	_, err := v.Verify(context.Background(), token)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		return nil
	}
	return errors.Join(err, v.last)
}
