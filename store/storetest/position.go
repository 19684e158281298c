package storetest

import (
	"errors"
	"time"

	"github.com/waferkit/wafer/store"
)

var positioning = []property{
	{name: "AtLeastTheMicrosecondsOfTheClock", timed: true, test: func(h *harness) {
		for range 3 {
			h.pass(h.unit() / 4)
			now := h.look(newID()).Now
			if p := h.appendUnrelated(); int64(p) < now.UnixMicro() {
				h.t.Errorf("position %d at %d µs", p, now.UnixMicro())
			}
		}
	}},
	{name: "ExceedsAboveInEveryMethod", test: func(h *harness) {
		f := h.family("anna")
		above := h.head()
		check := func(method string, s store.Snapshot) {
			h.t.Helper()
			if s.Entry != above+1 {
				h.t.Errorf("%s: entry %d above %d: want the next", method, s.Entry, above)
			}
		}
		above += store.MaxAhead // ahead of any clock
		check("Revoke", h.written(h.Revoke(h.ctx, store.Revocation{Subjects: []string{"bob"}, Above: above})))
		above += 1e6
		c := keep(f, "value")
		c.Above = above
		check("Commit", h.written(h.Commit(h.ctx, c)))
		above += 1e6
		n := login("anna")
		n.Above, n.Ends = above, [2]store.ID{f.ID}
		check("Create", h.written(h.Create(h.ctx, n)))
		r := renewal(h.look(n.ID).Family)
		above += 1e6
		r.Above = above
		check("Create of Renews", h.written(h.Create(h.ctx, r)))
	}},
	{name: "AboveBelowTheHeadIsNothing", test: func(h *harness) {
		head := h.revoke(store.Revocation{Everyone: true, Above: h.head() + store.MaxAhead})
		if p := h.revoke(store.Revocation{Everyone: true, Above: head - 5}); p != head+1 {
			h.t.Errorf("position %d after %d: want the next", p, head)
		}
	}},
	{name: "OneByOneWithinACall", test: func(h *harness) {
		head := h.revoke(store.Revocation{Everyone: true, Above: h.head() + store.MaxAhead})
		h.revoke(store.Revocation{Subjects: []string{"a", "b"}, Sessions: []store.ID{newID(), newID()}, Everyone: true})
		for i, e := range h.entries(head) {
			if want := head + 1 + store.Position(i); e.Position != want {
				h.t.Errorf("entry %d at %d: want %d", i, e.Position, want)
			}
		}
	}},
	{name: "NoAboveIsMoreThanADayBeyondTheHead", test: func(h *harness) {
		// The head is ahead of the clock already, by the same day.
		h.revoke(store.Revocation{Everyone: true, Above: h.head() + store.MaxAhead})
		f, dead := h.family("anna"), h.committed("bob", "value")
		far := h.end(dead.ID) + store.MaxAhead
		for name, call := range h.appending(f, dead) {
			h.nothingWritten(func() {
				for _, above := range []store.Position{far + 1, far + 2, store.MaxPosition} {
					if s, err := call(above); !errors.Is(err, store.ErrAbove) || errors.Is(err, store.ErrArgument) {
						h.t.Errorf("%s above %d, the head at %d: %v, %v: want ErrAbove", name, above, far-store.MaxAhead, s.Outcome, err)
					}
				}
			}, f.ID, dead.ID)
		}
		for name, call := range h.appending(f, dead) {
			above := h.head() + store.MaxAhead
			if s, err := call(above); err != nil || s.Outcome == store.Written && s.Entry != 0 && s.Head != above+1 {
				h.t.Errorf("%s above %d, a day beyond the head: %v, entry %d, %v", name, above, s.Outcome, s.Entry, err)
			}
		}
	}},
	{name: "NoAboveIsMoreThanADayBeyondTheClock", leaps: true, test: func(h *harness) {
		h.pass(10 * 24 * time.Hour) // the head stays behind
		f, dead := h.family("anna"), h.committed("bob", "value")
		h.end(dead.ID)
		h.pass(10 * time.Minute)
		for name, call := range h.appending(f, dead) {
			h.nothingWritten(func() {
				day := store.Position(h.look(f.ID).Now.UnixMicro()) + store.MaxAhead
				if s, err := call(day + store.Position(h.unit().Microseconds())); !errors.Is(err, store.ErrAbove) {
					h.t.Errorf("%s above a day and a minute: %v, %v: want ErrAbove", name, s.Outcome, err)
				}
			}, f.ID, dead.ID)
		}
		above := store.Position(h.look(f.ID).Now.UnixMicro()) + store.MaxAhead
		if p := h.revoke(store.Revocation{Everyone: true, Above: above}); p != above+1 {
			h.t.Errorf("position %d: want the one after a day, %d", p, above+1)
		}
	}},
	{name: "NoneAboveTheHighest", leaps: true, test: func(h *harness) {
		h.toTheLastHour()
		f, a, b := h.family("anna"), h.create(bearing("anna", "n")), h.create(bearing("bob", "n"))
		h.nothingWritten(func() {
			if s, err := h.Revoke(h.ctx, store.Revocation{Subjects: []string{"bob"}, Above: store.MaxPosition}); err == nil {
				h.t.Errorf("Revoke above the highest position: %v, entry %d: want an error", s.Outcome, s.Entry)
			}
			if s, err := h.Revoke(h.ctx, store.Revocation{Subjects: []string{"bob", "carl"}, Sessions: []store.ID{f.ID}, Above: store.MaxPosition - 2}); err == nil {
				h.t.Errorf("Revoke of three with room for two: %v, entry %d: want an error", s.Outcome, s.Entry)
			}
			c := keep(f, "value")
			c.Above = store.MaxPosition
			if s, err := h.Commit(h.ctx, c); err == nil {
				h.t.Errorf("Commit above the highest position: %v, entry %d: want an error", s.Outcome, s.Entry)
			}
			r := revokeName("n")
			r.Above = store.MaxPosition - 2
			if s, err := h.Revoke(h.ctx, r); err == nil {
				h.t.Errorf("Revoke of a name and two bearers with room for two: %v, entry %d: want an error", s.Outcome, s.Entry)
			}
			n := login("anna")
			n.Above, n.Ends = store.MaxPosition, [2]store.ID{f.ID}
			if s, err := h.Create(h.ctx, n); err == nil {
				h.t.Errorf("Create above the highest position: %v, entry %d: want an error", s.Outcome, s.Entry)
			}
			h.wantState(store.Absent, n.ID)
		}, f.ID, a.ID, b.ID)
	}},
	{name: "TheHighestIsReached", leaps: true, test: func(h *harness) {
		h.toTheLastHour()
		f := h.family("anna")
		s := h.written(h.Commit(h.ctx, store.Commit{ID: f.ID, Basis: f.Position, Value: []byte("value"), Above: store.MaxPosition - 2}))
		f = s.Family
		if p := h.revoke(store.Revocation{Subjects: []string{"bob"}}); p != store.MaxPosition || f.Position != p-1 {
			h.t.Errorf("positions %d and %d: want the two highest", f.Position, p)
		}
		h.nothingWritten(func() {
			if s, err := h.Revoke(h.ctx, store.Revocation{Subjects: []string{"bob"}}); err == nil {
				h.t.Errorf("%v, entry %d: want an error", s.Outcome, s.Entry)
			}
		}, f.ID)
		// Calls that append nothing still work.
		h.reissued(h.advanced(f), 1)
		h.written(h.Create(h.ctx, login("anna")))
	}},
	{name: "RiseThoughTheClockJumpsBack", leaps: true, test: func(h *harness) {
		c := login("anna")
		c.Idle = 12 * time.Hour
		f := h.written(h.Create(h.ctx, c)).Family
		h.pass(time.Hour)
		last := h.appendUnrelated()
		h.pass(-2 * time.Hour)
		for range 3 {
			p := h.appendUnrelated()
			if p != last+1 {
				h.t.Errorf("position %d after %d, the clock being behind: want the next", p, last)
			}
			last = p
		}
		f = h.written(h.Commit(h.ctx, keep(f, "value"))).Family
		f = h.written(h.Advance(h.ctx, raise(f))).Family
		h.revokeSubject("anna")
		h.wantState(store.CutOff, f.ID)
		h.pass(2 * time.Hour)
		h.wantState(store.CutOff, f.ID)
		h.written(h.Create(h.ctx, login("anna")))
	}},
}

