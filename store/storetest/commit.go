package storetest

import (
	"bytes"

	"github.com/waferkit/wafer/store"
)

var committing = []property{
	{name: "ASupersedingEntryAndTheValueAtOnePosition", timed: true, test: func(h *harness) {
		f := h.lived(h.family("anna"))
		h.tick()
		head := h.appendUnrelated()
		c := keep(f, "value")
		c.Actor = "anna herself"
		s := h.written(h.Commit(h.ctx, c))
		entries := h.entries(head)
		if len(entries) != 1 {
			h.t.Fatalf("%d entries: want 1", len(entries))
		}
		p := entries[0].Position
		h.wantEntry(entries[0], store.KindSuperseding, f.ID, "", entries[0].Reason, "anna herself")
		want := f // the generation, its copies and the issue time stay, and the birth
		want.Position, want.LastCommit, want.Value = p, p, []byte("value")
		h.same(s.Family, want)
		h.same(h.look(f.ID).Family, want)
		if s.Entry != p || s.Head != p || s.State != store.Alive {
			h.t.Errorf("entry %d, head %d, state %v: want %d, alive", s.Entry, s.Head, s.State, p)
		}
	}},
	{name: "TheLastCommitCounts", test: func(h *harness) {
		f := h.family("anna")
		for _, value := range []string{"first", "second", "the third is longer"} {
			f = h.written(h.Commit(h.ctx, keep(f, value))).Family
			if string(f.Value) != value {
				h.t.Errorf("value %q: want %q", f.Value, value)
			}
		}
		h.same(h.look(f.ID).Family, f)
	}},
	{name: "BehindAnotherCommit", test: func(h *harness) {
		f := h.family("anna")
		kept := h.written(h.Commit(h.ctx, keep(f, "first tab"))).Family
		for _, basis := range []store.Position{f.Position, kept.LastCommit - 1, 0} {
			c := keep(f, "second tab")
			c.Basis = basis
			h.nothingWritten(func() {
				s := h.behind(h.Commit(h.ctx, c))
				h.same(s.Family, kept)
				if s.Entry != 0 {
					h.t.Errorf("entry %d: want none", s.Entry)
				}
			}, f.ID)
		}
		h.written(h.Commit(h.ctx, keep(kept, "second tab, again")))
	}},
	{name: "CalledAgainItIsBehindItself", test: func(h *harness) {
		f := h.family("anna")
		c := keep(f, "value")
		first := h.written(h.Commit(h.ctx, c))
		again := h.behind(h.Commit(h.ctx, c))
		h.same(again.Family, first.Family)
		if n := len(h.entries(f.Birth)); n != 1 {
			h.t.Errorf("%d entries: want 1", n)
		}
	}},
	{name: "ExceedsAbove", test: func(h *harness) {
		c := keep(h.family("anna"), "value")
		c.Above = h.head() + store.MaxAhead
		s := h.written(h.Commit(h.ctx, c))
		if s.Entry != c.Above+1 || s.Family.Position != s.Entry || s.Family.LastCommit != s.Entry {
			h.t.Errorf("entry %d, position %d, last commit %d: want %d", s.Entry, s.Family.Position, s.Family.LastCommit, c.Above+1)
		}
	}},
	{name: "TheDeadAreUnwritten", test: func(h *harness) {
		f := h.committed("anna", "value")
		h.end(f.ID)
		for _, basis := range []store.Position{f.Position, 1} {
			c := keep(f, "more")
			c.Basis = basis
			h.nothingWritten(func() {
				if s := h.unwritten(h.Commit(h.ctx, c)); s.State != store.Ended || s.Entry != 0 {
					h.t.Errorf("state %v, entry %d", s.State, s.Entry)
				}
			}, f.ID)
			c.ID = newID()
			h.nothingWritten(func() {
				if s := h.unwritten(h.Commit(h.ctx, c)); s.State != store.Absent {
					h.t.Errorf("state %v: want absent", s.State)
				}
			}, c.ID)
		}
	}},
	{name: "TheLargestValue", test: func(h *harness) {
		value := bytes.Repeat([]byte{0, 0xff, '\n'}, store.MaxValue/3)
		f := h.committed("anna", string(value))
		if got := h.look(f.ID).Family.Value; !bytes.Equal(got, value) {
			h.t.Errorf("%d bytes came back as %d others", len(value), len(got))
		}
	}},
	{name: "TheValueIsACopy", test: func(h *harness) {
		f := h.family("anna")
		c := keep(f, "value")
		s := h.written(h.Commit(h.ctx, c))
		spoil := func(value []byte) {
			for i := range value {
				value[i] = 'x'
			}
		}
		check := func(whose string) {
			h.t.Helper()
			if got := h.look(f.ID).Family.Value; string(got) != "value" {
				h.t.Fatalf("writing into %s changed the store: %q", whose, got)
			}
		}
		spoil(c.Value)
		check("the argument")
		spoil(s.Family.Value)
		check("Commit's answer")
		spoil(h.look(f.ID).Family.Value)
		check("Family's answer")
		s = h.behind(h.Commit(h.ctx, keep(f, "other")))
		spoil(s.Family.Value)
		check("a refused Commit's answer")
		s = h.written(h.Advance(h.ctx, next(h.look(f.ID).Family)))
		spoil(s.Family.Value)
		check("Advance's answer")

		r := renewal(h.look(f.ID).Family)
		r.Value = []byte("value")
		s = h.written(h.Create(h.ctx, r))
		f = s.Family
		spoil(r.Value)
		check("Create's argument")
		spoil(s.Family.Value)
		check("Create's answer")
	}},
	{name: "OtherFamiliesStay", test: func(h *harness) {
		f, other := h.family("anna"), h.committed("anna", "other")
		h.written(h.Commit(h.ctx, keep(f, "value")))
		h.same(h.look(other.ID).Family, other)
	}},
}
