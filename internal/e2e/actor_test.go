package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// actedLogin is alice's session in which carol acts for her.
func (b *browser) actedLogin(n *node) *browser {
	b.t.Helper()
	return b.login(n, "alice", "a", wafer.Actor(carol), wafer.Methods("pwd", "otp"), wafer.Level("aal2"))
}

// The session shows what the login said, after a refresh and a Renew too, and so does
// the list of devices.
func TestSessionShowsWhoActs(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		n := w.node()
		b := w.browser().actedLogin(n)
		shows := func(what string) {
			t.Helper()
			b.ask(n, func(v *visit) {
				if v.err != nil || v.s.Actor != carol || v.s.Level != "aal2" || !slices.Equal(v.s.Methods(), []string{"pwd", "otp"}) {
					t.Errorf("%s: %v, %v", what, v.s, v.err)
				}
			}).arrive()
		}
		shows("after the login")
		w.pass(testAccess + time.Second)
		before := b.token(w).Generation
		shows("after a refresh")
		if b.token(w).Generation == before {
			t.Error("it was not refreshed")
		}
		deadline, started := b.cookie(w).Absolute, b.cookie(w).Started
		wants(t, "Renew", b.do(n, renew), nil)
		shows("after a Renew")
		if c := b.cookie(w); !c.Absolute.Equal(deadline) || !c.Started.Equal(started) {
			t.Errorf("Renew moved the limits: until %v, before until %v", c.Absolute, deadline)
		}
		wants(t, "Save", b.do(n, save("b")), nil)
		shows("after a Save")
		wants(t, "Commit", b.do(n, commit("c")), nil)
		shows("after a Commit")
		devices, err := n.Devices(context.Background(), "alice")
		if err != nil || len(devices) != 1 || devices[0].Actor != carol {
			t.Errorf("the devices are %+v, %v", devices, err)
		}
		plain := w.browser().login(n, "alice", "p")
		plain.ask(n, func(v *visit) {
			if v.err != nil || v.s.Actor != "" || v.s.Level != "" || len(v.s.Methods()) != 0 {
				t.Errorf("a plain session: %v, %v", v.s, v.err)
			}
		})
	})
}

// The actor is a second subject of that one session: others of either live on.
func TestPromise1_ActorIsASecondSubject(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		here, there := w.node(), w.node()
		acted := w.browser().actedLogin(here)
		own, carols := w.browser().login(here, "alice", "own"), w.browser().login(here, carol, "c")
		w.pass(time.Second)
		here.revoke(wafer.Revocation{Subjects: []string{"somebody"}})
		acted.is(here, "alice: a")
		here.revoke(wafer.Revocation{Subjects: []string{carol}})
		w.pass(0)
		acted.dead(here, there)
		carols.dead(here, there)
		own.is(here, "alice: own")
		own.is(there, "alice: own")
		again := w.browser().actedLogin(here)
		again.is(here, "alice: a")
		here.revoke(wafer.Revocation{Subjects: []string{"alice"}})
		w.pass(0)
		again.dead(here, there)
	})
}

// The actor's own "log out everywhere else" ends the sessions in which he acts.
func TestPromise1_ActorsEndOthers(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		here, there := w.node(), w.node()
		acted, carols := w.browser().actedLogin(here), w.browser().login(here, carol, "c")
		w.pass(time.Second)
		wants(t, "EndOthers", carols.do(here, endOthers), nil)
		w.pass(0)
		acted.dead(here, there)
		carols.is(here, carol+": c")
	})
}

