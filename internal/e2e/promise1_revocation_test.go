package e2e_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// Promise 1: nothing acknowledged is forgotten.

// revocations returns the ways to revoke one login.
var revocations = map[string]func(b *browser, w *world) wafer.Revocation{
	"session": func(b *browser, w *world) wafer.Revocation {
		if b == nil { // before the login
			return wafer.Revocation{}
		}
		return wafer.Revocation{Sessions: []store.ID{store.ID(b.token(w).Family)}}
	},
	"subject":  func(*browser, *world) wafer.Revocation { return wafer.Revocation{Subjects: []string{"alice"}} },
	"actor":    func(*browser, *world) wafer.Revocation { return wafer.Revocation{Subjects: []string{carol}} },
	"everyone": func(*browser, *world) wafer.Revocation { return wafer.Revocation{Everyone: true} },
}

// carol acts for alice in the sessions that end with their actor.
const carol = "support:carol"

// actedBy returns the options of a login that a revocation is going to end.
func actedBy(r wafer.Revocation) (options []wafer.StartOption) {
	if slices.Contains(r.Subjects, carol) {
		options = append(options, wafer.Actor(carol))
	}
	return options
}

// forEachRevocation runs a test for each of them, with alice logged in and two
// fresh nodes, for both kinds of nodes.
func forEachRevocation(t *testing.T, test func(w *world, here, there *node, b *browser, r wafer.Revocation)) {
	for name, how := range revocations {
		t.Run(name, func(t *testing.T) {
			forEachKind(t, func(t *testing.T, w *world) {
				here, there := w.node(), w.node()
				b := w.browser().login(here, "alice", "a", actedBy(how(nil, w))...)
				w.pass(time.Second)
				b.is(here, "alice: a")
				b.is(there, "alice: a")
				test(w, here, there, b, how(b, w))
			})
		})
	}
}

// refused reports whether a request without a store was refused. A node without
// a replica may have to answer 503.
func (w *world) refused(who string) bool { return who == "401" || w.noReplica && who == "503" }

func TestPromise1_RevocationIsInForceHereWhenItReturns(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		here.store.cutLog() // only Revoke itself informs the node
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
		if got := b.without(refreshCookie).peek(there); !w.refused(got) {
			t.Errorf("the cookie is %q on a node that waited", got)
		}
	})
}

// A node that gets no entries queries the store about each session once its
// list is MaxStaleness old, and answers 503 if that fails too.
func TestPromise1_RevocationIsInForceElsewhereWithinMaxStaleness(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		there.store.fail("Since")
		here.revoke(r)
		w.clock.Move(testStaleness + time.Millisecond)
		b.dead(there)
		there.store.fail()
		// A node without a replica may have cached the answer, or not.
		if got := b.without(refreshCookie).peek(there); got != "503" && !(w.noReplica && got == "401") {
			t.Errorf("with no list and no store the cookie is %q, want 503", got)
		}
	})
}

