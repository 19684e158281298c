package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/wafertest"
)

const (
	httpSession = "__Host-session"
	httpRefresh = "__Host-refresh"
	httpRealm   = "shop.example/test"
)

var httpInstance = codec.Instance{Realm: httpRealm, SessionCookie: httpSession}

// httpStore counts the calls that a request makes, and can be broken. The
// replica's own reads (Since) are not counted.
type httpStore struct {
	store.Store
	mu        sync.Mutex
	calls     []string
	announced store.Announcement
	down      atomic.Bool // every call fails
	hangs     atomic.Bool // every counted call waits for its context to end
	logCut    atomic.Bool // every Since that waits for entries fails, and replicas become stale
}

var errHTTPDown = errors.New("the store is down")

func (s *httpStore) call(ctx context.Context, method string) error {
	s.mu.Lock()
	s.calls = append(s.calls, method)
	s.mu.Unlock()
	if s.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.down.Load() {
		return errHTTPDown
	}
	return nil
}

// newCalls returns the calls since its last call.
func (s *httpStore) newCalls() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := strings.Join(s.calls, " ")
	s.calls = nil
	return calls
}

func (s *httpStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	if err := s.call(ctx, "Create"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Create(ctx, c)
}

func (s *httpStore) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	if err := s.call(ctx, "Advance"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Advance(ctx, a)
}

func (s *httpStore) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	if err := s.call(ctx, "Commit"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Commit(ctx, c)
}

func (s *httpStore) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	if err := s.call(ctx, "Reissue"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Reissue(ctx, r)
}

func (s *httpStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	if err := s.call(ctx, "Family"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Family(ctx, id)
}

func (s *httpStore) Families(ctx context.Context, q store.Query) (store.Page, error) {
	if err := s.call(ctx, "Families"); err != nil {
		return store.Page{}, err
	}
	return s.Store.Families(ctx, q)
}

func (s *httpStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	if err := s.call(ctx, "Revoke"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Revoke(ctx, r)
}

func (s *httpStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if s.down.Load() {
		return store.Batch{}, errHTTPDown
	}
	b, err := s.Store.Since(ctx, after, limit, wait)
	if s.logCut.Load() && wait > 0 {
		return store.Batch{}, errHTTPDown
	}
	return b, err
}

func (s *httpStore) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	if err := s.call(ctx, "Cutoffs"); err != nil {
		return store.Cutoffs{}, err
	}
	return s.Store.Cutoffs(ctx, session, subject)
}

func (s *httpStore) Announce(ctx context.Context, a store.Announcement) (store.Peers, error) {
	s.mu.Lock()
	s.announced = a
	s.mu.Unlock()
	return s.Store.Announce(ctx, a)
}

// httpWorld is what several Sessions can share: one clock, ring and store.
type httpWorld struct {
	clock  *wafertest.Clock
	ring   *keyring.Ring
	memory *memory.Store
	store  *httpStore
	mu     sync.Mutex
	events []wafer.Event
}

func httpNewWorld(t testing.TB) *httpWorld {
	t.Helper()
	w := &httpWorld{clock: wafertest.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), ring: httpRing(t)}
	w.memory = memory.New(memory.Options{Now: w.clock.Now})
	w.store = &httpStore{Store: w.memory}
	return w
}

func httpRing(t testing.TB) *keyring.Ring {
	t.Helper()
	var secret [keyring.SecretSize]byte
	rand.Read(secret[:])
	ring, err := keyring.Static(base64.StdEncoding.EncodeToString(secret[:]))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func (w *httpWorld) observe(e wafer.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// newEvents returns the events since its last call, except those of the
// replica.
func (w *httpWorld) newEvents() []wafer.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return slices.DeleteFunc(events, func(e wafer.Event) bool { return e.Kind == wafer.KindReplica || e.Kind == wafer.KindApplied })
}

// family reads a family without counting the call.
func (w *httpWorld) family(t testing.TB, id store.ID) store.Snapshot {
	t.Helper()
	snap, err := w.memory.Family(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// httpSessions returns sessions in a world. They are closed when the test ends.
func httpSessions[T any](t testing.TB, w *httpWorld, config wafer.Config[T]) *wafer.Sessions[T] {
	t.Helper()
	if config.Realm == "" {
		config.Realm = httpRealm
	}
	if config.Now == nil {
		config.Now = w.clock.Now
	}
	config.Observe = w.observe
	s, err := wafer.New(t.Context(), w.ring, w.store, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// httpHandlers is the part of Sessions[T] that a browser needs, whatever T is.
type httpHandlers interface {
	Handler(http.Handler) http.Handler
}

// httpJar is a browser in memory. It sends its cookies and keeps those that it
// receives.
type httpJar map[string]string

func (j httpJar) header() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(j)) {
		pairs = append(pairs, name+"="+j[name])
	}
	return strings.Join(pairs, "; ")
}

func (j httpJar) clone() httpJar { return maps.Clone(j) }

// only returns a jar with some of the cookies.
func (j httpJar) only(names ...string) httpJar {
	some := httpJar{}
	for _, name := range names {
		some[name] = j[name]
	}
	return some
}

func (j httpJar) keep(h http.Header) {
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if c.MaxAge < 0 {
			delete(j, c.Name)
		} else {
			j[c.Name] = c.Value
		}
	}
}

// do sends a request through h. configure may be nil.
func (j httpJar) do(h http.Handler, configure func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "https://shop.example/", nil)
	if len(j) > 0 {
		r.Header.Set("Cookie", j.header())
	}
	if configure != nil {
		configure(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	j.keep(w.Header())
	return w
}

// in runs f as the application behind Handler.
func (j httpJar) in(s httpHandlers, f http.HandlerFunc) *httptest.ResponseRecorder {
	return j.do(s.Handler(f), nil)
}

// httpLogin returns the jar of a browser that has just logged in.
func httpLogin[T any](t testing.TB, s *wafer.Sessions[T], subject string, data T, options ...wafer.StartOption) httpJar {
	t.Helper()
	jar := httpJar{}
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(w, r, subject, data, options...); err != nil {
			t.Fatalf("login of %q: %v", subject, err)
		}
	})
	return jar
}

// httpGet returns the session and data of a jar's next request.
func httpGet[T any](s *wafer.Sessions[T], jar httpJar) (session *wafer.Session[T], data T, err error) {
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if session, err = s.Get(r.Context()); err == nil {
			data, err = session.Data()
		}
	})
	return session, data, err
}

// httpWant fails unless the jar's next request has this subject and data.
func httpWant[T comparable](t testing.TB, what string, s *wafer.Sessions[T], jar httpJar, subject string, want T) *wafer.Session[T] {
	t.Helper()
	session, data, err := httpGet(s, jar)
	if err != nil {
		t.Errorf("%s: %v, want the session of %s", what, err, subject)
		return nil
	}
	if session.Subject != subject || data != want {
		t.Errorf("%s: session of %q with %v, want %q with %v", what, session.Subject, data, subject, want)
	}
	return session
}

// httpWantError fails unless the jar's next request gets this error from Get.
func httpWantError[T any](t testing.TB, what string, s *wafer.Sessions[T], jar httpJar, want error) {
	t.Helper()
	if _, _, err := httpGet(s, jar); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// httpWho answers with the subject and data, or with Error.
func httpWho[T any](s *wafer.Sessions[T]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := s.Get(r.Context())
		if err != nil {
			s.Error(w, r, err)
			return
		}
		data, err := session.Data()
		fmt.Fprintf(w, "%s %v %v", session.Subject, data, err)
	}
}
