package wafer_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// Promise 1: nothing acknowledged is forgotten.

// revocations are the ways to revoke one login.
var revocations = map[string]func(b *browser, w *world) wafer.Revocation{
	"session": func(b *browser, w *world) wafer.Revocation {
		return wafer.Revocation{Sessions: []store.ID{store.ID(b.token(w).Family)}}
	},
	"subject":  func(*browser, *world) wafer.Revocation { return wafer.Revocation{Subjects: []string{"alice"}} },
	"everyone": func(*browser, *world) wafer.Revocation { return wafer.Revocation{Everyone: true} },
}

// forEachRevocation runs a test for each, with alice logged in on two nodes
// that are fresh.
func forEachRevocation(t *testing.T, test func(w *world, here, there *node, b *browser, r wafer.Revocation)) {
	for name, how := range revocations {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			here, there := w.node(), w.node()
			b := w.browser().login(here, "alice", "a")
			w.pass(time.Second)
			b.is(here, "alice: a")
			b.is(there, "alice: a")
			test(w, here, there, b, how(b, w))
		})
	}
}

func TestPromise1_RevocationIsInForceHereWhenItReturns(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		here.store.cutNews() // nobody but Revoke itself tells the node
		at := here.revoke(r)
		b.dead(here)
		if at == 0 || at < here.Health().Position && r.Everyone {
			t.Errorf("Revoke returned position %d", at)
		}
		again := w.browser().login(here, "alice", "again")
		again.is(here, "alice: again") // a revocation is not a ban
	})
}

func TestPromise1_RevocationIsInForceEverywhereByWaitFor(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := there.WaitFor(ctx, here.revoke(r)); err != nil {
			t.Fatal(err)
		}
		there.store.fail()
		if got := b.without(refreshCookie).peek(there); got != "401" {
			t.Errorf("the cookie is %q on a node that waited", got)
		}
	})
}

// A node that hears no news asks the store about each session once its list is
// MaxStaleness old, and says 503 where that fails too.
func TestPromise1_RevocationIsInForceElsewhereWithinMaxStaleness(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		there.store.fail("Since")
		here.revoke(r)
		w.clock.Move(testStaleness + time.Millisecond)
		b.dead(there)
		there.store.fail()
		if got := b.without(refreshCookie).peek(there); got != "503" {
			t.Errorf("with no list and no store the cookie is %q, want 503", got)
		}
	})
}

// Its answer from the store is lost: that is no acknowledgement, but here and
// there it is in force as soon as the list is read.
func TestPromise1_RevocationWhoseAnswerIsLost(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		here.store.lose("Revoke")
		_, err := here.Revoke(context.Background(), r)
		wants(t, "Revoke", err, wafer.ErrUnavailable)
		w.pass(0)
		b.dead(here, there)
		here.revoke(r) // doing it again does no harm
		b.dead(here, there)
	})
}

func TestPromise1_StoreOutageAfterTheRevocation(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		here.revoke(r)
		there.freshen()
		here.store.fail()
		there.store.fail()
		for _, after := range []time.Duration{0, testStaleness + 1, testAccess / 2} {
			w.clock.Move(after)
			for _, n := range w.nodes {
				if got := b.without(refreshCookie).peek(n); got != "401" {
					t.Errorf("the cookie is %q", got)
				}
				want := "503" // nobody can judge the refresh token
				if len(r.Sessions) > 0 {
					want = "401" // an end is final
				}
				if got := b.peek(n); got != want {
					t.Errorf("with its refresh token it is %q, want %s", got, want)
				}
			}
		}
		here.store.heal()
		there.store.heal()
		b.dead(here, there)
	})
}

func TestPromise1_RestartOfTheNode(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		here.revoke(r)
		here.stop()
		there.stop()
		w.nodes = nil
		b.dead(w.node())
	})
}

// A store that was emptied, or begun anew in memory, knows of no revocation,
// and trusts no cookie from before.
func TestPromise1_RestartOfTheStore(t *testing.T) {
	w := newWorld(t)
	before := w.node()
	b, revoked := w.browser().login(before, "bob", "b"), w.browser().login(before, "alice", "a")
	before.revoke(wafer.Revocation{Subjects: []string{"alice"}})
	before.stop()
	w.clock.Move(time.Second)
	w.nodes, w.mem = nil, memory.New(memory.Options{Now: w.clock.Now})
	after := w.node()
	revoked.dead(after)
	b.dead(after)
}

// A clock that jumps on one node, forwards or backwards, gives nobody a
// session back: with the news cut, and with them.
func TestPromise1_ClockJumps(t *testing.T) {
	jumps := []time.Duration{-time.Hour, -time.Minute, -testStaleness, -time.Second, time.Second, testStaleness, time.Minute, time.Hour}
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		jumper, jump := w.nodeOnItsOwnClock()
		jumper.revoke(r)
		for _, offset := range jumps {
			jump(offset)
			b.dead(jumper)
		}
		jumper.store.fail("Since")
		for _, offset := range jumps {
			jump(offset)
			b.dead(jumper)
		}
	})
}

// A clock that is set back must not make an old list look new.
func TestPromise1_ClockSetBackWhileNoNewsCome(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		jumper, jump := w.nodeOnItsOwnClock()
		w.pass(2 * time.Minute)
		b.is(jumper, "alice: a")
		jumper.store.fail("Since")
		here.revoke(r)
		jump(-100 * time.Second) // its list is now from the future
		w.clock.Move(testStaleness + time.Millisecond)
		if got := b.without(refreshCookie).peek(jumper); got != "401" && got != "503" {
			t.Errorf("%v after the revocation, on a node that hears nothing and whose clock was set back, the cookie is %q", testStaleness, got)
		}
	})
}

func TestPromise1_KeyRotation(t *testing.T) {
	forEachRevocation(t, func(w *world, _, _ *node, _ *browser, r wafer.Revocation) {
		first, second := newStaticSecret(), newStaticSecret()
		ring := func(secrets ...string) {
			var err error
			if w.ring, err = keyring.Static(secrets...); err != nil {
				t.Fatal(err)
			}
		}
		ring(first)
		before := w.node()
		b := w.browser().login(before, "alice", "a")
		if len(r.Sessions) > 0 {
			r.Sessions = []store.ID{store.ID(b.token(w).Family)}
		}
		other := w.browser().login(before, "bob", "b")
		before.revoke(r)
		b.dead(before)
		ring(second, first)
		after := w.node()
		b.dead(after)
		if !r.Everyone {
			other.is(after, "bob: b")
			w.pass(testAccess)
			other.is(after, "bob: b") // sealed anew, under the new key
			ring(second)
			other.is(w.node(), "bob: b")
		}
		b.dead(w.node())
	})
}

