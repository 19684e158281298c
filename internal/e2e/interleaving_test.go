package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// Each test is one order of events that loses a revocation, or logs an honest
// user out, in a library that gets it wrong.

// The family is in the store, its login has not heard of it yet, and the
// subject is revoked. No row that a revocation ends is known to anybody: only
// the birth tells.
func TestInterleaving_LoginUncommittedWhileItsSubjectIsRevoked(t *testing.T) {
	forEachKind(t, testLoginUncommittedWhileItsSubjectIsRevoked)
}

func testLoginUncommittedWhileItsSubjectIsRevoked(t *testing.T, w *world) {
	here, there := w.node(), w.node()
	b := w.browser()
	here.store.after("Create", func() {
		there.revoke(wafer.Revocation{Subjects: []string{"alice"}})
		there.freshen()
		here.freshen() // it has read the revocation, and mints only now
	})
	b.login(here, "alice", "a")
	b.dead(here, there)
}

// The login was sent before the revocation and is committed after it: that is
// a login after a revocation, unless the application said which position its
// password check belongs to.
func TestInterleaving_LoginCommittedAfterItsSubjectIsRevoked(t *testing.T) {
	forEachKind(t, testLoginCommittedAfterItsSubjectIsRevoked)
}

func testLoginCommittedAfterItsSubjectIsRevoked(t *testing.T, w *world) {
	here, there := w.node(), w.node()
	revoke := func() { there.revoke(wafer.Revocation{Subjects: []string{"alice"}}) }

	late := w.browser()
	here.store.before("Create", revoke)
	late.login(here, "alice", "a")
	late.is(here, "alice: a")
	late.is(there, "alice: a")

	at, err := here.Position(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	early := w.browser()
	here.store.before("Create", revoke)
	err = early.do(here, func(v *visit) error {
		return here.Start(v.w, v.r, "alice", basket{}, wafer.NotBefore(at))
	})
	wants(t, "Start", err, wafer.ErrNotBefore)
	if len(early.cookies) != 0 {
		t.Errorf("a refused login wrote cookies")
	}
}

// Advance is done, the subject is revoked, and the process that should seal
// the answer is stalled: until the node has the entry, and then until the
// entry itself has been dropped. Its clock stood still, so no time tells.
func TestInterleaving_RevocationBetweenAdvanceAndSealing(t *testing.T) {
	for _, stall := range []time.Duration{0, 2 * time.Hour} {
		t.Run(stall.String(), func(t *testing.T) {
			w := newWorld(t)
			there := w.node()
			b := w.browser().login(there, "alice", "a")
			w.pass(testAccess)
			stopped := w.clock.Now()
			here := w.node(func(c *wafer.Config[basket]) { c.Now = func() time.Time { return stopped } })

			stalled := func() {
				at := there.revoke(wafer.Revocation{Subjects: []string{"alice"}})
				w.clock.Move(stall)
				for range 20 { // writes drop what is old
					there.revoke(wafer.Revocation{Subjects: []string{"nobody"}})
				}
				there.freshen()
				if dropped := there.Health().Floor >= at; dropped != (stall > 0) {
					t.Fatalf("after %v the entry is dropped: %v", stall, dropped)
				}
				here.freshen()
			}
			here.store.after("Advance", stalled)
			// Where the node's list knows the revocation by then, it is refused at
			// once; else what was sealed is dead at the next look.
			if got := b.see(here); got != "alice: a" && got != "401" {
				t.Fatalf("the refresh that came first is %q", got)
			}
			b.dead(here, there)
		})
	}
}

// As above, but a session is revoked, and the node is told by nobody.
func TestInterleaving_RevocationBetweenAdvanceAndSealing_NodeCutOff(t *testing.T) {
	forEachKind(t, testRevocationBetweenAdvanceAndSealingNodeCutOff)
}

func testRevocationBetweenAdvanceAndSealingNodeCutOff(t *testing.T, w *world) {
	here, there := w.node(), w.node()
	b := w.browser().login(here, "alice", "a")
	id := store.ID(b.cookie(w).ID)
	w.pass(testAccess)
	here.store.after("Advance", func() {
		here.store.cutNews()
		there.revoke(wafer.Revocation{Sessions: []store.ID{id}})
	})
	b.is(here, "alice: a") // before MaxStaleness, and unknowing
	w.clock.Move(testStaleness + time.Millisecond)
	b.dead(here, there)
}

// A handler that takes ten minutes and then saves puts no cookie into the
// world that nobody would check any more.
func TestInterleaving_HandlerSavesAfterTenMinutes(t *testing.T) {
	forEachKind(t, testHandlerSavesAfterTenMinutes)
}

func testHandlerSavesAfterTenMinutes(t *testing.T, w *world) {
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	a := b.ask(n, func(v *visit) {
		n.revoke(wafer.Revocation{Sessions: []store.ID{v.s.ID}})
		w.clock.Move(10 * time.Minute)
		wants(t, "Save", save("b")(v), wafer.ErrExpired)
	})
	if len(a.setCookies()) != 0 {
		t.Errorf("a save that failed wrote %v", a.setCookies())
	}
	a.arrive()
	b.dead(n)
}

// With a longer access lifetime the late save is no error. Its cookie says
// what the old one said of its place in the log, so the revocation of nine
// minutes ago holds, its entry in the log or dropped.
func TestInterleaving_HandlerSavesAfterTenMinutes_WithinTheLifetime(t *testing.T) {
	w := newWorld(t)
	long := func(c *wafer.Config[basket]) { c.Access, c.Idle = time.Hour, 4*time.Hour }
	n := w.node(long)
	b := w.browser().login(n, "alice", "a")
	b.ask(n, func(v *visit) {
		w.clock.Move(time.Minute)
		n.revoke(wafer.Revocation{Sessions: []store.ID{v.s.ID}})
		w.pass(9 * time.Minute) // the node knows, the handler does not ask
		wants(t, "Save", save("b")(v), nil)
	}).arrive()
	w.pass(0)
	b.dead(n)
}

// Three requests with one token, of which two commit, and the first one's
// answer comes last: it puts back a cookie from before the second commit.
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

// The same, but the second was judged before the first committed: it must not
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

// A browser is restored with two tabs after an answer was lost: both present
// the token from before it, late. That is forgiven once in the life of a
// session.
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
	if f := b.family(w).Family; f.Generation != 2 || f.Forgiven != 1 {
		t.Errorf("generation %d, forgiven %d: want 2 and 1", f.Generation, f.Forgiven)
	}
	for range 3 { // life goes on
		w.pass(10 * time.Minute)
		b.is(n, "alice: a")
	}
	b.ask(n, nil)
	w.pass(testAccess)
	b.ask(m, nil) // lost again
	w.pass(10 * time.Minute)
	b.is(n, "401")
	n.mustSee(wafer.KindReplayed, "")
}

