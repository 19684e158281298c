package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// Each of these tests is one order of events that would lose a revocation, or
// log an honest user out, in a naive library.

// Three requests with the same token, of which two commit. The first one's
// answer arrives last and puts back a cookie from before the second commit.
func TestInterleaving_ThreeRequestsOneToken_FirstAnswerLast(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "x")
	w.pass(testAccess)

	first := b.ask(n, func(v *visit) { wants(t, "first Commit", commit("a")(v), nil) })
	second := b.ask(m, func(v *visit) {
		if got := v.data().String(); got != "x a" {
			t.Errorf("the second request goes on from %q, want the committed x a", got)
		}
		wants(t, "second Commit", commit("b")(v), nil)
	})
	third := b.ask(n, nil)
	if third.who != "alice: x a b" {
		t.Errorf("the third request is %q", third.who)
	}
	second.arrive()
	third.arrive()
	first.arrive()
	if g := b.family(w).Family.Generation; g != 2 {
		t.Errorf("generation %d: three requests made more than one", g)
	}
	w.pass(0)
	b.is(n, "alice: x a b")
	b.is(m, "alice: x a b")
	wants(t, "a Commit later", b.do(m, commit("c")), nil)
	b.is(n, "alice: x a b c")
}

// The same, but the second was judged before the first committed. It must not
// lose the first one's update.
func TestInterleaving_ThreeRequestsOneToken_BothBeganBefore(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "x")
	w.pass(testAccess)
	var first, third *answer
	second := b.ask(n, func(v *visit) {
		first = b.ask(n, func(v *visit) { wants(t, "first Commit", commit("a")(v), nil) })
		third = b.ask(n, nil)
		wants(t, "second Commit", commit("b")(v), wafer.ErrConflict)
	})
	second.arrive()
	third.arrive()
	first.arrive()
	b.is(n, "alice: x a")
	second.arrive() // and once more, oldest last
	w.pass(0)
	b.is(n, "alice: x a")
}

// A browser restores two tabs after an answer was lost. Both present the older
// token, late. One copy serves both, as often as that happens.
func TestInterleaving_TwoTabsRestoredAfterALostAnswer(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	b.ask(n, nil) // lost
	w.pass(10 * time.Minute)

	one, two := b.ask(n, nil), b.ask(m, nil)
	for _, a := range []*answer{one, two} {
		if a.who != "alice: a" {
			t.Errorf("a restored tab is %q", a.who)
		}
	}
	two.arrive()
	one.arrive()
	if f := b.family(w).Family; f.Generation != 2 || f.Copy != 1 {
		t.Errorf("generation %d, copy %d: want 2 and 1", f.Generation, f.Copy)
	}
	for range 3 { // normal use
		w.pass(10 * time.Minute)
		b.is(n, "alice: a")
	}
	b.ask(n, nil)
	w.pass(testAccess)
	b.ask(m, nil) // lost again
	w.pass(10 * time.Minute)
	b.is(n, "alice: a")
	w.pass(testAccess)
	b.is(m, "alice: a")
	if n.count(wafer.KindReplayed, "")+m.count(wafer.KindReplayed, "") != 0 {
		t.Error("an honest browser is taken for a thief")
	}
}

// A request that began before a Commit cannot decide who survives. It revokes
// nothing, and the committed data stays.
func TestInterleaving_CommitThenEndOthersFromBefore(t *testing.T) {
	forEachKind(t, testCommitThenEndOthersFromBefore)
}

func testCommitThenEndOthersFromBefore(t *testing.T, w *world) {
	n, m := w.node(), w.node()
	b, other := w.browser().login(n, "alice", "a"), w.browser().login(n, "alice", "o")
	w.pass(time.Second)
	before := b.ask(n, func(v *visit) {
		wants(t, "Commit", b.do(m, commit("b")), nil)
		wants(t, "EndOthers", endOthers(v), wafer.ErrConflict)
	})
	if len(before.setCookies()) != 0 {
		t.Errorf("an EndOthers that failed wrote %v", before.setCookies())
	}
	w.pass(0)
	other.is(n, "alice: o")
	b.is(n, "alice: a b")
	wants(t, "EndOthers again", b.do(n, endOthers), nil)
	w.pass(0)
	b.is(n, "alice: a b")
	b.is(m, "alice: a b")
	other.dead(n, m)
}

func TestInterleaving_CommitThenRenewFromBefore(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	id := store.ID(b.cookie(w).ID)
	w.pass(time.Second)
	b.ask(n, func(v *visit) {
		wants(t, "Commit", b.do(m, commit("b")), nil)
		wants(t, "Renew", renew(v), wafer.ErrConflict)
		wants(t, "Reauthenticate", n.Reauthenticate(v.w, v.r), wafer.ErrConflict)
	}).arrive()
	w.pass(0)
	if a := b.is(n, "alice: a b"); a.id != id {
		t.Errorf("the session has another id")
	}
	wants(t, "Renew again", b.do(n, renew), nil)
	w.pass(testAccess)
	if a := b.is(m, "alice: a b"); a.id == id {
		t.Errorf("Renew kept the id")
	}
}

