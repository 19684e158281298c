package wafer_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
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

// httpStore counts the calls that a request makes, and can be broken. The
// replica's own reading (Since) is not counted.
type httpStore struct {
	store.Store
	mu        sync.Mutex
	calls     []string
	announced store.Announcement
	down      atomic.Bool // every call fails
	hangs     atomic.Bool // every counted call waits for its context to end
	silent    atomic.Bool // no news: a Since that waits for some fails, and replicas grow stale
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

// took returns the calls since the last took.
func (s *httpStore) took() string {
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

func (s *httpStore) Forgive(ctx context.Context, id store.ID, generation uint32) (store.Snapshot, error) {
	if err := s.call(ctx, "Forgive"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Forgive(ctx, id, generation)
}

func (s *httpStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	if err := s.call(ctx, "Family"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Family(ctx, id)
}

func (s *httpStore) Families(ctx context.Context, subject string, limit int) ([]store.Family, error) {
	if err := s.call(ctx, "Families"); err != nil {
		return nil, err
	}
	return s.Store.Families(ctx, subject, limit)
}

func (s *httpStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	if err := s.call(ctx, "Revoke"); err != nil {
		return store.Snapshot{}, err
	}
	return s.Store.Revoke(ctx, r)
}

func (s *httpStore) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
	if s.down.Load() {
		return store.Batch{}, errHTTPDown
	}
	b, err := s.Store.Since(ctx, after, limit, wait)
	if s.silent.Load() && wait > 0 {
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

func (s *httpStore) Announce(ctx context.Context, a store.Announcement) error {
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

// told returns the events since the last told, but for those of the replica.
func (w *httpWorld) told() []wafer.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return slices.DeleteFunc(events, func(e wafer.Event) bool { return e.Kind == wafer.KindReplica })
}

// family reads a family behind the counting store's back.
func (w *httpWorld) family(t testing.TB, id store.ID) store.Snapshot {
	t.Helper()
	snap, err := w.memory.Family(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// httpSessions returns sessions in a world; they end with the test.
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

// httpHandlers is the part of Sessions[T] that a browser needs, whatever T.
type httpHandlers interface {
	Handler(http.Handler) http.Handler
}

// httpJar is a browser in memory: it sends its cookies, and keeps those that
// it is given.
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

// httpGet returns the session and data that a jar's next request has.
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

// httpWho answers with subject and data, or with Refuse.
func httpWho[T any](s *wafer.Sessions[T]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := s.Get(r.Context())
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		data, err := session.Data()
		fmt.Fprintf(w, "%s %v %v", session.Subject, data, err)
	}
}

func TestHTTPGetSeesWhatTheRequestMade(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	httpJar{}.in(s, func(w http.ResponseWriter, r *http.Request) {
		expect := func(after, subject, data string) {
			t.Helper()
			session, err := s.Get(r.Context())
			if err != nil {
				t.Fatalf("after %s: %v", after, err)
			}
			if got, err := session.Data(); err != nil || session.Subject != subject || got != data {
				t.Errorf("after %s: %q with %q, %v; want %q with %q", after, session.Subject, got, err, subject, data)
			}
		}
		none := func(after string) {
			t.Helper()
			if _, err := s.Get(r.Context()); !errors.Is(err, wafer.ErrNoSession) {
				t.Errorf("after %s: %v, want ErrNoSession", after, err)
			}
		}
		none("nothing")
		for _, step := range []struct {
			name string
			call func() error
			data string
		}{
			{"Start", func() error { return s.Start(w, r, "alice", "one") }, "one"},
			{"Save", func() error { return s.Save(w, r, "two") }, "two"},
			{"Commit", func() error { return s.Commit(w, r, "three") }, "three"},
			{"Renew", func() error { return s.Renew(w, r) }, "three"},
			{"EndOthers", func() error { return s.EndOthers(w, r) }, "three"},
			{"Reauthenticate", func() error { return s.Reauthenticate(w, r) }, "three"},
			{"Commit again", func() error { return s.Commit(w, r, "four") }, "four"},
		} {
			if err := step.call(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			expect(step.name, "alice", step.data)
		}
		if err := s.End(w, r); err != nil {
			t.Fatal(err)
		}
		none("End")
		if err := s.Save(w, r, "five"); !errors.Is(err, wafer.ErrNoSession) {
			t.Errorf("Save after End: %v", err)
		}
		if err := s.Start(w, r, "bob", "six"); err != nil {
			t.Fatal(err)
		}
		expect("Start after End", "bob", "six")
	})
}

func TestHTTPDataIsAFreshCopy(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[map[string]int]{})
	jar := httpLogin(t, s, "alice", map[string]int{"a": 1})
	session, first, err := httpGet(s, jar)
	if err != nil {
		t.Fatal(err)
	}
	first["a"], first["b"] = 2, 3
	if again, err := session.Data(); err != nil || !maps.Equal(again, map[string]int{"a": 1}) {
		t.Errorf("Data after the first copy was changed: %v, %v", again, err)
	}
}

func TestHTTPWithoutMiddleware(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	other := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	calls := func(w http.ResponseWriter, r *http.Request) map[string]error {
		_, err := s.Get(r.Context())
		return map[string]error{
			"Get": err, "Save": s.Save(w, r, ""), "Commit": s.Commit(w, r, ""), "Renew": s.Renew(w, r),
			"Reauthenticate": s.Reauthenticate(w, r), "EndOthers": s.EndOthers(w, r),
		}
	}
	check := func(w http.ResponseWriter, r *http.Request) {
		for name, err := range calls(w, r) {
			if err == nil || errors.Is(err, wafer.ErrNoSession) || wafer.Status(err) != http.StatusInternalServerError {
				t.Errorf("%s without middleware: %v, status %d; want a programmer's mistake, 500", name, err, wafer.Status(err))
			}
			answer := httptest.NewRecorder()
			s.Refuse(answer, r, err)
			if answer.Code != http.StatusInternalServerError || strings.Contains(answer.Body.String(), "Handler") {
				t.Errorf("%s: refused with %d %q", name, answer.Code, answer.Body)
			}
		}
	}
	httpJar{}.do(http.HandlerFunc(check), nil)
	httpJar{}.in(other, check) // the middleware of other Sessions does not count
}

func TestHTTPStartAndEndNeedNoMiddleware(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpJar{}
	w := jar.do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(w, r, "alice", "data"); err != nil {
			t.Error(err)
		}
	}), nil)
	if got := w.Header().Get("Vary"); got != "Cookie" {
		t.Errorf("Start without Handler: Vary is %q, want Cookie", got)
	}
	first := httpWant(t, "after Start", s, jar, "alice", "data")
	old := jar.clone()
	jar.do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(w, r, "bob", "data"); err != nil {
			t.Error(err)
		}
	}), nil)
	httpWant(t, "after another Start", s, jar, "bob", "data")
	httpWantError(t, "the session that it replaced", s, old, wafer.ErrNoSession)
	if got := world.family(t, first.ID).State; got != store.Ended {
		t.Errorf("the replaced family is %v", got)
	}
	old = jar.clone()
	w = jar.do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.End(w, r); err != nil {
			t.Error(err)
		}
	}), nil)
	if len(jar) != 0 || w.Header().Get("Vary") != "Cookie" {
		t.Errorf("End without Handler left %d cookies, Vary %q", len(jar), w.Header().Get("Vary"))
	}
	httpWantError(t, "a copy after End", s, old, wafer.ErrNoSession)
}

