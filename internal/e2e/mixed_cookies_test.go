package e2e_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// The cookies of two living sessions in one jar: somebody put one there.
// Choosing one would change the user unnoticed.
func TestInterleaving_CookiesOfTwoSessionsMixed_BothLive(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	alice, mallory := w.browser().login(n, "alice", "a"), w.browser().login(n, "mallory", "m")
	w.pass(time.Second)
	for _, late := range []bool{false, true} {
		if late {
			w.pass(testAccess) // no session cookie is good any more
		}
		for cookie, token := range map[*browser]*browser{alice: mallory, mallory: alice} {
			mixed := cookie.copy()
			mixed.cookies[refreshCookie] = token.cookies[refreshCookie]
			seen := n.count(wafer.KindRefused, "cookies of two living sessions")
			if a := mixed.is(n, "401"); len(a.setCookies()) != 0 {
				t.Errorf("a refusal touched cookies: %v", a.setCookies())
			}
			if n.count(wafer.KindRefused, "cookies of two living sessions") == seen {
				t.Errorf("it was not reported")
			}
		}
	}
	alice.is(n, "alice: a")
	mallory.is(n, "mallory: m")
	mixed := alice.copy()
	mixed.cookies[refreshCookie] = mallory.cookies[refreshCookie]
	wants(t, "End", mixed.do(n, end), nil)
	w.pass(0)
	alice.dead(n)
	mallory.dead(n)
}

// If the store does not answer, it stays open whether both live.
func TestInterleaving_CookiesOfTwoSessionsMixed_StoreDown(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	mixed := w.browser().login(n, "alice", "a")
	mixed.cookies[refreshCookie] = w.browser().login(n, "mallory", "m").cookies[refreshCookie]
	w.pass(0)
	n.store.fail("Family")
	if a := mixed.is(n, "503"); len(a.setCookies()) != 0 {
		t.Errorf("an outage touched cookies: %v", a.setCookies())
	}
}

// A session cookie of a dead family beside another family's token is a late
// answer from before a login. It is treated as absent.
func TestInterleaving_CookiesOfTwoSessionsMixed_OneDead(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	old := w.browser().login(n, "alice", "a")
	b := old.copy()
	b.login(n, "bob", "b") // ends alice's
	w.pass(time.Second)
	wants(t, "Commit", b.do(n, commit("c")), nil)
	b.cookies[sessionCookie] = old.cookies[sessionCookie]
	b.is(n, "bob: b c")

	// The other way round, the token is dead and the cookie's family lives.
	b.cookies[refreshCookie] = old.cookies[refreshCookie]
	b.is(n, "401")
	old.dead(n)
}
