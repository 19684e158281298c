package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// A revocation by this node is in force here when the call returns, even if no
// entry arrives from the log.
func TestHTTPInForceHereAtOnce(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	world.store.logCut.Store(true)
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

// If two requests with the same cookie commit, the second gets a conflict.
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
// generation or the next. An older cookie beside a newer token does not.
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

	// The session lives on. A refresh carries the data as it is, and the new
	// release may overwrite it with Save.
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

// A login that fails because of the store writes no cookie. A logout clears the
// browser's cookies and returns the error.
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
		s.Error(w, r, err)
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
	deadline := time.Now().Add(2 * time.Minute)
	for world.family(t, id).State != store.Ended {
		if time.Now().After(deadline) {
			t.Fatal("the logout is not tried again")
		}
		time.Sleep(10 * time.Millisecond)
	}
	httpWantError(t, "a copy after the outage", s, copied, wafer.ErrNoSession)
}