func TestHTTPStartTwiceInOneRequest(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	for name, jar := range map[string]httpJar{"anonymous": {}, "logged in": httpLogin(t, s, "carol", "")} {
		var ids []store.ID
		var middle httpJar
		if name == "logged in" {
			ids = append(ids, httpWant(t, name, s, jar, "carol", "").ID)
		}
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			for _, subject := range []string{"alice", "bob"} {
				if err := s.Start(w, r, subject, ""); err != nil {
					t.Fatal(err)
				}
				session, _ := s.Get(r.Context())
				ids = append(ids, session.ID)
				if middle == nil {
					middle = httpJar{}
					middle.keep(w.Header())
				}
			}
		})
		httpWant(t, name, s, jar, "bob", "")
		httpWantError(t, name+": the first Start's cookies", s, middle, wafer.ErrNoSession)
		for i, id := range ids {
			want := store.Ended
			if i == len(ids)-1 {
				want = store.Alive
			}
			if got := world.family(t, id).State; got != want {
				t.Errorf("%s: family %d of %d is %v, want %v", name, i+1, len(ids), got, want)
			}
		}
	}
}

func TestHTTPEndOfWhatTheRequestStarted(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "carol", "")
	old := httpWant(t, "login", s, jar, "carol", "").ID
	copied, started := httpJar{}, store.ID{}
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(w, r, "alice", ""); err != nil {
			t.Fatal(err)
		}
		session, _ := s.Get(r.Context())
		started = session.ID
		copied.keep(w.Header())
		if err := s.End(w, r); err != nil {
			t.Fatal(err)
		}
	})
	if len(jar) != 0 {
		t.Errorf("the browser keeps %v", slices.Collect(maps.Keys(jar)))
	}
	httpWantError(t, "a copy of what was started", s, copied, wafer.ErrNoSession)
	for _, id := range []store.ID{old, started} {
		if got := world.family(t, id).State; got != store.Ended {
			t.Errorf("family %v is %v", id, got)
		}
	}
}

func TestHTTPEndFindsTheSessionByEitherCookie(t *testing.T) {
	for _, names := range [][]string{{httpSession}, {httpRefresh}, {httpSession, httpRefresh}, {}} {
		for _, after := range []time.Duration{0, 6 * time.Minute} {
			world := httpNewWorld(t)
			s := httpSessions(t, world, wafer.Config[string]{})
			jar := httpLogin(t, s, "alice", "")
			id := httpWant(t, "login", s, jar, "alice", "").ID
			world.clock.Move(after)
			some := jar.only(names...)
			some.do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := s.End(w, r); err != nil {
					t.Error(err)
				}
				if lines := w.Header()["Set-Cookie"]; len(lines) != 2 {
					t.Errorf("%v after %v: End wrote %d cookies", names, after, len(lines))
				}
			}), nil)
			want := store.Ended
			if len(names) == 0 {
				want = store.Alive
			}
			if got := world.family(t, id).State; got != want {
				t.Errorf("%v after %v: the family is %v, want %v", names, after, got, want)
			}
			if want == store.Ended {
				httpWantError(t, "a copy after End", s, jar, wafer.ErrNoSession)
			}
		}
	}
}

func TestHTTPRequire(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	app := s.Require(httpWho(s))
	if w := (httpJar{}).do(app, nil); w.Code != http.StatusUnauthorized || w.Body.String() != "Unauthorized\n" {
		t.Errorf("anonymous: %d %q", w.Code, w.Body)
	}
	jar := httpLogin(t, s, "alice", "data")
	for what, h := range map[string]http.Handler{
		"Require": app, "Require in Handler": s.Handler(app), "Handler in Require": s.Require(s.Handler(httpWho(s))),
	} {
		if w := jar.do(h, nil); w.Code != http.StatusOK || w.Body.String() != "alice data <nil>" {
			t.Errorf("%s: %d %q", what, w.Code, w.Body)
		}
	}
}

func TestHTTPRequireRecent(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	app := s.RequireRecent(4 * time.Minute)(httpWho(s))
	expect := func(what string, jar httpJar, want int) {
		t.Helper()
		if w := jar.do(app, nil); w.Code != want {
			t.Errorf("%s: %d, want %d", what, w.Code, want)
		}
	}
	expect("anonymous", httpJar{}, http.StatusUnauthorized)
	jar := httpLogin(t, s, "alice", "")
	world.clock.Move(4 * time.Minute)
	expect("exactly as old as allowed", jar, http.StatusOK)
	world.clock.Move(time.Millisecond)
	expect("a millisecond older", jar, http.StatusForbidden)
	world.clock.Move(time.Hour / 4)
	expect("refreshed: that is no authentication", jar, http.StatusForbidden)
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := s.Renew(w, r); err != nil {
			t.Error(err)
		}
	})
	expect("renewed: that is none either", jar, http.StatusForbidden)
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := s.Reauthenticate(w, r); err != nil {
			t.Error(err)
		}
	})
	expect("authenticated again", jar, http.StatusOK)
	world.store.down.Store(true)
	world.clock.Move(time.Minute)
	expect("the replica is stale and the store down", jar, http.StatusServiceUnavailable)
}