// Whoever held a leaked key can seal whatever he likes, at any position. A node
// must know that the key is revoked before it counts what came after.
func TestPromise1_KeyRevokedForCompromise(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	keeper, err := keyring.NewKeeper(newStaticSecret())
	if err != nil {
		t.Fatal(err)
	}
	open := func() *keyring.Ring {
		ring, err := keyring.Open(ctx, w.mem, keeper)
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	operators, err := keyring.Create(ctx, w.mem, keeper, w.clock.Now(), keyring.Schedule{})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Move(time.Second)
	w.ring = open()
	here := w.node()
	w.ring = open()
	there := w.node()
	w.ring = open() // the thief's
	b := w.browser().login(here, "alice", "a")
	b.is(there, "alice: a")

	key, err := operators.Primary(w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operators.Revoke(ctx, w.clock.Now(), key.ID(), "leaked"); err != nil {
		t.Fatal(err)
	}
	at := here.revoke(wafer.Revocation{Everyone: true, Reason: "leaked"})
	there.freshen()
	forged := b.cookie(w)
	forged.Position = uint64(at)
	b.cookies[sessionCookie] = w.seal(forged)
	b.dead(here, there)
	w.browser().login(here, "alice", "again").is(there, "alice: again")
}

// A list at its limit drops entries, never what they say.
func TestPromise1_ListAtItsLimit(t *testing.T) {
	const sessions = 3000
	w := newWorld(t)
	small := w.node(func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
	other := w.node(func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
	honest := w.browser().login(small, "honest", "h")
	jars, ids := make([]*browser, sessions), make([]store.ID, sessions)
	for i := range jars {
		jars[i] = w.browser().login(small, fmt.Sprint("subject ", i), "x")
		ids[i] = store.ID(jars[i].cookie(w).ID)
	}
	w.pass(time.Second)
	for i, id := range ids {
		if i%2 == 0 {
			small.revoke(wafer.Revocation{Sessions: []store.ID{id}})
		} else {
			small.revoke(wafer.Revocation{Subjects: []string{fmt.Sprint("subject ", i)}})
		}
	}
	w.pass(0)
	for _, n := range w.nodes {
		if h := n.Health(); h.Revocations > 1024 || h.Floor == 0 {
			t.Errorf("the list holds %d entries above the floor %d", h.Revocations, h.Floor)
		}
		for i, b := range jars {
			if i%100 == 0 {
				b.dead(n)
			}
			if got := b.without(refreshCookie).peek(n); got != "401" {
				t.Fatalf("session %d is %q", i, got)
			}
		}
	}
	honest.is(small, "honest: h") // refreshed, since it is from below the floor
	honest.is(other, "honest: h")
}

// A family's position is below the floor of a node whose list is at its limit.
// Issuing it again would give cookies that are expired at birth.
func TestPromise1_ListAtItsLimit_OthersAreRefreshedOnce(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	for i := range 3 {
		subjects := make([]string, 500)
		for j := range subjects {
			subjects[j] = fmt.Sprint(i, j)
		}
		n.revoke(wafer.Revocation{Subjects: subjects})
	}
	w.pass(0)
	b.is(n, "alice: a")
	n.store.reset()
	b.is(n, "alice: a")
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("a second request needed the store again: %v", calls)
	}
}

func TestPromise1_RevokedDuringARefresh(t *testing.T) {
	for _, moment := range []string{"before Advance", "after Advance", "in Reload"} {
		forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
			revoke := func() { there.revoke(r) }
			n := w.node(func(c *wafer.Config[basket]) {
				c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) {
					if moment == "in Reload" {
						revoke()
					}
					return s.Data()
				}
			})
			w.pass(testAccess)
			switch moment {
			case "before Advance":
				n.store.before("Advance", revoke)
			case "after Advance":
				n.store.after("Advance", revoke)
			}
			got := b.see(n)
			if want := map[bool]string{true: "alice: a", false: "401"}[moment == "after Advance"]; got != want {
				t.Errorf("%s: the refresh is %q, want %q", moment, got, want)
			}
			w.pass(0)
			b.dead(n, here, there)
		})
	}
}

// Whatever is minted carries the position that the family has in the store:
// not this node's head, and not the store's, which others raise meanwhile.
func TestPromise1_CookiesCarryTheStoredPosition(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser()
	raise := func() { m.revoke(wafer.Revocation{Subjects: []string{"nobody"}}); n.freshen() }
	check := func(what string) {
		t.Helper()
		if c, f := b.cookie(w), b.family(w); c.Position != uint64(f.Family.Position) || f.Head == f.Family.Position {
			t.Errorf("after %s the cookie is at %d, its family at %d, the head at %d", what, c.Position, f.Family.Position, f.Head)
		}
	}
	n.store.after("Create", raise)
	b.login(n, "alice", "a")
	check("a login")
	raise()
	b = b.without(sessionCookie)
	wants(t, "a token without data", b.ask(n, nil).begun, wafer.ErrNoSession)
	b.login(n, "alice", "a")
	wants(t, "Commit", b.do(n, commit("b")), nil)
	raise()
	b = b.without(sessionCookie)
	b.is(n, "alice: a b") // the same generation, once more
	check("the same generation")
	w.pass(testAccess)
	n.store.after("Advance", raise)
	b.is(n, "alice: a b")
	check("a refresh")
	n.store.after("Commit", raise)
	wants(t, "Commit", b.do(n, commit("c")), nil)
	check("a Commit")
	raise()
	wants(t, "Save", b.do(n, save("d")), nil)
	check("a Save")
	n.store.after("Revoke", raise)
	wants(t, "EndOthers", b.do(n, endOthers), nil)
	check("EndOthers")
	n.store.after("Create", raise)
	wants(t, "Renew", b.do(n, renew), nil)
	check("Renew")
}

