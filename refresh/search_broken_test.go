package refresh_test

import (
	"context"
	"testing"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// brokenStates is the number of states that a search for a broken rule visits.
const brokenStates = 60_000

// brokenRules are rules of the design, broken on purpose. Each must violate the
// property that protects it. Otherwise the search would not notice if somebody
// broke the rule by mistake.
var brokenRules = []struct {
	name     string
	property string
	world    *search
	twist    twist
}{
	// The rows of the table.
	{
		"an ended family is served", "(a)", revokedWorld(), twist{show: alive(store.Ended)},
	}, {
		"a family born before its subject was revoked is served", "(a)", revokedWorld(), twist{show: alive(store.CutOff)},
	}, {
		"the idle limit is not judged", "(e)", idleThief(),
		twist{store: wrongs{limits: true}, show: func(_ refresh.Request, s *store.Snapshot) { s.Family.Idle = time.Hour }},
	}, {
		"the kind of client is not judged", "(e)", lostWorld().with(1, force, wrongDoor),
		twist{store: wrongs{kind: true}, show: func(q refresh.Request, s *store.Snapshot) { s.Family.Native = q.Native }},
	}, {
		"a generation ahead is a replay", "(b) the honest browser is taken for a thief", goneBackWorld(),
		twist{show: func(q refresh.Request, s *store.Snapshot) {
			if q.Generation > s.Family.Generation {
				s.Family.Generation = q.Generation + 2
			}
		}},
	}, {
		"a copy ahead is a replay", "(b) the honest browser is taken for a thief", goneBackAlone(),
		twist{show: func(q refresh.Request, s *store.Snapshot) {
			if q.Generation == s.Family.Generation && q.Copy > s.Family.Copy {
				s.Family.Generation += 2
			}
		}},
	}, {
		"a generation ahead is served", "(e)", goneBackWorld(),
		twist{show: func(q refresh.Request, s *store.Snapshot) {
			s.Family.Generation = max(s.Family.Generation, q.Generation)
		}},
	}, {
		"a copy ahead is served", "(e)", goneBackAlone(),
		twist{show: func(q refresh.Request, s *store.Snapshot) {
			if q.Generation == s.Family.Generation {
				s.Family.Copy = max(s.Family.Copy, q.Copy)
			}
		}},
	}, {
		"a generation advances by copies alone, and not by time", "(d)", rareThief(),
		twist{advance: func(_ refresh.Request, a *store.Advance) { a.Age, a.Skew = time.Hour, time.Hour }, show: func(q refresh.Request, s *store.Snapshot) {
			if q.Generation == s.Family.Generation {
				s.Family.Issued = s.Now
			}
		}},
	}, {
		"a generation advances by time alone, and not by copies", "(d)", rareThief(),
		twist{advance: func(_ refresh.Request, a *store.Advance) { a.Lag = 0 }, show: func(q refresh.Request, s *store.Snapshot) {
			if q.Generation == s.Family.Generation {
				s.Family.Copy = min(s.Family.Copy, q.Copy+2)
			}
		}},
	}, {
		"what is presented always advances", "(b)", fewerTimes(promptWorld().with(4, force)),
		twist{advance: func(_ refresh.Request, a *store.Advance) { a.Age = 0 }},
	}, {
		"it advances within the grace", "(b)", fewerTimes(promptWorld().with(4, force)),
		twist{advance: func(_ refresh.Request, a *store.Advance) { a.Age = tight.Grace - 2*searchUnit }},
	}, {
		"there is no grace", "(b) an answer that was not lost", promptWorld().with(2, force),
		twist{policy: refresh.Policy{Access: tight.Access, Grace: time.Millisecond, Skew: tight.Skew}},
	}, {
		"there is no grace, and no copies", "(b) the honest browser is taken for a thief", promptWorld().with(2, force),
		twist{policy: refresh.Policy{Access: tight.Access, Grace: time.Millisecond, Skew: tight.Skew, Strict: true}},
	}, {
		"the grace has no end", "(d)", rareThief(),
		twist{show: parent(func(_ refresh.Request, s *store.Snapshot) { s.Family.Issued = s.Now })},
	}, {
		"no lost answer is replaced", "(b) the honest browser is taken for a thief", lostWorld().with(2, force),
		twist{policy: refresh.Policy{Access: tight.Access, Grace: tight.Grace, Skew: tight.Skew, Strict: true}},
	}, {
		"a copy is served after another was used", "(d)", rareThief(),
		twist{store: wrongs{reissueUsed: true}, show: parent(func(q refresh.Request, s *store.Snapshot) { s.Family.Used = q.Copy })},
	}, {
		"two generations ago is a lost answer", "(e)", rareThief(),
		twist{store: wrongs{reissueGeneration: true, reissueUsed: true}, show: func(q refresh.Request, s *store.Snapshot) {
			if q.Generation+2 == s.Family.Generation {
				s.Family.Generation, s.Family.Used = q.Generation+1, q.Copy
			}
		}},
	}, {
		"there are more copies than a token can name", "(e)", usedUpWorld(),
		twist{store: wrongs{copiesUsedUp: true}, show: func(_ refresh.Request, s *store.Snapshot) {
			s.Family.Copy = min(s.Family.Copy, store.MaxCopy-1)
		}},
	}, {
		"no copy left is a replay", "(b) the honest browser is taken for a thief", usedUpWorld(),
		twist{show: parent(func(q refresh.Request, s *store.Snapshot) {
			if s.Family.Copy == store.MaxCopy && s.Now.Sub(s.Family.Issued) >= tight.Grace {
				s.Family.Used = q.Copy + 1
			}
		})},
	}, {
		"a clock that was set back does not count", "(e)", jumpWorld(),
		twist{store: wrongs{skew: true, reissueSkew: true}, show: func(_ refresh.Request, s *store.Snapshot) {
			if s.Family.Issued.After(s.Now) {
				s.Family.Issued = s.Now
			}
		}},
	}, {
		"a clock that is behind by the skew was set back", "(b) an answer that was not lost", skewedWorld(),
		twist{policy: refresh.Policy{Access: tight.Access, Grace: tight.Grace}},
	}, {
		"a replay ends nothing", "(a)", rareThief(), twist{store: wrongs{replayLives: true}},
	}, {
		"a position below the floor is not raised", "(e) what is issued", floorWorld(),
		twist{show: func(_ refresh.Request, s *store.Snapshot) { s.Floor = 0 }, request: func(q *refresh.Request) { q.Floor = 0 }},
	}, {
		"an answer is made of the snapshot from before", "(h)", lostWorld(), twist{unjudged: true},
	}, {
		"every answer writes the refresh token", "(b) the honest browser is taken for a thief", coarse(lostWorld().with(2, force), 0), twist{again: true},
	}, {
		"an upgrade is refreshed", "(b) an answer that was not lost", lostWorldOf(promptWorld().with(2, force, upgrade)), twist{upgrades: true},
	},

	// Bound families.
	{
		"a bound family is served without a proof", "(d) the thief is served by", boundWorld(),
		twist{store: wrongs{key: true}, show: func(_ refresh.Request, s *store.Snapshot) { s.Family.Counts = false }},
	}, {
		"a proof by any key will do", "(d) the thief is served by", boundWorld(),
		twist{store: wrongs{key: true}, show: func(q refresh.Request, s *store.Snapshot) {
			if !q.Key.IsZero() {
				s.Family.Key = q.Key
			}
		}},
	}, {
		"no proof is a replay", "(b) the honest browser is taken for a thief", boundWorld(),
		twist{show: func(q refresh.Request, s *store.Snapshot) {
			if s.Family.Counts && q.Key != s.Family.Key {
				s.Family.Counts, s.Family.Generation = false, q.Generation+2
			}
		}},
	}, {
		"a proof takes no token's place", "(b) the honest browser is taken for a thief", boundWorld(), twist{show: tokenDecides},
	}, {
		"a proof takes no token's place until the key counts", "(e)", bindingWorld(), twist{show: func(q refresh.Request, s *store.Snapshot) {
			if !s.Family.Counts {
				tokenDecides(q, s)
			}
		}},
	}, {
		"a native client's proof takes its token's place", "(e)", boundNativeWorld(),
		twist{request: func(q *refresh.Request) { q.Native = false }, show: func(_ refresh.Request, s *store.Snapshot) { s.Family.Native = false }, store: wrongs{kind: true}},
	}, {
		"a proven browser advances from the token that it presented", "(e) a refresh fails", boundWorld(),
		twist{advance: func(q refresh.Request, a *store.Advance) { a.Generation, a.Copy = max(q.Generation, 1), q.Copy }},
	}, {
		"the copy of a proven browser lags", "(e)", bindingThief(), twist{advance: func(_ refresh.Request, a *store.Advance) { a.Lag = lies }},
	}, {
		"a proven browser gets the token that it presented", "(e)", bindingLost(), twist{unproven: true},
	}, {
		"a proof carries data of any age", "(c) with a proof", boundWorld(),
		twist{request: func(q *refresh.Request) { q.Carried = 0 }},
	}, {
		"an advance leaves a proven key that does not count", "(e)", bindingWorld(), twist{store: wrongs{countsNot: true}},
	}, {
		"a key comes to count by an advance or a copy alone", "(e) a proof has brought", bindingWorld(),
		twist{show: func(q refresh.Request, s *store.Snapshot) { s.Family.Counts = s.Family.Counts || q.Key == s.Family.Key }},
	}, {
		"a write does not ask for a proof", "(e)", bindingRace(), twist{store: wrongs{key: true}},
	},

	// Rows that somebody has changed.
	{
		"a row that was changed is served", "(e)", changedWorld(), twist{verify: func(context.Context, *store.Family) error { return nil }},
	}, {
		"a replay comes before the seal", "(i)", changedThief(),
		twist{show: func(q refresh.Request, s *store.Snapshot) {
			if verdict, _ := tight.Judge(q, *s); verdict == refresh.Replay {
				s.Family.Seal = store.Seal{}
			}
		}},
	}, {
		"the proof comes before the seal", "(i)", changedBound(),
		twist{show: func(q refresh.Request, s *store.Snapshot) {
			if verdict, reason := tight.Judge(q, *s); verdict == refresh.Refuse && reason == refresh.ReasonUnproven {
				s.Family.Seal = store.Seal{}
			}
		}},
	},

	// The fields that an advance and a copy write.
	{
		"an advance leaves the copy that was used", "(b) the honest browser is taken for a thief", coarse(lostWorld().with(2, force), anyNumber), twist{store: wrongs{usedStays: true}},
	}, {
		"an advance leaves the copies", "(e) the advance", lostWorld().with(2, force), twist{store: wrongs{copyStays: true}},
	}, {
		"an advance leaves the time", "(b)", promptWorld().with(2, force), twist{store: wrongs{issuedStays: true}},
	}, {
		"a copy leaves the time", "(b) the honest browser is taken for a thief", coarse(lostWorld().with(2, force), anyNumber), twist{store: wrongs{reissueIssuedStays: true}},
	}, {
		"a copy is the one before", "(d)", rareThief(), twist{store: wrongs{sameCopy: true}},
	}, {
		"they leave the position", "(e) family", floorWorld(), twist{store: wrongs{position: true}},
	}, {
		"raising the position is an advance", "(e) raising", floorWorld(), twist{store: wrongs{raiseIsAnAdvance: true}},
	},

	// The conditions in their writes.
	{
		"a write does not ask whether the family lives", "(e)", revokedWorld(), twist{store: wrongs{alive: true}},
	}, {
		"nor whether it is within its limits", "(e)", idleThief(), twist{store: wrongs{limits: true}},
	}, {
		"nor of which kind it is", "(e)", lostWorld().with(1, force, wrongDoor), twist{store: wrongs{kind: true}},
	}, {
		"nor which data goes on", "(c) a family", putBackWorld().with(1, force, commit), twist{store: wrongs{basis: true}},
	}, {
		"what is behind a Commit is written all the same", "(c) a family", putBackWorld().with(1, force, commit), twist{store: wrongs{behindWrites: true}},
	}, {
		"an advance does not ask which generation is presented", "(e)", lostWorld().with(2, force), twist{store: wrongs{generation: true}},
	}, {
		"nor which copy", "(e)", goneBackAlone(), twist{store: wrongs{copied: true}},
	}, {
		"nor how old it is", "(e)", lostWorld().with(2, force), twist{store: wrongs{age: true}},
	}, {
		"nor whether it lags", "(e)", rareThief(), twist{store: wrongs{lag: true}},
	}, {
		"nor whether the clock was set back", "(e)", jumpWorld(), twist{store: wrongs{skew: true}},
	}, {
		"a copy does not ask which generation is presented", "(e) %d.%d gets a copy", racing(), twist{store: wrongs{reissueGeneration: true}},
	}, {
		"nor which generation, nor which copy was used", "(e) %d.%d gets a copy", racing(), twist{store: wrongs{reissueUsed: true, reissueGeneration: true}},
	}, {
		"nor how old the last is", "(e) %d.%d gets a copy", racing(), twist{store: wrongs{reissueAge: true}},
	}, {
		"nor whether the clock was set back, for a copy", "(e) a refresh fails", jumpWorld(), twist{store: wrongs{reissueSkew: true}},
	}, {
		"nor whether one is left", "(e) %d.%d gets a copy", usedUpRace(), twist{store: wrongs{copiesUsedUp: true}},
	},

	// Data.
	{
		"a refresh takes data of before a Commit", "(c) data", putBackWorld().with(1, force, commit),
		twist{request: func(q *refresh.Request) { q.Basis = store.MaxPosition }},
	}, {
		"a Commit goes on from data of before another", "(c) commit", &search{flights: 2, kinds: []kind{commit}, split: true},
		twist{store: wrongs{commitBasis: true}},
	}, {
		"a Renew goes on from data of before a Commit", "(c) data", &search{flights: 2, kinds: []kind{commit, renew}, split: true},
		twist{store: wrongs{renewBasis: true}},
	}, {
		"EndOthers goes on from data of before a Commit", "(c) data", &search{flights: 2, kinds: []kind{commit, endOthers}, split: true},
		twist{store: wrongs{endOtherBasis: true}},
	}, {
		"a Commit supersedes no cookie", "(c) data", putBackWorld().with(1, force, commit),
		twist{cutoffs: func(c *store.Cutoffs) { c.Superseding = 0 }},
	}, {
		"a cookie two generations old carries", "(c) with a token", putBackWorld().with(1, force, save),
		twist{carries: func(c sealed, t token) bool { return c.family == t.family && c.generation+2 >= t.generation }},
	}, {
		"Save gives a new lifetime", "(f)", &search{flights: 1, kinds: []kind{save}, times: []units{halfUnits}}, twist{saveLife: true},
	},

	// Ends.
	{
		"a cookie carries the head of when it is sealed", "(a)", revokedWorld().with(1, force, save), twist{laterHead: true},
	}, {
		"EndOthers has no rebirth", "(b) EndOthers", promptWorld(), twist{store: wrongs{noRebirth: true}},
	}, {
		"Renew does not end the old family", "(a)", revokedWorld(), twist{store: wrongs{renewLives: true}},
	}, {
		"a login does not end the old family", "(a)", revokedWorld(), twist{store: wrongs{loginLives: true}},
	}, {
		"a logout ends nothing", "(a)", revokedWorld(), twist{store: wrongs{logoutLives: true}},
	}, {
		"a cookie of a revoked subject is accepted", "(a)", revokedWorld(),
		twist{cutoffs: func(c *store.Cutoffs) { c.Subject = 0 }},
	}, {
		"a cookie from before everyone was revoked is accepted", "(a)", revokedWorld(),
		twist{cutoffs: func(c *store.Cutoffs) { c.Everyone = 0 }},
	}, {
		"a cookie of an ended session is accepted", "(a)", revokedWorld(),
		twist{cutoffs: func(c *store.Cutoffs) { c.Ending = 0 }},
	}, {
		"a cookie below the floor is accepted", "(a)", droppedWorld().with(1, force, logout),
		twist{cutoffs: func(c *store.Cutoffs) { c.Floor = 0 }},
	}, {
		"of two living sessions the cookie's counts", "(g)", deviceWorld(), twist{mixed: true},
	},
}

// tokenDecides hides a proof by the family's key.
func tokenDecides(q refresh.Request, s *store.Snapshot) {
	if q.Key == s.Family.Key {
		s.Family.Key, s.Family.Counts = store.Key{}, false
	}
}

// bindingLost: a browser loses answers before it binds its family.
func bindingLost() *search {
	s := coarse(lostWorld().with(2, force), anyNumber)
	s.binds, s.proofs = true, []proof{noProof, deviceProof}
	return s
}

// bindingThief: a thief makes copies before the browser binds its family.
func bindingThief() *search {
	s := rareThief()
	s.binds, s.proofs = true, []proof{noProof, deviceProof}
	return s
}

// bindingRace: the key comes to count between two calls of a refresh without a
// proof.
func bindingRace() *search {
	s := racing()
	s.binds, s.proofs = true, []proof{noProof, deviceProof}
	return s
}

// changedThief: a thief replays a token of a row that was changed.
func changedThief() *search {
	s := rareThief()
	s.changes, s.thiefAdvances, s.thiefSpaced = 1, 0, 0
	return s
}

// changedBound: a row that is bound is changed.
func changedBound() *search {
	s := boundWorld()
	s.changes = 1
	return s
}

// fewerTimes returns the world with fewer lengths of time that can pass.
func fewerTimes(s *search) *search {
	s.times = []units{1, halfUnits}
	return s
}

// coarse counts time in whole graces, which makes traces shorter.
func coarse(s *search, losses uint8) *search {
	s.times, s.losses = []units{graceUnits, halfUnits}, losses
	return s
}

// goneBackAlone: one request at a time, and the store loses a copy.
func goneBackAlone() *search {
	s := coarse(goneBackWorld().with(1, force), anyNumber)
	s.begins = []move{
		{act: passes, i: 1}, {act: sends, j: uint8(force)}, {act: steps}, {act: loses}, // 2.0
		{act: backsUp}, {act: passes, i: 0},
	}
	return s
}

// rareThief counts time in whole graces, which makes traces shorter.
func rareThief() *search {
	s := thiefWorld()
	s.times = []units{graceUnits}
	return s
}

// idleThief: nobody has to come in time.
func idleThief() *search {
	s := idleWorld()
	s.gap, s.neverRefused = 0, false
	return s
}

// skewedWorld: the engine's clock is set back by no more than the skew.
func skewedWorld() *search {
	s := promptWorld().with(2, force)
	s.jumps, s.jump = 1, skewUnits
	return s
}

// racing: of two requests, one is served between two calls of the other, which may
// take as long as the grace.
func racing() *search {
	s := lostWorld().with(2, force)
	s.split, s.sum, s.neverReplayed, s.neverRefused = true, 0, false, false
	s.times, s.slowCalls = []units{graceUnits, halfUnits}, true
	return s
}

// usedUpRace: the same, and nearly no copy is left.
func usedUpRace() *search {
	s := racing()
	s.copies = store.MaxCopy - 1
	return s
}

func lostWorldOf(s *search) *search {
	s.losses = anyNumber
	return s
}

// alive shows families of one state as living.
func alive(was store.State) func(refresh.Request, *store.Snapshot) {
	return func(_ refresh.Request, s *store.Snapshot) {
		if s.State == was {
			s.State = store.Alive
		}
	}
}

// parent changes what the rules see if the generation before the family's is
// presented.
func parent(edit func(refresh.Request, *store.Snapshot)) func(refresh.Request, *store.Snapshot) {
	return func(q refresh.Request, s *store.Snapshot) {
		if q.Generation+1 == s.Family.Generation {
			edit(q, s)
		}
	}
}

// TestSearchFindsBrokenRules: each broken rule violates a property, by a short
// trace.
func TestSearchFindsBrokenRules(t *testing.T) {
	for _, rule := range brokenRules {
		t.Run(rule.name, func(t *testing.T) {
			s := *rule.world
			s.twist, s.only = rule.twist, rule.property
			f := s.run(t, brokenStates, *searchDepth)
			if f.violation == "" {
				t.Fatalf("it is broken, and nobody notices: %v", f)
			}
			t.Logf("%v: %d steps\n%s", f, f.steps, f.trace)
		})
	}
}
