package e2e_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// The basis of the Verifier's tests: an application that mints tokens, the path
// to its key set and its log, and a service that has only these two. The tests
// run in a synctest bubble, so that hours pass at once.

const (
	shopIssuer   = "https://shop.example"
	shopAudience = "https://shop.example/api"
	ordersAPI    = "https://orders.example"
	shopKeysURL  = "https://shop.example/session/jwks.json"
)

// shop is the application.
type shop struct {
	*wafer.Sessions[basket]
	t      testing.TB
	mem    *memory.Store
	ring   *keyring.Ring
	keeper keyring.Keeper
	keys   *keysServer
	log    *readSide
	// renewed holds each session's newest refresh token, once it has refreshed.
	renewed map[store.ID]string
}

func openShop(t testing.TB, configure ...func(*wafer.Config[basket])) *shop {
	t.Helper()
	return openShopAt(t, time.Now(), configure...)
}

// openShopAt is openShop with a ring that was made at a given time.
func openShopAt(t testing.TB, made time.Time, configure ...func(*wafer.Config[basket])) *shop {
	t.Helper()
	s := &shop{t: t, mem: memory.New(memory.Options{}), renewed: make(map[store.ID]string)}
	var err error
	if s.keeper, err = keyring.NewKeeper(newStaticSecret()); err != nil {
		t.Fatal(err)
	}
	if s.ring, err = keyring.Create(t.Context(), s.mem, s.keeper, made, keyring.Schedule{}); err != nil {
		t.Fatal(err)
	}
	config := wafer.Config[basket]{
		Realm: testRealm, Observe: func(wafer.Event) {},
		Idle: 24 * time.Hour, Absolute: 48 * time.Hour,
		Tokens: &wafer.TokenConfig[basket]{Issuer: shopIssuer, Audience: shopAudience, Audiences: []string{ordersAPI}},
	}
	for _, f := range configure {
		f(&config)
	}
	if s.Sessions, err = wafer.New(t.Context(), s.ring, s.mem, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.keys = &keysServer{handler: http.StripPrefix("/session", s.Endpoints())}
	s.log = &readSide{mem: s.mem}
	return s
}

// login starts a session of a native client.
func (s *shop) login(subject string) *wafer.TokenPair {
	s.t.Helper()
	pair, err := s.Issue(context.Background(), subject)
	if err != nil {
		s.t.Fatal(err)
	}
	return pair
}

// token gets an access token for an audience by the session's refresh token.
func (s *shop) token(pair *wafer.TokenPair, audience string) string {
	s.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {cmp.Or(s.renewed[pair.Session], pair.RefreshToken())}, "audience": {audience}}
	r := httptest.NewRequest("POST", "/refresh", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.Endpoints().ServeHTTP(w, r)
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" {
		s.t.Fatalf("POST /refresh answered %d: %s", w.Code, w.Body)
	}
	s.renewed[pair.Session] = answer.RefreshToken
	return answer.AccessToken
}

// orders logs in and returns a token for the service.
func (s *shop) orders(subject string) string {
	s.t.Helper()
	return s.token(s.login(subject), ordersAPI)
}

