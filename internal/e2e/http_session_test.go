package e2e_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

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
			s.Error(answer, r, err)
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
