package storetest

import (
	"time"

	"github.com/waferkit/wafer/store"
)

// jumping tests that what was dead stays dead, and that no cutoff goes too early,
// although the clock jumps.
var jumping = []property{
	{name: "WhatALoginMetDeadStaysDead", leaps: true, test: func(h *harness) {
		for _, known := range []time.Duration{0, 100 * time.Hour} {
			subject := newID().String()
			c := login(subject)
			c.Idle, c.Known = time.Hour, known
			f := h.create(c)
			h.pass(2 * time.Hour)
			young := login(subject)
			young.Limit = 1 // it is not counted, and so must not come back
			h.create(young)
			h.pass(-2 * time.Hour)
			if s := h.look(f.ID); s.State == store.Alive {
				h.t.Errorf("known for %v, it is alive again", known)
			}
			h.unwritten(h.Advance(h.ctx, next(f)))
			h.wantFamilies(subject, 10, young.ID)
			if known != 0 {
				again := login(subject)
				again.ID = f.ID
				h.taken(h.Create(h.ctx, again))
			}
		}
	}},
	{name: "WhatHousekeepingHasRemovedStaysDead", leaps: true, test: func(h *harness) {
		c := login("anna")
		c.Idle = time.Hour
		f := h.create(c)
		h.pass(3 * time.Hour)
		h.eventually("the family is removed", func() bool { return h.look(f.ID).State == store.Absent })
		h.pass(-3 * time.Hour)
		h.wantState(store.Absent, f.ID)
		h.wantFamilies("anna", 10)
	}},
	{name: "ACutoffIsNotDroppedBeforeItsEntry", leaps: true, test: func(h *harness) {
		// An entry of a clock that was ahead keeps those after it.
		h.pass(5 * time.Hour)
		h.appendUnrelated()
		h.pass(-5 * time.Hour)
		l := h.ledger(time.Minute, time.Minute, 0)
		p := h.revokeSubject("anna")
		l.read()
		for range 20 {
			h.pass(10 * time.Minute)
			for range 3 {
				h.housekeep()
			}
			l.read()
			if c := h.cutoffs(store.ID{}, "anna"); c.Subject != p {
				h.t.Fatalf("cutoff %d, floor %d: want %d", c.Subject, c.Floor, p)
			}
		}
		h.pass(3 * time.Hour)
		l.drop(p)
		h.pass(time.Hour)
		h.eventually("the cutoff is dropped", func() bool { return h.cutoffs(store.ID{}, "anna").Subject == 0 })
	}},
	{name: "ACutoffIsKeptForAsLongAsItsEntry", leaps: true, test: func(h *harness) {
		h.announce(5*h.unit(), h.unit()/10, 0)
		p := h.revokeSubject("anna")
		for range 8 {
			h.pass(h.unit() / 2)
			for range 3 {
				h.housekeep()
			}
			if c := h.cutoffs(store.ID{}, "anna"); c.Subject != p {
				h.t.Fatalf("cutoff %d: want %d", c.Subject, p)
			}
		}
	}},
	{name: "ACutoffIsNotDroppedWhileAFamilyIsBelow", timed: true, test: func(h *harness) {
		// The family outlives what was announced, as after a jump of the clock.
		h.announce(h.unit()/2, h.unit()/2, 0)
		for _, c := range []store.Creation{login("anna"), acting("bob", "carol")} {
			c.Idle, c.Absolute = 100*time.Hour, 100*time.Hour
			f := h.create(c)
			subject := "anna"
			if c.Actor != "" {
				subject = c.Actor
			}
			p := h.revokeSubject(subject)
			for range 4 {
				h.pass(h.unit() / 2)
				for range 5 {
					h.housekeep()
				}
				if c := h.cutoffs(store.ID{}, subject); c.Subject != p {
					h.t.Fatalf("cutoff %d of %s: want %d", c.Subject, subject, p)
				}
				h.wantState(store.CutOff, f.ID)
				h.unwritten(h.Advance(h.ctx, next(f)))
			}
			// Ended, it holds nothing any more.
			h.end(f.ID)
			h.pass(h.unit())
			h.eventually("the cutoff is dropped", func() bool { return h.cutoffs(store.ID{}, subject).Subject == 0 })
			if s := h.look(f.ID); s.State == store.Alive {
				h.t.Error("the family is alive again")
			}
		}
	}},
	{name: "ALaterCutoffTakesTheEarliersPlace", leaps: true, test: func(h *harness) {
		// One record for a subject, whatever its revocations are.
		h.announce(time.Minute, time.Hour, time.Minute)
		var p store.Position
		for range 20 {
			p = h.revokeSubject("anna")
			h.pass(10 * time.Minute)
			h.housekeep()
			if c := h.cutoffs(store.ID{}, "anna"); c.Subject != p {
				h.t.Fatalf("cutoff %d: want %d", c.Subject, p)
			}
		}
		h.pass(2 * time.Hour)
		h.eventually("the cutoff is dropped", func() bool { return h.cutoffs(store.ID{}, "anna").Subject == 0 })
	}},
}