// A request that began before a Commit knows too little to say who survives:
// it revokes nothing, and the committed data stays.
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

// The store revokes the others and reborns this session; its answer is lost,
// or the answer to the browser is. The others are dead, and this one goes on.
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

// A save of before a Renew arrives after it: a session cookie of the dead
// family beside the new one's token. The dead one is ignored; what goes on is
// what was committed, or what Reload makes, or, stated, nothing.
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

// Nobody but the store knows that the data was committed. It was.
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
// One generation behind is a late answer, and its data may go on (that is what
// Save says); more is not, and committed data never comes back.
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
	put.cookies[sessionCookie] = recent // authentic, its own family's, one generation old
	put.is(n, "alice: old new spent more")
	w.pass(testAccess)
	put.cookies[sessionCookie] = recent
	put.is(n, "alice: old new spent more")
}

// The cookies of two living sessions in one jar: somebody put one there. To
// choose would be a change of user that nobody sees.
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

// A store that does not answer leaves open whether both live.
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

// A session cookie of a dead family beside another's token is a late answer
// from before a login: as if it were absent.
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

	// The other way round the token is dead, and the cookie's family lives.
	b.cookies[refreshCookie] = old.cookies[refreshCookie]
	b.is(n, "401")
	old.dead(n)
}

// The thief has the old password and is checking it while the user changes it.
func TestInterleaving_LoginWithTheOldPasswordRacingAPasswordChange(t *testing.T) {
	forEachKind(t, testLoginWithTheOldPasswordRacingAPasswordChange)
}

