package refresh_test

import (
	"context"
	"testing"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// brokenStates is the number of states that a search for a broken rule visits.
const brokenStates = 150_000

// brokenRules are rules of the design, broken on purpose. Each must violate the
// property that protects it. Otherwise the search would not notice if somebody
// broke the rule by mistake.
var brokenRules = []struct {
	name     string
	property string
	world    *search
	twist    twist
}{
	{
		"no grace", "(b) an answer that was not lost", promptWorld().with(2, force),
		twist{policy: refresh.Policy{Access: tight.Access, Grace: time.Millisecond}},
	}, {
		"no grace, nothing forgiven", "(b) the honest browser is taken for a thief", promptWorld().with(2, force),
		twist{policy: refresh.Policy{Access: tight.Access, Grace: time.Millisecond, Strict: true}},
	}, {
		"nothing is forgiven", "(b) the honest browser is taken for a thief", lostWorld().with(2, force),
		twist{policy: refresh.Policy{Access: tight.Access, Grace: tight.Grace, Strict: true}},
	}, {
		"the grace is extended at each reissue", "(e) generation", &search{flights: 1, kinds: []kind{force}, asides: 1, times: []units{graceUnits - 1, halfUnits}, atOnce: true},
		twist{advance: extendGrace, show: showTwisted},
	}, {
		"what is forgiven is not recorded", "(e) family %d forgives", rareThief(), twist{unrecorded: true},
	}, {
		"what is forgiven is not recorded, and a thief comes often", "(d)", rareThief(), twist{unrecorded: true},
	}, {
		"forgiving leaves the issue time", "(b) the honest browser is taken for a thief", fewerTimes(lostWorld().with(3, force)),
		twist{forgave: keepIssued, show: showIssued, advance: advanceIssued},
	}, {
		"the generation presented always advances", "(b)", fewerTimes(promptWorld().with(4, force)),
		twist{advance: func(_ *searchStore, a *store.Advance) { a.Age = 0 }},
	}, {
		"it advances within the grace", "(b)", fewerTimes(promptWorld().with(4, force)),
		twist{advance: func(_ *searchStore, a *store.Advance) { a.Age = tight.Grace - 2*searchUnit }},
	}, {
		"every answer writes the refresh token", "(b)", fewerTimes(promptWorld().with(2, force)), twist{again: true},
	}, {
		"an upgrade is refreshed", "(b)", promptWorld().with(2, force, upgrade), twist{upgrades: true},
	}, {
		"a refresh takes data of before a Commit", "(c) data", putBackWorld().with(1, force, commit),
		twist{request: func(q *refresh.Request) { q.Basis = store.MaxPosition }},
	}, {
		"a Commit goes on from data of before another", "(c) commit", &search{flights: 2, kinds: []kind{commit}, split: true},
		twist{commit: func(c *store.Commit) { c.Basis = store.MaxPosition }},
	}, {
		"a Renew goes on from data of before a Commit", "(c) data", &search{flights: 2, kinds: []kind{commit, renew}, split: true},
		twist{create: func(c *store.Creation) {
			if c.Renews != nil {
				c.Renews.Basis = store.MaxPosition
			}
		}},
	}, {
		"EndOthers goes on from data of before a Commit", "(c) data", &search{flights: 2, kinds: []kind{commit, endOthers}, split: true},
		twist{revoke: func(r *store.Revocation) bool {
			if r.Except != nil {
				r.Except.Basis = store.MaxPosition
			}
			return true
		}},
	}, {
		"a Commit supersedes no cookie", "(c) data", putBackWorld().with(1, force, commit),
		twist{cutoffs: func(c *store.Cutoffs) { c.Superseding = 0 }},
	}, {
		"a cookie two generations old carries", "(c) with a token", putBackWorld().with(1, force, save),
		twist{carries: func(c sealed, t token) bool { return c.family == t.family && c.generation+2 >= t.generation }},
	}, {
		"Save gives a new lifetime", "(f)", &search{flights: 1, kinds: []kind{save}, times: []units{halfUnits}}, twist{saveLife: true},
	}, {
		"a cookie carries the head of when it is sealed", "(a)", revokedWorld().with(1, force, save), twist{laterHead: true},
	}, {
		"EndOthers has no rebirth", "(b) EndOthers", promptWorld(),
		twist{revoke: func(r *store.Revocation) bool { r.Except = nil; return true }},
	}, {
		"Renew does not end the old family", "(a)", revokedWorld(),
		twist{create: func(c *store.Creation) { c.Renews = nil }},
	}, {
		"a login does not end the old family", "(a)", revokedWorld(),
		twist{create: func(c *store.Creation) { c.Ends = [2]store.ID{} }},
	}, {
		"a replay ends nothing", "(a)", rareThief(), twist{revoke: undone(string(refresh.ReasonReplay))},
	}, {
		"a logout ends nothing", "(a)", revokedWorld(), twist{revoke: undone("logout")},
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
		"a family born before its subject was revoked lives", "(a)", revokedWorld(), twist{show: alive(store.CutOff)},
	}, {
		"a family that was ended lives", "(a)", revokedWorld(), twist{show: alive(store.Ended)},
	}, {
		"of two living sessions the cookie's counts", "(g)", deviceWorld(), twist{mixed: true},
	},
}

// fewerTimes returns the world with fewer lengths of time that can pass.
func fewerTimes(s *search) *search {
	s.times = []units{1, halfUnits}
	return s
}

// rareThief counts time in whole graces, which makes traces shorter.
func rareThief() *search {
	s := thiefWorld()
	s.times = []units{graceUnits, halfUnits}
	return s
}

// undone keeps revocations for one reason from the store.
func undone(reason string) func(*store.Revocation) bool {
	return func(r *store.Revocation) bool { return r.Reason != reason }
}

// alive shows families of one state as living.
func alive(was store.State) func(*searchStore, *store.Snapshot) {
	return func(_ *searchStore, snap *store.Snapshot) {
		if snap.State == was {
			snap.State = store.Alive
		}
	}
}

// extendGrace records when the generation before was served within the time
// that it treats as the grace.
func extendGrace(s *searchStore, a *store.Advance) {
	snap, _ := s.mem.Family(context.Background(), a.ID)
	shown := snap
	showTwisted(s, &shown)
	if a.Generation+1 == snap.Family.Generation && snap.Now.Sub(shown.Family.Issued) < tight.Grace {
		s.w.twisted[familyOf(a.ID)] = s.w.now
	}
}

func showTwisted(s *searchStore, snap *store.Snapshot) {
	if at := s.w.twisted[familyOf(snap.Family.ID)]; at != 0 && snap.Family.Issued.Before(issued.Add(searchTime(at))) {
		snap.Family.Issued = issued.Add(searchTime(at))
	}
}

// keepIssued records the issue time from before a generation was forgiven.
// showIssued and advanceIssued use it.
func keepIssued(s *searchStore, before store.Snapshot) {
	s.w.twisted[familyOf(before.Family.ID)] = units(before.Family.Issued.Sub(issued) / searchUnit)
}

func showIssued(s *searchStore, snap *store.Snapshot) {
	if at := s.w.twisted[familyOf(snap.Family.ID)]; at != 0 && snap.Family.Forgiven+1 == snap.Family.Generation {
		snap.Family.Issued = issued.Add(searchTime(at))
	}
}

func advanceIssued(s *searchStore, a *store.Advance) {
	snap, _ := s.mem.Family(context.Background(), a.ID)
	showIssued(s, &snap)
	if snap.Now.Sub(snap.Family.Issued) >= a.Age {
		a.Age = 0
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
