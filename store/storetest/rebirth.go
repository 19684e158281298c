package storetest

import (
	"errors"

	"github.com/waferkit/wafer/store"
)

// elsewhere returns a revocation of f's subject everywhere else.
func elsewhere(f store.Family) store.Revocation {
	return store.Revocation{Subjects: []string{f.Subject}, Except: &store.Rebirth{ID: f.ID, Basis: f.Position, Key: f.Key}, Reason: "elsewhere", Actor: "anna"}
}

var rebearing = []property{
	{name: "BirthAndPositionBecomeTheEntrys", timed: true, test: func(h *harness) {
		f := h.committed("anna", "value")
		f = h.lived(f)
		rest, other := h.family("anna"), h.family("bob")
		h.tick()
		head := h.head()
		s := h.written(h.Revoke(h.ctx, elsewhere(f)))
		entries := h.entries(head)
		if len(entries) != 1 {
			h.t.Fatalf("%d entries: want 1", len(entries))
		}
		h.wantEntry(entries[0], store.KindSubject, store.ID{}, "anna", "elsewhere", "anna")
		p := entries[0].Position
		want := f // the last commit, the generation, its copies and the times stay
		want.Birth, want.Position = p, p
		h.same(s.Family, want)
		h.same(h.look(f.ID).Family, want)
		if s.State != store.Alive || s.Entry != p || s.Head != p {
			h.t.Errorf("state %v, entry %d, head %d: want alive, %d", s.State, s.Entry, s.Head, p)
		}
		h.wantState(store.CutOff, rest.ID)
		h.wantState(store.Alive, f.ID, other.ID)
		h.wantFamilies("anna", 10, f.ID)
	}},
	{name: "TheRebornGoesOn", test: func(h *harness) {
		f := h.written(h.Revoke(h.ctx, elsewhere(h.family("anna")))).Family
		f = h.written(h.Advance(h.ctx, next(f))).Family
		f = h.written(h.Commit(h.ctx, keep(f, "value"))).Family
		f = h.reissued(f, 1)
		f = h.written(h.Revoke(h.ctx, elsewhere(f))).Family
		renewed := h.written(h.Create(h.ctx, renewal(f))).Family
		h.wantState(store.Alive, renewed.ID)
		h.revokeSubject("anna")
		h.wantState(store.CutOff, renewed.ID)
	}},
	{name: "TheRebornDiesOfTheNextRevocation", test: func(h *harness) {
		for _, r := range []store.Revocation{{Subjects: []string{"anna"}}, {Everyone: true}, elsewhere(h.family("anna"))} {
			f := h.written(h.Revoke(h.ctx, elsewhere(h.family("anna")))).Family
			if r.Except != nil {
				r = elsewhere(h.family("anna"))
			}
			h.revoke(r)
			h.wantState(store.CutOff, f.ID)
			h.unwritten(h.Advance(h.ctx, next(f)))
		}
	}},
	{name: "BehindAppendsNothing", test: func(h *harness) {
		f, rest := h.committed("anna", "value"), h.family("anna")
		r := elsewhere(f)
		r.Except.Basis = f.LastCommit - 1
		h.nothingWritten(func() {
			s := h.behind(h.Revoke(h.ctx, r))
			h.same(s.Family, f)
			if s.State != store.Alive || s.Entry != 0 {
				h.t.Errorf("state %v, entry %d: want alive, none", s.State, s.Entry)
			}
		}, f.ID, rest.ID)
		r.Except.Basis = f.LastCommit
		h.written(h.Revoke(h.ctx, r))
	}},
	{name: "OfTheDeadTheEntryIsAppendedAllTheSame", test: func(h *harness) {
		// A thief who was faster does not survive it, whatever the basis is.
		for _, kill := range []func(f store.Family){
			func(f store.Family) { h.end(f.ID) },
			func(f store.Family) { h.revokeSubject("anna") },
			func(f store.Family) { h.revokeEveryone() },
		} {
			for _, behind := range []bool{false, true} {
				f := h.committed("anna", "value")
				kill(f)
				thief := h.family("anna")
				r := elsewhere(f)
				if behind {
					r.Except.Basis = 1
				}
				head := h.head()
				s := h.written(h.Revoke(h.ctx, r))
				if s.State != store.Ended && s.State != store.CutOff || s.Family.ID != f.ID || s.Family.Birth != f.Birth {
					h.t.Errorf("state %v of %v, birth %d: want a dead one, born at %d", s.State, s.Family.ID, s.Family.Birth, f.Birth)
				}
				if n := len(h.entries(head)); n != 1 || s.Entry <= head || s.Entry != s.Head {
					h.t.Errorf("%d entries, entry %d, head %d", n, s.Entry, s.Head)
				}
				h.wantState(store.CutOff, thief.ID)
			}
		}
		thief := h.family("anna")
		r := elsewhere(thief)
		r.Except.ID = newID()
		if s := h.written(h.Revoke(h.ctx, r)); s.State != store.Absent {
			h.t.Errorf("state %v: want absent", s.State)
		}
		h.wantState(store.CutOff, thief.ID)
	}},
	{name: "OfTheExpiredTheEntryIsAppendedAllTheSame", timed: true, test: func(h *harness) {
		var cs []store.Creation
		for _, limit := range expired {
			c := login("anna")
			limit(h, &c)
			h.written(h.Create(h.ctx, c))
			cs = append(cs, c)
		}
		h.pass(3 * h.unit())
		for _, c := range cs {
			thief := h.family("anna")
			r := elsewhere(thief)
			r.Except = &store.Rebirth{ID: c.ID, Basis: store.MaxPosition}
			if s := h.written(h.Revoke(h.ctx, r)); s.State == store.Alive || s.Entry == 0 {
				h.t.Errorf("state %v, entry %d: want it cut off by that entry", s.State, s.Entry)
			}
			h.wantState(store.CutOff, thief.ID)
		}
	}},
	{name: "AnotherSubjectsFamilyIsNotReborn", test: func(h *harness) {
		f := h.family("bob")
		h.family("anna")
		r := elsewhere(f)
		r.Subjects = []string{"anna"}
		s, err := h.Revoke(h.ctx, r)
		if err != nil && !errors.Is(err, store.ErrArgument) {
			h.t.Fatalf("Revoke: %v", err)
		}
		if err == nil && s.State == store.Alive && s.Family.Birth == s.Entry {
			h.t.Error("it says that the family was reborn")
		}
		h.same(h.look(f.ID).Family, f)
	}},
	{name: "ExceedsAbove", test: func(h *harness) {
		f := h.family("anna")
		r := elsewhere(f)
		r.Above = h.head() + store.MaxAhead
		s := h.written(h.Revoke(h.ctx, r))
		if p := r.Above + 1; s.Entry != p || s.Family.Birth != p || s.Family.Position != p {
			h.t.Errorf("entry %d, birth %d, position %d: want %d", s.Entry, s.Family.Birth, s.Family.Position, p)
		}
	}},
}