func TestPromise1_EndIsInForceWhenItReturns(t *testing.T) {
	for _, which := range []string{"both cookies", "the session cookie", "the refresh token", "expired", "not attached"} {
		t.Run(which, func(t *testing.T) {
			w := newWorld(t)
			here, there := w.node(), w.node()
			b := w.browser().login(here, "alice", "a")
			stolen := b.copy()
			w.pass(time.Second)
			switch which {
			case "the session cookie":
				b = b.without(refreshCookie)
			case "the refresh token":
				b = b.without(sessionCookie)
			case "expired":
				w.pass(testAccess)
			}
			here.store.cutNews()
			rec := httptest.NewRecorder()
			if which == "not attached" {
				wants(t, "End", here.End(rec, b.request()), nil)
			} else {
				wants(t, "End", b.do(here, end), nil)
				if len(b.cookies) != 0 {
					t.Errorf("End left %v", b.cookies)
				}
			}
			stolen.dead(here)
			w.pass(0)
			stolen.dead(there)
		})
	}
}

// The store does not take the logout: it is in force here, and is tried until
// the store takes it.
func TestPromise1_EndDuringAnOutage(t *testing.T) {
	w := newWorld(t)
	here, there := w.node(), w.node()
	b := w.browser().login(here, "alice", "a")
	stolen := b.copy()
	w.pass(time.Second)
	here.store.fail()
	wants(t, "End", b.do(here, end), wafer.ErrUnavailable)
	if len(b.cookies) != 0 {
		t.Errorf("End left %v", b.cookies)
	}
	if got := stolen.without(refreshCookie).peek(here); got != "401" {
		t.Errorf("the copied cookie is %q on the node of the logout", got)
	}
	here.store.heal()
	id := store.ID(stolen.token(w).Family)
	for deadline := time.Now().Add(20 * time.Second); w.family(id).State != store.Ended; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the logout was not tried again")
		}
	}
	w.pass(0)
	stolen.dead(here, there)
}

// The same session has a cookie that was minted on another node, from a place
// in the log that this node has not reached when its own logout fails.
func TestPromise1_EndDuringAnOutage_CookieFromAboveThisNodesHead(t *testing.T) {
	w := newWorld(t)
	here, there := w.node(), w.node()
	b := w.browser().login(there, "alice", "a")
	w.pass(time.Second)
	old := b.copy()
	here.store.fail()
	wants(t, "Commit", b.do(there, commit("b")), nil)
	for range 3 {
		there.revoke(wafer.Revocation{Subjects: []string{"nobody"}})
		wants(t, "Commit", b.do(there, commit("b")), nil)
	}
	wants(t, "End", old.do(here, end), wafer.ErrUnavailable)
	here.store.heal()
	here.store.fail("Revoke") // the logout is not taken yet, and all else is well
	here.freshen()
	if got := b.without(refreshCookie).peek(here); got != "401" {
		t.Errorf("after End the session's newest cookie is %q on the node of the logout", got)
	}
}

// Close gives the logouts that wait a last attempt.
func TestPromise1_EndDuringAnOutage_ThenClose(t *testing.T) {
	w := newWorld(t)
	here, there := w.node(), w.node()
	b := w.browser().login(here, "alice", "a")
	stolen := b.copy()
	here.store.fail("Revoke")
	wants(t, "End", b.do(here, end), wafer.ErrUnavailable)
	here.stop()
	w.nodes = []*node{there}
	w.pass(0)
	stolen.dead(there)
}

func TestPromise1_RenewAndEndOthersAreInForceWhenTheyReturn(t *testing.T) {
	for name, act := range map[string]func(*visit) error{
		"Renew": renew, "Reauthenticate": func(v *visit) error { return v.n.Reauthenticate(v.w, v.r) }, "EndOthers": endOthers,
	} {
		w := newWorld(t)
		n := w.node()
		b, other := w.browser().login(n, "alice", "a"), w.browser().login(n, "alice", "o")
		w.pass(time.Second)
		stolen := b.copy()
		if name == "EndOthers" {
			stolen = other
		}
		n.store.cutNews()
		wants(t, name, b.do(n, act), nil)
		stolen.dead(n)
		b.is(n, "alice: a")
	}
}

// What ends the oldest session is a revocation like any other.
func TestPromise1_OldestSessionEndedByTheLimit(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.MaxSessions, c.EndOldest = 2, true })
	oldest := w.browser().login(n, "alice", "1")
	w.pass(time.Second)
	second := w.browser().login(n, "alice", "2")
	w.pass(time.Second)
	n.store.cutNews() // nobody but Start itself tells the node
	third := w.browser().login(n, "alice", "3")
	oldest.dead(n)
	second.is(n, "alice: 2")
	third.is(n, "alice: 3")
}

func TestPromise1_WhatStartReplacesIsDead(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	planted := w.browser().login(n, "mallory", "m")
	victim := planted.copy()
	w.pass(testAccess) // expired or not
	n.store.cutNews()
	victim.login(n, "alice", "a")
	planted.dead(n)
	victim.is(n, "alice: a")

	// Of a jar with two families both are ended.
	one, two := w.browser().login(n, "one", "1"), w.browser().login(n, "two", "2")
	mixed := one.copy()
	mixed.cookies[refreshCookie] = two.cookies[refreshCookie]
	mixed.login(n, "alice", "b")
	one.dead(n)
	two.dead(n)
	mixed.is(n, "alice: b")
}

// What Start replaces was revoked by another node already, and this one has not
// heard of it: Start itself is reason enough.
func TestPromise1_StartReplacesWhatWasRevokedElsewhere(t *testing.T) {
	w := newWorld(t)
	here, there := w.node(), w.node()
	b := w.browser().login(here, "alice", "a")
	w.pass(time.Second)
	old := b.copy()
	here.store.cutNews()
	there.revoke(wafer.Revocation{Subjects: []string{"alice"}})
	b.login(here, "alice", "again")
	old.dead(here)
	b.is(here, "alice: again")
}

// Promise 2: accepted means proven.

