package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// instance is one of two Sessions with one realm, ring and store, such as those
// of an application's members and of its staff.
type instance struct {
	*node
	name             string
	session, refresh string // names of the cookies
}

func instances(w *world) (members, staff instance) {
	of := func(name, session, refresh string) instance {
		return instance{w.node(withTokens(), func(c *wafer.Config[basket]) {
			c.SessionCookie, c.RefreshCookie = session, refresh
		}), name, session, refresh}
	}
	return of("members", sessionCookie, refreshCookie), of("staff", "__Host-staff", "__Host-staff-refresh")
}

// bothWays runs a test from each instance to the other.
func bothWays(t *testing.T, test func(t *testing.T, w *world, from, to instance)) {
	for _, backwards := range []bool{false, true} {
		from := map[bool]string{false: "members", true: "staff"}[backwards]
		t.Run("from "+from, func(t *testing.T) {
			forEachKind(t, func(t *testing.T, w *world) {
				members, staff := instances(w)
				if backwards {
					members, staff = staff, members
				}
				test(t, w, members, staff)
			})
		})
	}
}

// queries returns the calls of the store since reset, without the replica's own
// reads of the log.
func (i instance) queries() map[string]int {
	calls := i.store.calls()
	delete(calls, "Since")
	return calls
}

// visit makes a request with everything in the jar.
func (i instance) visit(b *browser, do func(*visit), configure ...func(*http.Request)) *answer {
	r := httptest.NewRequest(http.MethodPost, "https://harness.example/", nil)
	b.from(r)
	for _, f := range configure {
		f(r)
	}
	return b.askWith(i.node, r, do)
}

func (i instance) login(b *browser, subject, items string) *browser {
	i.visit(b, func(v *visit) {
		if err := i.Start(v.w, v.r, subject, basket{[]string{items}}); err != nil {
			i.world.t.Fatal(err)
		}
	}).arrive()
	return b
}

// disguise returns a jar in which one instance's cookies have the other's names.
func disguise(b *browser, from, to instance) *browser {
	d := &browser{b.t, map[string]string{}}
	for was, is := range map[string]string{from.session: to.session, from.refresh: to.refresh} {
		if value, found := b.cookies[was]; found {
			d.cookies[is] = value
		}
	}
	return d
}

// lives fails the test unless the browser's session goes on where it belongs.
func (i instance) lives(what string, b *browser, want string) {
	i.world.t.Helper()
	if got := i.visit(b, nil).arrive().who; got != want {
		i.world.t.Errorf("%s: the session of the %s is %q, want %q", what, i.name, got, want)
	}
}

// A browser's cookies of one instance are junk to the other, under whatever
// name: they open nothing, cost no query and end nothing.
func TestPromise2_CookiesOfAnotherInstance(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from, to instance) {
		b := from.login(w.browser(), "mallory", "admin")
		from.visit(b, func(v *visit) {
			if err := from.Commit(v.w, v.r, basket{[]string{"committed"}}); err != nil {
				t.Fatal(err)
			}
		}).arrive()
		upgrade := func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }
		for what, jar := range map[string]*browser{
			"both":        disguise(b, from, to),
			"the cookie":  disguise(b.without(from.refresh), from, to),
			"the refresh": disguise(b.without(from.session), from, to),
			"exchanged":   {t, map[string]string{to.session: b.cookies[from.refresh], to.refresh: b.cookies[from.session]}},
		} {
			for name, configure := range map[string]func(*http.Request){"a request": func(*http.Request) {}, "an upgrade": upgrade} {
				to.store.reset()
				a := to.visit(jar, nil, configure)
				if a.who != "401" || len(a.setCookies()) != 0 || len(to.queries()) != 0 {
					t.Errorf("%s in %s: the %s take the other's as %q, with %d cookies and %v", what, name, to.name, a.who, len(a.setCookies()), to.queries())
				}
			}
		}
		// Start and End end the sessions that the request's cookies name.
		for what, act := range map[string]func(*visit) error{
			"Start": func(v *visit) error { return v.n.Start(v.w, v.r, "bob", basket{}) },
			"End":   end,
		} {
			to.visit(disguise(b, from, to), func(v *visit) { wants(t, what, act(v), nil) })
			w.pass(0)
			from.lives(what, b, "mallory: committed")
		}
		w.pass(testAccess)
		from.lives("a refresh later", b, "mallory: committed")
	})
}

