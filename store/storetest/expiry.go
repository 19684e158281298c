package storetest

import (
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// expired are the ways to be past a limit.
var expired = map[string]func(h *harness, c *store.Creation){
	"idle":     func(h *harness, c *store.Creation) { c.Idle = 2 * h.unit() },
	"absolute": func(h *harness, c *store.Creation) { c.Absolute = 2 * h.unit() },
}

var expiring = []property{
	{name: "PastALimitNothingIsWritten", timed: true, test: func(h *harness) {
		var fs []store.Family
		for _, limit := range expired {
			c := login("anna")
			limit(h, &c)
			f := h.written(h.Create(h.ctx, c)).Family
			f = h.written(h.Advance(h.ctx, next(f))).Family
			fs = append(fs, h.written(h.Commit(h.ctx, keep(f, "value"))).Family)
		}
		h.pass(3 * h.unit())
		for _, f := range fs {
			head := h.head()
			behind := keep(f, "more")
			behind.Basis = 1
			a, r := next(f), copyOf(f)
			a.Basis, r.Basis = 1, 1
			for name, call := range map[string]func() (store.Snapshot, error){
				"Advance":              func() (store.Snapshot, error) { return h.Advance(h.ctx, next(f)) },
				"Advance, behind":      func() (store.Snapshot, error) { return h.Advance(h.ctx, a) },
				"Advance PositionOnly": func() (store.Snapshot, error) { return h.Advance(h.ctx, raise(f)) },
				"Commit":               func() (store.Snapshot, error) { return h.Commit(h.ctx, keep(f, "more")) },
				"Commit, behind":       func() (store.Snapshot, error) { return h.Commit(h.ctx, behind) },
				"Reissue":              func() (store.Snapshot, error) { return h.Reissue(h.ctx, copyOf(f)) },
				"Reissue, behind":      func() (store.Snapshot, error) { return h.Reissue(h.ctx, r) },
			} {
				s, err := call()
				if err != nil || s.Outcome != store.Unwritten {
					h.t.Errorf("%s: %v, %v: want unwritten", name, s.Outcome, err)
				}
				// Limits are not part of the state; the row may be gone by now.
				if s.State != store.Absent && (s.State != store.Alive || !s.Family.Past(s.Now)) {
					h.t.Errorf("%s: state %v, at %v, of %+v", name, s.State, s.Now, s.Family)
				}
			}
			if now := h.head(); now != head {
				h.t.Errorf("an entry was appended at %d", now)
			}
		}
	}},
	{name: "TheAbsoluteDeadlineNeverMoves", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Absolute = 4 * h.unit()
		f := h.written(h.Create(h.ctx, c)).Family
		deadline := f.Deadline()
		for range 2 {
			h.pass(h.unit())
			f = h.written(h.Advance(h.ctx, next(f))).Family
			f = h.written(h.Commit(h.ctx, keep(f, "value"))).Family
		}
		f = h.reissued(f, 1)
		if !f.Deadline().Equal(deadline) {
			h.t.Errorf("the deadline moved from %v to %v", deadline, f.Deadline())
		}
		h.pass(3 * h.unit())
		h.unwritten(h.Advance(h.ctx, next(f)))
	}},
	{name: "ACommitDoesNotMoveTheIdleDeadline", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Idle = 3 * h.unit()
		f := h.written(h.Create(h.ctx, c)).Family
		h.pass(h.unit())
		f = h.written(h.Commit(h.ctx, keep(f, "value"))).Family
		f = h.written(h.Advance(h.ctx, raise(f))).Family
		h.pass(3 * h.unit())
		h.unwritten(h.Advance(h.ctx, next(f)))
	}},
	{name: "ToTheMillisecond", leaps: true, test: func(h *harness) {
		for _, change := range []func(c *store.Creation){
			func(c *store.Creation) { c.Idle = time.Hour },
			func(c *store.Creation) { c.Idle, c.Absolute = 2*time.Hour, time.Hour },
		} {
			c := login("anna")
			change(&c)
			f := h.written(h.Create(h.ctx, c)).Family
			deadline := f.Issued.Add(time.Hour)
			h.pass(deadline.Sub(h.look(f.ID).Now) - time.Millisecond)
			// A clock that runs may have reached the deadline by now.
			if s, err := h.Advance(h.ctx, raise(f)); err != nil || s.Outcome != store.Written && s.Now.Before(deadline) {
				h.t.Errorf("%v before the deadline: %v, %v: want written", deadline.Sub(s.Now), s.Outcome, err)
			}
			h.pass(deadline.Sub(h.look(f.ID).Now))
			h.unwritten(h.Advance(h.ctx, raise(f)))
			if ids := h.listed("anna", 1); len(ids) != 0 {
				h.t.Errorf("listed at its deadline: %v", ids)
			}
		}
	}},
	{name: "ExpiredFamiliesGoAway", timed: true, test: func(h *harness) {
		var stay, expire []store.ID
		const many = 300
		for i := range many {
			c := login("anna")
			switch i % 3 {
			case 0:
				c.Idle = h.unit()
			case 1:
				c.Idle, c.Absolute = 3*h.unit(), h.unit()
			}
			if i%50 == 49 { // 49, 99, …: some of each kind
				c.Idle, c.Absolute = 30*time.Minute, time.Hour
				stay = append(stay, c.ID)
			} else if i%3 == 2 {
				c.Idle = h.unit()
			}
			h.written(h.Create(h.ctx, c))
			if i%50 == 49 {
				continue
			}
			expire = append(expire, c.ID)
			if i%7 == 0 {
				h.end(c.ID)
			}
		}
		if h.engine.Families != nil {
			if n := h.engine.Families(); n < len(stay) || n > many {
				h.t.Fatalf("%d rows of %d families", n, many)
			}
		}
		h.pass(4 * h.unit())
		// housekeep makes families of its own, which are removed in their turn.
		h.eventually("the expired families are gone", func() bool {
			expire = slices.DeleteFunc(expire, func(id store.ID) bool { return h.look(id).State == store.Absent })
			return len(expire) == 0 && (h.engine.Families == nil || h.engine.Families() <= len(stay)+30)
		})
		h.wantState(store.Alive, stay...)
		h.wantAmong("anna", stay...)
	}},
	{name: "AnEndedFamilyStaysKnownWithinItsLimits", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Idle = 3 * h.unit()
		f := h.written(h.Create(h.ctx, c)).Family
		h.pass(2 * h.unit())
		f = h.written(h.Advance(h.ctx, next(f))).Family
		h.end(f.ID)
		for range 4 {
			h.pass(h.unit() / 2)
			h.housekeep()
		}
		h.wantState(store.Ended, f.ID)
		c = login("anna")
		c.ID = f.ID
		h.taken(h.Create(h.ctx, c))
		h.nothingWritten(func() { h.unwritten(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{f.ID}})) })
	}},
}

// housekeep gives the engine an occasion for housekeeping.
func (h *harness) housekeep() {
	h.t.Helper()
	if h.engine.Tidy != nil {
		h.engine.Tidy()
	}
	c := login("the suite's own")
	c.Idle = time.Millisecond
	h.written(h.Create(h.ctx, c))
	h.tick()
	if _, err := h.Advance(h.ctx, store.Advance{ID: newID(), Generation: 1}); err != nil {
		h.t.Fatalf("Advance: %v", err)
	}
	h.appendUnrelated()
}

// eventually repeats housekeep until done returns true. That takes real time if
// housekeeping is in the background, and calls if it is part of the methods.
func (h *harness) eventually(what string, done func() bool) {
	h.t.Helper()
	for i := 0; !done(); i++ {
		if h.patience(i) {
			h.t.Fatalf("not within %d calls: %s", i, what)
		}
		h.housekeep()
	}
}

// patience reports whether what takes many rounds of housekeeping should have
// happened by round i, and takes its time once they are many.
func (h *harness) patience(i int) bool {
	const calls = 300
	if i > calls {
		time.Sleep(50 * time.Millisecond)
	}
	return i > calls+int(2*time.Minute/(50*time.Millisecond))
}