func TestPromise2_AuthenticForThisRingRealmNameAndPurpose(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(0)
	good := b.cookie(w)
	data, err := codec.MarshalData(basket{})
	if err != nil {
		t.Fatal(err)
	}
	seal := func(ring *keyring.Ring, realm, name string) string {
		c, err := codec.NewCookies(ring, realm, name)
		if err != nil {
			t.Fatal(err)
		}
		value, err := c.Seal(w.clock.Now(), &good, data)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	jar := w.browser()
	try := func(what, value, want string) {
		t.Helper()
		jar.cookies = map[string]string{sessionCookie: value}
		if got := jar.peek(n); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	try("the very same", seal(w.ring, testRealm, sessionCookie), "alice: ")
	try("another ring", seal(newStaticRing(t), testRealm, sessionCookie), "401")
	try("another realm", seal(w.ring, "harness.example/prod", sessionCookie), "401")
	try("a realm that begins so", seal(w.ring, testRealm+"2", sessionCookie), "401")
	try("another cookie name", seal(w.ring, testRealm, "__Host-other"), "401")
	try("the name of the refresh cookie", seal(w.ring, testRealm, refreshCookie), "401")

	values, err := codec.NewValues(w.ring, codec.ValuesConfig{Realm: testRealm, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	value, err := values.Seal(sessionCookie, data)
	if err != nil {
		t.Fatal(err)
	}
	try("a sealed value", value, "401")
	commits, err := codec.NewCommits(w.ring, testRealm)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := commits.Seal(w.clock.Now(), good.ID, data)
	if err != nil {
		t.Fatal(err)
	}
	try("a committed value", base64.RawURLEncoding.EncodeToString(sealed), "401")
	try("a refresh token", b.cookies[refreshCookie], "401")

	// And the tokens.
	tryToken := func(what, value, want string) {
		t.Helper()
		jar = w.browser()
		jar.cookies[refreshCookie] = value
		n.store.reset()
		try := jar.copy()
		if got := try.peek(n); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		if calls := n.store.calls(); want == "401" && len(calls) != 0 {
			t.Errorf("%s reached the store: %v", what, calls)
		}
	}
	token := func(ring *keyring.Ring, realm string) string {
		c, err := codec.NewRefreshTokens(ring, realm)
		if err != nil {
			t.Fatal(err)
		}
		value, err := c.Mint(w.clock.Now(), codec.RefreshToken{Family: good.ID, Generation: 1})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	tryToken("another ring's token", token(newStaticRing(t), testRealm), "401")
	tryToken("another realm's token", token(w.ring, "harness.example/prod"), "401")
	tryToken("a session cookie as the token", b.cookies[sessionCookie], "401")
}

// Every single bit of both cookies is proven.
func TestPromise2_EverySingleBit(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess) // so that the token counts
	for _, name := range []string{sessionCookie, refreshCookie} {
		value := []byte(b.cookies[name])
		for i := range value {
			for bit := range 8 {
				flipped := bytes.Clone(value)
				flipped[i] ^= 1 << bit
				if strings.ContainsRune("; \t,\r\n", rune(flipped[i])) {
					continue // it is another header then, and shorter
				}
				jar := w.browser()
				jar.cookies[name] = string(flipped)
				if got := jar.peek(n); got != "401" {
					t.Fatalf("%s with bit %d of byte %d flipped is %q", name, bit, i, got)
				}
			}
		}
	}
	b.is(n, "alice: a")
}

func TestPromise2_LimitsOfTime(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	w.pass(time.Hour)
	jar := w.browser().login(n, "alice", "a")
	w.pass(0)
	good, now := jar.cookie(w), w.clock.Now()
	const leeway = 10 * time.Second
	for _, test := range []struct {
		name string
		edit func(c *codec.Session)
		good bool
	}{
		{"as it is", func(*codec.Session) {}, true},
		{"one millisecond of access left", func(c *codec.Session) { c.Access = now.Add(time.Millisecond) }, true},
		{"access just over", func(c *codec.Session) { c.Access = now }, false},
		{"one millisecond of idle left", func(c *codec.Session) { c.Idle = now.Add(time.Millisecond) }, true},
		{"idle just over", func(c *codec.Session) { c.Idle = now }, false},
		{"one millisecond of absolute left", func(c *codec.Session) { c.Absolute = now.Add(time.Millisecond) }, true},
		{"absolute just over", func(c *codec.Session) { c.Absolute = now }, false},
		{"access over, by less than the leeway", func(c *codec.Session) { c.Access = now.Add(-time.Second) }, false},
		{"issued in the future, within the leeway", func(c *codec.Session) { c.Issued = now.Add(leeway) }, true},
		{"issued in the future, beyond it", func(c *codec.Session) { c.Issued = now.Add(leeway + time.Millisecond) }, false},
		{"issued an access lifetime ago", func(c *codec.Session) { c.Issued, c.Access = now.Add(-testAccess), now.Add(time.Hour) }, false},
		{"issued just less than that ago", func(c *codec.Session) {
			c.Issued, c.Access = now.Add(-testAccess+time.Millisecond), now.Add(time.Hour)
		}, true},
	} {
		c := good
		test.edit(&c)
		b := w.browser()
		b.cookies[sessionCookie] = w.seal(c)
		if got, want := b.peek(n), map[bool]string{true: "alice: sealed", false: "401"}[test.good]; got != want {
			t.Errorf("%s: %q, want %q", test.name, got, want)
		}
	}
}

// A family's limits hold whatever its cookies say.
func TestPromise2_LimitsOfTheFamily(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	idle := w.browser().login(n, "alice", "a")
	w.pass(testIdle)
	idle.dead(n)

	busy := w.browser().login(n, "alice", "b")
	for range 12*3 - 1 { // refreshing does not extend the absolute limit, nor does Renew
		w.pass(20 * time.Minute)
		busy.is(n, "alice: b")
		wants(t, "Renew", busy.do(n, renew), nil)
	}
	w.pass(20*time.Minute - time.Millisecond)
	busy.is(n, "alice: b")
	w.clock.Move(time.Millisecond)
	busy.dead(n)

	short := w.browser().login(n, "alice", "c", wafer.Limits(10*time.Minute, 15*time.Minute))
	w.pass(9 * time.Minute)
	short.is(n, "alice: c")
	w.pass(6 * time.Minute)
	short.dead(n)
}

// A session never outlives its idle limit: the cookie alone could, if it were
// good for a full access lifetime after the last refresh.
func TestPromise2_CookieEndsWithTheIdleLimit(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.Access, c.Idle = 20*time.Minute, 30*time.Minute })
	b := w.browser().login(n, "alice", "a")
	w.pass(20 * time.Minute)
	b.is(n, "alice: a") // advanced: idle until 50 minutes from the login
	w.pass(9 * time.Minute)
	b.is(n, "alice: a") // the same generation
	w.pass(9 * time.Minute)
	b.is(n, "alice: a")
	f := b.family(w).Family
	if idle := f.IdleDeadline(); b.cookie(w).Access.After(idle) && b.cookie(w).Idle.After(idle) {
		t.Errorf("the cookie says more than the family, which ends at %v", idle)
	}
	w.pass(30 * time.Minute)
	b.dead(n)
}

// Only what a fresh list, or the store itself, confirms.
func TestPromise2_ConfirmedByAFreshListOrTheStore(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(0)
	n.store.reset()
	b.is(n, "alice: a")
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("a fresh list asked the store: %v", calls)
	}
	n.store.fail("Since")
	w.clock.Move(testStaleness + time.Millisecond)
	b.is(n, "alice: a")
	if calls := n.store.calls(); calls["Cutoffs"] != 1 {
		t.Errorf("a stale list asked the store %v, want one Cutoffs", calls)
	}
	n.store.fail()
	b.is(n, "503")

	// A cookie from above what the store itself knows of: it went back.
	n.store.heal()
	w.pass(0)
	ahead := b.cookie(w)
	ahead.Position += 1 << 40
	b.cookies[sessionCookie] = w.seal(ahead)
	if got := b.without(refreshCookie).peek(n); got != "401" {
		t.Errorf("a cookie ahead of the log is %q", got)
	}
	n.mustSee(wafer.KindAlarm, "ahead")
	b.is(n, "alice: sealed") // it is refreshed: the family decides
}

// A native client's family is refused at the browser's door.
func TestPromise2_FamilyOfTheOtherKind(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	id := store.ID{1}
	_, err := w.mem.Create(context.Background(), store.Creation{ID: id, Subject: "alice", Native: true, Idle: time.Hour, Absolute: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.cookies[refreshCookie] = w.mint(id, 1)
	b.is(n, "401")
	if w.family(id).State != store.Alive {
		t.Errorf("the wrong door ended the family")
	}
}

// Promise 4: reading writes nothing.

func TestPromise4_ReadingNeedsNoStoreAndSetsNoCookie(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(b *browser, r *http.Request)
	}{
		{"both cookies", func(*browser, *http.Request) {}},
		{"3,000 pairs before them", func(b *browser, r *http.Request) {
			r.Header.Set("Cookie", strings.Repeat("a=b; ", 3000)+r.Header.Get("Cookie"))
			r.Header["Cookie"] = []string{strings.Repeat("a=b; ", 3000) + sessionCookie + "=" + b.cookies[sessionCookie] + "; " + refreshCookie + "=" + b.cookies[refreshCookie]}
		}},
		{"3,000 headers", func(b *browser, r *http.Request) {
			for range 3000 {
				r.Header.Add("Cookie", "a=b")
			}
		}},
		{"a junk duplicate first", func(b *browser, r *http.Request) {
			r.Header["Cookie"] = append([]string{sessionCookie + "=junk; " + refreshCookie + "=junk"}, r.Header["Cookie"]...)
		}},
		{"no refresh token", func(b *browser, r *http.Request) { r.Header["Cookie"] = r.Header["Cookie"][:1] }},
		{"an upgrade", func(b *browser, r *http.Request) {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			b := w.browser().login(n, "alice", "a")
			for range 5 {
				w.pass(testAccess/6 - time.Second)
				r := b.request()
				test.edit(b, r)
				n.store.reset()
				a := b.askWith(n, r, nil)
				if a.who != "alice: a" {
					t.Fatalf("the request is %q", a.who)
				}
				if calls := n.store.calls(); len(calls) != 0 {
					t.Errorf("reading made calls of the store: %v", calls)
				}
				if len(a.setCookies()) != 0 {
					t.Errorf("reading set %v", a.setCookies())
				}
			}
		})
	}
}

// Also where nobody is logged in, and where cookies are junk.
func TestPromise4_AnonymousRequestsNeedNoStore(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	good := w.browser().login(n, "alice", "a")
	n.freshen()
	for _, stale := range []bool{false, true} {
		if stale {
			n.store.fail("Since")
			w.clock.Move(time.Minute)
		}
		for _, value := range []string{"", "junk", good.cookies[sessionCookie] + "A", good.cookies[refreshCookie][1:]} {
			b := w.browser()
			b.cookies[sessionCookie], b.cookies[refreshCookie] = value, value
			n.store.reset()
			if a := b.ask(n, nil); a.who != "401" || len(a.setCookies()) != 0 {
				t.Errorf("it is %q and sets %v", a.who, a.setCookies())
			}
			if calls := n.store.calls(); len(calls) != 0 {
				t.Errorf("an anonymous request made calls of the store: %v", calls)
			}
		}
	}
}

// A Save costs no store either, and sets the session cookie alone.
func TestPromise4_SaveNeedsNoStore(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	n.store.reset()
	a := b.ask(n, func(v *visit) {
		wants(t, "Save", save("b")(v), nil)
		wants(t, "Save", save("c")(v), nil) // replaces
		if s, err := n.Get(v.r.Context()); err != nil {
			t.Error(err)
		} else if data, _ := s.Data(); data.String() != "a c" {
			t.Errorf("Get does not see the request's own Save: %v", data)
		}
	})
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("Save made calls of the store: %v", calls)
	}
	if set := a.setCookies(); len(set) != 1 || set[0].Name != sessionCookie {
		t.Errorf("Save set %v", set)
	}
}

// Promise 5: a bad cookie is an anonymous request; an outage is a 503.

func TestPromise5_OutageIs503AndTouchesNoCookie(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	n.store.fail()
	b.is(n, "alice: a") // the list is fresh: nobody notices
	unavailable := func(what string) {
		t.Helper()
		rec := httptest.NewRecorder()
		n.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Errorf("%s: the handler behind Require ran", what)
		})).ServeHTTP(rec, b.request())
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || len(rec.Header()["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v, want 503 with Retry-After and no Set-Cookie", what, rec.Code, rec.Header())
		}
		reached := b.ask(n, nil) // Handler lets public pages stay up
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