// A native client's refresh token belongs to the instance that issued it.
func TestPromise2_NativeTokensOfAnotherInstance(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from, to instance) {
		token := from.issue("alice").RefreshToken()
		to.store.reset()
		wantOAuth(t, "refresh", to.refreshWith(token), http.StatusBadRequest, "invalid_grant")
		if rec := to.api(http.MethodPost, "/revoke", form("token", token)); rec.Code != http.StatusOK {
			t.Errorf("revoke: %d %s", rec.Code, rec.Body)
		}
		if got := to.introspected(t, token); got["active"] != false {
			t.Errorf("introspect: %v", got)
		}
		if calls := to.queries(); len(calls) != 0 {
			t.Errorf("the other's token cost %v", calls)
		}
		if got := from.introspected(t, token); got["active"] != true {
			t.Errorf("at home: %v", got)
		}
		next := from.refreshed(token).RefreshToken
		// And at home the endpoint ends it.
		from.api(http.MethodPost, "/revoke", form("token", next))
		wantOAuth(t, "refresh after revoke", from.refreshWith(next), http.StatusBadRequest, "invalid_grant")
	})
}

// Data that one instance committed is never the other's: neither in a row that
// somebody moved, nor if the other reads the row itself.
func TestPromise2_CommittedDataOfAnotherInstance(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from, to instance) {
		commits := func(i instance) *codec.Commits {
			c, err := codec.NewCommits(w.ring, codec.Instance{Realm: testRealm, SessionCookie: i.session})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		tokens, err := codec.NewRefreshTokens(w.ring, codec.Instance{Realm: testRealm, SessionCookie: to.session})
		if err != nil {
			t.Fatal(err)
		}
		parse := func(b *browser) codec.RefreshToken {
			token, err := tokens.Parse(t.Context(), w.clock.Now(), b.cookies[to.refresh])
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		data, err := codec.MarshalData(basket{[]string{"role", "admin"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, sealer := range []instance{from, to} {
			b := to.login(w.browser(), "bob", "own")
			id := store.ID(parse(b).Family)
			value, err := commits(sealer).Seal(w.clock.Now(), codec.ID(id), data)
			if err != nil {
				t.Fatal(err)
			}
			if snap, err := w.mem.Commit(t.Context(), store.Commit{ID: id, Basis: store.MaxPosition, Value: value}); err != nil || snap.Outcome != store.Written {
				t.Fatal(snap.Outcome, err)
			}
			w.pass(0)
			jar, want := b.without(to.session), "401"
			if sealer.name == to.name {
				want = "bob: role admin"
			}
			for _, configure := range []func(*http.Request){func(*http.Request) {}, func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }} {
				if got := to.visit(jar, nil, configure).who; got != want {
					t.Errorf("sealed by the %s, the row of the %s is %q, want %q", sealer.name, to.name, got, want)
				}
			}
		}
		to.wantEvent(wafer.KindAlarm, "committed value does not open")

		// A token of the one for a family of the other, as only a holder of the
		// ring can mint it.
		b := from.login(w.browser(), "carol", "x")
		from.visit(b, func(v *visit) {
			if err := from.Commit(v.w, v.r, basket{[]string{"secret"}}); err != nil {
				t.Fatal(err)
			}
		}).arrive()
		session := from.visit(b, nil)
		text, err := tokens.Mint(w.clock.Now(), codec.RefreshToken{Family: codec.ID(session.id), Generation: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := to.visit(&browser{t, map[string]string{to.refresh: text}}, nil).who; got != "401" {
			t.Errorf("the %s read what the %s committed: %q", to.name, from.name, got)
		}
		if got := fmt.Sprint(session.who); got != "carol: secret" {
			t.Errorf("at home it is %q", got)
		}
	})
}