// A store that lost the revocation of an actor would serve the session. The node that
// holds the revocation refuses it, and writes it back, after which every node does.
func TestPromise1_StoreThatLostTheActorsRevocation(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		pair := w.backedUpStore()
		here, other := w.node(), w.node()
		for _, n := range w.nodes {
			n.store.replace(pair)
		}
		acted, bob := w.browser().actedLogin(here), w.browser().login(here, "bob", "b")
		w.pass(time.Second)
		pair.diverged.Store(true)
		w.clock.Move(time.Second)
		here.revoke(wafer.Revocation{Subjects: []string{carol}})
		acted.dead(here)
		w.restoreBackup(pair)
		w.clock.Move(testAccess / 2)
		if _, err := w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{"somebody"}}); err != nil {
			t.Fatal(err)
		}
		acted.without(sessionCookie).is(here, "401") // the store would serve it
		if f := acted.family(w); f.State == store.Alive && f.Family.Generation != 1 {
			t.Error("a session whose actor was revoked was refreshed")
		}
		here.freshen()
		again := w.browser().actedLogin(here)
		again.peek(here) // without a replica, a request causes the query
		for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			c, err := w.mem.Cutoffs(context.Background(), store.ID{}, carol)
			if err != nil {
				t.Fatal(err)
			}
			if c.Subject > store.Position(acted.cookie(w).Position) {
				break
			}
			if time.Since(start) > 2*time.Minute {
				t.Fatalf("nothing is written back: %+v; %v", c, here.observed())
			}
		}
		w.pass(testStaleness + time.Second)
		acted.dead(here, other)
		bob.is(here, "bob: b")
		w.browser().actedLogin(here).is(here, "alice: a")
	})
}

// A long-lived response ends with the actor, here and on every other node.
func TestPromise1_LiveEndsWithItsActor(t *testing.T) {
	for name, noReplica := range map[string]bool{"replica": false, "no replica": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.noReplica = noReplica
				here, there := w.node(realTime), w.node(realTime)
				acted, own := w.browser().actedLogin(here), w.browser().login(here, "alice", "own")
				onThis, _ := acted.live(here)
				onThat, _ := acted.live(there)
				stays, _ := own.live(here)
				here.revoke(wafer.Revocation{Subjects: []string{"somebody"}})
				goesOn(t, "after another revocation", onThis)
				here.revoke(wafer.Revocation{Subjects: []string{carol}})
				hasEnded(t, "on the node that revoked", onThis, wafer.ErrEnded)
				time.Sleep(testStaleness + 2*time.Second)
				hasEnded(t, "on the other node", onThat, wafer.ErrEnded)
				goesOn(t, "alice's own", stays)
			})
		})
	}
}

// The actor is revoked while the response begins: after the request was judged and
// before the set has the response.
func TestPromise1_LiveOfAnActorWhoIsRevokedMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		b := w.browser().actedLogin(n)
		var ctx context.Context
		b.ask(n, func(v *visit) {
			n.revoke(wafer.Revocation{Subjects: []string{carol}})
			ctx = n.Live(v.r)
		})
		hasEnded(t, "a response that began too late", ctx, wafer.ErrEnded)
	})
}

// Access tokens say who acts, and end with the actor.
func TestPromise1_AccessTokensEndWithTheirActor(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		here := w.node(withTokens())
		w.node(withTokens())
		b := w.browser().actedLogin(here)
		native, plain := here.issue("alice", wafer.Actor(carol), wafer.Methods("pwd", "otp"), wafer.Level("aal2")), here.issue("alice")
		w.pass(time.Second)
		tokens := map[string]string{
			"a browser's":       tokenAnswer(t, here.api(http.MethodPost, "/token", "", b.from)).AccessToken,
			"a native client's": native.AccessToken(),
		}
		bears := func(n *node, token string) int {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
			bearing(token)(r)
			n.Bearer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				s, err := n.Get(r.Context())
				if err != nil || s.Actor != carol && token != plain.AccessToken() || s.Actor == carol && (s.Level != "aal2" || !slices.Equal(s.Methods(), []string{"pwd", "otp"})) {
					t.Errorf("the token's session is %v, %v", s, err)
				}
			})).ServeHTTP(rec, r)
			return rec.Code
		}
		for what, token := range tokens {
			c := claimsOf(t, token)
			act, _ := c["act"].(map[string]any)
			amr, _ := c["amr"].([]any)
			if act["sub"] != carol || len(act) != 1 || !slices.Equal(amr, []any{"pwd", "otp"}) || c["acr"] != "aal2" || c["sub"] != "alice" {
				t.Errorf("%s: %v", what, c)
			}
			for _, n := range w.nodes {
				if code := bears(n, token); code != http.StatusOK {
					t.Errorf("%s is answered by %d", what, code)
				}
			}
		}
		c := claimsOf(t, plain.AccessToken())
		for _, name := range []string{"act", "amr", "acr"} {
			if _, found := c[name]; found {
				t.Errorf("a plain token has %s: %v", name, c)
			}
		}
		here.revoke(wafer.Revocation{Subjects: []string{carol}})
		w.pass(testStaleness + time.Second) // a cached answer is that old at most
		for what, token := range tokens {
			for _, n := range w.nodes {
				if code := bears(n, token); code != http.StatusUnauthorized {
					t.Errorf("%s is answered by %d after its actor was revoked", what, code)
				}
			}
		}
		if code := bears(here, plain.AccessToken()); code != http.StatusOK {
			t.Errorf("the subject's own is answered by %d", code)
		}
	})
}