// The store refreshes, and its answer is lost: the next request gets the same.
func TestPromise5_AdvanceWhoseAnswerIsLost(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	n.store.lose("Advance")
	if a := b.is(n, "503"); len(a.setCookies()) != 0 {
		t.Errorf("an outage touched cookies: %v", a.setCookies())
	}
	w.pass(testGrace - time.Millisecond)
	b.is(m, "alice: a")
	if f := b.family(w).Family; f.Generation != 2 || f.Forgiven != 0 {
		t.Errorf("generation %d, forgiven %d: want 2 and 0", f.Generation, f.Forgiven)
	}
}

// Every call that changes a session tells its caller, and writes nothing.
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

// What a Reload answers: ErrEnded ends the session, anything else is an outage.
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

// A Reload whose data does not fit is an outage, and nothing is advanced that
// cannot be answered.
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

// A subject is refused at the login, as a mistake of the application and no
// outage, or it works everywhere.
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

// Promise 6: clients learn nothing.

// refusals are some fifty credentials that are no good, each for a reason of
// its own. Only operators may tell them apart.
func refusals(t *testing.T) (w *world, n *node, jars map[string][]string) {
	w = newWorld(t)
	var closed bool
	n = w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) {
			if s.Subject == "closed" && closed {
				return basket{}, wafer.ErrEnded
			}
			return s.Data()
		}
	})
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	spent := w.browser().login(n, "spent", "a")
	old := spent.copy()
	superseded := w.browser().login(n, "superseded", "a")
	before := superseded.copy()
	account := w.browser().login(n, "closed", "a")
	w.pass(testAccess)
	spent.is(n, "spent: a")
	w.pass(testAccess)
	spent.is(n, "spent: a") // generation 3: the token of generation 1 is a theft
	closed = true

	login := func(subject string) *browser { return w.browser().login(n, subject, "a") }
	alice, bob, ended, cut := login("alice"), login("bob"), login("ended"), login("cut")
	fresh := login("fresh")
	beforeCommit := fresh.copy()
	wants(t, "Commit", fresh.do(n, commit("b")), nil)
	n.revoke(wafer.Revocation{Sessions: []store.ID{store.ID(ended.cookie(w).ID)}})
	n.revoke(wafer.Revocation{Subjects: []string{"cut"}})
	w.pass(0)

	family := func(id byte, native bool, idle, absolute time.Duration) store.ID {
		_, err := w.mem.Create(ctx, store.Creation{ID: store.ID{id}, Subject: "direct", Native: native, Idle: idle, Absolute: absolute})
		must(err)
		return store.ID{id}
	}
	idle := family(1, false, time.Millisecond, time.Hour)
	absolute := family(2, false, time.Hour, time.Millisecond)
	native := family(3, true, time.Hour, time.Hour)
	w.pass(time.Second)

	cookie, token := alice.cookies[sessionCookie], alice.cookies[refreshCookie]
	now := w.clock.Now()
	edit := func(change func(c *codec.Session)) string {
		c := alice.cookie(w)
		change(&c)
		return w.seal(c)
	}
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	must(err)
	flip := func(i int) string {
		b := bytes.Clone(raw)
		b[(i+len(b))%len(b)] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	sealWith := func(ring *keyring.Ring, realm, name string) string {
		c, err := codec.NewCookies(ring, realm, name)
		must(err)
		s := alice.cookie(w)
		value, err := c.Seal(now, &s, nil)
		must(err)
		return value
	}
	mintWith := func(ring *keyring.Ring, realm string) string {
		c, err := codec.NewRefreshTokens(ring, realm)
		must(err)
		value, err := c.Mint(now, alice.token(w))
		must(err)
		return value
	}
	values, err := codec.NewValues(w.ring, codec.ValuesConfig{Realm: testRealm, Lifetime: time.Hour})
	must(err)
	value, err := values.Seal(sessionCookie, []byte("state"))
	must(err)
	foreign := newStaticRing(t)
	s, r := func(v string) []string { return []string{sessionCookie + "=" + v} }, func(v string) []string { return []string{refreshCookie + "=" + v} }
	both := func(a, b string) []string { return []string{sessionCookie + "=" + a + "; " + refreshCookie + "=" + b} }

	return w, n, map[string][]string{
		"no cookie header":                nil,
		"an empty header":                 {""},
		"other cookies":                   {"theme=dark"},
		"3,000 other pairs":               {strings.Repeat("a=b; ", 3000)},
		"an empty cookie":                 s(""),
		"a name without a value":          {sessionCookie},
		"junk":                            s("junk"),
		"1 MB":                            s(strings.Repeat("A", 1<<20)),
		"1 MB token":                      r("wfr1_" + strings.Repeat("A", 1<<20)),
		"cut by one":                      s(cookie[:len(cookie)-1]),
		"cut to the head":                 s(cookie[:8]),
		"extended":                        s(cookie + "AAAA"),
		"unknown version":                 s(flip(0)),
		"unknown key":                     s(flip(1)),
		"another salt":                    s(flip(5)),
		"another nonce":                   s(flip(17)),
		"another ciphertext":              s(flip(40)),
		"another tag":                     s(flip(-1)),
		"padded":                          s(cookie + "="),
		"quoted":                          s(`"` + cookie + `"`),
		"in another alphabet":             s("+" + cookie[1:]),
		"another realm":                   s(sealWith(w.ring, "harness.example/prod", sessionCookie)),
		"another name":                    s(sealWith(w.ring, testRealm, "__Host-other")),
		"another ring":                    s(sealWith(foreign, testRealm, sessionCookie)),
		"a sealed value":                  s(value),
		"a refresh token as the cookie":   s(token),
		"a cookie as the refresh token":   r(cookie),
		"access over":                     s(edit(func(c *codec.Session) { c.Access = now })),
		"idle over":                       s(edit(func(c *codec.Session) { c.Idle = now })),
		"absolute over":                   s(edit(func(c *codec.Session) { c.Absolute = now })),
		"from the future":                 s(edit(func(c *codec.Session) { c.Issued = now.Add(time.Hour) })),
		"from long ago":                   s(edit(func(c *codec.Session) { c.Issued = now.Add(-time.Hour) })),
		"ahead of the log":                s(edit(func(c *codec.Session) { c.Position += 1 << 40 })),
		"before everyone was revoked":     s(edit(func(c *codec.Session) { c.Position = 1 })),
		"session ended":                   s(ended.cookies[sessionCookie]),
		"subject revoked":                 s(cut.cookies[sessionCookie]),
		"superseded":                      s(beforeCommit.cookies[sessionCookie]),
		"token of a session that ended":   r(ended.cookies[refreshCookie]),
		"both of a session that ended":    both(ended.cookies[sessionCookie], ended.cookies[refreshCookie]),
		"token of a revoked subject":      r(cut.cookies[refreshCookie]),
		"both of a revoked subject":       both(cut.cookies[sessionCookie], cut.cookies[refreshCookie]),
		"token cut":                       r(token[:len(token)-1]),
		"token without prefix":            r(token[5:]),
		"token of another prefix":         r("wfr2_" + token[5:]),
		"token forged":                    r(token[:len(token)-2] + map[bool]string{true: "AA", false: "QA"}[!strings.HasSuffix(token, "AA")]),
		"token of another realm":          r(mintWith(w.ring, "harness.example/prod")),
		"token of another ring":           r(mintWith(foreign, testRealm)),
		"token of no family":              r(w.mint(store.ID{9}, 1)),
		"token of an idle family":         r(w.mint(idle, 1)),
		"token of a family past its time": r(w.mint(absolute, 1)),
		"token of a native client":        r(w.mint(native, 1)),
		"token from the future":           r(w.mint(store.ID(bob.token(w).Family), 7)),
		"token replayed":                  r(old.cookies[refreshCookie]),
		"both replayed, again":            both(old.cookies[sessionCookie], old.cookies[refreshCookie]),
		"ended by Reload":                 both(account.cookies[sessionCookie], account.cookies[refreshCookie]),
		"mixed":                           both(cookie, bob.cookies[refreshCookie]),
		"mixed, the cookie expired":       both(before.cookies[sessionCookie], bob.cookies[refreshCookie]),
		"many of one name":                slices.Repeat(s("junk"), 3000),
		"the good one last of too many":   append(slices.Repeat(s("junk"), 100), s(cookie)...),
	}
}