// A request that passes several of the middlewares is judged once.
func TestHTTPRequestIsJudgedOnce(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "")
	h := s.Handler(s.Require(s.RequireRecent(time.Hour)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := len(w.Header()["Set-Cookie"])
		again, err := s.Attach(w, r)
		if err != nil || again != r || len(w.Header()["Set-Cookie"]) != before {
			t.Errorf("Attach of an attached request: the same %v, %v, %d cookies then %d", again == r, err, before, len(w.Header()["Set-Cookie"]))
		}
		httpWho(s)(w, r)
	}))))
	count := func(what, calls string, kinds ...wafer.Kind) {
		t.Helper()
		var got []wafer.Kind
		for _, e := range world.told() {
			got = append(got, e.Kind)
		}
		if took := world.store.took(); took != calls || !slices.Equal(got, kinds) {
			t.Errorf("%s: store calls %q and events %q, want %q and %q", what, took, got, calls, kinds)
		}
	}
	world.store.took()
	world.told()
	jar.do(h, nil)
	count("a good cookie on a fresh replica", "")
	world.store.silent.Store(true)
	world.clock.Move(31 * time.Second)
	jar.do(h, nil)
	count("on a stale replica", "Cutoffs")
	world.clock.Move(5 * time.Minute)
	jar.do(h, nil)
	count("a refresh", "Advance", wafer.KindRefused, wafer.KindRefreshed)
	httpJar{httpSession: "junk"}.do(h, nil)
	count("junk", "", wafer.KindRefused)
	world.store.down.Store(true)
	world.clock.Move(5 * time.Minute)
	jar.do(h, nil)
	count("a refresh in an outage", "Advance", wafer.KindRefused, wafer.KindUnavailable)
}

func TestHTTPReadingWritesNothing(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "data")
	world.store.took()
	for _, h := range []http.Handler{s.Handler(httpWho(s)), s.Require(httpWho(s)), s.RequireRecent(time.Hour)(httpWho(s))} {
		w := jar.do(h, nil)
		if lines := w.Header()["Set-Cookie"]; w.Code != 200 || len(lines) != 0 {
			t.Errorf("reading: %d, wrote %q", w.Code, lines)
		}
	}
	if got := world.store.took(); got != "" {
		t.Errorf("reading called the store: %s", got)
	}
}

func TestHTTPCheckDecidesAndDoesNothing(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	check := func(jar httpJar) (*wafer.Session[string], error) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", jar.header())
		return s.Check(r)
	}
	if _, err := check(nil); !errors.Is(err, wafer.ErrNoSession) {
		t.Errorf("anonymous: %v", err)
	}
	jar := httpLogin(t, s, "alice", "data")
	session, err := check(jar)
	if err != nil || session.Subject != "alice" {
		t.Fatalf("good: %v", err)
	}
	if data, err := session.Data(); data != "data" || err != nil {
		t.Errorf("data: %q, %v", data, err)
	}
	world.clock.Move(6 * time.Minute)
	before := world.family(t, session.ID)
	world.store.took()
	if _, err := check(jar); !errors.Is(err, wafer.ErrExpired) {
		t.Errorf("a refresh is due: %v, want ErrExpired", err)
	}
	if _, err := check(jar.only(httpSession)); !errors.Is(err, wafer.ErrNoSession) {
		t.Errorf("expired, and nothing to refresh with: %v", err)
	}
	if got := world.store.took(); got != "" {
		t.Errorf("Check called the store: %s", got)
	}
	if after := world.family(t, session.ID); after.Family.Generation != before.Family.Generation || after.Head != before.Head {
		t.Errorf("Check changed the family from %v to %v", before, after)
	}
	jar = httpLogin(t, s, "alice", "")
	world.store.down.Store(true)
	world.clock.Move(31 * time.Second)
	if _, err := check(jar); !errors.Is(err, wafer.ErrUnavailable) {
		t.Errorf("outage: %v", err)
	}
}

func TestHTTPAttachIsHandlersAct(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	attach := func(jar httpJar) (*wafer.Session[string], *httptest.ResponseRecorder, error) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", jar.header())
		w := httptest.NewRecorder()
		attached, err := s.Attach(w, r)
		session, again := s.Get(attached.Context())
		if again != err {
			t.Errorf("Attach says %v, Get says %v", err, again)
		}
		if _, err := s.Get(r.Context()); err == nil {
			t.Error("Attach changed the request that it was given")
		}
		jar.keep(w.Header())
		return session, w, err
	}
	_, w, err := attach(httpJar{})
	if !errors.Is(err, wafer.ErrNoSession) || w.Header().Get("Vary") != "Cookie" {
		t.Errorf("anonymous: %v, Vary %q", err, w.Header().Get("Vary"))
	}
	jar := httpLogin(t, s, "alice", "")
	if session, _, err := attach(jar); err != nil || session.Subject != "alice" {
		t.Errorf("good: %v", err)
	}
	world.clock.Move(6 * time.Minute)
	if _, w, err := attach(jar); err != nil || len(w.Header()["Set-Cookie"]) != 2 {
		t.Errorf("due: %v, %d cookies", err, len(w.Header()["Set-Cookie"]))
	}
	world.store.down.Store(true)
	world.clock.Move(6 * time.Minute)
	if _, w, err := attach(jar); !errors.Is(err, wafer.ErrUnavailable) || len(w.Header()["Set-Cookie"]) != 0 {
		t.Errorf("outage: %v, %d cookies", err, len(w.Header()["Set-Cookie"]))
	}
}

// Public pages stay up in an outage; no cookie is touched.
func TestHTTPOutageIsA503AndTouchesNoCookie(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "data")
	before := jar.clone()
	world.store.down.Store(true)
	world.clock.Move(6 * time.Minute)
	public := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "welcome") }))
	if w := jar.do(public, nil); w.Code != 200 || w.Body.String() != "welcome" {
		t.Errorf("the public page: %d %q", w.Code, w.Body)
	}
	w := jar.do(s.Require(httpWho(s)), nil)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("the private page: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := (httpJar{}).do(s.Require(httpWho(s)), nil); w.Code != http.StatusUnauthorized {
		t.Errorf("an anonymous request in an outage: %d", w.Code)
	}
	if !maps.Equal(jar, before) {
		t.Error("the outage touched the cookies")
	}
	world.store.down.Store(false)
	httpWant(t, "after the outage", s, jar, "alice", "data")
}