// The store revokes the others and gives this session a new birth. Its answer
// is lost, or the answer to the browser is. The others are dead, and this
// session goes on.
func TestInterleaving_EndOthersWhoseAnswerIsLost(t *testing.T) {
	for _, lost := range []string{"by the store", "by the browser"} {
		t.Run(lost, func(t *testing.T) {
			w := newWorld(t)
			n, m := w.node(), w.node()
			b, other := w.browser().login(n, "alice", "a"), w.browser().login(n, "alice", "o")
			wants(t, "Save", b.do(n, save("b")), nil)
			w.pass(time.Second)
			a := b.ask(n, func(v *visit) {
				if lost == "by the store" {
					n.store.lose("Revoke")
					wants(t, "EndOthers", endOthers(v), wafer.ErrUnavailable)
				} else {
					wants(t, "EndOthers", endOthers(v), nil)
				}
			})
			if lost == "by the store" && len(a.setCookies()) != 0 {
				t.Errorf("an EndOthers without an answer wrote %v", a.setCookies())
			}
			w.pass(0)
			other.dead(n, m)
			b.copy().is(n, "alice: a b")
			b.is(m, "alice: a b")
			w.pass(testAccess)
			b.is(n, "alice: a b")
		})
	}
}

// The answer to a Save from before a Renew arrives after it: a session cookie
// of the dead family beside the new family's token. The dead family is ignored.
// The session goes on with the committed data, or with what Reload returns, or
// not at all.
func TestInterleaving_SaveWhoseAnswerArrivesAfterARenew(t *testing.T) {
	reload := func(c *wafer.Config[basket]) {
		c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) {
			data, err := s.Data()
			return data.with("reloaded"), err
		}
	}
	for _, test := range []struct {
		name      string
		configure func(*wafer.Config[basket])
		commits   bool
		want      string
	}{
		{"nothing to go on from", func(*wafer.Config[basket]) {}, false, "401"},
		{"a committed value", func(*wafer.Config[basket]) {}, true, "alice: a c"},
		{"a Reload", reload, false, "alice: reloaded"},
		{"both", reload, true, "alice: a c reloaded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node(test.configure)
			b := w.browser().login(n, "alice", "a")
			w.pass(time.Second)
			if test.commits {
				wants(t, "Commit", b.do(n, commit("c")), nil)
			}
			var late *answer
			b.ask(n, func(v *visit) {
				late = b.ask(n, func(v *visit) { wants(t, "Save", save("late")(v), nil) })
				wants(t, "Renew", renew(v), nil)
			}).arrive()
			token := b.cookies[refreshCookie]
			late.arrive()
			a := b.ask(n, nil)
			if a.who != test.want {
				t.Errorf("the browser is %q, want %q", a.who, test.want)
			}
			if test.want == "401" && len(a.setCookies()) != 0 {
				t.Errorf("a refusal touched cookies: %v", a.setCookies())
			}
			if b.cookies[refreshCookie] != token {
				t.Errorf("the late save changed the refresh token")
			}
			if f := b.family(w); f.State != store.Alive {
				t.Errorf("the renewed family is %v", f.State)
			}
		})
	}
}

// Only the store knows that the data was committed, but it was.
func TestInterleaving_CommitWhoseAnswerIsLost(t *testing.T) {
	for _, lost := range []string{"by the store", "by the browser"} {
		t.Run(lost, func(t *testing.T) {
			w := newWorld(t)
			n, m := w.node(), w.node()
			b := w.browser().login(n, "alice", "a")
			w.pass(time.Second)
			a := b.ask(n, func(v *visit) {
				if lost == "by the browser" {
					wants(t, "Commit", commit("b")(v), nil)
					return
				}
				n.store.lose("Commit")
				wants(t, "Commit", commit("b")(v), wafer.ErrUnavailable)
				wants(t, "the Commit again", commit("b")(v), wafer.ErrConflict)
			})
			if lost == "by the store" && len(a.setCookies()) != 0 {
				t.Errorf("a Commit without an answer wrote %v", a.setCookies())
			}
			w.pass(0)
			b.copy().is(m, "alice: a b")
			wants(t, "the next Commit", b.do(n, commit("c")), nil)
			w.pass(testAccess)
			b.is(m, "alice: a b c")
		})
	}
}

// The owner keeps an old session cookie and puts it beside the newest token.
// One generation back is a late answer, and its data may be used, as Save
// documents. More than one is not, and committed data never comes back.
func TestInterleaving_OlderCookieBesideNewerToken(t *testing.T) {
	forEachKind(t, testOlderCookieBesideNewerToken)
}

func testOlderCookieBesideNewerToken(t *testing.T, w *world) {
	n := w.node()
	b := w.browser().login(n, "alice", "old")
	old := b.cookies[sessionCookie]
	refresh := func(want string) {
		t.Helper()
		w.pass(testAccess)
		b.is(n, want)
	}
	refresh("alice: old")
	wants(t, "Save", b.do(n, save("new")), nil)
	put := b.copy()
	put.cookies[sessionCookie] = old
	put.is(n, "alice: old")

	refresh("alice: old new")
	put = b.copy()
	put.cookies[sessionCookie] = old
	if a := put.is(n, "401"); len(a.setCookies()) != 0 {
		t.Errorf("a refusal touched cookies: %v", a.setCookies())
	}
	b.is(n, "alice: old new")

	wants(t, "Commit", b.do(n, commit("spent")), nil)
	recent := b.cookies[sessionCookie]
	put.is(n, "alice: old new spent")
	refresh("alice: old new spent")
	wants(t, "Commit", b.do(n, commit("more")), nil)
	put = b.copy()
	put.cookies[sessionCookie] = recent // authentic, of its own family, one generation old
	put.is(n, "alice: old new spent more")
	w.pass(testAccess)
	put.cookies[sessionCookie] = recent
	put.is(n, "alice: old new spent more")
}
