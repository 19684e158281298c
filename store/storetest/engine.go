package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// Engine is one new, empty store under test, with hooks for the suite. Only
// Store is required. The function that opens a store also closes it, with
// t.Cleanup. Several engines are open at a time, so each needs its own data: a
// file, a schema, a prefix.
type Engine struct {
	// Store is the handle that all subtests use. It was opened on empty data,
	// so that Open has made the log.
	Store store.Store

	// Clock moves the engine's clock by d, which may be negative, for all
	// handles. Between calls the clock may stand still or run. The wait of
	// Since is in real time regardless.
	//
	// If Clock is nil, the engine uses a real clock. Tests that depend on time
	// then run with limits of a second or so (longer if the engine is slow), 16
	// subtests at once. Tests that need a clock that jumps, or many hours, are
	// left out.
	Clock func(d time.Duration)

	// Reopen opens one more handle on the same data, as another process would,
	// while Store stays in use. It is nil if an engine belongs to one process.
	Reopen func(t *testing.T) store.Store

	// Restart closes every handle and opens the data again. The suite calls no
	// method of an old handle afterwards. It is nil if the engine loses its
	// data when it is closed.
	Restart func(t *testing.T) store.Store

	// Backup copies the current data, and returns a function that opens the
	// copy: a store that went back. It is nil if the engine can go back only by
	// a crash.
	Backup func(t *testing.T) (restore func(t *testing.T) store.Store)

	// Tidy does one step of the housekeeping that the engine otherwise does in
	// the background at its own times: dropping entries and cutoffs, deleting
	// families past their limits. It is nil if that happens during the methods,
	// or in the background within a second or two.
	Tidy func()

	// Families returns the number of rows of families in any state. If it is
	// nil, their removal is not tested.
	Families func() int
}

// property is one sentence of the contract. A timed one lets the engine's clock
// pass; a leaping one needs a clock that can be moved.
type property struct {
	name  string
	timed bool
	leaps bool
	test  func(h *harness)
}

type group struct {
	name       string
	properties []property
}

func groups() []group {
	return []group{
		{"Create", creating}, {"Ends", ending}, {"Limit", limiting}, {"Renew", renewing}, {"Seal", sealing}, {"Times", sealedTimes}, {"Known", knowing},
		{"Advance", advancing}, {"Reissue", reissuing}, {"Commit", committing},
		{"Family", reading}, {"Families", slices.Concat(listing, paging)}, {"Again", passing}, {"Expiry", expiring},
		{"Revoke", slices.Concat(revoking, ringed)}, {"Ended", counting}, {"Restore", slices.Concat(restoring, restoringAgain)}, {"Rebirth", rebearing}, {"Birth", birth},
		{"Names", naming}, {"Actor", actingFor}, {"Bind", bindingOnce}, {"Key", proving},
		{"Position", positioning}, {"Log", logging}, {"Wait", waiting}, {"Cursor", following}, {"Floor", dropping}, {"Clock", jumping}, {"Cutoffs", cutting},
		{"Announce", announcing}, {"Keys", keeping}, {"Argument", arguing}, {"Context", cancelling},
		{"Race", racing}, {"Overtake", overtaking}, {"Handles", sharing}, {"Restart", restarting}, {"Rollback", rollingBack}, {"Scale", scaling},
		{"Model", modelling}, {"History", remembering},
	}
}

// Run tests an engine against the contract. It calls open once for each
// subtest, and once for itself.
func Run(t *testing.T, open func(t *testing.T) Engine) {
	t.Helper()
	has := open(t)
	for _, hook := range []struct {
		name    string
		missing bool
	}{{"Clock", has.Clock == nil}, {"Reopen", has.Reopen == nil}, {"Restart", has.Restart == nil}, {"Backup", has.Backup == nil}, {"Tidy", has.Tidy == nil}, {"Families", has.Families == nil}} {
		if hook.missing {
			t.Logf("storetest: the engine offers no %s", hook.name)
		}
	}
	const asleep = 16
	var slack time.Duration
	if has.Clock == nil && has.Store != nil {
		slack = slackOf(t, has.Store, asleep)
		t.Logf("storetest: limits are multiples of %v", slack)
	}
	run := func(g group, p property) {
		t.Run(g.name+"/"+p.name, func(t *testing.T) { p.test(newHarness(t, open, slack)) })
	}
	// Under a real clock the timed tests mostly sleep. They run together,
	// before the others keep the machine busy.
	var sleeping sync.WaitGroup
	slots := make(chan struct{}, asleep)
	var rest []func()
	for _, g := range groups() {
		if g.name == "Handles" && has.Reopen == nil || g.name == "Restart" && has.Restart == nil || g.name == "Rollback" && has.Backup == nil {
			continue
		}
		for _, p := range g.properties {
			switch {
			case has.Clock != nil, !p.timed && !p.leaps:
				rest = append(rest, func() { run(g, p) })
			case p.timed:
				sleeping.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					run(g, p)
				})
			}
		}
	}
	sleeping.Wait()
	for _, test := range rest {
		test()
	}
}