func TestPromise6_EveryRefusalLooksTheSame(t *testing.T) {
	_, n, jars := refusals(t)
	app := n.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "inside") }))
	look := func(lines []string) string {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Cookie"] = lines
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, r)
		var b bytes.Buffer
		fmt.Fprintln(&b, rec.Code)
		if err := rec.Header().WriteSubset(&b, nil); err != nil {
			t.Fatal(err)
		}
		b.Write(rec.Body.Bytes())
		return b.String()
	}
	want := look(nil)
	if !strings.HasPrefix(want, "401\n") {
		t.Fatalf("an anonymous request gets %q", want)
	}
	if len(jars) < 40 {
		t.Fatalf("only %d kinds", len(jars))
	}
	for _, name := range slices.Sorted(maps.Keys(jars)) {
		seen := len(n.observed())
		if got := look(jars[name]); got != want {
			t.Errorf("%s looks like\n%s\nand not like\n%s", name, got, want)
		}
		events := n.observed()[seen:]
		carries := strings.Contains(strings.Join(jars[name], ""), sessionCookie+"=") || strings.Contains(strings.Join(jars[name], ""), refreshCookie+"=")
		if carries && len(events) == 0 {
			t.Errorf("%s: operators were told nothing", name)
		}
		for _, e := range events {
			if e.Reason == "" && e.Err == nil {
				t.Errorf("%s: operators were told %v and not why", name, e)
			}
		}
	}
}