func TestHTTPTwoSessionsOnOneMux(t *testing.T) {
	world := httpNewWorld(t)
	shop := httpSessions(t, world, wafer.Config[string]{Realm: "shop"})
	staff := httpSessions(t, world, wafer.Config[int]{Realm: "staff", SessionCookie: "__Host-staff", RefreshCookie: "__Host-staff-refresh"})
	same := httpSessions(t, world, wafer.Config[string]{Realm: "shop"}) // another node's, on the same realm and names
	jar := httpJar{}
	both := func(f http.HandlerFunc) *httptest.ResponseRecorder {
		return jar.do(shop.Handler(staff.Handler(f)), nil)
	}
	w := both(func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(shop.Start(w, r, "alice", "cart"), staff.Start(w, r, "root", 7)); err != nil {
			t.Fatal(err)
		}
	})
	if n := len(w.Header()["Set-Cookie"]); n != 4 || len(jar) != 4 {
		t.Errorf("%d Set-Cookie lines, %d cookies; want 4", n, len(jar))
	}
	if got := w.Header()["Vary"]; !slices.Equal(got, []string{"Cookie"}) {
		t.Errorf("Vary: %q", got)
	}
	both(func(w http.ResponseWriter, r *http.Request) {
		a, err := shop.Get(r.Context())
		b, err2 := staff.Get(r.Context())
		if err != nil || err2 != nil || a.Subject != "alice" || b.Subject != "root" {
			t.Fatalf("%v %v, %v %v", a, err, b, err2)
		}
		if err := staff.End(w, r); err != nil {
			t.Error(err)
		}
	})
	if len(jar) != 2 {
		t.Errorf("after staff.End: %d cookies", len(jar))
	}
	httpWant(t, "the other's End", shop, jar, "alice", "cart")
	httpWantError(t, "its own End", staff, jar, wafer.ErrNoSession)
	httpWant(t, "another node", same, jar, "alice", "cart")
	httpJar.in(jar, shop, func(w http.ResponseWriter, r *http.Request) {
		if _, err := same.Get(r.Context()); wafer.Status(err) != 500 {
			t.Errorf("Get of other Sessions of the same T: %v", err)
		}
	})

	// The same names in another realm: nothing is accepted across.
	stranger := httpSessions(t, world, wafer.Config[string]{Realm: "shop2"})
	httpWantError(t, "another realm", stranger, jar, wafer.ErrNoSession)
}

func TestHTTPRefuse(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	_, unattached := s.Get(t.Context())
	refuse := func(s *wafer.Sessions[string], err error) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		return w
	}
	looks := map[int]string{}
	for _, c := range []struct {
		err  error
		want int
	}{
		{wafer.ErrNoSession, 401}, {wafer.ErrEnded, 401},
		{wafer.ErrReauthenticate, 403},
		{wafer.ErrConflict, 409}, {wafer.ErrExpired, 409}, {wafer.ErrNotBefore, 409}, {wafer.ErrLimit, 409},
		{wafer.ErrTooLarge, 413},
		{wafer.ErrUnavailable, 503},
		{unattached, 500}, {errors.New("secret detail"), 500}, {io.EOF, 500},
	} {
		for _, err := range []error{c.err, fmt.Errorf("secret detail: %w", c.err), errors.Join(errors.New("secret detail"), c.err)} {
			w := refuse(s, err)
			look := fmt.Sprint(w.Header(), w.Body)
			if w.Code != c.want || wafer.Status(err) != c.want {
				t.Errorf("%v: %d, Status %d; want %d", err, w.Code, wafer.Status(err), c.want)
			}
			if strings.Contains(look, "detail") || w.Body.String() != http.StatusText(c.want)+"\n" {
				t.Errorf("%v: answered with %q", err, look)
			}
			if first, seen := looks[c.want]; seen && first != look {
				t.Errorf("%v looks like %q, another refusal with %d like %q", err, look, c.want, first)
			}
			looks[c.want] = look
			if w.Header().Get("Vary") != "Cookie" || w.Header().Get("Cache-Control") != "no-store" || len(w.Header()["Set-Cookie"]) != 0 {
				t.Errorf("%v: header %v", err, w.Header())
			}
		}
	}
	// Whatever else it wraps, an outage is an outage: never a logout.
	if got := wafer.Status(fmt.Errorf("%w: %w", wafer.ErrUnavailable, wafer.ErrNoSession)); got != 503 {
		t.Errorf("an outage that wraps ErrNoSession: %d", got)
	}

	var seen error
	own := httpSessions(t, httpNewWorld(t), wafer.Config[string]{Refuse: func(w http.ResponseWriter, r *http.Request, err error) {
		seen = err
		w.WriteHeader(http.StatusTeapot)
	}})
	if w := refuse(own, wafer.ErrLimit); w.Code != http.StatusTeapot || seen != wafer.ErrLimit || w.Body.Len() != 0 {
		t.Errorf("Config.Refuse: %d, told %v", w.Code, seen)
	}
	if w := (httpJar{}).do(own.Require(httpWho(own)), nil); w.Code != http.StatusTeapot || seen != wafer.ErrNoSession {
		t.Errorf("Require with Config.Refuse: %d, told %v", w.Code, seen)
	}
	jar := httpLogin(t, own, "alice", "")
	if w := jar.do(own.RequireRecent(-1)(httpWho(own)), nil); w.Code != http.StatusTeapot || seen != wafer.ErrReauthenticate {
		t.Errorf("RequireRecent with Config.Refuse: %d, told %v", w.Code, seen)
	}
}

func TestHTTPLimits(t *testing.T) {
	world := httpNewWorld(t)
	day := 24 * time.Hour
	s := httpSessions(t, world, wafer.Config[string]{MaxIdle: 10 * day, MaxAbsolute: 30 * day})
	for _, c := range []struct {
		idle, absolute time.Duration
		fine           bool
	}{
		{0, 0, true}, {10 * day, 30 * day, true}, {0, 30 * day, true}, {10 * day, 0, true}, {time.Hour, 2 * time.Hour, true},
		{10*day + 1, 30 * day, false}, {10 * day, 30*day + 1, false}, {-1, 0, false}, {0, -time.Hour, false},
		{5 * time.Minute, time.Hour, false}, {time.Hour, 5 * time.Minute, false}, // not more than Access: it would end before its refresh
	} {
		w := httptest.NewRecorder()
		err := s.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), "alice", "", wafer.Limits(c.idle, c.absolute))
		if (err == nil) != c.fine {
			t.Errorf("Limits(%v, %v): %v", c.idle, c.absolute, err)
		}
		if err == nil {
			continue
		}
		if n := len(w.Header()["Set-Cookie"]); n != 0 {
			t.Errorf("Limits(%v, %v): refused, and wrote %d cookies", c.idle, c.absolute, n)
		}
		if !strings.Contains(err.Error(), "MaxIdle (240h0m0s)") || !strings.Contains(err.Error(), "MaxAbsolute (720h0m0s)") {
			t.Errorf("the error does not tell the limits: %v", err)
		}
	}
	// "Remember me": used once in nine days, it lives for a month and no longer.
	jar := httpLogin(t, s, "alice", "cart", wafer.Limits(10*day, 30*day))
	for range 3 {
		world.clock.Move(9 * day)
		httpWant(t, "remembered", s, jar, "alice", "cart")
	}
	world.clock.Move(3*day - time.Second)
	httpWant(t, "a second before the absolute limit", s, jar, "alice", "cart")
	world.clock.Move(time.Second)
	httpWantError(t, "at the absolute limit", s, jar, wafer.ErrNoSession)
	jar = httpLogin(t, s, "alice", "cart", wafer.Limits(10*day, 30*day))
	world.clock.Move(10 * day)
	httpWantError(t, "at the idle limit", s, jar, wafer.ErrNoSession)
}

