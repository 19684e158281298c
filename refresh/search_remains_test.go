package refresh_test

import "testing"

// whatRemains are the limits of the promises, each one step beyond a world of
// [searchWorlds]. There the protocol cannot help, and the documentation has to
// say so. A limit that is no longer met must be struck from it.
var whatRemains = []struct {
	name     string
	property string
	world    func() *search
}{
	{"answers are lost, and two round trips that overlap take a unit more than M", "(b) the honest browser is taken for a thief", func() *search {
		s := lostWorld().with(2, force)
		s.sum++
		s.times = []units{graceUnits - 1, graceUnits + 1, halfUnits}
		return s
	}},
	{"answers are lost, and two round trips that overlap take a unit more than two graces", "(b) the honest browser is taken for a thief", func() *search {
		s := wideLostWorld().with(2, force)
		s.sum++
		s.times = []units{1, graceUnits - 1, graceUnits, 5 * graceUnits}
		s.begins = []move{
			{act: passes, i: 3},
			{act: sends, j: uint8(force)}, {act: steps}, {act: loses}, // 2.0
			{act: passes, i: 1},
			{act: sends, j: uint8(force)}, {act: steps}, // 2.0 again, within the grace
			{act: passes, i: 0},
			{act: sends, j: uint8(force)}, {act: steps, i: 1}, {act: loses, i: 1}, // 2.1
			{act: passes, i: 2},
			{act: sends, j: uint8(force)}, {act: steps, i: 1}, {act: loses, i: 1}, // 2.2
			{act: sends, j: uint8(force)}, {act: arrives}, {act: passes, i: 2},
		}
		return s
	}},
	{"no answer is lost, and two round trips that overlap take half a lifetime", "(b) the honest browser is taken for a thief", func() *search {
		s := lateWorld().with(2, force)
		s.sum++
		return s
	}},
	{"the jar falls back by two refreshes", "(b) the honest browser is taken for a thief", func() *search {
		s := fallenWorld()
		s.freshAsides, s.losses, s.asides = false, 0, 1
		return s
	}},
	{"rotation is strict, and an answer is lost", "(b) the honest browser is taken for a thief", func() *search {
		s := lostWorld().with(2, force)
		s.rules, s.losses = tight, 1
		s.rules.Strict = true
		return s
	}},
	{"rotation is strict, and a row is changed and put back", "(b) the honest browser is taken for a thief", func() *search {
		s := changedWorld().with(1, force)
		s.rules, s.losses, s.changes = tight, 0, 1
		s.rules.Strict = true
		return s
	}},
	{"the browser rests for the idle limit less one and a half lifetimes", "(b) the honest browser is refused", func() *search {
		s := idleWorld()
		s.gap += promptUnits + 2 // one unit each for the two times that are just not over
		s.times = []units{halfUnits - 1, halfUnits, s.gap}
		return s
	}},
	{"a client has lost as many answers as there are copies", "(b) the honest browser is refused", func() *search {
		s := usedUpWorld()
		s.neverRefused = true
		return s
	}},
	{"a native client refreshes several times at once, for half a lifetime", "(b) the honest browser is taken for a thief", func() *search {
		s := promptWorld().with(2, force)
		s.native, s.neverReissued, s.times = true, false, []units{1, graceUnits, halfUnits}
		return s
	}},
	{"the engine's clock is set back after an advance, and requests overlap", "(b) the honest browser is taken for a thief", func() *search {
		s := jumpWorld().with(2, force)
		s.jumps = 1
		return s
	}},
	{"the store goes back in time", "(b) the honest browser is refused", func() *search {
		s := goneBackWorld()
		s.neverRefused = true
		return s
	}},
	{"a refresh is answered after the Renew beside it", "(b) the honest browser has lost", func() *search {
		s := promptWorld().with(2, read, renew)
		s.neverLost, s.neverRefused, s.reload = true, false, true
		return s
	}},
	{"the owner has advanced once", "(d)", func() *search {
		s := thiefWorld()
		s.thiefAdvances = 1
		return s
	}},
	{"the owner has refreshed four times, half a lifetime apart", "(d)", func() *search {
		s := thiefWorld()
		s.thiefSpaced, s.times = 4, []units{graceUnits - 1}
		return s
	}},
	{"the thief refreshes within the grace of each of the owner's refreshes", "(d)", func() *search {
		s := thiefWorld()
		s.inTheGrace = true
		return s
	}},
	{"the owner has refreshed five times, half a lifetime apart, and answers are lost", "(d)", func() *search {
		s := thiefBesideWorld().with(1, force)
		s.thiefSpaced, s.times = 5, []units{halfUnits}
		return s
	}},
	{"the store goes back to a time at which the stolen copy was good", "(d)", func() *search {
		s := rareThief()
		s.goesBack, s.remembers = true, true
		return s
	}},
	{"a saved value is put back with the token of before, in the grace", "(c) with a token", func() *search {
		s := putBackWorld().with(1, force, save)
		s.staleSaves, s.staleLiteral = false, true
		return s
	}},
}

// TestSearchFindsWhatRemains: one step beyond its limits each promise is
// broken, so the worlds in which it holds are no smaller than they must be.
func TestSearchFindsWhatRemains(t *testing.T) {
	for _, limit := range whatRemains {
		t.Run(limit.name, func(t *testing.T) {
			s := limit.world()
			s.only = limit.property
			f := s.run(t, brokenStates, *searchDepth)
			if f.violation == "" {
				t.Fatalf("nothing happens: is the promise larger than it says? %v", f)
			}
			t.Logf("%v: %d steps\n%s", f, f.steps, f.trace)
		})
	}
}
