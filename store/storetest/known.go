package storetest

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

// knowing tests that an id stays known for as long as its creation asks, whatever
// becomes of the family: an import must not bring back what has ended.
var knowing = []property{
	{name: "WhateverBecomesOfTheFamily", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit()/2, 20*h.unit(), 0)
		known := func(subject string) store.Creation {
			c := login(subject)
			c.Idle, c.Absolute, c.Known = h.unit(), h.unit(), 5*h.unit()
			return c
		}
		expired, ended, replaced, cut, acted := known("anna"), known("anna"), known("anna"), known("bob"), known("carl")
		acted.Actor = "desk"
		all := []store.Creation{expired, ended, replaced, cut, acted}
		for _, c := range all {
			h.create(c)
		}
		h.end(ended.ID)
		by := login("dora")
		by.Ends = [2]store.ID{replaced.ID}
		h.create(by)
		h.revoke(store.Revocation{Subjects: []string{"bob", "desk"}})
		// A login counts the families of its subject and meets the dead.
		for _, subject := range []string{"anna", "bob", "carl"} {
			c := login(subject)
			c.Limit, c.EndOldest = 1, true
			h.create(c)
		}
		check := func() {
			h.t.Helper()
			for i, c := range all {
				again := login(c.Subject)
				again.ID = c.ID
				if s := h.taken(h.Create(h.ctx, again)); s.State == store.Alive && !s.Family.Past(s.Now) {
					h.t.Errorf("family %d of %d is alive", i, len(all))
				}
			}
		}
		check()
		l.read()
		h.pass(2 * h.unit())
		// Past their limits, and the log has dropped their entries.
		l.drop(h.appendUnrelated())
		for range 8 {
			h.housekeep()
		}
		check()
		for _, c := range all {
			if s := h.look(c.ID); s.State == store.Absent || s.Family.Subject != c.Subject {
				h.t.Errorf("%v of %q: want its row", s.State, s.Family.Subject)
			}
			if slices.Contains(h.listed(c.Subject, 10), c.ID) {
				h.t.Errorf("a dead family of %q is listed", c.Subject)
			}
		}
	}},
	{name: "AfterThatTheRowsGo", timed: true, test: func(h *harness) {
		var all []store.ID
		for i := range 40 {
			c := login("anna")
			c.Idle, c.Absolute, c.Known = h.unit(), h.unit(), 2*h.unit()
			h.create(c)
			if all = append(all, c.ID); i%2 == 0 {
				h.end(c.ID)
			}
		}
		h.pass(3 * h.unit())
		h.eventually("the rows are gone", func() bool {
			for _, id := range all {
				if h.look(id).State != store.Absent {
					return false
				}
			}
			return true
		})
	}},
	{name: "ALongerLimitIsNotCutShort", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Known = h.unit()
		f := h.create(c)
		h.pass(2 * h.unit())
		for range 5 {
			h.housekeep()
		}
		f = h.advanced(f)
		h.end(f.ID)
		for range 5 {
			h.housekeep()
		}
		h.wantState(store.Ended, f.ID)
	}},
}