// thief returns a minter that keeps the ring's current keys, whatever happens
// to them later.
func (s *shop) thief() *codec.AccessTokens {
	s.t.Helper()
	version, document, err := s.mem.LoadKeys(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	ring, err := keyring.Open(context.Background(), stolenKeys{version, document}, s.keeper)
	if err != nil {
		s.t.Fatal(err)
	}
	tokens, err := codec.NewAccessTokens(ring, codec.AccessTokensConfig{Realm: testRealm, Issuer: shopIssuer})
	if err != nil {
		s.t.Fatal(err)
	}
	return tokens
}

type stolenKeys struct {
	version  uint64
	document []byte
}

func (k stolenKeys) LoadKeys(context.Context) (uint64, []byte, error) {
	return k.version, k.document, nil
}

func (k stolenKeys) SwapKeys(context.Context, uint64, []byte) (bool, error) {
	return false, errors.New("stolen keys do not change")
}

// forge mints a token for the service with stolen keys, at the log's head.
func (s *shop) forge(thief *codec.AccessTokens) string {
	s.t.Helper()
	now := time.Now()
	token, err := thief.Mint(now, codec.AccessToken{
		Subject: codec.Hide("mallory"), Audience: []string{ordersAPI}, ClientID: "forged", Session: codec.ID{1, 2, 3},
		Position: uint64(s.head()), Issued: now, Expires: now.Add(time.Hour), Authenticated: now,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *shop) head() store.Position {
	s.t.Helper()
	c, err := s.mem.Cutoffs(context.Background(), store.ID{}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return c.Head
}

func (s *shop) revoke(r wafer.Revocation) {
	s.t.Helper()
	if _, err := s.Revoke(context.Background(), r); err != nil {
		s.t.Fatal(err)
	}
}

// revokePrimary revokes the key that signs now.
func (s *shop) revokePrimary() {
	s.t.Helper()
	key, err := s.ring.Primary(time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.ring.Revoke(context.Background(), time.Now(), key.ID(), "test"); err != nil {
		s.t.Fatal(err)
	}
}

// service is another service that accepts the application's tokens.
type service struct {
	*wafer.Verifier
	t testing.TB

	once   sync.Once // guards Close
	mu     sync.Mutex
	events []wafer.Event
}

func (v *service) stop() { v.once.Do(v.Close) }

// service starts one that follows the application's log.
func (s *shop) service(configure ...func(*wafer.VerifierConfig)) *service {
	s.t.Helper()
	v := &service{t: s.t}
	config := wafer.VerifierConfig{
		Issuer: shopIssuer, Audiences: []string{ordersAPI},
		JWKSURL: shopKeysURL, Client: &http.Client{Transport: s.keys}, Log: s.log,
		Observe: func(e wafer.Event) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.events = append(v.events, e)
		},
	}
	for _, f := range configure {
		f(&config)
	}
	var err error
	if v.Verifier, err = wafer.NewVerifier(s.t.Context(), config); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(v.stop)
	return v
}

// count returns the number of events of a kind.
func (v *service) count(kind wafer.Kind) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// is fails the test unless the token is judged with the error want; nil means
// good.
func (v *service) is(what, token string, want error) {
	v.t.Helper()
	session, err := v.Verify(context.Background(), token)
	if !errors.Is(err, want) || (err == nil) != (want == nil) || (session == nil) != (err != nil) {
		v.t.Errorf("%s: %v (%v), want %v", what, session, err, want)
	}
}

// keysServer is the path to the application's key set.
type keysServer struct {
	handler http.Handler

	mu      sync.Mutex
	fetches int
	running int
	worst   int
	down    bool
	delay   time.Duration
	change  func(*http.Response) // changes the answer in transit
}

var errKeysDown = errors.New("harness: connection refused")

func (k *keysServer) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	k.fetches++
	k.running++
	k.worst = max(k.worst, k.running)
	down, delay, change := k.down, k.delay, k.change
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.running--
		k.mu.Unlock()
	}()
	if r.URL.String() != shopKeysURL || r.Method != "GET" {
		return nil, errors.New("harness: nobody is asked for " + r.Method + " " + r.URL.String())
	}
	var resp *http.Response
	if !down {
		w := httptest.NewRecorder()
		k.handler.ServeHTTP(w, r)
		resp = w.Result()
		resp.Request = r
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if down {
		return nil, errKeysDown
	}
	if change != nil {
		change(resp)
	}
	return resp, nil
}

func (k *keysServer) set(f func(*keysServer)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

// cut makes the key set unreachable; restore makes it reachable again.
func (k *keysServer) cut()     { k.set(func(k *keysServer) { k.down = true }) }
func (k *keysServer) restore() { k.set(func(k *keysServer) { k.down = false }) }

func (k *keysServer) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fetches
}

// most returns the largest number of concurrent fetches.
func (k *keysServer) most() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.worst
}

// body replaces the answer's body.
func body(text string) func(*http.Response) {
	return func(r *http.Response) { r.Body = io.NopCloser(strings.NewReader(text)) }
}

// readSide is the read-only part of the store. A call of any other method
// panics with a nil pointer.
type readSide struct {
	store.Store
	mem *memory.Store

	mu             sync.Mutex
	logCut, silent bool
	count          int
}

func (l *readSide) is(f func() bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f()
}

// cut makes Since fail, and Cutoffs too if silent.
func (l *readSide) cut(silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logCut, l.silent = true, silent
}

func (l *readSide) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logCut, l.silent = false, false
}

func (l *readSide) queries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *readSide) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	b, err := l.mem.Since(ctx, after, limit, wait)
	if l.is(func() bool { return l.logCut }) {
		return store.Batch{}, errStore
	}
	return b, err
}

func (l *readSide) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	if l.is(func() bool { l.count++; return l.silent }) {
		return store.Cutoffs{}, errStore
	}
	return l.mem.Cutoffs(ctx, session, subject)
}

// withShop runs a test in a bubble, with an application.
func withShop(t *testing.T, test func(t *testing.T, s *shop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, openShop(t)) })
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func withTimeout(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

func algorithms(names ...string) []codec.Algorithm {
	list := []codec.Algorithm{}
	for _, name := range names {
		list = append(list, codec.Algorithm(name))
	}
	return list
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