// What is wrong in the arguments is a mistake of the program, not an outage.
func TestHTTPMistakesAreNoOutages(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[any]{})
	start := func(subject string, data any, options ...wafer.StartOption) func() error {
		return func() error {
			w := httptest.NewRecorder()
			err := s.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), subject, data, options...)
			if err != nil && len(w.Header()["Set-Cookie"]) != 0 {
				t.Error("a Start that failed wrote cookies")
			}
			return err
		}
	}
	for name, call := range map[string]func() error{
		"no subject":                  start("", nil),
		"a subject of 256 bytes":      start(strings.Repeat("a", 256), nil),
		"a subject with a NUL":        start("a\x00b", nil),
		"a subject that is not UTF-8": start("\xff\xfe", nil),
		"data that cannot encode":     start("alice", make(chan int)),
		"limits too small":            start("alice", nil, wafer.Limits(time.Microsecond, time.Microsecond)),
		"devices of nobody":           func() error { _, err := s.Devices(t.Context(), ""); return err },
		"a revocation of nothing":     func() error { _, err := s.Revoke(t.Context(), wafer.Revocation{}); return err },
		"a revocation of a session without id": func() error {
			_, err := s.Revoke(t.Context(), wafer.Revocation{Sessions: make([]store.ID, 1)})
			return err
		},
		"a reason that is too long": func() error {
			_, err := s.Revoke(t.Context(), wafer.Revocation{Everyone: true, Reason: strings.Repeat("a", 256)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			if err == nil {
				t.Fatal("no error")
			}
			if status := wafer.Status(err); status != http.StatusBadRequest && status != http.StatusInternalServerError {
				t.Errorf("%v: status %d, want that of a mistake, 400 or 500", err, status)
			}
			for _, e := range world.told() {
				if e.Kind == wafer.KindUnavailable {
					t.Errorf("the operator was told of an outage: %v", e.Err)
				}
			}
		})
	}
}

// Subjects are 1 to 255 bytes of UTF-8, and reach the audit of each call.
func TestHTTPSubjects(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	for _, subject := range []string{"a", strings.Repeat("é", 127) + "x", "日本", "a b;c=\"d\"\n", " "} {
		jar := httpJar{}
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			if err := s.Start(w, r, subject, ""); err != nil {
				t.Fatalf("Start of %q: %v", subject, err)
			}
			if err := errors.Join(s.Commit(w, r, ""), s.Renew(w, r), s.EndOthers(w, r)); err != nil {
				t.Errorf("%q: %v", subject, err)
			}
		})
		httpWant(t, "its session", s, jar, subject, "")
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			if err := s.End(w, r); err != nil {
				t.Errorf("End of %q: %v", subject, err)
			}
		})
	}
}

func TestHTTPMaxSessions(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		world := httpNewWorld(t)
		s := httpSessions(t, world, wafer.Config[string]{MaxSessions: 2, EndOldest: oldest})
		first := httpLogin(t, s, "alice", "first")
		world.clock.Move(time.Second)
		second := httpLogin(t, s, "alice", "second")
		world.clock.Move(time.Second)
		httpLogin(t, s, "bob", "") // another subject does not count

		world.store.silent.Store(true) // what this node did itself, it need not be told
		third := httpJar{}
		var err error
		third.in(s, func(w http.ResponseWriter, r *http.Request) { err = s.Start(w, r, "alice", "third") })
		if oldest {
			if err != nil {
				t.Fatal(err)
			}
			httpWantError(t, "the oldest", s, first, wafer.ErrNoSession)
			httpWant(t, "the third", s, third, "alice", "third")
		} else {
			if !errors.Is(err, wafer.ErrLimit) || len(third) != 0 {
				t.Errorf("one too many: %v, %d cookies", err, len(third))
			}
			httpWant(t, "the oldest", s, first, "alice", "first")
		}
		httpWant(t, "the second", s, second, "alice", "second")
		// A login in a browser that has a session replaces it: that is none more.
		second.in(s, func(w http.ResponseWriter, r *http.Request) { err = s.Start(w, r, "alice", "again") })
		if err != nil {
			t.Errorf("a login in place of one's own session: %v", err)
		}
		httpWant(t, "in its place", s, second, "alice", "again")
		devices, err := s.Devices(t.Context(), "alice")
		if err != nil || len(devices) != 2 {
			t.Errorf("%d devices, %v", len(devices), err)
		}
	}
}