// Nor does an outage tell what is out.
func TestPromise6_EveryOutageLooksTheSame(t *testing.T) {
	w := newWorld(t)
	fault := fmt.Errorf("the directory ldap://internal does not answer")
	n := w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(context.Context, *wafer.Session[basket]) (basket, error) { return basket{}, fault }
	})
	b := w.browser().login(n, "alice", "a")
	mixed := b.copy()
	mixed.cookies[refreshCookie] = w.browser().login(n, "bob", "b").cookies[refreshCookie]
	w.pass(time.Second)
	look := func(b *browser) string {
		rec := httptest.NewRecorder()
		n.Require(http.NotFoundHandler()).ServeHTTP(rec, b.request())
		return fmt.Sprint(rec.Code, rec.Header(), rec.Body)
	}
	n.store.fail()
	looks := map[string]string{"mixed cookies": look(mixed)}
	w.clock.Move(testStaleness + 1)
	looks["a stale list"] = look(b)
	n.store.heal()
	w.pass(testAccess)
	looks["a Reload that fails"] = look(b)
	fault = nil
	n.store.fail("Advance")
	looks["a refresh"] = look(b)
	for what, got := range looks {
		if !strings.HasPrefix(got, "503") || got != looks["a stale list"] {
			t.Errorf("an outage at %s looks like %s, on a stale list like %s", what, got, looks["a stale list"])
		}
	}
}

// Promise 7: secrets stay in.

// secretForms are the ways in which bytes show up in text.
func secretForms(b []byte) []string {
	decimal := strings.Trim(fmt.Sprint(b), "[]")
	hexes := make([]string, len(b))
	for i, c := range b {
		hexes[i] = fmt.Sprintf("0x%x", c)
	}
	return []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), decimal,
		strings.ReplaceAll(decimal, " ", ", "), strings.Join(hexes, ", "), strings.Trim(fmt.Sprintf("% x", b), " "),
		base64.StdEncoding.EncodeToString(b)[:len(b)*4/3-1], base64.RawURLEncoding.EncodeToString(b)[:len(b)*4/3-1],
	}
}

