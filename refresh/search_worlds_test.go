package refresh_test

import (
	"runtime/debug"
	"testing"

	"github.com/waferkit/wafer/internal/rounds"
)

// searchWorlds are the worlds in which nothing may be violated. The whole ones
// are small enough for every full run to see all of them, whatever the flags
// are. There the property holds for traces of any length.
var searchWorlds = []struct {
	name  string
	whole int // states
	world func() *search
}{
	{"prompt", 0, promptWorld},
	{"prompt refreshes", 0, func() *search { return promptWorld().with(4, force) }},
	{"prompt by phases", 0, func() *search {
		s := promptWorld().with(3, force, commit)
		s.split = true
		return s
	}},
	{"one lost", 0, func() *search { return lostWorld().with(4, force, save, commit, endOthers) }},
	{"one lost, refreshes", 80_000, func() *search { return lostWorld().with(2, force) }},
	{"one late", 0, lateWorld},
	{"one late, not before it is due", 0, func() *search { return dueWorld().with(3, read) }},
	{"put back", 0, putBackWorld},
	{"put back, refreshes", 20_000, func() *search { return putBackWorld().with(1, force, save, commit) }},
	{"put back, renewed", 0, func() *search {
		s := putBackWorld().with(1, force, commit, renew)
		s.asides, s.reload, s.times = 1, true, []units{halfUnits}
		return s
	}},
	{"put back by phases", 0, func() *search {
		s := putBackWorld().with(2, force, save, commit, renew)
		s.split = true
		return s
	}},
	{"changes by phases", 0, func() *search {
		return &search{
			flights: 2, kinds: []kind{save, commit, endOthers, renew}, split: true, reload: true,
			times: []units{accessUnits},
		}
	}},
	{"thief", 70_000, thiefWorld},
	{"thief among answers", 0, func() *search {
		s := thiefWorld().with(1, read, force)
		s.otherKinds, s.atOnce = []kind{read, force, save}, false
		s.times = []units{1, graceUnits - 1, halfUnits, accessUnits}
		return s
	}},
	{"revoked", 0, revokedWorld},
	{"revoked, and the log dropped", 0, droppedWorld},
	{"two devices", 0, deviceWorld},
	{"two devices, and the log dropped", 0, func() *search {
		s := deviceWorld().with(2, force, commit)
		s.otherKinds, s.asides, s.drops = []kind{force, logout}, 0, true
		s.times = []units{graceUnits + 1, accessUnits} // entries are dropped while a generation is young
		return s
	}},
}

// with returns the world with other requests.
func (s *search) with(flights int, kinds ...kind) *search {
	s.flights, s.kinds = flights, kinds
	return s
}

// promptWorld: an honest browser whose answers arrive in less than half the
// grace, in any order. It is never taken for a thief, never refused, and never
// uses up its one forgiveness.
func promptWorld() *search {
	return &search{
		flights: 4, kinds: []kind{force, save, commit, endOthers},
		times: []units{1, graceUnits, halfUnits, accessUnits}, prompt: promptUnits,
		neverReplayed: true, neverForgiven: true, neverRefused: true,
	}
}

// lostWorld: the same, but one answer is lost.
func lostWorld() *search {
	s := promptWorld()
	s.losses, s.neverForgiven = 1, false
	return s
}

// lateWorld: the same, but one request is under way for up to half a lifetime,
// less half the grace: it may have been sent when the answer to another, which
// advanced the family, was still under way.
func lateWorld() *search {
	s := promptWorld().with(4, force, commit)
	s.neverForgiven, s.lateOnes, s.lateUntil = false, 1, halfUnits-promptUnits-1
	s.times = []units{1, graceUnits, halfUnits, accessUnits}
	return s
}

// dueWorld: if nothing is committed and nobody refreshes before it is due, the
// one answer may be late by that much less than cookies live.
func dueWorld() *search {
	s := lateWorld()
	s.life = accessUnits * 9 / 10
	s.lateUntil = s.life - promptUnits - 1
	s.times = []units{1, graceUnits, s.lateUntil, s.life}
	return s
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
		times: []units{1}, prompt: promptUnits, thiefClear: true,
	}
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
	s.drops, s.times = true, []units{graceUnits + 1, halfUnits, accessUnits}
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