func TestHTTPDevices(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	began := world.clock.Now()
	phone := httpLogin(t, s, "alice", "", wafer.Label("phone"))
	world.clock.Move(time.Minute)
	httpLogin(t, s, "alice", "", wafer.Label("laptop"))
	httpLogin(t, s, "bob", "", wafer.Label("not hers"))
	world.clock.Move(5 * time.Minute)
	id := httpWant(t, "refreshed", s, phone, "alice", "").ID
	list := func() []wafer.Device {
		t.Helper()
		devices, err := s.Devices(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		return devices
	}
	devices := list()
	if len(devices) != 2 || devices[0].Label != "laptop" || devices[1].Label != "phone" {
		t.Fatalf("devices: %+v, want laptop and phone, those started last first", devices)
	}
	want := wafer.Device{ID: id, Label: "phone", Started: began, Authenticated: began, Seen: began.Add(6 * time.Minute)}
	got := devices[1]
	if got.ID != want.ID || got.Native || !got.Started.Equal(want.Started) || !got.Authenticated.Equal(want.Authenticated) || !got.Seen.Equal(want.Seen) {
		t.Errorf("the phone: %+v, want %+v", got, want)
	}
	if _, err := s.Revoke(t.Context(), wafer.Revocation{Sessions: []store.ID{devices[0].ID}}); err != nil {
		t.Fatal(err)
	}
	if devices = list(); len(devices) != 1 || devices[0].ID != id {
		t.Errorf("after one was revoked: %+v", devices)
	}
	world.store.down.Store(true)
	if _, err := s.Devices(t.Context(), "alice"); !errors.Is(err, wafer.ErrUnavailable) {
		t.Errorf("outage: %v", err)
	}
}

func TestHTTPLabelIsCutBetweenCharacters(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	a := strings.Repeat("a", 260)
	for _, c := range []struct{ label, want string }{
		{"", ""}, {"Firefox on Linux", "Firefox on Linux"},
		{a[:255], a[:255]}, {a, a[:255]},
		{a[:253] + "é", a[:253] + "é"},                 // 255 bytes
		{a[:254] + "é", a[:254]},                       // the border runs through é
		{a[:253] + "€x", a[:253]},                      // after one byte of three
		{a[:254] + "€", a[:254]},                       // after two
		{a[:252] + "€x", a[:252] + "€"},                //
		{a[:251] + "😀x", a[:251] + "😀"},                //
		{a[:252] + "😀", a[:252]},                       //
		{"a\xffb", "a\uFFFDb"}, {"\xe2\x82", "\uFFFD"}, // not UTF-8
		{"a\x00b\x00", "ab"},
		{a[:254] + "\xff", a[:254]}, // the replacement has three bytes
	} {
		subject := "user of " + rand.Text()
		httpLogin(t, s, subject, "", wafer.Label(c.label))
		devices, err := s.Devices(t.Context(), subject)
		if err != nil || len(devices) == 0 || devices[0].Label != c.want {
			t.Errorf("Label(%q): %v, %+v; want %q", c.label, err, devices, c.want)
		}
	}
}

func TestHTTPReloadIsCalledOnRefreshOnly(t *testing.T) {
	world := httpNewWorld(t)
	type account struct{ Role, Theme string }
	var calls []account
	role := "admin"
	s := httpSessions(t, world, wafer.Config[account]{
		Reload: func(_ context.Context, s *wafer.Session[account]) (account, error) {
			data, err := s.Data()
			calls = append(calls, data)
			if s.Subject != "alice" || s.ID.IsZero() {
				t.Errorf("Reload of session %v of %q", s.ID, s.Subject)
			}
			data.Role = role
			return data, err
		},
	})
	jar := httpLogin(t, s, "alice", account{"admin", "dark"})
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(s.Save(w, r, account{"admin", "light"}), s.Commit(w, r, account{"admin", "blue"}), s.Renew(w, r)); err != nil {
			t.Error(err)
		}
	})
	httpWant(t, "before", s, jar, "alice", account{"admin", "blue"})
	if len(calls) != 0 {
		t.Fatalf("Reload was called without a refresh: %v", calls)
	}
	role = "guest"
	world.clock.Move(6 * time.Minute)
	httpWant(t, "the refresh", s, jar, "alice", account{"guest", "blue"})
	if !slices.Equal(calls, []account{{"admin", "blue"}}) {
		t.Errorf("Reload saw %v", calls)
	}
	// What it returned is sealed: nothing is called to read it.
	role = "never seen"
	httpWant(t, "the next request", s, jar, "alice", account{"guest", "blue"})
	if len(calls) != 1 {
		t.Errorf("Reload was called %d times", len(calls))
	}
}

func TestHTTPReloadEnds(t *testing.T) {
	world := httpNewWorld(t)
	var answer error
	s := httpSessions(t, world, wafer.Config[string]{
		Reload: func(context.Context, *wafer.Session[string]) (string, error) { return "reloaded", answer },
	})
	jar := httpLogin(t, s, "alice", "data")
	id := httpWant(t, "login", s, jar, "alice", "data").ID
	world.clock.Move(6 * time.Minute)
	before, cookies := world.family(t, id), jar.clone()

	// Any other error is an outage: nothing is advanced, no cookie touched.
	for _, answer = range []error{errors.New("the database is down"), wafer.ErrNoSession, context.Canceled} {
		w := jar.do(s.Require(httpWho(s)), nil)
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("Reload fails with %v: %d", answer, w.Code)
		}
	}
	if after := world.family(t, id); after.Family.Generation != before.Family.Generation || after.Family.Position != before.Family.Position || after.Head != before.Head {
		t.Errorf("a failing Reload changed the family from %v to %v", before, after)
	}
	if !maps.Equal(cookies, jar) {
		t.Error("a failing Reload touched the cookies")
	}
	if answer = nil; httpWant(t, "the next try", s, jar, "alice", "reloaded") != nil {
		if got := world.family(t, id).Family.Generation; got != 2 {
			t.Errorf("generation %d after the refresh, want 2", got)
		}
	}

	world.clock.Move(6 * time.Minute)
	answer = fmt.Errorf("account disabled: %w", wafer.ErrEnded)
	cookies = jar.clone()
	if w := jar.do(s.Require(httpWho(s)), nil); w.Code != http.StatusUnauthorized {
		t.Errorf("Reload ends: %d", w.Code)
	}
	if got := world.family(t, id).State; got != store.Ended {
		t.Errorf("the family is %v", got)
	}
	if !maps.Equal(cookies, jar) {
		t.Error("only Start and End take cookies away")
	}
	answer = nil
	httpWantError(t, "after Reload ended it", s, jar, wafer.ErrNoSession)
}

func TestHTTPReloadThatCannotBeSealedAdvancesNothing(t *testing.T) {
	world := httpNewWorld(t)
	var give any = strings.Repeat("x", 4096)
	s := httpSessions(t, world, wafer.Config[any]{
		Reload: func(context.Context, *wafer.Session[any]) (any, error) { return give, nil },
	})
	jar := httpLogin[any](t, s, "alice", "data")
	id := httpWant[any](t, "login", s, jar, "alice", "data").ID
	world.clock.Move(6 * time.Minute)
	httpWantError(t, "too large", s, jar, wafer.ErrUnavailable)
	give = make(chan int)
	httpWantError(t, "not encodable", s, jar, wafer.ErrUnavailable)
	if got := world.family(t, id).Family.Generation; got != 1 {
		t.Errorf("generation %d", got)
	}
}