// The same for a service that follows the log, and for one that is cut off and asks
// the store.
func TestPromise1_VerifierHearsOfActors(t *testing.T) {
	for name, cut := range map[string]bool{"by the log": false, "by a query": true} {
		t.Run(name, func(t *testing.T) {
			withShop(t, func(t *testing.T, s *shop) {
				v := s.service()
				pair, err := s.Issue(t.Context(), "alice", wafer.Actor(carol))
				if err != nil {
					t.Fatal(err)
				}
				token, own := s.token(pair, ordersAPI), s.orders("alice")
				v.is("before", token, nil)
				if session, err := v.Verify(t.Context(), token); err != nil || session.Actor != carol {
					t.Errorf("the session is %v, %v", session, err)
				}
				if cut {
					s.log.cut(false)
				}
				s.revoke(wafer.Revocation{Subjects: []string{carol}})
				synctest.Wait()
				if cut {
					time.Sleep(testStaleness + time.Second)
				}
				v.is("after its actor was revoked", token, wafer.ErrNoSession)
				v.is("the subject's own", own, nil)
			})
		})
	}
}

// A node without a replica caches answers by subject: that of the subject does not
// stand for that of the actor.
func TestPromise1_NoReplicaCachesTheActorsAnswerApart(t *testing.T) {
	w := newWorld(t)
	w.noReplica = true
	here, there := w.node(), w.node()
	own, acted := w.browser().login(here, "alice", "own"), w.browser().actedLogin(here)
	here.revoke(wafer.Revocation{Subjects: []string{carol}})
	own.is(there, "alice: own")
	acted.dead(there)
}

// Introspection says who acts, of both kinds of tokens.
func TestIntrospectionSaysWhoActs(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.Introspect = func(*http.Request) bool { return true } }))
	acted, plain := n.issue("alice", wafer.Actor(carol), wafer.Methods("pwd"), wafer.Level("aal1")), n.issue("alice")
	for _, row := range []struct {
		token string
		acted bool
	}{{acted.AccessToken(), true}, {acted.RefreshToken(), true}, {plain.AccessToken(), false}, {plain.RefreshToken(), false}} {
		var answer map[string]any
		strict(t, n.api(http.MethodPost, "/introspect", "token="+row.token), &answer)
		act, _ := answer["act"].(map[string]any)
		amr, _ := answer["amr"].([]any)
		_, hasActor := answer["act"]
		_, hasMethods := answer["amr"]
		_, hasLevel := answer["acr"]
		if answer["active"] != true || hasActor != row.acted || hasMethods != row.acted || hasLevel != row.acted ||
			row.acted && (act["sub"] != carol || !slices.Equal(amr, []any{"pwd"}) || answer["acr"] != "aal1") {
			t.Errorf("%v is answered by %v", row.acted, answer)
		}
	}
}

