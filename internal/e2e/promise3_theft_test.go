package e2e_test

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

// The tests in this file hold the threat model's claims about a thief who has copied
// the cookies.

// rob logs alice in, lets her refresh once, and returns her browser and a thief's copy.
func (w *world) rob(n *node) (owner, thief *browser) {
	w.t.Helper()
	owner = w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	owner.is(n, "alice: a")
	return owner, owner.copy()
}

// caught fails the test unless the replay was reported and ended the session for
// everybody.
func (w *world) caught(n *node, jars ...*browser) {
	w.t.Helper()
	n.wantEvent(wafer.KindReplayed, "")
	for _, b := range jars {
		b.dead(w.nodes...)
	}
	if f := jars[0].family(w); f.State != store.Ended {
		w.t.Errorf("the family is %v", f.State)
	}
}

// Two due refreshes of the owner within whose grace the thief does not refresh are
// enough, whatever the thief does besides.
func TestPromise3_AStolenCopyIsCaught(t *testing.T) {
	for name, row := range map[string]struct {
		between func(w *world, n *node, thief *browser) // the owner's two refreshes
	}{
		"a thief who waits": {},
		"a thief who gets a copy between": {between: func(w *world, n *node, thief *browser) {
			w.pass(testGrace)
			thief.is(n, "alice: a")
		}},
		"a thief who gets several": {between: func(w *world, n *node, thief *browser) {
			for range 5 {
				w.pass(testGrace)
				thief.copy().is(n, "alice: a")
			}
			thief.is(n, "alice: a")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			owner, thief := w.rob(n)
			w.pass(testAccess)
			owner.is(n, "alice: a")
			if row.between != nil {
				row.between(w, n, thief)
			}
			w.pass(testAccess)
			owner.is(n, "alice: a")
			w.honest()
			thief.without(sessionCookie).is(n, "401")
			w.caught(n, owner, thief)
		})
	}
}

// A thief who goes on first is served once. The owner's next refresh is taken for the
// replay, and ends the session for both. Nobody can tell who of them is who.
func TestPromise3_AThiefWhoIsFasterIsCaughtByTheOwner(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	owner, thief := w.rob(n)
	for range 2 {
		w.pass(testAccess)
		thief.is(n, "alice: a")
	}
	owner.is(n, "401")
	w.caught(n, owner, thief)
}

// A thief who presents the previous token again and again cannot keep the owner's from
// being used: once it is three copies behind, it advances.
func TestPromise3_AThiefCannotKeepTheOwnerUndue(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	owner, thief := w.rob(n)
	w.pass(testAccess)
	owner.is(n, "alice: a")
	for range 3 {
		w.pass(testGrace)
		thief.copy().is(n, "alice: a")
	}
	if f := owner.family(w).Family; f.Generation != 3 || f.Copy != 3 {
		t.Fatalf("the family is at generation %d, copy %d; want 3, 3", f.Generation, f.Copy)
	}
	wants(t, "Commit", owner.do(n, commit("b")), nil)
	owner = owner.without(sessionCookie)
	owner.is(n, "alice: a b")
	if g := owner.token(w).Generation; g != 4 {
		t.Errorf("the owner is at generation %d, want 4", g)
	}
	w.honest()
	thief.without(sessionCookie).is(n, "401")
	w.caught(n, owner, thief)
}

// Rotation does not detect two thieves. One refreshes within the grace period of each of
// the owner's refreshes, and so gets the same tokens. The other uses an old copy while the
// owner is away, and looks like an owner whose answers were lost.
func TestPromise3_WhatIsNotSeenOfAThief(t *testing.T) {
	w := newWorld(t)
	n := w.node(month)
	owner := w.browser().login(n, "alice", "a", wafer.Limits(day, 10*day))
	thief := owner.copy()
	for range 20 {
		w.pass(testAccess)
		owner.is(n, "alice: a")
		w.pass(testGrace - time.Millisecond)
		thief.is(n, "alice: a")
	}
	old := owner.copy()
	w.pass(testAccess)
	owner.is(n, "alice: a") // the last answer that the owner gets, and does not use
	for range 20 {
		w.pass(time.Hour)
		old.copy().is(n, "alice: a")
	}
	w.honest()
}

// The documentation's bound holds for any thief: he is not served after two due
// refreshes of the owner in a row within whose grace he did not refresh. An owner who
// loses answers and a thief who presents any of his newest tokens meet at random.
func TestPromise3_NoThiefOutlivesTwoDueRefreshes(t *testing.T) {
	rng := seeded(t)
	const thieves = 60
	caught := 0
	for range rounds.Of(1, 5) * thieves {
		if thiefIsCaught(t, rng) {
			caught++
		}
	}
	if caught < thieves/2 {
		t.Errorf("%d thieves were caught: the test shows little", caught)
	}
}

func thiefIsCaught(t *testing.T, rng *rand.Rand) bool {
	w := newWorld(t)
	w.noReplica = true
	n := w.node(withTokens(), month)
	defer n.stop()
	p := n.issue("alice", wafer.Limits(day, 10*day))
	owner, loot := p.RefreshToken(), []string{p.RefreshToken()}
	unmatched := 0 // the owner's advances since both last had the same token
	var thiefWrote bool
	for range 200 {
		w.pass(time.Duration(rng.Int64N(int64([]time.Duration{testGrace, testAccess, 20 * time.Minute}[rng.IntN(3)]))))
		token, thief := owner, rng.IntN(2) == 0
		if thief {
			token = loot[max(0, len(loot)-1-rng.IntN(3))]
		}
		before := w.family(p.Session).Family
		rec := n.refreshWith(token)
		if rec.Code != http.StatusOK {
			if n.count(wafer.KindReplayed, "") != 1 {
				t.Fatalf("refused with %d %s, and no report of a theft: %v", rec.Code, rec.Body, n.observed())
			}
			return true
		}
		answer, after := tokenAnswer(t, rec).RefreshToken, w.family(p.Session).Family
		if thief {
			if unmatched >= 2 {
				t.Fatalf("the thief is served after %d due refreshes of the owner", unmatched)
			}
			loot = append(loot, answer)
		} else if rng.IntN(10) >= 3 {
			owner = answer
		}
		wrote := after.Generation != before.Generation || after.Copy != before.Copy
		switch {
		case !wrote && thief != thiefWrote && w.clock.Now().Sub(after.Issued) < testGrace:
			unmatched = 0
		case wrote && !thief && after.Generation != before.Generation:
			unmatched++
		}
		if wrote {
			thiefWrote = thief
		}
	}
	return false
}
