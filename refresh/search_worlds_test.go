package refresh_test

import (
	"runtime/debug"
	"testing"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

// searchWorlds are the worlds in which nothing may be violated. The whole ones
// are small enough for every full run to see all of them, whatever the flags
// are. There the property holds for traces of any length.
var searchWorlds = []struct {
	name  string
	whole int // states
	world func() *search
}{
	// A client whose answers are prompt.
	{"prompt", 0, promptWorld},
	{"prompt refreshes", 0, func() *search { return promptWorld().with(4, force) }},
	{"prompt by phases", 0, func() *search {
		s := promptWorld().with(3, force, commit)
		s.split = true
		return s
	}},
	{"prompt and strict", 0, func() *search {
		s := promptWorld().with(4, force, upgrade, commit)
		s.rules = tight
		s.rules.Strict = true
		return s
	}},
	// A client that loses answers.
	{"lost", 0, lostWorld},
	{"lost, two at once, in coarse time", 60_000, func() *search {
		s := lostWorld().with(2, force)
		s.times = []units{graceUnits - 1, graceUnits, halfUnits}
		return s
	}},
	{"lost, more at once", 0, func() *search { return lostWorld().with(4, force) }},
	{"lost, and changes", 0, func() *search { return lostWorld().with(3, force, upgrade, save, commit, endOthers) }},
	{"lost, and renewed", 0, func() *search {
		s := lostWorld().with(3, force, upgrade, commit, renew)
		s.neverRefused = false
		return s
	}},
	{"lost, and a wide policy", 0, wideLostWorld},
	{"lost, and a wide policy, in coarse time", 80_000, func() *search {
		s := wideLostWorld().with(2, force)
		s.times = []units{graceUnits, 5 * graceUnits}
		return s
	}},
	{"of a native client that refreshes several times at once", 0, func() *search {
		s := lostWorld().with(3, force, wrongDoor)
		s.native, s.neverReplayed, s.neverRefused = true, false, false
		return s
	}},
	{"lost, of a native client that refreshes once at a time", 1_000, func() *search {
		s := lostWorld().with(1, force, wrongDoor)
		s.native, s.sum = true, 0
		return s
	}},
	{"late, and none is lost", 0, lateWorld},
	{"idle", 80_000, idleWorld},
	{"past the idle limit", 70_000, idleThief},
	{"the copies used up", 20_000, usedUpWorld},
	// Jars that fall back.
	{"fallen back", 0, fallenWorld},
	{"put back", 0, putBackWorld},
	{"put back, refreshes", 25_000, func() *search { return putBackWorld().with(1, force, save, commit) }},
	{"put back, renewed", 10_000, func() *search {
		s := putBackWorld().with(1, force, commit, renew)
		s.asides, s.reload, s.times = 1, true, []units{halfUnits}
		return s
	}},
	{"put back by phases", 0, func() *search {
		s := putBackWorld().with(2, force, save, commit, renew)
		s.split = true
		return s
	}},
	{"races between slow calls", 0, racing},
	{"changes by phases", 0, func() *search {
		return &search{
			flights: 2, kinds: []kind{save, commit, endOthers, renew}, split: true, reload: true,
			times: []units{accessUnits},
		}
	}},
	// A thief.
	{"thief", 0, thiefWorld},
	{"thief, in coarse time", 10_000, rareThief},
	{"thief, and a wide policy", 0, func() *search {
		s := thiefWorld()
		s.rules, s.times = wide, []units{graceUnits - 1, graceUnits}
		return s
	}},
	{"thief, and a clock set back", 40_000, func() *search {
		s := rareThief()
		s.jumps, s.jump, s.thiefSpaced = 2, accessUnits+1, 0
		return s
	}},
	{"thief, and strict", 0, func() *search {
		s := thiefWorld()
		s.rules, s.thiefAdvances = tight, 1
		s.rules.Strict = true
		return s
	}},
	{"thief of a native client", 10_000, func() *search {
		s := thiefWorld()
		s.native = true
		return s
	}},
	{"thief beside late answers", 0, thiefBesideWorld},
	{"thief among answers", 0, func() *search {
		s := thiefBesideWorld().with(2, read, force, save, commit)
		s.otherKinds, s.split = []kind{read, force, save, endOthers, renew}, true
		return s
	}},
	// Ends.
	{"revoked", 0, revokedWorld},
	{"revoked, and the log dropped", 0, droppedWorld},
	{"two devices", 0, deviceWorld},
	{"two devices, and the log dropped", 0, func() *search {
		s := deviceWorld().with(2, force, commit)
		s.otherKinds, s.asides, s.floors = []kind{force, logout}, 0, 2
		return s
	}},
	// Families that are bound to a device.
	{"bound, whatever the jar falls back to", 10_000, boundWorld},
	{"bound, and requests overlap", 0, func() *search {
		s := boundWorld().with(3, read, force)
		s.atOnce, s.asides, s.forgets = false, 0, false
		return s
	}},
	{"bound at some moment, and changes by phases", 0, bindingWorld},
	{"bound at some moment, and a thief", 10_000, func() *search {
		s := thiefWorld()
		s.binds, s.proofs, s.otherProofs = true, []proof{noProof, deviceProof}, []proof{noProof, strangeProof}
		s.times, s.thiefSpaced = []units{graceUnits, halfUnits}, 0
		return s
	}},
	{"bound, of a native client whose key is stolen too", 1_000, boundNativeWorld},
	// A store that somebody else writes to.
	{"a row changed and put back", 0, changedWorld},
	{"a row changed and put back, and a thief", 0, func() *search {
		s := changedWorld().with(2, read, force, upgrade)
		s.thief, s.otherKinds, s.neverReplayed = true, []kind{force}, false
		s.neverRefused, s.sum = false, 0
		return s
	}},
	// The store's clock and its memory.
	{"the log dropped", 0, floorWorld},
	{"a clock set back", 0, jumpWorld},
	{"a clock set back, and requests overlap", 0, func() *search {
		s := jumpWorld().with(2, read, force, commit)
		s.neverReplayed, s.neverRefused = false, false
		return s
	}},
	{"gone back", 0, goneBackWorld},
	{"gone back, one request at a time", 0, goneBackAlone},
	{"gone back, and changes", 0, func() *search {
		s := goneBackWorld().with(2, force, endOthers, renew, logout, login)
		s.otherKinds, s.thief, s.revocations, s.neverReplayed, s.sum = []kind{force, endOthers, renew}, true, 1, false, 0
		return s
	}},
	{"gone back, and a thief", 0, func() *search {
		s := goneBackWorld()
		s.thief, s.otherKinds, s.atOnce, s.losses = true, []kind{force}, true, 0
		s.flights, s.thiefAdvances, s.neverReplayed = 1, 2, false
		s.sum = 0
		return s
	}},
}

// with returns the world with other requests.
func (s *search) with(flights int, kinds ...kind) *search {
	s.flights, s.kinds = flights, kinds
	return s
}

// promptWorld: an honest browser whose answers arrive in less than half the
// grace, in any order. It is never taken for a thief, never refused, and none of its
// answers counts as lost.
func promptWorld() *search {
	return &search{
		flights: 4, kinds: []kind{force, save, commit, endOthers},
		times: []units{1, graceUnits, halfUnits, accessUnits}, prompt: promptUnits,
		neverReplayed: true, neverReissued: true, neverRefused: true,
	}
}

// mostTogether is the time that two overlapping round trips may take together, in
// units: M of section 8.
func mostTogether(grace, half units) units { return min(half-grace, (lies-1)*grace) }

// lostWorld: any number of answers is lost, and any two round trips that overlap
// take no longer together than the documentation allows. The browser is never taken
// for a thief, and never refused.
func lostWorld() *search {
	return &search{
		flights: 3, kinds: []kind{force}, losses: anyNumber, sum: mostTogether(graceUnits, halfUnits),
		times:         []units{1, graceUnits, halfUnits},
		neverReplayed: true, neverRefused: true,
	}
}

// wideLostWorld: the same where the copies set the bound, and not the time.
func wideLostWorld() *search {
	s := lostWorld()
	s.rules, s.sum = wide, mostTogether(graceUnits, 5*graceUnits)
	s.times = []units{1, graceUnits, 5 * graceUnits}
	return s
}

// lateWorld: no answer is lost, and any two round trips that overlap take less than
// half a lifetime together.
func lateWorld() *search {
	s := lostWorld()
	s.losses, s.sum = 0, halfUnits-1
	return s
}

// idleWorld: a browser whose requests reach the server at least once in the idle
// limit, less one and a half access lifetimes, is never refused.
func idleWorld() *search {
	s := promptWorld().with(2, read, force)
	s.idle = 2 * accessUnits
	s.gap = s.idle - accessUnits - halfUnits - promptUnits
	s.times = []units{1, graceUnits, halfUnits}
	return s
}

// usedUpWorld: a broken client has lost nearly as many answers as there are copies.
func usedUpWorld() *search {
	s := coarse(lostWorld().with(2, force, upgrade), anyNumber)
	s.copies, s.neverRefused = store.MaxCopy-1, false
	return s
}

// fallenWorld: the jar falls back, together or in part, to cookies that are no more
// than one refresh old, and answers are lost besides.
func fallenWorld() *search {
	return &search{
		flights: 1, kinds: []kind{read, force}, asides: 2, freshAsides: true, atOnce: true, reload: true,
		losses: anyNumber, times: []units{1, graceUnits, halfUnits}, neverReplayed: true, neverRefused: true,
	}
}

// putBackWorld: the owner keeps cookies and puts them back.
func putBackWorld() *search {
	return &search{
		flights: 1, kinds: []kind{read, force, upgrade, save, commit, renew, endOthers}, asides: 2,
		times: []units{graceUnits, halfUnits, accessUnits}, atOnce: true, staleSaves: true,
	}
}

// thiefWorld: a thief copies the jar of a browser that has one request at a
// time, and both refresh whenever they like.
func thiefWorld() *search {
	return &search{
		flights: 1, kinds: []kind{force}, otherKinds: []kind{force}, thief: true, atOnce: true,
		times: []units{1, graceUnits - 1}, thiefAdvances: 2, thiefSpaced: 5,
	}
}

// thiefBesideWorld: a thief copies the jar at any moment, and the answers to the
// owner's requests are late, out of order or lost.
func thiefBesideWorld() *search {
	s := thiefWorld().with(2, force)
	s.atOnce, s.losses, s.thiefSpaced = false, anyNumber, 0
	s.times = []units{1, graceUnits, halfUnits}
	return s
}

// revokedWorld: everything that ends sessions, and a thief.
func revokedWorld() *search {
	return &search{
		flights: 2, kinds: []kind{force, upgrade, save, commit, endOthers, renew, logout, login},
		otherKinds: []kind{force, endOthers, renew}, thief: true, split: true, revocations: 1,
		times: []units{graceUnits, halfUnits, accessUnits},
	}
}

// droppedWorld: the same, with entries that leave the log while cookies that
// they name still live.
func droppedWorld() *search {
	s := revokedWorld().with(2, force, save, commit, endOthers, logout)
	s.floors, s.times = 2, []units{graceUnits, halfUnits, accessUnits}
	return s
}

// deviceWorld: two devices of one user, and cookies carried from one to the
// other.
func deviceWorld() *search {
	return &search{
		flights: 2, kinds: []kind{read, force, commit, endOthers, renew, logout}, device: true, asides: 1,
		otherKinds: []kind{read, force, endOthers, renew, logout}, split: true, revocations: 1,
		times: []units{graceUnits, halfUnits, accessUnits},
	}
}

// floorWorld: the log is dropped at any time, so the position of what is issued is
// raised. Nobody is refused for it.
func floorWorld() *search {
	s := lostWorld().with(2, read, force, commit)
	s.floors, s.split = 2, true
	return s
}

// jumpWorld: the engine's clock is set back, each time by more than a lifetime. A
// browser that has one request at a time is not taken for a thief.
func jumpWorld() *search {
	s := lostWorld().with(1, read, force, commit)
	s.jumps, s.jump = 2, accessUnits+1
	return s
}

// goneBackWorld: the store loses what was written since some moment. The browser may
// be refused, and is not taken for a thief.
func goneBackWorld() *search {
	s := lostWorld().with(2, force)
	s.goesBack, s.neverRefused = true, false
	return s
}

// boundWorld: a browser's family is bound, and its jar falls back to anything that
// it ever held. With a proof it is served; without one it is refused and no more. A
// thief who has its cookies gets nothing by them.
func boundWorld() *search {
	return &search{
		flights: 1, kinds: []kind{read, force, save}, bound: true, proofs: []proof{noProof, deviceProof}, forgets: true,
		otherKinds: []kind{force}, otherProofs: []proof{noProof, strangeProof}, thief: true,
		asides: 1, atOnce: true, reload: true, losses: anyNumber, times: []units{graceUnits, halfUnits},
		neverReplayed: true, neverRefused: true, staleSaves: true,
	}
}

// bindingWorld: the browser binds its family at some moment, perhaps inside other
// requests, and changes its session before and after. A thief races it.
func bindingWorld() *search {
	return &search{
		flights: 2, kinds: []kind{force, commit, endOthers, renew}, proofs: []proof{noProof, deviceProof}, binds: true,
		otherKinds: []kind{force, upgrade}, thief: true, split: true, reload: true, times: []units{graceUnits, halfUnits},
	}
}

// boundNativeWorld: of a native client both the token and the key are stolen. What
// holds for tokens without a key then holds for these.
func boundNativeWorld() *search {
	s := thiefWorld()
	s.native, s.bound = true, true
	s.proofs, s.otherProofs = []proof{noProof, deviceProof}, []proof{noProof, deviceProof}
	s.times = []units{graceUnits}
	return s
}

// changedWorld: somebody who can write the store changes a row, which is then no
// longer as it was sealed, and puts it back. Meanwhile nobody is served by it, and
// afterwards it is as if answers had been lost.
func changedWorld() *search {
	s := lostWorld().with(2, read, force, upgrade)
	s.changes = 2
	return s
}

// TestSearch visits every world. Nothing in any of them is violated.
func TestSearch(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // most of a search's allocations stay until its end
	total, gone, full := 0, 0, rounds.Full() && *searchDepth == wholeDepth && searchShare == 1
	for _, w := range searchWorlds {
		t.Run(w.name, func(t *testing.T) {
			states := *searchStates
			if rounds.Full() {
				states = max(states, w.whole)
			}
			f := w.world().run(t, states/searchShare, *searchDepth)
			t.Log(f)
			if f.violation != "" {
				t.Errorf("%s, by %d steps:\n%s", f.violation, f.steps, f.trace)
			}
			if w.whole != 0 && full && !f.whole {
				t.Errorf("%d states are no longer all of them", f.states)
			}
			total, gone = total+f.states, gone+1
		})
	}
	t.Logf("%d states in all", total)
	if least := 100_000; total < least && gone == len(searchWorlds) && full && *searchStates >= defaultStates && !t.Failed() {
		t.Errorf("%d states show little, want %d", total, least)
	}
}
