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

// The family is in the store, the node that created it does not have the answer
// yet, and the subject is revoked. The revocation names no session; only the
// family's birth shows that it covers this one.
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

// The login was sent before the revocation and committed after it. That is a
// login after a revocation, unless the application states the position that its
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

// Advance is done, the subject is revoked, and the process that should seal the
// answer is stalled: until the node has the entry, and then until the entry
// itself has been dropped. The node's clock stood still, so no time can show
// the stall.
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
				for range 20 { // writes drop old entries
					there.revoke(wafer.Revocation{Subjects: []string{"nobody"}})
				}
				there.freshen()
				if dropped := there.Health().Floor >= at; dropped != (stall > 0) {
					t.Fatalf("after %v the entry is dropped: %v", stall, dropped)
				}
				here.freshen()
			}
			here.store.after("Advance", stalled)
			// If the node's list has the revocation by then, the refresh is
			// refused at once. Otherwise the sealed cookies are dead at the
			// next check.
			if got := b.see(here); got != "alice: a" && got != "401" {
				t.Fatalf("the refresh that came first is %q", got)
			}
			b.dead(here, there)
		})
	}
}

// As above, but a session is revoked and the node gets no entries.
func TestInterleaving_RevocationBetweenAdvanceAndSealing_NodeCutOff(t *testing.T) {
	forEachKind(t, testRevocationBetweenAdvanceAndSealingNodeCutOff)
}

func testRevocationBetweenAdvanceAndSealingNodeCutOff(t *testing.T, w *world) {
	here, there := w.node(), w.node()
	b := w.browser().login(here, "alice", "a")
	id := store.ID(b.cookie(w).ID)
	w.pass(testAccess)
	here.store.after("Advance", func() {
		here.store.cutLog()
		there.revoke(wafer.Revocation{Sessions: []store.ID{id}})
	})
	b.is(here, "alice: a") // before MaxStaleness, and without the entry
	w.clock.Move(testStaleness + time.Millisecond)
	b.dead(here, there)
}

// A handler that saves after ten minutes must not create a cookie that no node
// would check any more.
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

// With a longer access lifetime the late save is no error. The new cookie keeps
// the old cookie's position, so the revocation of nine minutes ago covers it,
// whether its entry is still in the log or dropped.
func TestInterleaving_HandlerSavesAfterTenMinutes_WithinTheLifetime(t *testing.T) {
	w := newWorld(t)
	long := func(c *wafer.Config[basket]) { c.Access, c.Idle = time.Hour, 4*time.Hour }
	n := w.node(long)
	b := w.browser().login(n, "alice", "a")
	b.ask(n, func(v *visit) {
		w.clock.Move(time.Minute)
		n.revoke(wafer.Revocation{Sessions: []store.ID{v.s.ID}})
		w.pass(9 * time.Minute) // the node has the entry, but the handler does not check again
		wants(t, "Save", save("b")(v), nil)
	}).arrive()
	w.pass(0)
	b.dead(n)
}

// The thief has the old password and is logging in with it while the user
// changes it.
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
		// The old password is still valid here, and is changed now.
		wants(t, "EndOthers", user.do(n, endOthers), nil)
		wants(t, "Start", m.Start(v.w, v.r, "alice", basket{}, wafer.NotBefore(at)), wafer.ErrNotBefore)
	}).arrive()
	if len(thief.cookies) != 0 {
		t.Errorf("the thief got %v", thief.cookies)
	}
	user.is(n, "alice: a")

	// A login whose password check comes after the change succeeds.
	at, err := m.Position(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.browser().login(m, "alice", "again", wafer.NotBefore(at)).is(m, "alice: again")

	// Revocations of other subjects do not matter; a revocation of everyone
	// does.
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
				n.store.cutLog()
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

// A thief whose EndOthers came first does not survive the user's own EndOthers.
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
