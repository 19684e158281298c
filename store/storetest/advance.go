package storetest

import (
	"time"

	"github.com/waferkit/wafer/store"
)

var advancing = []property{
	{name: "TheNextGenerationOfExactlyThisOne", timed: true, test: func(h *harness) {
		old := h.family("anna")
		h.tick()
		head := h.appendUnrelated()
		s := h.written(h.Advance(h.ctx, next(old)))
		want := old
		want.Generation, want.Position, want.Issued = 2, head, s.Family.Issued
		h.same(s.Family, want)
		h.same(h.look(old.ID).Family, want)
		if !s.Family.Issued.After(old.Issued) || s.Family.Issued.After(s.Now) {
			h.t.Errorf("issued %v: want now, %v", s.Family.Issued, s.Now)
		}
		if s.Head != head || s.State != store.Alive {
			h.t.Errorf("head %d, state %v: want %d, alive", s.Head, s.State, head)
		}
	}},
	{name: "AnyOtherGenerationIsUnwritten", test: func(h *harness) {
		f := h.written(h.Advance(h.ctx, next(h.family("anna")))).Family
		f = h.written(h.Advance(h.ctx, next(f))).Family
		h.appendUnrelated()
		for _, generation := range []uint32{1, 2, 4, 5, store.MaxGeneration - 1} {
			for _, only := range []bool{false, true} {
				a := next(f)
				a.Generation, a.PositionOnly = generation, only
				h.nothingWritten(func() {
					s := h.unwritten(h.Advance(h.ctx, a))
					h.same(s.Family, f)
				}, f.ID)
			}
		}
	}},
	{name: "CalledAgainItFindsTheSuccessor", test: func(h *harness) {
		f := h.family("anna")
		first := h.written(h.Advance(h.ctx, next(f)))
		again := h.unwritten(h.Advance(h.ctx, next(f)))
		h.same(again.Family, first.Family)
		if again.State != store.Alive || again.Family.Generation != 2 {
			h.t.Errorf("state %v, generation %d", again.State, again.Family.Generation)
		}
	}},
	{name: "AgeHoldsAYoungGenerationBack", timed: true, test: func(h *harness) {
		f := h.family("anna")
		a := next(f)
		a.Age = 2 * h.unit()
		h.nothingWritten(func() { h.unwritten(h.Advance(h.ctx, a)) }, f.ID)
		h.pass(h.unit())
		h.nothingWritten(func() { h.unwritten(h.Advance(h.ctx, a)) }, f.ID)
		h.pass(h.unit())
		f = h.written(h.Advance(h.ctx, a)).Family
		a = next(f) // and the age counts from the issue time of the new one
		a.Age = 2 * h.unit()
		h.unwritten(h.Advance(h.ctx, a))
		h.pass(2 * h.unit())
		h.written(h.Advance(h.ctx, a))
	}},
	{name: "AgeCountsFromTheLastCopy", timed: true, test: func(h *harness) {
		f := h.advanced(h.family("anna"))
		h.pass(2 * h.unit())
		f = h.reissued(f, 1)
		a := next(f)
		a.Age = 2 * h.unit()
		h.unwritten(h.Advance(h.ctx, a))
		h.pass(2 * h.unit())
		h.written(h.Advance(h.ctx, a))
	}},
	{name: "AgeToTheMillisecond", leaps: true, test: func(h *harness) {
		h.comesOfAge(func(f store.Family, age time.Duration) (store.Snapshot, error) {
			a := next(f)
			a.Age = age
			return h.Advance(h.ctx, a)
		})
	}},
	{name: "AClockThatWasSetBackHoldsNothingBack", leaps: true, test: func(h *harness) {
		h.setBack(func(f store.Family, skew time.Duration) (store.Snapshot, error) {
			a := next(f)
			a.Age, a.Lag, a.Skew = time.Hour, 3, skew
			return h.Advance(h.ctx, a)
		})
	}},
	{name: "TheCopyPresentedIsTheUsedOne", test: func(h *harness) {
		for used := range uint16(4) {
			f := h.reissued(h.advanced(h.family("anna")), 3)
			a := next(f)
			a.Copy = used
			s := h.written(h.Advance(h.ctx, a))
			want := f // the new generation has no copies yet
			want.Generation, want.Copy, want.Used, want.Issued = 3, 0, used, s.Family.Issued
			h.same(s.Family, want)
			h.same(h.look(f.ID).Family, want)
			// The next one is of copy 0 again.
			if f = h.advanced(s.Family); f.Copy != 0 || f.Used != 0 {
				h.t.Errorf("copy %d, used %d: want 0, 0", f.Copy, f.Used)
			}
		}
	}},
	{name: "ACopyThatWasNotIssuedIsUnwritten", test: func(h *harness) {
		f := h.advanced(h.family("anna"))
		for range 3 {
			h.appendUnrelated()
			for _, copied := range []uint16{f.Copy + 1, f.Copy + 5, store.MaxCopy} {
				a := next(f)
				a.Copy, a.Lag = copied, 1
				h.nothingWritten(func() {
					s := h.unwritten(h.Advance(h.ctx, a))
					h.same(s.Family, f)
				}, f.ID)
			}
			f = h.reissued(f, 1)
		}
	}},
	{name: "ACopyThatLagsIsDue", test: func(h *harness) {
		for _, lag := range []uint16{1, 2, 3} {
			f := h.reissued(h.advanced(h.family("anna")), 4)
			for copied := f.Copy + 2; copied > 0; {
				copied--
				a := next(f)
				a.Copy, a.Lag, a.Age = copied, lag, time.Hour
				if copied+lag > f.Copy {
					h.nothingWritten(func() { h.unwritten(h.Advance(h.ctx, a)) }, f.ID)
					continue
				}
				if f = h.written(h.Advance(h.ctx, a)).Family; f.Used != copied || copied+lag != 4 {
					h.t.Errorf("copy %d of 4 was used, recorded as %d, with a lag of %d", copied, f.Used, lag)
				}
				break
			}
		}
	}},
	{name: "NoLagIsDueByAgeAlone", test: func(h *harness) {
		f := h.reissued(h.advanced(h.family("anna")), 4)
		for copied := range uint16(5) {
			a := next(f)
			a.Copy, a.Age = copied, time.Hour
			h.nothingWritten(func() { h.unwritten(h.Advance(h.ctx, a)) }, f.ID)
		}
	}},
	{name: "TheOtherKindIsUnwritten", test: func(h *harness) {
		for _, native := range []bool{false, true} {
			c := login("anna")
			c.Native = native
			f := h.written(h.Create(h.ctx, c)).Family
			h.appendUnrelated()
			for _, ask := range []func(store.Family) store.Advance{next, raise} {
				a := ask(f)
				a.Native = !native
				h.nothingWritten(func() { h.unwritten(h.Advance(h.ctx, a)) }, f.ID)
				a.Native = native
				f = h.written(h.Advance(h.ctx, a)).Family
			}
		}
	}},
	{name: "BehindTheLastCommit", test: func(h *harness) {
		f := h.committed("anna", "value")
		h.appendUnrelated()
		for _, a := range []store.Advance{next(f), raise(f)} {
			a.Basis = f.LastCommit - 1
			h.nothingWritten(func() {
				s := h.behind(h.Advance(h.ctx, a))
				h.same(s.Family, f)
			}, f.ID)
		}
		a := next(f)
		a.Basis = f.LastCommit
		s := h.written(h.Advance(h.ctx, a))
		if s.Family.LastCommit != f.LastCommit || string(s.Family.Value) != "value" {
			h.t.Errorf("last commit %d, value %q: want them to stay", s.Family.LastCommit, s.Family.Value)
		}
	}},
	{name: "BasisIsNothingWithoutACommit", test: func(h *harness) {
		a := next(h.family("anna"))
		a.Basis = 0
		h.written(h.Advance(h.ctx, a))
	}},
	{name: "BehindOnlyWhereNothingElseStandsInTheWay", test: func(h *harness) {
		f := h.committed("anna", "value")
		f = h.written(h.Advance(h.ctx, next(f))).Family
		for name, change := range map[string]func(a *store.Advance){
			"an older generation": func(a *store.Advance) { a.Generation = 1 },
			"a later generation":  func(a *store.Advance) { a.Generation = 3 },
			"the other kind":      func(a *store.Advance) { a.Native = true },
			"a copy never issued": func(a *store.Advance) { a.Copy = 1 },
			"too young":           func(a *store.Advance) { a.Age = time.Hour },
			"young, without lag":  func(a *store.Advance) { a.Age, a.Lag, a.Skew = time.Hour, 1, time.Minute },
			"absent":              func(a *store.Advance) { a.ID = newID() },
		} {
			a := next(f)
			a.Basis = 1
			change(&a)
			s, err := h.Advance(h.ctx, a)
			if err != nil || s.Outcome != store.Unwritten {
				h.t.Errorf("%s: %v, %v: want unwritten", name, s.Outcome, err)
			}
		}
		a := next(f)
		a.Basis = 1
		h.behind(h.Advance(h.ctx, a))
		h.end(f.ID)
		h.unwritten(h.Advance(h.ctx, a))
	}},
	{name: "PositionOnlyLeavesTheGenerationAndItsTime", timed: true, test: func(h *harness) {
		f := h.lived(h.committed("anna", "value"))
		h.tick()
		head := h.appendUnrelated()
		a := raise(f)
		a.Copy, a.Age, a.Skew = f.Copy+1, 24*time.Hour, time.Hour // ignored
		s := h.written(h.Advance(h.ctx, a))
		want := f
		want.Position = head
		h.same(s.Family, want)
		h.same(h.look(f.ID).Family, want)
		// A family that is at the head already gets Written all the same.
		h.same(h.written(h.Advance(h.ctx, a)).Family, want)
	}},
	{name: "TheDeadAreUnwritten", test: func(h *harness) {
		ended := h.family("anna")
		h.end(ended.ID)
		for _, a := range []store.Advance{next(ended), raise(ended)} {
			h.nothingWritten(func() {
				if s := h.unwritten(h.Advance(h.ctx, a)); s.State != store.Ended || s.Family.Subject != "anna" {
					h.t.Errorf("state %v of subject %q", s.State, s.Family.Subject)
				}
			}, ended.ID)
			a.ID = newID()
			h.nothingWritten(func() {
				if s := h.unwritten(h.Advance(h.ctx, a)); s.State != store.Absent {
					h.t.Errorf("state %v: want absent", s.State)
				}
			}, a.ID)
		}
	}},
	{name: "TheIdleDeadlineMoves", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Idle = 3 * h.unit()
		f := h.written(h.Create(h.ctx, c)).Family
		for range 3 {
			h.pass(2 * h.unit())
			f = h.written(h.Advance(h.ctx, next(f))).Family
			if d := f.IdleDeadline().Sub(f.Issued); d != c.Idle {
				h.t.Errorf("the idle deadline is %v after the issue: want %v", d, c.Idle)
			}
		}
	}},
}