func TestHTTPReloadAndALostSessionCookie(t *testing.T) {
	for _, reload := range []bool{false, true} {
		world := httpNewWorld(t)
		config := wafer.Config[string]{}
		if reload {
			config.Reload = func(_ context.Context, s *wafer.Session[string]) (string, error) {
				data, err := s.Data()
				return s.Subject + " had " + fmt.Sprintf("%q", data), err
			}
		}
		s := httpSessions(t, world, config)
		jar := httpLogin(t, s, "alice", "data")
		lost := jar.only(httpRefresh)
		before := lost.clone()
		if !reload {
			httpWantError(t, "no data to be had", s, lost, wafer.ErrNoSession)
			if !maps.Equal(lost, before) {
				t.Error("a refused request's cookies were touched")
			}
		} else {
			httpWant(t, "made anew", s, lost, "alice", `alice had ""`)
		}
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			if err := s.Commit(w, r, "committed"); err != nil {
				t.Error(err)
			}
		})
		lost = jar.only(httpRefresh)
		want := "committed"
		if reload {
			want = `alice had "committed"`
		}
		httpWant(t, "from the committed data", s, lost, "alice", want)
	}
}

// What this node did itself is in force here when the call returns, though no
// news of the log arrives.
func TestHTTPInForceHereAtOnce(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	world.store.silent.Store(true)
	for name, act := range map[string]func(w http.ResponseWriter, r *http.Request, session *wafer.Session[string]) error{
		"End": func(w http.ResponseWriter, r *http.Request, _ *wafer.Session[string]) error { return s.End(w, r) },
		"Start": func(w http.ResponseWriter, r *http.Request, _ *wafer.Session[string]) error {
			return s.Start(w, r, "bob", "")
		},
		"Renew": func(w http.ResponseWriter, r *http.Request, _ *wafer.Session[string]) error { return s.Renew(w, r) },
		"Commit": func(w http.ResponseWriter, r *http.Request, _ *wafer.Session[string]) error {
			return s.Commit(w, r, "new")
		},
		"Revoke the session": func(_ http.ResponseWriter, r *http.Request, session *wafer.Session[string]) error {
			_, err := s.Revoke(r.Context(), wafer.Revocation{Sessions: []store.ID{session.ID}})
			return err
		},
		"Revoke the subject": func(_ http.ResponseWriter, r *http.Request, session *wafer.Session[string]) error {
			_, err := s.Revoke(r.Context(), wafer.Revocation{Subjects: []string{session.Subject}})
			return err
		},
		"EndOthers": func(w http.ResponseWriter, r *http.Request, _ *wafer.Session[string]) error { return s.EndOthers(w, r) },
		"Revoke everyone": func(_ http.ResponseWriter, r *http.Request, _ *wafer.Session[string]) error {
			_, err := s.Revoke(r.Context(), wafer.Revocation{Everyone: true})
			return err
		},
	} {
		jar, other := httpLogin(t, s, "alice", ""), httpLogin(t, s, "alice", "")
		copied := jar.only(httpSession)
		httpWant(t, name+": before", s, copied, "alice", "")
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			session, err := s.Get(r.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := act(w, r, session); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		httpWantError(t, name+": a copy of the cookie from before", s, copied, wafer.ErrNoSession)
		if name == "EndOthers" {
			httpWantError(t, name+": another device", s, other.only(httpSession), wafer.ErrNoSession)
			httpWant(t, name+": this one", s, jar, "alice", "")
		}
	}
}

// Of two requests with one cookie, the one that commits second starts again.
func TestHTTPConflictWithAnotherCommit(t *testing.T) {
	for _, method := range []string{"Commit", "Renew", "Reauthenticate", "EndOthers"} {
		world := httpNewWorld(t)
		s := httpSessions(t, world, wafer.Config[string]{})
		jar := httpLogin(t, s, "alice", "old")
		elsewhere := httpLogin(t, s, "alice", "elsewhere")
		jar.clone().in(s, func(w http.ResponseWriter, r *http.Request) {
			jar.in(s, func(w http.ResponseWriter, r *http.Request) {
				if err := s.Commit(w, r, "first"); err != nil {
					t.Fatal(err)
				}
			})
			err := map[string]func() error{
				"Commit": func() error { return s.Commit(w, r, "second") }, "Renew": func() error { return s.Renew(w, r) },
				"Reauthenticate": func() error { return s.Reauthenticate(w, r) }, "EndOthers": func() error { return s.EndOthers(w, r) },
			}[method]()
			if !errors.Is(err, wafer.ErrConflict) || len(w.Header()["Set-Cookie"]) != 0 {
				t.Errorf("%s: %v with %d cookies, want ErrConflict", method, err, len(w.Header()["Set-Cookie"]))
			}
		})
		httpWant(t, "the first Commit", s, jar, "alice", "first")
		httpWant(t, "a conflict revokes nothing", s, elsewhere, "alice", "elsewhere")
	}
}

// A session cookie carries its data into a refresh by a token of its own
// generation or the next; an older one put back beside a newer token does not.
func TestHTTPWhoseDataARefreshGoesOnFrom(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "data")
	old := []string{jar[httpSession]} // by generation, from 1
	for len(old) < 3 {
		world.clock.Move(6 * time.Minute)
		httpWant(t, "refresh", s, jar, "alice", "data")
		old = append(old, jar[httpSession])
	}
	world.clock.Move(6 * time.Minute)
	mixed := func(generation int) httpJar {
		return httpJar{httpSession: old[generation-1], httpRefresh: jar[httpRefresh]}
	}
	before := mixed(1)
	httpWantError(t, "a cookie two generations older", s, before, wafer.ErrNoSession)
	if !maps.Equal(before, mixed(1)) {
		t.Error("its cookies were touched")
	}
	httpWant(t, "one generation older", s, mixed(2), "alice", "data")
	httpWant(t, "its own", s, mixed(3), "alice", "data")
}