// An actor is refused the calls that only the subject may make. They change nothing
// and return an error of their own.
func TestActorMayNotActAsTheSubject(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(), func(c *wafer.Config[basket]) { c.Recent = time.Hour })
	b, own := w.browser().actedLogin(n), w.browser().login(n, "alice", "own")
	for what, act := range map[string]func(*visit) error{
		"Reauthenticate": func(v *visit) error { return n.Reauthenticate(v.w, v.r, wafer.Methods("pwd")) },
		"EndOthers":      endOthers,
	} {
		before := b.copy()
		err := b.do(n, act)
		if wants(t, what, err, wafer.ErrActor); wafer.Status(err) != http.StatusForbidden {
			t.Errorf("%s: status %d", what, wafer.Status(err))
		}
		if b.cookies[sessionCookie] != before.cookies[sessionCookie] || b.cookies[refreshCookie] != before.cookies[refreshCookie] {
			t.Errorf("%s wrote cookies", what)
		}
	}
	access := tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)).AccessToken
	id := own.cookie(w).ID
	for what, from := range map[string]func(*http.Request){"a cookie": b.from, "an access token": bearing(access)} {
		if rec := n.api(http.MethodDelete, "/devices/"+store.ID(id).String(), "", from); rec.Code != http.StatusForbidden {
			t.Errorf("with %s DELETE devices answers %d", what, rec.Code)
		}
		// At no age of the login.
		for _, d := range []time.Duration{0, time.Hour, 1<<63 - 1} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
			from(r)
			n.RequireRecent(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Errorf("RequireRecent(%v) lets %s pass", d, what) })).ServeHTTP(rec, r)
			if rec.Code != http.StatusForbidden {
				t.Errorf("RequireRecent(%v) answers %d", d, rec.Code)
			}
		}
	}
	own.is(n, "alice: own")
	if rec := n.api(http.MethodDelete, "/devices/"+store.ID(b.cookie(w).ID).String(), "", own.from); rec.Code != http.StatusNoContent {
		t.Errorf("alice ends the session in which carol acts: %d", rec.Code)
	}
	b.dead(n)
}

// RequireRecent judges when the user authenticated, which may have been before the
// login, and never after it.
func TestRequireRecentJudgesTheAuthentication(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	recent := func(b *browser) int {
		rec := httptest.NewRecorder()
		n.RequireRecent(5*time.Minute)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(rec, b.request())
		return rec.Code
	}
	for what, row := range map[string]struct {
		before time.Duration // the login
		want   int
	}{
		"with the login":        {0, 200},
		"a minute before":       {time.Minute, 200},
		"ten minutes before":    {10 * time.Minute, 403},
		"an hour in the future": {-time.Hour, 200},
	} {
		b := w.browser().login(n, "alice", "a", wafer.Authenticated(w.clock.Now().Add(-row.before)))
		if got := recent(b); got != row.want {
			t.Errorf("%s: %d, want %d", what, got, row.want)
		}
		if c := b.cookie(w); c.Authenticated.After(c.Started) {
			t.Errorf("%s: authenticated %v, after the login at %v", what, c.Authenticated, c.Started)
		}
	}
	old := w.browser().login(n, "alice", "a", wafer.Authenticated(w.clock.Now().Add(-10*time.Minute)))
	until := old.cookie(w).Absolute
	wants(t, "Reauthenticate", old.do(n, func(v *visit) error { return n.Reauthenticate(v.w, v.r, wafer.Methods("hwk"), wafer.Level("aal3")) }), nil)
	if got := recent(old); got != 200 {
		t.Errorf("after Reauthenticate: %d", got)
	}
	if c := old.cookie(w); c.Methods.Text() != "hwk" || c.Level.Text() != "aal3" || c.Absolute.Before(until) {
		t.Errorf("after Reauthenticate: %q, %q, until %v", c.Methods.Text(), c.Level.Text(), c.Absolute)
	}
}

// Every field of a login that the cookie has to hold counts against its limit before
// anything is written.
func TestCookieWithAllFlagsFitsOrIsRefused(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser()
	long := make([]byte, 2800)
	for i := range long {
		long[i] = 'x'
	}
	text := string(long[:codec.MaxSubject])
	err := b.do(n, func(v *visit) error {
		return n.Start(v.w, v.r, "alice", basket{[]string{string(long)}}, wafer.Actor(text), wafer.Level(text))
	})
	wants(t, "Start", err, wafer.ErrTooLarge)
	wants(t, "a plain Start", b.do(n, func(v *visit) error { return n.Start(v.w, v.r, "alice", basket{[]string{string(long)}}) }), nil)
	wants(t, "Reauthenticate", b.do(n, func(v *visit) error {
		return n.Reauthenticate(v.w, v.r, wafer.Level(text))
	}), wafer.ErrTooLarge)
	b.is(n, "alice: "+string(long))
	devices, err := n.Devices(context.Background(), "alice")
	if err != nil || len(devices) != 1 {
		t.Errorf("the devices are %v, %v", devices, err)
	}
}
