package storetest

import (
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

var reissuing = []property{
	{name: "OneMoreCopyAndTheIssueTime", timed: true, test: func(h *harness) {
		f := h.advanced(h.committed("anna", "value"))
		h.tick()
		head := h.appendUnrelated()
		s := h.written(h.Reissue(h.ctx, copyOf(f)))
		want := f // the generation, the value and everything else stay
		want.Copy, want.Position, want.Issued = 1, head, s.Family.Issued
		h.same(s.Family, want)
		h.same(h.look(f.ID).Family, want)
		if !s.Family.Issued.After(f.Issued) || s.Family.Issued.After(s.Now) || s.Entry != 0 {
			h.t.Errorf("issued %v, entry %d: want now, %v, and no entry", s.Family.Issued, s.Entry, s.Now)
		}
		if s.Head != head || s.State != store.Alive {
			h.t.Errorf("head %d, state %v: want %d, alive", s.Head, s.State, head)
		}
	}},
	{name: "AnyNumberOfTimes", test: func(h *harness) {
		f := h.advanced(h.family("anna"))
		for i := range uint16(20) {
			if f = h.reissued(f, 1); f.Copy != i+1 || f.Generation != 2 {
				h.t.Fatalf("copy %d of generation %d: want %d of 2", f.Copy, f.Generation, i+1)
			}
		}
	}},
	{name: "OnlyTheGenerationBeforeTheCurrent", test: func(h *harness) {
		f := h.family("anna")
		first := copyOf(h.advanced(h.family("anna")))
		first.ID = f.ID
		h.nothingWritten(func() { h.unwritten(h.Reissue(h.ctx, first)) }, f.ID) // there is no generation before it
		for range 3 {
			f = h.advanced(f)
		}
		for _, generation := range []uint32{1, 2, 4, 5, store.MaxGeneration - 1} {
			r := copyOf(f)
			r.Generation = generation
			h.nothingWritten(func() {
				s := h.unwritten(h.Reissue(h.ctx, r))
				h.same(s.Family, f)
			}, f.ID)
		}
		h.reissued(f, 1)
	}},
	{name: "OnlyTheCopyThatWasUsed", test: func(h *harness) {
		f := h.reissued(h.advanced(h.family("anna")), 3)
		a := next(f)
		a.Copy = 2
		f = h.written(h.Advance(h.ctx, a)).Family
		h.appendUnrelated()
		for range 2 { // of no copy, and of one
			for _, other := range []uint16{0, 1, 3, 4, store.MaxCopy} {
				r := copyOf(f)
				r.Copy = other
				h.nothingWritten(func() {
					s := h.unwritten(h.Reissue(h.ctx, r))
					h.same(s.Family, f)
				}, f.ID)
			}
			f = h.reissued(f, 1)
		}
	}},
	{name: "AgeHoldsAYoungFamilyBack", timed: true, test: func(h *harness) {
		f := h.advanced(h.family("anna"))
		for range 2 { // counted from the advance, then from the copy
			r := copyOf(f)
			r.Age = 2 * h.unit()
			h.nothingWritten(func() { h.unwritten(h.Reissue(h.ctx, r)) }, f.ID)
			h.pass(h.unit())
			h.nothingWritten(func() { h.unwritten(h.Reissue(h.ctx, r)) }, f.ID)
			h.pass(h.unit())
			f = h.written(h.Reissue(h.ctx, r)).Family
		}
	}},
	{name: "AgeToTheMillisecond", leaps: true, test: func(h *harness) {
		h.comesOfAge(func(f store.Family, age time.Duration) (store.Snapshot, error) {
			r := copyOf(f)
			r.Age = age
			return h.Reissue(h.ctx, r)
		})
	}},
	{name: "AClockThatWasSetBackHoldsNothingBack", leaps: true, test: func(h *harness) {
		h.setBack(func(f store.Family, skew time.Duration) (store.Snapshot, error) {
			r := copyOf(f)
			r.Age, r.Skew = time.Hour, skew
			return h.Reissue(h.ctx, r)
		})
	}},
	{name: "TheOtherKindIsUnwritten", test: func(h *harness) {
		for _, native := range []bool{false, true} {
			c := login("anna")
			c.Native = native
			f := h.advanced(h.written(h.Create(h.ctx, c)).Family)
			h.appendUnrelated()
			r := copyOf(f)
			r.Native = !native
			h.nothingWritten(func() { h.unwritten(h.Reissue(h.ctx, r)) }, f.ID)
			h.reissued(f, 1)
		}
	}},
	{name: "BehindTheLastCommit", test: func(h *harness) {
		f := h.advanced(h.committed("anna", "value"))
		h.appendUnrelated()
		r := copyOf(f)
		r.Basis = f.LastCommit - 1
		h.nothingWritten(func() {
			s := h.behind(h.Reissue(h.ctx, r))
			h.same(s.Family, f)
		}, f.ID)
		r.Basis = f.LastCommit
		s := h.written(h.Reissue(h.ctx, r))
		if s.Family.LastCommit != f.LastCommit || string(s.Family.Value) != "value" {
			h.t.Errorf("last commit %d, value %q: want them to stay", s.Family.LastCommit, s.Family.Value)
		}
	}},
	{name: "BasisIsNothingWithoutACommit", test: func(h *harness) {
		r := copyOf(h.advanced(h.family("anna")))
		r.Basis = 0
		h.written(h.Reissue(h.ctx, r))
	}},
	{name: "BehindOnlyWhereNothingElseStandsInTheWay", test: func(h *harness) {
		f := h.reissued(h.advanced(h.committed("anna", "value")), 1)
		f = h.advanced(f)
		for name, change := range map[string]func(r *store.Reissue){
			"an older generation":  func(r *store.Reissue) { r.Generation = 1 },
			"the same generation":  func(r *store.Reissue) { r.Generation = 3 },
			"a copy not used":      func(r *store.Reissue) { r.Copy = 0 },
			"a copy never issued":  func(r *store.Reissue) { r.Copy = 2 },
			"the other kind":       func(r *store.Reissue) { r.Native = true },
			"too young":            func(r *store.Reissue) { r.Age = time.Hour },
			"too young, with skew": func(r *store.Reissue) { r.Age, r.Skew = time.Hour, time.Minute },
			"absent":               func(r *store.Reissue) { r.ID = newID() },
		} {
			r := copyOf(f)
			r.Basis = 1
			change(&r)
			s, err := h.Reissue(h.ctx, r)
			if err != nil || s.Outcome != store.Unwritten {
				h.t.Errorf("%s: %v, %v: want unwritten", name, s.Outcome, err)
			}
		}
		r := copyOf(f)
		r.Basis = 1
		h.behind(h.Reissue(h.ctx, r))
		h.end(f.ID)
		h.unwritten(h.Reissue(h.ctx, r))
	}},
	{name: "TheDeadAreUnwritten", test: func(h *harness) {
		ended := h.advanced(h.family("anna"))
		h.end(ended.ID)
		r := copyOf(ended)
		h.nothingWritten(func() {
			if s := h.unwritten(h.Reissue(h.ctx, r)); s.State != store.Ended || s.Family.Subject != "anna" {
				h.t.Errorf("state %v of subject %q", s.State, s.Family.Subject)
			}
		}, ended.ID)
		r.ID = newID()
		h.nothingWritten(func() {
			if s := h.unwritten(h.Reissue(h.ctx, r)); s.State != store.Absent {
				h.t.Errorf("state %v: want absent", s.State)
			}
		}, r.ID)
	}},
	{name: "TheIdleDeadlineMoves", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Idle = 3 * h.unit()
		f := h.advanced(h.written(h.Create(h.ctx, c)).Family)
		for range 2 {
			h.pass(2 * h.unit())
			f = h.reissued(f, 1)
			if d := f.IdleDeadline().Sub(f.Issued); d != c.Idle {
				h.t.Errorf("the idle deadline is %v after the issue: want %v", d, c.Idle)
			}
		}
		h.pass(2 * h.unit())
		h.advanced(f)
	}},
	// Many callers share the calls, which is quick on engines that commit writes
	// together.
	{name: "TheCopiesAreUsedUp", test: func(h *harness) {
		f := h.advanced(h.committed("anna", "value"))
		r := copyOf(f)
		const callers = 32
		var calls atomic.Int32
		var issued [store.MaxCopy + 2]atomic.Int32
		together(callers, func(int) {
			for calls.Add(1) <= store.MaxCopy+callers {
				s, err := h.Reissue(h.ctx, r)
				switch {
				case err != nil:
					h.t.Error(err)
					return
				case s.Outcome == store.Unwritten:
					if s.State != store.Alive || s.Family.Copy != store.MaxCopy {
						h.t.Errorf("of a family %v there are %d copies: want %d", s.State, s.Family.Copy, store.MaxCopy)
					}
					return
				case s.Outcome != store.Written || s.Family.Copy > store.MaxCopy:
					h.t.Errorf("%v, copy %d", s.Outcome, s.Family.Copy)
					return
				}
				issued[s.Family.Copy].Add(1)
			}
		})
		for i := range issued {
			want := int32(1)
			if i == 0 || i > store.MaxCopy {
				want = 0
			}
			if n := issued[i].Load(); n != want {
				h.t.Fatalf("copy %d was issued %d times: want %d", i, n, want)
			}
		}
		r.Basis = 1
		h.nothingWritten(func() { h.unwritten(h.Reissue(h.ctx, r)) }, f.ID) // used up, not behind
		// The next generation has copies of its own.
		f = h.advanced(h.look(f.ID).Family)
		if f.Copy != 0 || f.Used != store.MaxCopy {
			h.t.Errorf("copy %d, used %d: want 0 and %d", f.Copy, f.Used, store.MaxCopy)
		}
		h.reissued(f, 1)
	}},
}