func TestHTTPDataTypeChangesBetweenReleases(t *testing.T) {
	type first struct {
		Theme string
		Count int
		Cart  map[string]int
	}
	type grown struct {
		Theme string
		Count int64
		Cart  map[string]int
		Tags  []string
		Since time.Time
	}
	type shrunk struct{ Theme string }
	type changed struct {
		Theme string
		Count []string
	}
	world := httpNewWorld(t)
	one := httpSessions(t, world, wafer.Config[first]{})
	jar := httpLogin(t, one, "alice", first{"dark", 3, map[string]int{"pear": 2}})

	_, g, err := httpGet(httpSessions(t, world, wafer.Config[grown]{}), jar)
	if err != nil || g.Theme != "dark" || g.Count != 3 || g.Cart["pear"] != 2 || g.Tags != nil || !g.Since.IsZero() {
		t.Errorf("fields added: %+v, %v", g, err)
	}
	_, s, err := httpGet(httpSessions(t, world, wafer.Config[shrunk]{}), jar)
	if err != nil || s.Theme != "dark" {
		t.Errorf("fields removed: %+v, %v", s, err)
	}
	incompatible := func(name string, err error, data any) {
		t.Helper()
		if !errors.Is(err, codec.ErrContent) || strings.Contains(fmt.Sprint(err), "pear") {
			t.Errorf("%s: %v, %v; want an error that tells no data", name, data, err)
		}
	}
	_, c, err := httpGet(httpSessions(t, world, wafer.Config[changed]{}), jar)
	incompatible("a field of another type", err, c)
	_, i, err := httpGet(httpSessions(t, world, wafer.Config[int]{}), jar)
	incompatible("an int", err, i)
	_, l, err := httpGet(httpSessions(t, world, wafer.Config[[]string]{}), jar)
	incompatible("a list", err, l)

	// The session itself lives on: a refresh carries the data as it is, and
	// the new release may save over it.
	world.clock.Move(6 * time.Minute)
	ints := httpSessions(t, world, wafer.Config[int]{})
	session, _, err := httpGet(ints, jar)
	incompatible("refreshed by the new release", err, nil)
	if session == nil || session.Subject != "alice" {
		t.Fatalf("the session was lost: %v", session)
	}
	if _, back, err := httpGet(one, jar); err != nil || back.Cart["pear"] != 2 {
		t.Errorf("back in the old release: %+v, %v", back, err)
	}
	jar.in(ints, func(w http.ResponseWriter, r *http.Request) {
		if err := ints.Save(w, r, 7); err != nil {
			t.Error(err)
		}
	})
	httpWant(t, "saved anew", ints, jar, "alice", 7)
}

func TestHTTPRevokeInManyParts(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	alice, bob := httpLogin(t, s, "alice", ""), httpLogin(t, s, "bob", "")
	carol := httpLogin(t, s, "carol", "")
	r := wafer.Revocation{Reason: "many", Actor: "test"}
	for i := range 2*store.MaxEntries + 10 {
		r.Sessions = append(r.Sessions, store.ID{1, byte(i), byte(i >> 8)})
		r.Subjects = append(r.Subjects, fmt.Sprint("nobody ", i))
	}
	r.Sessions[len(r.Sessions)-1] = httpWant(t, "bob", s, bob, "bob", "").ID
	r.Subjects[len(r.Subjects)-1] = "alice"
	at, err := s.Revoke(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := world.memory.Cutoffs(t.Context(), store.ID{}, ""); c.Head != at {
		t.Errorf("Revoke returned %d, the head is %d", at, c.Head)
	}
	httpWantError(t, "alice", s, alice, wafer.ErrNoSession)
	httpWantError(t, "bob", s, bob, wafer.ErrNoSession)
	httpWant(t, "carol", s, carol, "carol", "")
	if _, err := s.Revoke(t.Context(), wafer.Revocation{Everyone: true}); err != nil {
		t.Fatal(err)
	}
	httpWantError(t, "everyone", s, carol, wafer.ErrNoSession)
}

func TestHTTPNotBefore(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	login := func(at store.Position) (httpJar, error) {
		jar := httpJar{}
		var err error
		jar.in(s, func(w http.ResponseWriter, r *http.Request) { err = s.Start(w, r, "alice", "", wafer.NotBefore(at)) })
		return jar, err
	}
	at, err := s.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revoke(t.Context(), wafer.Revocation{Subjects: []string{"bob"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := login(at); err != nil {
		t.Errorf("somebody else was revoked: %v", err)
	}
	if _, err := s.Revoke(t.Context(), wafer.Revocation{Subjects: []string{"alice"}}); err != nil {
		t.Fatal(err)
	}
	if jar, err := login(at); !errors.Is(err, wafer.ErrNotBefore) || len(jar) != 0 {
		t.Errorf("revoked since: %v, %d cookies", err, len(jar))
	}
	if at, err = s.Position(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := login(at); err != nil {
		t.Errorf("from after the revocation: %v", err)
	}
	world.store.down.Store(true)
	if _, err := s.Position(t.Context()); !errors.Is(err, wafer.ErrUnavailable) {
		t.Errorf("outage: %v", err)
	}
}

// A login that fails for want of the store writes nothing; a logout clears the
// browser and says so.
func TestHTTPStartAndEndInAnOutage(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "")
	id := httpWant(t, "login", s, jar, "alice", "").ID
	copied := jar.clone()
	other := httpLogin(t, s, "carol", "")
	world.store.down.Store(true)
	fresh := httpJar{}
	fresh.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(w, r, "bob", ""); !errors.Is(err, wafer.ErrUnavailable) {
			t.Errorf("Start: %v", err)
		}
	})
	if len(fresh) != 0 {
		t.Error("a login that failed wrote cookies")
	}
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		for name, err := range map[string]error{"Commit": s.Commit(w, r, ""), "Renew": s.Renew(w, r), "EndOthers": s.EndOthers(w, r)} {
			if !errors.Is(err, wafer.ErrUnavailable) || len(w.Header()["Set-Cookie"]) != 0 {
				t.Errorf("%s: %v, %d cookies", name, err, len(w.Header()["Set-Cookie"]))
			}
		}
		err := s.End(w, r)
		if !errors.Is(err, wafer.ErrUnavailable) {
			t.Errorf("End: %v", err)
		}
		s.Refuse(w, r, err)
	})
	if len(jar) != 0 {
		t.Error("End did not clear the browser")
	}
	world.clock.Move(31 * time.Second) // now the replica is stale
	other.in(s, func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.Get(r.Context()); !errors.Is(err, wafer.ErrUnavailable) {
			t.Errorf("before End: %v", err)
		}
		_ = s.End(w, r)
		if _, err := s.Get(r.Context()); !errors.Is(err, wafer.ErrNoSession) {
			t.Errorf("after End of a session that could not be judged: %v", err)
		}
	})
	httpWantError(t, "a copy of the session cookie, on this node", s, copied.only(httpSession), wafer.ErrNoSession)
	httpWantError(t, "a copy of both, on this node", s, copied, wafer.ErrNoSession)
	world.store.down.Store(false)
	deadline := time.Now().Add(10 * time.Second)
	for world.family(t, id).State != store.Ended {
		if time.Now().After(deadline) {
			t.Fatal("the logout is not tried again")
		}
		time.Sleep(10 * time.Millisecond)
	}
	httpWantError(t, "a copy after the outage", s, copied, wafer.ErrNoSession)
}