// appending returns a call of each method that takes an Above: some that would
// append an entry, for the family f, and some that would append nothing.
func (h *harness) appending(f, dead store.Family) map[string]func(above store.Position) (store.Snapshot, error) {
	return map[string]func(above store.Position) (store.Snapshot, error){
		"Create": func(above store.Position) (store.Snapshot, error) {
			c := login("anna")
			c.Ends[0], c.Above = newID(), above
			return h.Create(h.ctx, c)
		},
		"Create that ends nothing": func(above store.Position) (store.Snapshot, error) {
			c := login("anna")
			c.Above = above
			return h.Create(h.ctx, c)
		},
		"Commit": func(above store.Position) (store.Snapshot, error) {
			c := keep(f, "value")
			c.Basis, c.Above = store.MaxPosition, above
			return h.Commit(h.ctx, c)
		},
		"Commit to the dead": func(above store.Position) (store.Snapshot, error) {
			c := keep(dead, "value")
			c.Above = above
			return h.Commit(h.ctx, c)
		},
		"Revoke": func(above store.Position) (store.Snapshot, error) {
			return h.Revoke(h.ctx, store.Revocation{Subjects: []string{"carl"}, Above: above})
		},
		"Revoke of the ended": func(above store.Position) (store.Snapshot, error) {
			return h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{dead.ID}, Above: above})
		},
		"Revoke of a name": func(above store.Position) (store.Snapshot, error) {
			r := revokeName("n")
			r.Above = above
			return h.Revoke(h.ctx, r)
		},
		"Restore": func(above store.Position) (store.Snapshot, error) {
			return h.Restore(h.ctx, store.Restoration{Entries: []store.Entry{lostSession(newID(), above)}, Above: above})
		},
		"Restore of what is covered": func(above store.Position) (store.Snapshot, error) {
			return h.Restore(h.ctx, store.Restoration{Entries: []store.Entry{lostSession(dead.ID, 1)}, Above: above})
		},
	}
}

// toTheLastHour moves the clock to an hour before the highest position.
func (h *harness) toTheLastHour() {
	now := h.cutoffs(store.ID{}, "").Now.UnixMicro()
	h.pass(time.Duration(int64(store.MaxPosition)-now)*time.Microsecond - time.Hour)
}
