package storetest

import "github.com/waferkit/wafer/store"

var forgiving = []property{
	{name: "RecordsTheGenerationAndSetsTheIssueTime", timed: true, test: func(h *harness) {
		f := h.committed("anna", "value")
		f = h.written(h.Advance(h.ctx, next(f))).Family
		h.tick()
		h.appendUnrelated()
		s := h.written(h.Forgive(h.ctx, f.ID, 1))
		want := f // the generation, the position and everything else stay
		want.Forgiven, want.Issued = 1, s.Family.Issued
		h.same(s.Family, want)
		h.same(h.look(f.ID).Family, want)
		if !s.Family.Issued.After(f.Issued) || s.Family.Issued.After(s.Now) || s.Entry != 0 {
			h.t.Errorf("issued %v, entry %d: want now, %v, and no entry", s.Family.Issued, s.Entry, s.Now)
		}
	}},
	{name: "OnlyTheGenerationBeforeTheCurrent", test: func(h *harness) {
		f := h.family("anna")
		h.nothingWritten(func() { h.unwritten(h.Forgive(h.ctx, f.ID, 1)) }, f.ID) // there is no generation before it
		for range 3 {
			f = h.written(h.Advance(h.ctx, next(f))).Family
		}
		for _, generation := range []uint32{1, 2, 4, 5, 1<<32 - 1} {
			h.nothingWritten(func() { h.unwritten(h.Forgive(h.ctx, f.ID, generation)) }, f.ID)
		}
		h.written(h.Forgive(h.ctx, f.ID, 3))
	}},
	{name: "OnceInAFamilysLife", timed: true, test: func(h *harness) {
		f := h.written(h.Advance(h.ctx, next(h.family("anna")))).Family
		f = h.written(h.Forgive(h.ctx, f.ID, 1)).Family
		h.tick()
		h.nothingWritten(func() {
			// The second tab with the same generation sees that it is forgiven.
			if s := h.unwritten(h.Forgive(h.ctx, f.ID, 1)); s.Family.Forgiven != 1 || s.State != store.Alive {
				h.t.Errorf("forgiven %d, state %v", s.Family.Forgiven, s.State)
			}
		}, f.ID)
		f = h.written(h.Advance(h.ctx, next(f))).Family
		h.nothingWritten(func() {
			if s := h.unwritten(h.Forgive(h.ctx, f.ID, 2)); s.Family.Forgiven != 1 {
				h.t.Errorf("forgiven %d: want 1 for life", s.Family.Forgiven)
			}
		}, f.ID)
	}},
	{name: "TheDeadAreUnwritten", test: func(h *harness) {
		f := h.written(h.Advance(h.ctx, next(h.family("anna")))).Family
		h.end(f.ID)
		h.nothingWritten(func() {
			if s := h.unwritten(h.Forgive(h.ctx, f.ID, 1)); s.State != store.Ended || s.Family.Forgiven != 0 {
				h.t.Errorf("state %v, forgiven %d", s.State, s.Family.Forgiven)
			}
			if s := h.unwritten(h.Forgive(h.ctx, newID(), 1)); s.State != store.Absent {
				h.t.Errorf("state %v: want absent", s.State)
			}
		}, f.ID)
	}},
	{name: "TheIdleDeadlineMoves", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Idle = 3 * h.unit()
		f := h.written(h.Create(h.ctx, c)).Family
		f = h.written(h.Advance(h.ctx, next(f))).Family
		h.pass(2 * h.unit())
		h.written(h.Forgive(h.ctx, f.ID, 1))
		h.pass(2 * h.unit())
		h.written(h.Advance(h.ctx, next(f)))
	}},
}
