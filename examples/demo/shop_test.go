package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/wafertest"
)

// testShop is a shop on a server of its own, with a clock that the test moves
// and a store that the test can take down.
type testShop struct {
	*shop
	clock  *wafertest.Clock
	store  *breakable
	server *httptest.Server
}

// cheap is a hash that takes no time.
var cheap = cost{time: 1, memory: 64}

func openShop(t *testing.T, config wafer.Config[basket]) *testShop {
	t.Helper()
	ring, err := keyring.Static(strings.Repeat("7c", keyring.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	clock := wafertest.NewClock(time.Now().Truncate(time.Second))
	db := &breakable{Store: memory.New(memory.Options{Now: clock.Now})}
	config.Now = clock.Now
	if config.Observe == nil {
		config.Observe = func(wafer.Event) {}
	}
	shop, err := newShop(t.Context(), ring, db, newUsers(cheap, firstPassword, userNames...), config)
	if err != nil {
		t.Fatal(err)
	}
	s := &testShop{shop, clock, db, httptest.NewServer(wafertest.FailLateWrites(t, shop.handler()))}
	t.Cleanup(func() {
		s.server.Close()
		shop.Close()
	})
	return s
}

// breakable is a store whose calls fail when the test wants them to.
type breakable struct {
	store.Store
	down     atomic.Bool // every call that a request may make
	noRevoke atomic.Bool
}

var errDown = errors.New("the store is down")

func (b *breakable) fails() bool { return b.down.Load() }

func (b *breakable) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	if b.fails() {
		return store.Snapshot{}, errDown
	}
	return b.Store.Create(ctx, c)
}

func (b *breakable) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	if b.fails() {
		return store.Snapshot{}, errDown
	}
	return b.Store.Advance(ctx, a)
}

func (b *breakable) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	if b.fails() {
		return store.Snapshot{}, errDown
	}
	return b.Store.Commit(ctx, c)
}

func (b *breakable) Families(ctx context.Context, q store.Query) (store.Page, error) {
	if b.fails() {
		return store.Page{}, errDown
	}
	return b.Store.Families(ctx, q)
}

func (b *breakable) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	if b.fails() || b.noRevoke.Load() {
		return store.Snapshot{}, errDown
	}
	return b.Store.Revoke(ctx, r)
}

func (b *breakable) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	if b.fails() {
		return store.Cutoffs{}, errDown
	}
	return b.Store.Cutoffs(ctx, session, subject)
}

// browser carries cookies by hand. Go's cookie jar does not send Secure cookies
// over plain http; browsers do on localhost.
type browser struct {
	t    testing.TB
	base string
	json bool
	// patience is how long login, me, dead and insist repeat a request that gets
	// a 503. A shop in the test's own process must not answer one, so there it
	// is 0.
	patience time.Duration

	mu  sync.Mutex
	jar map[string]string
}

func (s *testShop) browser(t testing.TB, json bool) *browser {
	return &browser{t: t, base: s.server.URL, json: json, jar: map[string]string{}}
}

// copy returns what a thief has who reads the cookies now.
func (b *browser) copy() *browser {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &browser{t: b.t, base: b.base, json: b.json, patience: b.patience, jar: maps.Clone(b.jar)}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) addCookies(r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
}

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	if b.json {
		r.Header.Set("Accept", "application/json")
	} else if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	}
	b.addCookies(r)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		b.t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
		} else {
			b.jar[c.Name] = c.Value
		}
	}
	b.mu.Unlock()
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (b *browser) request(method, path, kind, body string) *http.Request {
	b.t.Helper()
	r, err := http.NewRequest(method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	return r
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	return b.send(b.request("GET", path, "", ""))
}

const formType = "application/x-www-form-urlencoded"

// post posts a form of names and values.
func (b *browser) post(path string, pairs ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.send(b.request("POST", path, formType, form.Encode()))
}

func (b *browser) login(user string, more ...string) *browser {
	b.t.Helper()
	want := http.StatusOK
	if !b.json {
		want = http.StatusSeeOther
	}
	if a := b.insist(func() answer { return b.tryLogin(user, more...) }); a.status != want {
		b.t.Fatalf("login of %s: %d %s", user, a.status, a.body)
	}
	return b
}

func (b *browser) tryLogin(user string, more ...string) answer {
	b.t.Helper()
	return b.post("/login", append([]string{"user", user, "password", "wafer"}, more...)...)
}

// insist repeats a request, with the same cookies, while it gets a 503 and the
// browser has patience.
func (b *browser) insist(request func() answer) answer {
	b.t.Helper()
	before := b.copy()
	for deadline := time.Now().Add(b.patience); ; time.Sleep(20 * time.Millisecond) {
		a := request()
		if a.status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return a
		}
		b.mu.Lock()
		b.jar = before.copy().jar
		b.mu.Unlock()
	}
}

// me requests GET /me as JSON.
func (b *browser) me() (v me) {
	b.t.Helper()
	b.insist(func() answer { return b.get("/me") }).decode(b.t, http.StatusOK, &v)
	return v
}

// dead checks that a browser has no session any more.
func (b *browser) dead(what string) {
	b.t.Helper()
	if a := b.insist(func() answer { return b.get("/me") }); a.status != http.StatusUnauthorized {
		b.t.Errorf("%s: still answered by %d", what, a.status)
	}
}

func (a answer) decode(t testing.TB, status int, v any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if kind := a.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type %q: %s", kind, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Errorf("%v in %q", err, a.body)
	}
}

// is checks a refusal in JSON.
func (a answer) is(t testing.TB, status int, code string) {
	t.Helper()
	var v map[string]string
	a.decode(t, status, &v)
	if len(v) != 1 || v["error"] != code {
		t.Errorf("got %v, want the error %q alone", v, code)
	}
}

// bad checks that a malformed request was refused as one.
func (a answer) bad(t testing.TB) {
	t.Helper()
	var v map[string]string
	a.decode(t, http.StatusBadRequest, &v)
	if len(v) != 1 || v["error"] == "" {
		t.Errorf("got %v, want one error", v)
	}
}

func (a answer) String() string { return fmt.Sprint(a.status, " ", a.body) }
