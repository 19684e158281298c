package storetest

import (
	"time"

	"github.com/waferkit/wafer/store"
)

// sealedTimes tests the times that a caller has sealed, and names.
var sealedTimes = []property{
	{name: "KeptAsTheyWereSealed", test: func(h *harness) {
		c := login("anna")
		c.Started = h.now().Add(-h.unit() / 4).Truncate(time.Millisecond)
		c.Authenticated, c.Leeway = c.Started.Add(-3*time.Hour), 10*h.unit()
		s := h.written(h.Create(h.ctx, c))
		f := s.Family
		if !f.Started.Equal(c.Started) || !f.Authenticated.Equal(c.Authenticated) {
			h.t.Errorf("started %v, authenticated %v: want %v, %v", f.Started, f.Authenticated, c.Started, c.Authenticated)
		}
		// A sealed time does not move the idle limit.
		if !f.Issued.After(f.Started) || f.Issued.After(s.Now) {
			h.t.Errorf("issued %v: want now, %v", f.Issued, s.Now)
		}
		h.same(h.look(f.ID).Family, f)
		f = h.lived(f)
		if !f.Started.Equal(c.Started) || !f.Authenticated.Equal(c.Authenticated) {
			h.t.Errorf("refreshed: started %v, authenticated %v: want %v, %v", f.Started, f.Authenticated, c.Started, c.Authenticated)
		}
	}},
	{name: "WithoutOneOfAnAuthenticationItIsTheStart", test: func(h *harness) {
		c := login("anna")
		c.Started, c.Leeway = h.now().Add(-h.unit()/4).Truncate(time.Millisecond), 10*h.unit()
		if f := h.create(c); !f.Authenticated.Equal(c.Started) {
			h.t.Errorf("authenticated %v: want %v", f.Authenticated, c.Started)
		}
	}},
	{name: "AStartOffTheClock", test: func(h *harness) {
		for _, leeway := range []time.Duration{0, h.unit()} {
			h.judged(leeway, func(off time.Duration) bool { return off.Abs() <= leeway }, func(at time.Time) store.Creation {
				c := login("anna")
				c.Started, c.Leeway = at, leeway
				return c
			})
		}
	}},
	{name: "AnAuthenticationLaterThanTheClock", test: func(h *harness) {
		// It may be any time ago: another system did it.
		leeway := h.unit()
		h.judged(leeway, func(off time.Duration) bool { return off <= leeway }, func(at time.Time) store.Creation {
			c := login("anna")
			c.Started, c.Authenticated, c.Leeway = h.now(), at, leeway
			return c
		})
	}},
	{name: "ARenewalsAuthenticationOffTheClock", test: func(h *harness) {
		leeway := h.unit()
		h.judged(leeway, func(off time.Duration) bool { return off.Abs() <= leeway }, func(at time.Time) store.Creation {
			c := renewal(h.family("anna"))
			c.Renews.Authenticated, c.Leeway = at, leeway
			return c
		})
	}},
	{name: "OffTheClockNothingIsWritten", test: func(h *harness) {
		old, other := h.committed("anna", "value"), h.family("bob")
		first := login("anna")
		first.Started = h.now().Add(-2 * time.Hour)
		again := renewal(old)
		again.Renews.Authenticated = h.now().Add(2 * time.Hour)
		for _, c := range []store.Creation{first, again} {
			c.Leeway, c.Ends = time.Hour, [2]store.ID{other.ID}
			before := h.now()
			h.nothingWritten(func() {
				// The caller seals again by the time in the answer.
				if s := h.offClock(h.Create(h.ctx, c)); s.Entry != 0 || s.Now.Before(before) {
					h.t.Errorf("entry %d, at %v: want none, from %v on", s.Entry, s.Now, before)
				}
			}, old.ID, other.ID, c.ID)
		}
	}},
	{name: "TheDeadlineIsCountedFromTheLater", timed: true, test: func(h *harness) {
		early, late := login("anna"), login("anna")
		early.Started, early.Absolute, early.Leeway = h.now().Add(-2*h.unit()), 3*h.unit(), 5*h.unit()
		early.Authenticated = early.Started.Add(-24 * time.Hour)
		late.Started, late.Absolute, late.Leeway = early.Started, early.Absolute, early.Leeway
		late.Authenticated = late.Started.Add(2 * h.unit())
		f, g := h.create(early), h.create(late)
		if d, e := f.Deadline().Sub(early.Started), g.Deadline().Sub(late.Authenticated); d != early.Absolute || e != late.Absolute {
			h.t.Errorf("deadlines %v after the start and %v after the authentication: want %v", d, e, early.Absolute)
		}
		h.pass(2 * h.unit())
		h.unwritten(h.Advance(h.ctx, next(f)))
		h.wantFamilies("anna", 10, g.ID)
		g = h.advanced(g)
		h.pass(2 * h.unit())
		h.unwritten(h.Advance(h.ctx, next(g)))
	}},
	{name: "ANewAuthenticationMovesTheDeadline", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Absolute = 3 * h.unit()
		old := h.create(c)
		h.pass(2 * h.unit())
		r := renewal(old)
		r.Renews.Authenticated, r.Leeway = h.now(), h.unit()
		f := h.create(r)
		h.pass(2 * h.unit())
		f = h.advanced(f)
		h.pass(2 * h.unit())
		h.unwritten(h.Advance(h.ctx, next(f)))
	}},
}

// judged checks at which times, around the leeway on both sides of the engine's
// clock, a creation is off it. A clock that runs is later in the call than it was
// before: what is permitted at one of the two may be judged either way.
func (h *harness) judged(leeway time.Duration, permitted func(off time.Duration) bool, creation func(at time.Time) store.Creation) {
	h.t.Helper()
	const ms = time.Millisecond
	for _, off := range []time.Duration{
		-24 * time.Hour, -2*leeway - h.unit(), -leeway - ms, -leeway, -leeway / 2, 0,
		leeway / 2, leeway, leeway + ms, 2*leeway + h.unit(), 24 * time.Hour,
	} {
		at := h.now().Add(off)
		c := creation(at)
		before := h.now()
		s, err := h.Create(h.ctx, c)
		if err != nil {
			h.t.Fatal(err)
		}
		first, last := permitted(at.Sub(before)), permitted(at.Sub(s.Now))
		switch s.Outcome {
		case store.Written:
			if !first && !last {
				h.t.Errorf("a time that is %v off the clock is written, with a leeway of %v", off, leeway)
			}
			h.end(c.ID)
		case store.OffClock:
			if first && last {
				h.t.Errorf("a time that is %v off the clock is refused, with a leeway of %v", off, leeway)
			}
			h.wantState(store.Absent, c.ID)
		default:
			h.t.Errorf("a time that is %v off the clock: %v", off, s.Outcome)
		}
	}
}