func testLoginWithTheOldPasswordRacingAPasswordChange(t *testing.T, w *world) {
	n, m := w.node(), w.node()
	user, thief := w.browser().login(n, "alice", "a"), w.browser()
	w.pass(time.Second)
	thief.ask(m, func(v *visit) {
		at, err := m.Position(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		// The old password is still the right one here. And now it changes:
		wants(t, "EndOthers", user.do(n, endOthers), nil)
		wants(t, "Start", m.Start(v.w, v.r, "alice", basket{}, wafer.NotBefore(at)), wafer.ErrNotBefore)
	}).arrive()
	if len(thief.cookies) != 0 {
		t.Errorf("the thief got %v", thief.cookies)
	}
	user.is(n, "alice: a")

	// A password that is checked after the change opens.
	at, err := m.Position(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.browser().login(m, "alice", "again", wafer.NotBefore(at)).is(m, "alice: again")

	// Others' changes are nobody's business; one of everyone is.
	n.revoke(wafer.Revocation{Subjects: []string{"bob"}})
	w.browser().login(m, "alice", "still", wafer.NotBefore(at)).is(m, "alice: still")
	n.revoke(wafer.Revocation{Everyone: true})
	err = w.browser().do(m, func(v *visit) error {
		return m.Start(v.w, v.r, "alice", basket{}, wafer.NotBefore(at))
	})
	wants(t, "Start after everyone was revoked", err, wafer.ErrNotBefore)
}

// A session that was revoked elsewhere, unknown to this node, must not live on
// under a new id.
func TestInterleaving_RenewOfASessionRevokedElsewhere(t *testing.T) {
	for name, how := range map[string]func(id store.ID) wafer.Revocation{
		"session":  func(id store.ID) wafer.Revocation { return wafer.Revocation{Sessions: []store.ID{id}} },
		"subject":  func(store.ID) wafer.Revocation { return wafer.Revocation{Subjects: []string{"alice"}} },
		"everyone": func(store.ID) wafer.Revocation { return wafer.Revocation{Everyone: true} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n, m := w.node(), w.node()
			b := w.browser().login(n, "alice", "a")
			w.pass(time.Second)
			b.ask(n, func(v *visit) {
				n.store.cutNews()
				m.revoke(how(v.s.ID))
				wants(t, "Renew", renew(v), wafer.ErrEnded)
				wants(t, "Reauthenticate", n.Reauthenticate(v.w, v.r), wafer.ErrEnded)
				wants(t, "Commit", commit("b")(v), wafer.ErrEnded)
				wants(t, "EndOthers", endOthers(v), wafer.ErrEnded)
				if set := v.w.Header()["Set-Cookie"]; len(set) != 0 {
					t.Errorf("calls that failed wrote %v", set)
				}
			}).arrive()
			w.pass(0)
			b.dead(n, m)
			if d, err := n.Devices(context.Background(), "alice"); err != nil || len(d) != 0 {
				t.Errorf("the subject still has %d sessions, %v", len(d), err)
			}
		})
	}
}

// A thief who was faster with EndOthers does not survive the user's own.
func TestInterleaving_EndOthersOfASessionThatIsDead(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	user, thief := w.browser().login(n, "alice", "a"), w.browser().login(n, "alice", "t")
	w.pass(time.Second)
	user.ask(n, func(v *visit) {
		wants(t, "the thief's EndOthers", thief.do(m, endOthers), nil)
		wants(t, "EndOthers", endOthers(v), wafer.ErrEnded)
	}).arrive()
	w.pass(0)
	user.dead(n, m)
	thief.dead(n, m)
}

// Between two runs of the application somebody shortens the lifetimes. Cookies
// from before are judged by what is configured now.
func TestInterleaving_LifetimesShortenedBetweenTwoRuns(t *testing.T) {
	w := newWorld(t)
	before := w.node(func(c *wafer.Config[basket]) { c.Access, c.Idle, c.Absolute = time.Hour, 4*time.Hour, 24*time.Hour })
	b, revoked := w.browser().login(before, "alice", "a"), w.browser().login(before, "bob", "b")
	before.revoke(wafer.Revocation{Subjects: []string{"bob"}})
	before.stop()

	after := w.node(func(c *wafer.Config[basket]) { c.Access, c.Grace = 2*time.Minute, 15*time.Second })
	b.is(after, "alice: a")
	revoked.dead(after)
	w.pass(3 * time.Minute) // the cookie says an hour, the configuration two minutes
	if got := b.without(refreshCookie).peek(after); got != "401" {
		t.Errorf("a cookie past the lifetime that is configured now is %q", got)
	}
	revoked.dead(after)
	a := b.is(after, "alice: a")
	if len(a.setCookies()) != 2 {
		t.Errorf("the session was not refreshed: %v", a.setCookies())
	}
	if c := b.cookie(w); c.Access.After(w.clock.Now().Add(2 * time.Minute)) {
		t.Errorf("the new cookie is good until %v", c.Access)
	}
	w.pass(90 * time.Minute) // within the family's own idle limit of four hours
	b.is(after, "alice: a")
	revoked.dead(after)
}

// Somebody lengthens them. What was sealed keeps its own end, and entries that
// were dropped by the shorter lifetime are covered by the floor.
func TestInterleaving_LifetimesLengthenedBetweenTwoRuns(t *testing.T) {
	w := newWorld(t)
	before := w.node()
	b, revoked := w.browser().login(before, "alice", "a"), w.browser().login(before, "bob", "b")
	at := before.revoke(wafer.Revocation{Subjects: []string{"bob"}})
	w.clock.Move(6 * time.Minute)
	for range 20 {
		before.revoke(wafer.Revocation{Subjects: []string{"nobody"}})
	}
	before.stop()

	after := w.node(func(c *wafer.Config[basket]) { c.Access, c.Idle = time.Hour, 4*time.Hour })
	if got := b.without(refreshCookie).peek(after); got != "401" {
		t.Errorf("a cookie past its own lifetime is %q", got)
	}
	revoked.dead(after)
	// As a node that sealed late would have it: good by every clock.
	c := revoked.cookie(w)
	c.Issued, c.Access, c.Idle = w.clock.Now(), w.clock.Now().Add(time.Hour), w.clock.Now().Add(time.Hour)
	revoked.cookies[sessionCookie] = w.seal(c)
	revoked.dead(after)
	if f := after.Health().Floor; f < at {
		t.Errorf("the entry at %d is not dropped, the floor is %d: the test shows nothing", at, f)
	}
	b.is(after, "alice: a")
	w.pass(50 * time.Minute) // its family still has an idle limit of 30 minutes, its cookie says so
	b.is(after, "401")
}