// comesOfAge checks from when on a family is old enough for try.
func (h *harness) comesOfAge(try func(f store.Family, age time.Duration) (store.Snapshot, error)) {
	h.t.Helper()
	for _, age := range []time.Duration{10 * time.Second, 10*time.Second + time.Millisecond/2} {
		f := h.advanced(h.family("anna"))
		for at := age.Truncate(time.Millisecond) - time.Millisecond; ; at += time.Millisecond {
			h.pass(f.Issued.Add(at).Sub(h.look(f.ID).Now))
			// A clock that runs is later in the call than it was before.
			before := h.look(f.ID).Now
			s, err := try(f, age)
			if err != nil {
				h.t.Fatal(err)
			}
			if s.Outcome == store.Written {
				if got := s.Family.Issued.Sub(f.Issued); got < age {
					h.t.Errorf("written at the age of %v: want %v", got, age)
				}
				break
			}
			if got := before.Truncate(time.Millisecond).Sub(f.Issued); got >= age {
				h.t.Fatalf("%v at the age of %v: want written at %v", s.Outcome, got, age)
			}
		}
	}
}

// setBack checks that a family whose issue time is ahead of the clock by more
// than the skew counts as old, to the millisecond. try refreshes a family that is
// too young by any other clock.
func (h *harness) setBack(try func(f store.Family, skew time.Duration) (store.Snapshot, error)) {
	h.t.Helper()
	for _, skew := range []time.Duration{0, time.Second, 10*time.Second + time.Millisecond/2} {
		c := login("anna")
		c.Idle = 12 * time.Hour
		f := h.advanced(h.written(h.Create(h.ctx, c)).Family)
		h.nothingWritten(func() { h.unwritten(try(f, skew)) }, f.ID)
		whole := skew.Truncate(time.Millisecond)
		h.pass(f.Issued.Sub(h.look(f.ID).Now) - whole)
		h.nothingWritten(func() { h.unwritten(try(f, skew)) }, f.ID)
		h.pass(f.Issued.Sub(h.look(f.ID).Now) - whole - time.Millisecond)
		s, err := try(f, skew)
		if err != nil || s.Outcome != store.Written && f.Issued.Sub(s.Now) > skew {
			h.t.Fatalf("issued %v ahead of the clock, with a skew of %v: %v, %v: want written", f.Issued.Sub(s.Now), skew, s.Outcome, err)
		}
		if s.Outcome != store.Written { // the clock runs, and was there again
			h.pass(-time.Minute)
			s = h.written(try(f, skew))
		}
		if s.Family.Issued.After(s.Now) || !s.Family.Issued.Before(f.Issued) {
			h.t.Errorf("issued %v: want now, %v", s.Family.Issued, s.Now)
		}
		// The new issue time is that of the clock, so the age counts again.
		h.nothingWritten(func() { h.unwritten(try(s.Family, skew)) }, f.ID)
	}
}

// advanced advances a family by its newest token.
func (h *harness) advanced(f store.Family) store.Family {
	h.t.Helper()
	return h.written(h.Advance(h.ctx, next(f))).Family
}

// reissued makes n more copies of a family's generation.
func (h *harness) reissued(f store.Family, n int) store.Family {
	h.t.Helper()
	for range n {
		f = h.written(h.Reissue(h.ctx, copyOf(f))).Family
	}
	return f
}

// lived returns a family after refreshes by which each of its counters has a
// value of its own: copy 1 of generation 3, from copy 2.
func (h *harness) lived(f store.Family) store.Family {
	h.t.Helper()
	return h.reissued(h.advanced(h.reissued(h.advanced(f), 2)), 1)
}
