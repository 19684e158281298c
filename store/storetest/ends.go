package storetest

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

var ending = []property{
	{name: "UpToTwoFamiliesAreEndedWithTheirEntries", test: func(h *harness) {
		// A family of another subject: a login over someone else's session.
		a, b := h.family("anna"), h.family("bob")
		head := h.head()
		c := login("anna")
		c.Ends, c.Reason, c.By = [2]store.ID{a.ID, b.ID}, "replaced", "the login page"
		s := h.written(h.Create(h.ctx, c))
		entries := h.entries(head)
		if len(entries) != 2 || !slices.Equal(sessionsOf(entries), sorted(a.ID, b.ID)) {
			h.t.Fatalf("entries %+v: want one for each of two", entries)
		}
		for _, e := range entries {
			h.wantEntry(e, store.KindSession, e.Session, "", "replaced", "the login page")
		}
		last := entries[1].Position
		if f := s.Family; s.Head != last || s.Entry != last || f.Birth != last || f.Position != last {
			h.t.Errorf("head %d, entry %d, birth %d, position %d: want all %d", s.Head, s.Entry, f.Birth, f.Position, last)
		}
		h.wantState(store.Ended, a.ID, b.ID)
		h.wantState(store.Alive, c.ID)
	}},
	{name: "TheDeadArePassedOver", test: func(h *harness) {
		ended, cut := h.family("anna"), h.family("bob")
		h.end(ended.ID)
		h.revokeSubject("bob")
		absent := newID()
		h.end(absent)
		for _, ends := range [][2]store.ID{{}, {ended.ID, cut.ID}, {absent, cut.ID}, {ended.ID, absent}} {
			head := h.head()
			c := login("anna")
			c.Ends = ends
			s := h.written(h.Create(h.ctx, c))
			if s.Head != head || s.Entry != 0 || s.Family.Birth != head {
				h.t.Errorf("head %d, entry %d, birth %d: want %d and no entry", s.Head, s.Entry, s.Family.Birth, head)
			}
		}
		h.wantState(store.Ended, ended.ID)
		h.wantState(store.CutOff, cut.ID)
	}},
	{name: "AnAbsentOneGetsItsEntry", test: func(h *harness) {
		// The store may have lost it, and other nodes accept its credentials.
		for _, ends := range [][2]store.ID{{newID()}, {{}, newID()}, {newID(), newID()}, {newID(), h.family("anna").ID}} {
			head := h.head()
			c := login("anna")
			c.Ends, c.Above, c.Reason, c.By = ends, head+1000, "replaced", "the login page"
			s := h.written(h.Create(h.ctx, c))
			entries := h.entries(head)
			want := slices.DeleteFunc(sorted(slices.Clone(ends[:])...), store.ID.IsZero)
			if !slices.Equal(sessionsOf(entries), want) {
				h.t.Fatalf("entries %+v: want one for each of %v", entries, want)
			}
			for _, e := range entries {
				h.wantEntry(e, store.KindSession, e.Session, "", "replaced", "the login page")
			}
			last := entries[len(entries)-1].Position
			if f := s.Family; entries[0].Position <= c.Above || s.Head != last || s.Entry != last || f.Birth != last || f.Position != last {
				h.t.Errorf("first entry %d above %d, head %d, entry %d, birth %d, position %d: want the last ones all %d",
					entries[0].Position, c.Above, s.Head, s.Entry, f.Birth, f.Position, last)
			}
			again := login("anna")
			again.Ends = ends
			if s := h.written(h.Create(h.ctx, again)); s.Head != last || s.Entry != 0 {
				h.t.Errorf("replaced again: head %d, entry %d, want %d and no entry", s.Head, s.Entry, last)
			}
		}
	}},
	{name: "AnExpiredOneGetsItsEntry", timed: true, test: func(h *harness) {
		// The row may be gone by now.
		for _, limit := range expired {
			old := login("bob")
			limit(h, &old)
			h.create(old)
			h.pass(3 * h.unit())
			head := h.head()
			c := login("anna")
			c.Ends = [2]store.ID{old.ID}
			h.create(c)
			if got := sessionsOf(h.entries(head)); !slices.Equal(got, []store.ID{old.ID}) {
				h.t.Errorf("ended %v: want %v", got, old.ID)
			}
		}
	}},
	{name: "OneLivesAndOneIsPassedOver", test: func(h *harness) {
		ended := h.family("anna")
		h.end(ended.ID)
		for _, living := range []int{0, 1} {
			a := h.family("anna")
			head := h.head()
			c := login("anna")
			c.Ends[living] = a.ID
			c.Ends[1-living] = ended.ID
			h.written(h.Create(h.ctx, c))
			if got := sessionsOf(h.entries(head)); !slices.Equal(got, []store.ID{a.ID}) {
				h.t.Errorf("ended %v: want %v", got, a.ID)
			}
			h.wantState(store.Ended, a.ID)
		}
	}},
	{name: "NamedTwiceIsEndedOnce", test: func(h *harness) {
		a := h.family("anna")
		head := h.head()
		absent := newID()
		for i, id := range []store.ID{a.ID, absent} {
			c := login("anna")
			c.Ends = [2]store.ID{id, id}
			h.written(h.Create(h.ctx, c))
			if n := len(h.entries(head)); n != i+1 {
				h.t.Errorf("%d entries: want %d", n, i+1)
			}
		}
		old := h.family("anna")
		head = h.head()
		c := renewal(old)
		c.Ends = [2]store.ID{old.ID}
		h.written(h.Create(h.ctx, c))
		if n := len(h.entries(head)); n != 1 {
			h.t.Errorf("%d entries of a family that is renewed and named in Ends: want 1", n)
		}
	}},
	{name: "TheNewFamilyIsNotBelowItsSubjectsOldCutoff", test: func(h *harness) {
		old := h.family("anna")
		h.revokeSubject("anna")
		c := login("anna")
		c.Ends = [2]store.ID{old.ID, h.family("anna").ID}
		h.written(h.Create(h.ctx, c))
		h.wantState(store.Alive, c.ID)
	}},
}
