package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// Promise 5: a bad cookie is an anonymous request; an outage is a 503.

func TestPromise5_OutageIs503AndTouchesNoCookie(t *testing.T) {
	forEachKind(t, testOutageIs503AndTouchesNoCookie)
}

func testOutageIs503AndTouchesNoCookie(t *testing.T, w *world) {
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	n.store.fail()
	if !w.noReplica {
		b.is(n, "alice: a") // the list is fresh, so the outage does not show
	}
	unavailable := func(what string) {
		t.Helper()
		rec := httptest.NewRecorder()
		n.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Errorf("%s: the handler behind Require ran", what)
		})).ServeHTTP(rec, b.request())
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || len(rec.Header()["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v, want 503 with Retry-After and no Set-Cookie", what, rec.Code, rec.Header())
		}
		reached := b.ask(n, nil) // Handler keeps public pages up
		if reached.who != "503" || reached.rec.Code != http.StatusOK || len(reached.setCookies()) != 0 {
			t.Errorf("%s: Handler made it %q, %d, %v", what, reached.who, reached.rec.Code, reached.setCookies())
		}
	}
	w.clock.Move(testStaleness + time.Millisecond)
	unavailable("on a stale list")
	w.clock.Move(testAccess)
	unavailable("where a refresh is due")
	jar := maps.Clone(b.cookies)
	b = b.without(sessionCookie)
	unavailable("with the token alone")
	b.cookies = jar
	n.store.heal()
	w.pass(10 * time.Minute)
	b.is(n, "alice: a")
	w.pass(testAccess)
	b.is(n, "alice: a")
}

// The store refreshes, and its answer is lost. The next request gets the same.
func TestPromise5_AdvanceWhoseAnswerIsLost(t *testing.T) {
	forEachKind(t, testAdvanceWhoseAnswerIsLost)
}

func testAdvanceWhoseAnswerIsLost(t *testing.T, w *world) {
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	n.store.lose("Advance")
	if a := b.is(n, "503"); len(a.setCookies()) != 0 {
		t.Errorf("an outage touched cookies: %v", a.setCookies())
	}
	w.pass(testGrace - time.Millisecond)
	b.is(m, "alice: a")
	if f := b.family(w).Family; f.Generation != 2 || f.Copy != 0 {
		t.Errorf("generation %d, copy %d: want 2 and 0", f.Generation, f.Copy)
	}
}

// Every call that changes a session returns the outage and writes nothing.
func TestPromise5_OutageOfEachCall(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	ctx := context.Background()
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	for name, act := range map[string]func(*visit) error{
		"Start":          func(v *visit) error { return n.Start(v.w, v.r, "bob", basket{}) },
		"Commit":         commit("b"),
		"Renew":          renew,
		"Reauthenticate": func(v *visit) error { return n.Reauthenticate(v.w, v.r) },
		"EndOthers":      endOthers,
		"Revoke": func(v *visit) error {
			_, err := n.Revoke(ctx, wafer.Revocation{Subjects: []string{"bob"}})
			return err
		},
		"Position": func(v *visit) error { _, err := n.Position(ctx); return err },
		"Devices":  func(v *visit) error { _, err := n.Devices(ctx, "alice"); return err },
	} {
		n.store.fail()
		a := b.ask(n, func(v *visit) { wants(t, name, act(v), wafer.ErrUnavailable) })
		if len(a.setCookies()) != 0 {
			t.Errorf("%s during an outage wrote %v", name, a.setCookies())
		}
		n.store.heal()
		b.copy().is(n, "alice: a")
	}
}

// Reload's errors: ErrEnded ends the session, and any other error is an outage.
func TestPromise5_Reload(t *testing.T) {
	w := newWorld(t)
	var fault error
	n := w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) {
			data, err := s.Data()
			if fault != nil {
				err = fault
			}
			return data.with("r"), err
		}
	})
	b := w.browser().login(n, "alice", "a")
	stolen := b.copy()
	w.pass(testAccess)
	fault = context.DeadlineExceeded
	if a := b.is(n, "503"); len(a.setCookies()) != 0 || b.family(w).Family.Generation != 1 {
		t.Errorf("a Reload that failed advanced the family, or touched cookies: %v", a.setCookies())
	}
	fault = nil
	b.is(n, "alice: a r")
	w.pass(testAccess)
	fault = fmt.Errorf("the account is closed: %w", wafer.ErrEnded)
	if a := b.is(n, "401"); len(a.setCookies()) != 0 {
		t.Errorf("only End takes cookies away: %v", a.setCookies())
	}
	fault = nil
	b.dead(n)
	stolen.dead(n)
}

// A result of Reload that does not fit is an outage, and nothing is advanced,
// since the advance could not be answered.
func TestPromise5_RefreshThatCannotBeAnswered(t *testing.T) {
	w := newWorld(t)
	grow := 0
	n := w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) {
			data, err := s.Data()
			return data.with(strings.Repeat("x", grow)), err
		}
	})
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	grow = 5000
	b.is(n, "503")
	if g := b.family(w).Family.Generation; g != 1 {
		t.Errorf("generation %d: a refresh that could not be answered was made", g)
	}
	grow = 1
	b.is(n, "alice: a x")
}

// A subject either is refused at the login, as a mistake of the application and
// not an outage, or works everywhere.
func TestPromise5_SubjectsAtTheirLimits(t *testing.T) {
	for _, subject := range []string{"a", strings.Repeat("x", 255), strings.Repeat("ü", 127), " ", "a\tb\n", "\u2028"} {
		w := newWorld(t)
		n := w.node()
		b := w.browser().login(n, subject, "")
		b.is(n, subject+": ")
		wants(t, "Commit", b.do(n, commit("c")), nil)
		wants(t, "Renew", b.do(n, renew), nil)
		wants(t, "EndOthers", b.do(n, endOthers), nil)
		copied := b.copy()
		wants(t, "End", b.do(n, end), nil)
		copied.dead(n)
	}
	w := newWorld(t)
	n := w.node()
	for _, subject := range []string{"", strings.Repeat("x", 256), "\x00\xff\x80 a raw uuid", "a\x00b"} {
		b := w.browser()
		err := b.do(n, func(v *visit) error { return n.Start(v.w, v.r, subject, basket{}) })
		if err == nil || wafer.Status(err) != http.StatusBadRequest {
			t.Errorf("Start of %q: %v, want a mistake in the argument", subject, err)
		}
		if len(b.cookies) != 0 {
			t.Errorf("Start of %q failed and wrote cookies", subject)
		}
	}
}
