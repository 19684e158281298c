package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/sqlite"
)

const (
	issuer   = "https://shop.example"
	audience = "https://orders.example"
)

// application is a program on wafer with a store in a file.
func application(t *testing.T) (sessions *wafer.Sessions[struct{}], url, file string) {
	t.Helper()
	secret := make([]byte, keyring.SecretSize)
	rand.Read(secret)
	ring, err := keyring.Static(hex.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "wafer.db")
	db, err := sqlite.Open(t.Context(), file, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	sessions, err = wafer.New(t.Context(), ring, db, wafer.Config[struct{}]{
		Realm:   "shop.example/test",
		Tokens:  &wafer.TokenConfig[struct{}]{Issuer: issuer, Audience: issuer, Audiences: []string{audience}},
		Observe: func(wafer.Event) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sessions.Close)
	server := httptest.NewServer(http.StripPrefix("/session", sessions.Endpoints()))
	t.Cleanup(server.Close)
	return sessions, server.URL + "/session", file
}

// login begins a session and gets a token for a service, as a client does.
func login(t *testing.T, sessions *wafer.Sessions[struct{}], at, subject, audience string) (*wafer.TokenPair, string) {
	t.Helper()
	pair, err := sessions.Issue(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(at+"/refresh", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {pair.RefreshToken()}, "audience": {audience},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("POST /refresh: %s, %v", resp.Status, err)
	}
	return pair, answer.AccessToken
}

// isService is the environment variable that makes this program the service
// instead of its tests.
const isService = "WAFER_TEST_IS_SERVICE"

func TestMain(m *testing.M) {
	if os.Getenv(isService) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the service as a process of its own and returns its URL.
func start(t *testing.T, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, append([]string{"-addr", "127.0.0.1:0", "-start", "2m"}, args...)...)
	cmd.Env = append(os.Environ(), isService+"=yes")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	at, ok := strings.CutPrefix(strings.TrimSpace(line), "serving ")
	if !ok {
		cmd.Wait()
		t.Fatalf("it printed %q: %s", line, &stderr)
	}
	return at
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// A process with the application's URL and store, and without a secret,
// identifies callers and detects that a session was ended.
func TestService(t *testing.T) {
	sessions, at, file := application(t)
	common := []string{"-jwks", at + "/jwks.json", "-issuer", issuer, "-audience", audience}
	service := start(t, append(common, "-store", "sqlite:"+file)...)

	alice, token := login(t, sessions, at, "alice", audience)
	if status, body := get(t, service+"/whoami", token); status != 200 || body != "alice, in session "+alice.Session.String()+", with scope \"\"\n" {
		t.Errorf("%d %q", status, body)
	}
	_, foreign := login(t, sessions, at, "alice", issuer)
	for name, bad := range map[string]string{"none": "", "the application's own": foreign, "a refresh token": alice.RefreshToken(), "damaged": token[1:]} {
		if status, _ := get(t, service+"/whoami", bad); status != 401 {
			t.Errorf("a token that is %s: %d", name, status)
		}
	}
	if status, body := get(t, service+"/health", ""); status != 200 || !strings.HasPrefix(body, "revocations: fresh,") {
		t.Errorf("health: %d %q", status, body)
	}

	without := start(t, append(common, "-without-revocations")...)
	if status, _ := get(t, without+"/whoami", token); status != 200 {
		t.Errorf("without revocations: %d", status)
	}

	if _, err := sessions.Revoke(t.Context(), wafer.Revocation{Subjects: []string{"alice"}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for status := 200; status != 401; status, _ = get(t, service+"/whoami", token) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d after MaxStaleness", status)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("the revocation was in force in the other process after %v", time.Since(began).Round(time.Millisecond))
	if status, _ := get(t, without+"/whoami", token); status != 200 {
		t.Errorf("without revocations, after one: %d, want what it says it cannot know", status)
	}
	_, again := login(t, sessions, at, "alice", audience)
	if status, body := get(t, service+"/whoami", again); status != 200 {
		t.Errorf("a new login: %d %q", status, body)
	}
}

func TestServiceMistakes(t *testing.T) {
	_, at, file := application(t)
	good := []string{"-addr", "127.0.0.1:0", "-start", "3s", "-jwks", at + "/jwks.json", "-issuer", issuer, "-audience", audience}
	for want, args := range map[string][]string{
		"Log is nil":            {},
		"exclude each other":    {"-store", "sqlite:" + file, "-without-revocations"},
		"want sqlite:FILE":      {"-store", file},
		"has not made its":      {"-store", "sqlite:" + filepath.Join(t.TempDir(), "none.db")},
		"unexpected argument":   {"-without-revocations", "now"},
		"Algorithms":            {"-without-revocations", "-alg", "none"},
		"Audiences":             {"-without-revocations", "-audience", ""},
		"loopback":              {"-without-revocations", "-jwks", "http://shop.example/jwks.json"},
		"want 200":              {"-without-revocations", "-jwks", at + "/none.json"},
		"invalid value":         {"-max-staleness", "soon"},
		"a key for [\"ES256\"]": {"-without-revocations", "-alg", "ES256"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), append(good[:len(good):len(good)], args...), &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), want) || stdout.Len() > 0 {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
