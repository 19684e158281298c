package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

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
		for _, e := range world.newEvents() {
			got = append(got, e.Kind)
		}
		if took := world.store.newCalls(); took != calls || !slices.Equal(got, kinds) {
			t.Errorf("%s: store calls %q and events %q, want %q and %q", what, took, got, calls, kinds)
		}
	}
	world.store.newCalls()
	world.newEvents()
	jar.do(h, nil)
	count("a good cookie on a fresh replica", "")
	world.store.logCut.Store(true)
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
	world.store.newCalls()
	for _, h := range []http.Handler{s.Handler(httpWho(s)), s.Require(httpWho(s)), s.RequireRecent(time.Hour)(httpWho(s))} {
		w := jar.do(h, nil)
		if lines := w.Header()["Set-Cookie"]; w.Code != 200 || len(lines) != 0 {
			t.Errorf("reading: %d, wrote %q", w.Code, lines)
		}
	}
	if got := world.store.newCalls(); got != "" {
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
	world.store.newCalls()
	if _, err := check(jar); !errors.Is(err, wafer.ErrExpired) {
		t.Errorf("a refresh is due: %v, want ErrExpired", err)
	}
	if _, err := check(jar.only(httpSession)); !errors.Is(err, wafer.ErrNoSession) {
		t.Errorf("expired, and nothing to refresh with: %v", err)
	}
	if got := world.store.newCalls(); got != "" {
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

// Public pages stay up in an outage, and no cookie is touched.
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
	staff := httpSessions(t, world, wafer.Config[int]{Realm: "shop", SessionCookie: "__Host-staff", RefreshCookie: "__Host-staff-refresh"})
	same := httpSessions(t, world, wafer.Config[string]{Realm: "shop"}) // another node's, with the same realm and names
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
	elsewhere := httpNewWorld(t) // a store belongs to one realm
	elsewhere.ring = world.ring
	otherRealm := httpSessions(t, elsewhere, wafer.Config[string]{Realm: "shop2"})
	httpWantError(t, "another realm", otherRealm, jar, wafer.ErrNoSession)
}

func TestHTTPRefuse(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	_, unattached := s.Get(t.Context())
	refuse := func(s *wafer.Sessions[string], err error) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Error(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
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
			dump := fmt.Sprint(w.Header(), w.Body)
			if w.Code != c.want || wafer.Status(err) != c.want {
				t.Errorf("%v: %d, Status %d; want %d", err, w.Code, wafer.Status(err), c.want)
			}
			if strings.Contains(dump, "detail") || w.Body.String() != http.StatusText(c.want)+"\n" {
				t.Errorf("%v: answered with %q", err, dump)
			}
			if first, seen := looks[c.want]; seen && first != dump {
				t.Errorf("%v looks like %q, another refusal with %d like %q", err, dump, c.want, first)
			}
			looks[c.want] = dump
			if w.Header().Get("Vary") != "Cookie" || w.Header().Get("Cache-Control") != "no-store" || len(w.Header()["Set-Cookie"]) != 0 {
				t.Errorf("%v: header %v", err, w.Header())
			}
		}
	}
	// An error that wraps an outage is an outage, whatever else it wraps, and never a
	// logout.
	if got := wafer.Status(fmt.Errorf("%w: %w", wafer.ErrUnavailable, wafer.ErrNoSession)); got != 503 {
		t.Errorf("an outage that wraps ErrNoSession: %d", got)
	}

	var seen error
	own := httpSessions(t, httpNewWorld(t), wafer.Config[string]{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		seen = err
		w.WriteHeader(http.StatusTeapot)
	}})
	if w := refuse(own, wafer.ErrLimit); w.Code != http.StatusTeapot || seen != wafer.ErrLimit || w.Body.Len() != 0 {
		t.Errorf("Config.ErrorHandler: %d, told %v", w.Code, seen)
	}
	if w := (httpJar{}).do(own.Require(httpWho(own)), nil); w.Code != http.StatusTeapot || seen != wafer.ErrNoSession {
		t.Errorf("Require with Config.ErrorHandler: %d, told %v", w.Code, seen)
	}
	jar := httpLogin(t, own, "alice", "")
	if w := jar.do(own.RequireRecent(-1)(httpWho(own)), nil); w.Code != http.StatusTeapot || seen != wafer.ErrReauthenticate {
		t.Errorf("RequireRecent with Config.ErrorHandler: %d, told %v", w.Code, seen)
	}
}
