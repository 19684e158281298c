package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// Engine is one new, empty store under test, and what the suite may do to it.
// Only Store is required. What must be closed is closed by t.Cleanup in the
// function that opened it. Several engines are open at a time, so each has its
// own data: a file, a schema, a prefix.
type Engine struct {
	// Store is the handle that all subtests use. The Open that made it found
	// nothing, so it has made the log.
	Store store.Store

	// Clock moves the clock that the engine stamps and judges by, for all
	// handles, by d, which may be negative. In between, the clock may stand
	// still or run. Waiting in Since goes by real time regardless.
	//
	// Nil: the clock is a real one. What depends on time then runs with limits
	// of a second or so (longer where the engine's calls are slow), 16 subtests
	// at once, and what needs a clock that jumps
	// or many hours is left out.
	Clock func(d time.Duration)

	// Reopen opens one more handle on the same data as another process would,
	// while Store stays in use. Nil: the engine belongs to one process.
	Reopen func(t *testing.T) store.Store

	// Restart closes every handle and opens the data again. A method called on
	// an old handle afterwards is never part of the suite. Nil: the engine
	// forgets when it is closed.
	Restart func(t *testing.T) store.Store

	// Backup copies the data as it is now, and returns what opens the copy: a
	// store that went back. Nil: no more than a crash can bring the engine back.
	Backup func(t *testing.T) (restore func(t *testing.T) store.Store)

	// Tidy does one step of the housekeeping that the engine otherwise does in
	// the background, at times of its own: dropping entries and cutoffs,
	// deleting families past their limits. Nil: it happens in the course of
	// the methods, or in the background within a second or two.
	Tidy func()

	// Families counts the rows of families, of whatever state. Nil: it is not
	// checked that they go away.
	Families func() int
}

// property is one sentence of the contract. One that is timed lets the
// engine's clock pass; one that leaps needs a clock that can be moved.
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
		{"Create", creating}, {"Ends", ending}, {"Limit", limiting}, {"Renew", renewing},
		{"Advance", advancing}, {"Commit", committing}, {"Forgive", forgiving},
		{"Family", reading}, {"Families", listing}, {"Expiry", expiring},
		{"Revoke", revoking}, {"Restore", slices.Concat(restoring, restoringAgain)}, {"Rebirth", rebearing}, {"Birth", bearing},
		{"Position", positioning}, {"Log", logging}, {"Wait", waiting}, {"Floor", dropping}, {"Cutoffs", cutting},
		{"Keys", keeping}, {"Argument", arguing}, {"Context", cancelling},
		{"Race", racing}, {"Overtake", overtaking}, {"Handles", sharing}, {"Restart", restarting}, {"Rollback", rollingBack}, {"Scale", scaling},
		{"Model", modelling}, {"History", remembering},
	}
}

// Run holds an engine against the contract. It calls open once for each
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
	// Under a real clock the timed ones mostly sleep, so they do it together,
	// before the others keep the machine busy.
	var sleeping sync.WaitGroup
	beds := make(chan struct{}, asleep)
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
					beds <- struct{}{}
					defer func() { <-beds }()
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