func TestPromise7_SecretsStayIn(t *testing.T) {
	const data, subject = "MARKER-of-the-data", "MARKER-of-the-subject"
	var logged bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))

	w := newWorld(t)
	secret := newStaticSecret()
	var err error
	if w.ring, err = keyring.Static(secret); err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	quiet := func(c *wafer.Config[basket]) { c.Observe = nil } // the default: log/slog
	n := w.node(quiet)

	secrets := map[string][]byte{"the key": key, "the data": []byte(data), "the subject": []byte(subject)}
	outputs := make(map[string]string)
	keep := func(b *browser) {
		for name, value := range b.cookies {
			secrets[fmt.Sprintf("%s %d", name, len(secrets))] = []byte(value)
		}
	}
	show := func(what string, v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			outputs[what+" by "+verb] = fmt.Sprintf(verb, v)
		}
		slog.Info("shown", what, v)
	}
	b := w.browser()
	var failures []error
	b.ask(n, func(v *visit) {
		failures = append(failures, n.Start(v.w, v.r, subject, basket{[]string{data, strings.Repeat("x", 5000)}}))
		if err := n.Start(v.w, v.r, subject, basket{[]string{data}}); err != nil {
			t.Fatal(err)
		}
	}).arrive()
	keep(b)
	w.pass(time.Second)
	b.ask(n, func(v *visit) {
		show("Session", v.s)
		show("Session by value", *v.s)
		show("a struct with a Session", struct{ S *wafer.Session[basket] }{v.s})
		show("the request's context", v.r.Context())
		show("a struct with the context", struct{ C context.Context }{v.r.Context()})
		wants(t, "Commit", commit("x")(v), nil)
		failures = append(failures, n.Save(v.w, v.r, basket{[]string{data, strings.Repeat("x", 5000)}}))
	}).arrive()
	keep(b)
	show("Config", n.config)
	show("ring", w.ring)

	// Everything that goes wrong, with everything that can be said of it.
	old := b.copy()
	w.pass(testAccess)
	b.see(n)
	keep(b)
	w.pass(testAccess)
	b.see(n)
	keep(b)
	for _, bad := range []string{b.cookies[sessionCookie] + "A", b.cookies[sessionCookie][1:], b.cookies[refreshCookie] + "A"} {
		jar := w.browser()
		jar.cookies[sessionCookie], jar.cookies[refreshCookie] = bad, bad
		failures = append(failures, jar.ask(n, nil).begun)
	}
	n.store.fail()
	w.clock.Move(testAccess)
	failures = append(failures, b.ask(n, nil).begun, b.copy().do(n, end))
	_, revokeErr := n.Revoke(context.Background(), wafer.Revocation{Subjects: []string{subject}, Actor: "operator"})
	failures = append(failures, revokeErr)
	n.store.heal()
	w.pass(0)
	failures = append(failures, old.ask(n, nil).begun) // replayed, or ended
	failures = append(failures, readAsAnotherType(w)...)
	n.stop()
	show("Sessions", n.Sessions)
	outputs["the log"] = logged.String()
	for i, err := range failures {
		if err == nil {
			t.Errorf("failure %d did not fail", i)
			continue
		}
		outputs[fmt.Sprint("error ", i)] = fmt.Sprintf("%v %+v %#v", err, err, err)
	}
	if !strings.Contains(outputs["the log"], "session refreshed") {
		t.Errorf("the log does not tell of a refresh: %s", outputs["the log"])
	}
	for what, out := range outputs {
		for name, value := range secrets {
			for _, form := range secretForms(value) {
				if strings.Contains(out, form) {
					t.Errorf("%s shows %s as %.40q…", what, name, form)
					break
				}
			}
		}
	}
}

// readAsAnotherType reads a session as another type than it was saved as.
func readAsAnotherType(w *world) []error {
	other, err := wafer.New(context.Background(), w.ring, w.mem, wafer.Config[struct {
		Items int `cbor:"1,keyasint"`
	}]{Realm: testRealm, Now: w.clock.Now})
	if err != nil {
		return nil
	}
	defer other.Close()
	n := w.node()
	b := w.browser().login(n, "MARKER-of-the-subject", "MARKER-of-the-data")
	r, err := other.Attach(httptest.NewRecorder(), b.request())
	if err != nil {
		return []error{err}
	}
	s, err := other.Get(r.Context())
	if err != nil {
		return []error{err}
	}
	_, err = s.Data()
	return []error{err}
}

// Printing what is in use, by whatever verb, is no race either.
func TestPromise7_SessionsPrintWhileTheyRun(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				_ = fmt.Sprintf(verb, n.Sessions)
			}
		}
	}()
	for range 50 {
		n.revoke(wafer.Revocation{Subjects: []string{"alice"}})
	}
	<-done
}

// Events carry ids and reasons, and nothing else of a session.
func TestPromise7_Events(t *testing.T) {
	w, n, jars := refusals(t)
	for _, lines := range jars {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Cookie"] = lines
		_, _ = n.Attach(httptest.NewRecorder(), r)
	}
	n.store.fail()
	w.clock.Move(time.Hour)
	var values []string
	for _, lines := range jars {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Cookie"] = lines
		_, _ = n.Attach(httptest.NewRecorder(), r)
		for _, line := range lines {
			for pair := range strings.SplitSeq(line, "; ") {
				if _, value, _ := strings.Cut(pair, "="); len(value) > 40 {
					values = append(values, value[:40])
				}
			}
		}
	}
	kinds := make(map[wafer.Kind]int)
	for _, e := range n.observed() {
		kinds[e.Kind]++
		text := fmt.Sprintf("%v %+v %#v", e, e, e)
		for _, value := range values {
			if strings.Contains(text, value) {
				t.Fatalf("an event holds a credential: %s", text)
			}
		}
		for _, subject := range []string{"alice", "superseded", "closed"} {
			if strings.Contains(e.Reason, `"`+subject+`"`) || e.Err != nil && strings.Contains(e.Err.Error(), subject) {
				t.Errorf("an event names a subject: %s", text)
			}
		}
	}
	for _, kind := range []wafer.Kind{wafer.KindStarted, wafer.KindRefreshed, wafer.KindRefused, wafer.KindReplayed, wafer.KindRevoked, wafer.KindEnded, wafer.KindAlarm, wafer.KindUnavailable} {
		if kinds[kind] == 0 {
			t.Errorf("no event %q in all of this: the test shows little", kind)
		}
	}
}