// The store's answer to a revocation is lost. That is no acknowledgement, but
// the revocation is in force on both nodes as soon as the log is read.
func TestPromise1_RevocationWhoseAnswerIsLost(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		here.store.lose("Revoke")
		_, err := here.Revoke(context.Background(), r)
		wants(t, "Revoke", err, wafer.ErrUnavailable)
		w.pass(0)
		b.dead(here, there)
		here.revoke(r) // repeating it does no harm
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
				if got := b.without(refreshCookie).peek(n); !w.refused(got) {
					t.Errorf("the cookie is %q", got)
				}
				want := "503" // the refresh token cannot be judged
				if len(r.Sessions) > 0 && (n == here || !w.noReplica) {
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

// A store that was emptied, or started anew in memory, has no revocations and
// trusts no older cookie.
func TestPromise1_RestartOfTheStore(t *testing.T) { forEachKind(t, testRestartOfTheStore) }

func testRestartOfTheStore(t *testing.T, w *world) {
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

// A clock that jumps on one node, forwards or backwards, revives nobody's
// session, whether the log is cut or not.
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

// A clock that is set back must not make an old list look fresh.
func TestPromise1_ClockSetBackWhileNoNewsCome(t *testing.T) {
	forEachRevocation(t, func(w *world, here, there *node, b *browser, r wafer.Revocation) {
		jumper, jump := w.nodeOnItsOwnClock()
		w.pass(2 * time.Minute)
		b.is(jumper, "alice: a")
		jumper.store.fail("Since")
		here.revoke(r)
		jump(-100 * time.Second) // the time of its list is now in the future
		w.clock.Move(testStaleness + time.Millisecond)
		if got := b.without(refreshCookie).peek(jumper); got != "401" && got != "503" {
			t.Errorf("%v after the revocation, on a node whose log is cut and whose clock was set back, the cookie is %q", testStaleness, got)
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
		b := w.browser().login(before, "alice", "a", actedBy(r)...)
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

// The holder of a leaked key can seal anything, at any position. A node must
// have the key's revocation before it accepts a later position.
func TestPromise1_KeyRevokedForCompromise(t *testing.T) {
	forEachKind(t, testKeyRevokedForCompromise)
}

func testKeyRevokedForCompromise(t *testing.T, w *world) {
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
	w.ring = open() // the thief's handle on the old ring
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
	forged := b.cookie(w)
	forged.Position = uint64(at)
	b.cookies[sessionCookie] = w.seal(forged)
	// A node without the revocation reads it because of that cookie.
	if got := b.peek(there); got != "401" {
		t.Errorf("the forged cookie is %q though it causes the read itself", got)
	}
	there.freshen()
	b.dead(here, there)
	w.browser().login(here, "alice", "again").is(there, "alice: again")
}

// A list at its limit drops entries, but not their effect.
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
	honest.is(small, "honest: h") // refreshed, since it is below the floor
	honest.is(other, "honest: h")
}

// A family's position is below the floor of a node whose list is at its limit.
// Issuing cookies at that position again would make them expired at birth.
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
			// After Advance it depends on whether this node has the entry yet.
			if got := b.see(n); got != "401" && !(moment == "after Advance" && got == "alice: a") {
				t.Errorf("%s: the refresh is %q", moment, got)
			}
			w.pass(0)
			b.dead(n, here, there)
		})
	}
}

// Cookies carry the position that the family has in the store: neither this
// node's head nor the store's, which others may raise meanwhile.
func TestPromise1_CookiesCarryTheStoredPosition(t *testing.T) {
	forEachKind(t, testCookiesCarryTheStoredPosition)
}

func testCookiesCarryTheStoredPosition(t *testing.T, w *world) {
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
			here.store.cutLog()
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

// The store does not accept the logout. It is in force here, and is retried
// until the store accepts it.
func TestPromise1_EndDuringAnOutage(t *testing.T) { forEachKind(t, testEndDuringAnOutage) }

func testEndDuringAnOutage(t *testing.T, w *world) {
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
	for deadline := time.Now().Add(2 * time.Minute); w.family(id).State != store.Ended; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the logout was not tried again")
		}
	}
	w.pass(0)
	stolen.dead(here, there)
}

// The same session has a cookie that was minted on another node, at a position
// that this node has not reached when its own logout fails.
func TestPromise1_EndDuringAnOutage_CookieFromAboveThisNodesHead(t *testing.T) {
	forEachKind(t, testEndDuringAnOutageCookieFromAboveThisNodesHead)
}

func testEndDuringAnOutageCookieFromAboveThisNodesHead(t *testing.T, w *world) {
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
	here.store.fail("Revoke") // the logout is not accepted yet, and everything else works
	here.freshen()
	if got := b.without(refreshCookie).peek(here); got != "401" {
		t.Errorf("after End the session's newest cookie is %q on the node of the logout", got)
	}
}

// Close makes a last attempt for the pending logouts.
func TestPromise1_EndDuringAnOutage_ThenClose(t *testing.T) {
	forEachKind(t, testEndDuringAnOutageThenClose)
}

func testEndDuringAnOutageThenClose(t *testing.T, w *world) {
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
		n.store.cutLog()
		wants(t, name, b.do(n, act), nil)
		stolen.dead(n)
		b.is(n, "alice: a")
	}
}

// Ending the oldest session is a revocation like any other.
func TestPromise1_OldestSessionEndedByTheLimit(t *testing.T) {
	forEachKind(t, testOldestSessionEndedByTheLimit)
}

func testOldestSessionEndedByTheLimit(t *testing.T, w *world) {
	n := w.node(func(c *wafer.Config[basket]) { c.MaxSessions, c.EndOldest = 2, true })
	oldest := w.browser().login(n, "alice", "1")
	w.pass(time.Second)
	second := w.browser().login(n, "alice", "2")
	w.pass(time.Second)
	n.store.cutLog() // only Start itself informs the node
	third := w.browser().login(n, "alice", "3")
	oldest.dead(n)
	second.is(n, "alice: 2")
	third.is(n, "alice: 3")
}

func TestPromise1_WhatStartReplacesIsDead(t *testing.T) { forEachKind(t, testWhatStartReplacesIsDead) }

func testWhatStartReplacesIsDead(t *testing.T, w *world) {
	n := w.node()
	planted := w.browser().login(n, "mallory", "m")
	victim := planted.copy()
	w.pass(testAccess) // expired or not
	n.store.cutLog()
	victim.login(n, "alice", "a")
	planted.dead(n)
	victim.is(n, "alice: a")

	// With two families in one jar, both are ended.
	one, two := w.browser().login(n, "one", "1"), w.browser().login(n, "two", "2")
	mixed := one.copy()
	mixed.cookies[refreshCookie] = two.cookies[refreshCookie]
	mixed.login(n, "alice", "b")
	one.dead(n)
	two.dead(n)
	mixed.is(n, "alice: b")
}

// The session that Start replaces was revoked by another node already, and this
// node does not have the entry. Start itself is reason enough to refuse it.
func TestPromise1_StartReplacesWhatWasRevokedElsewhere(t *testing.T) {
	forEachKind(t, testStartReplacesWhatWasRevokedElsewhere)
}

func testStartReplacesWhatWasRevokedElsewhere(t *testing.T, w *world) {
	here, there := w.node(), w.node()
	b := w.browser().login(here, "alice", "a")
	w.pass(time.Second)
	old := b.copy()
	here.store.cutLog()
	there.revoke(wafer.Revocation{Subjects: []string{"alice"}})
	b.login(here, "alice", "again")
	old.dead(here)
	b.is(here, "alice: again")
}
