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
	{"two answers are lost", "(b) the honest browser is taken for a thief", func() *search {
		s := lostWorld().with(2, force)
		s.losses = 2
		return s
	}},
	{"two answers are late, and overlap", "(b) the honest browser is taken for a thief", func() *search {
		s := lateWorld().with(2, force)
		s.lateOnes, s.lateUntil, s.times = 2, graceUnits, []units{graceUnits, halfUnits}
		return s
	}},
	{"two answers are late, and do not overlap", "(b) the honest browser is taken for a thief", func() *search {
		s := dueWorld().with(2, read)
		s.apart, s.lateUntil, s.life = true, graceUnits, accessUnits
		s.times = []units{graceUnits, accessUnits}
		return s
	}},
	{"an answer is late by half a lifetime, less half the grace", "(b) the honest browser is taken for a thief", func() *search {
		s := lateFewerTimes().with(2, force)
		s.lateUntil++
		return s
	}},
	{"an answer is late by what cookies live, less half the grace", "(b) the honest browser is taken for a thief", func() *search {
		s := dueWorld().with(2, read)
		s.lateUntil++
		s.times = []units{promptUnits, s.lateUntil, s.life}
		return s
	}},
	{"a refresh is answered after the Renew beside it", "(b) the honest browser has lost", func() *search {
		s := promptWorld().with(2, read, renew)
		s.neverLost, s.neverRefused, s.reload = true, false, true
		return s
	}},
	{"a thief comes within half a lifetime before the second of two honest refreshes", "(d)", func() *search {
		s := thiefWorld().with(1, read)
		s.thiefClear, s.thiefLiteral = false, true
		s.times = []units{graceUnits, accessUnits}
		return s
	}},
	{"a saved value is put back with the token of before, in the grace", "(c) with a token", func() *search {
		s := putBackWorld().with(1, force, save)
		s.staleSaves, s.staleLiteral = false, true
		return s
	}},
}

// lateFewerTimes is lateWorld with fewer lengths of time that can pass.
func lateFewerTimes() *search {
	s := lateWorld()
	s.times = []units{promptUnits, halfUnits - promptUnits, halfUnits}
	return s
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
