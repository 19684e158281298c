package storetest

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

// birth tests the birth check in every method: a family whose birth is below
// a cutoff of its subject or of everyone is not alive, whether or not the
// engine has already ended its row.
var birth = []property{
	{name: "SubjectCutoff", test: func(h *harness) {
		h.everyMethodSeesTheCutoff(plain, store.Revocation{Subjects: []string{"bob", "anna"}})
	}},
	{name: "EveryoneCutoff", test: func(h *harness) {
		h.everyMethodSeesTheCutoff(plain, store.Revocation{Everyone: true})
	}},
	{name: "AnotherSubjectsCutoffIsNothing", test: func(h *harness) {
		f := h.family("anna")
		for range 3 {
			h.revoke(store.Revocation{Subjects: []string{"bob", "ann", "annab"}, Sessions: []store.ID{newID()}})
		}
		f = h.reissued(h.advanced(f), 1)
		f = h.written(h.Commit(h.ctx, keep(f, "value"))).Family
		f = h.written(h.Revoke(h.ctx, elsewhere(f))).Family
		h.written(h.Create(h.ctx, renewal(f)))
	}},
	{name: "OnlyBirthCounts", test: func(h *harness) {
		// A position that has risen above the cutoff does not replace the
		// birth.
		f := h.family("anna")
		h.appendUnrelated()
		f = h.written(h.Advance(h.ctx, next(f))).Family
		c := keep(f, "value")
		c.Above = f.Position + 1000
		f = h.written(h.Commit(h.ctx, c)).Family
		h.revokeSubject("anna")
		h.wantState(store.CutOff, f.ID)
		h.appendUnrelated()
		h.wantState(store.CutOff, f.ID)
	}},
	{name: "BornAtTheCutoffItLives", test: func(h *harness) {
		cutoff := h.revokeSubject("anna")
		f := h.family("anna")
		if f.Birth != cutoff {
			h.t.Errorf("birth %d: want %d", f.Birth, cutoff)
		}
		h.wantState(store.Alive, f.ID)
		cutoff = h.revokeEveryone()
		f = h.family("anna")
		if f.Birth != cutoff {
			h.t.Errorf("birth %d: want %d", f.Birth, cutoff)
		}
		h.written(h.Advance(h.ctx, next(f)))
	}},
}

func plain() store.Creation { return login("anna") }

// everyMethodSeesTheCutoff makes families of anna, revokes, and tries everything.
func (h *harness) everyMethodSeesTheCutoff(creation func() store.Creation, r store.Revocation) {
	fresh := func() store.Family { return h.advanced(h.commit(h.create(creation()), "value")) }
	f, renewed, replaced, reborn := fresh(), fresh(), fresh(), fresh()
	h.revoke(r)

	unwritten := func(method string, s store.Snapshot, err error) {
		h.t.Helper()
		if err != nil || s.Outcome != store.Unwritten || s.State != store.CutOff || s.Entry != 0 {
			h.t.Errorf("%s: %v, of a family %v, entry %d, %v: want unwritten, cut off", method, s.Outcome, s.State, s.Entry, err)
		}
	}
	h.nothingWritten(func() {
		s, err := h.Family(h.ctx, f.ID)
		unwritten("Family", s, err)
		s, err = h.Advance(h.ctx, next(f))
		unwritten("Advance", s, err)
		s, err = h.Advance(h.ctx, raise(f))
		unwritten("Advance PositionOnly", s, err)
		a := next(f)
		a.Basis = 1
		s, err = h.Advance(h.ctx, a)
		unwritten("Advance, behind", s, err)
		s, err = h.Commit(h.ctx, keep(f, "more"))
		unwritten("Commit", s, err)
		c := keep(f, "more")
		c.Basis = 1
		s, err = h.Commit(h.ctx, c)
		unwritten("Commit, behind", s, err)
		s, err = h.Reissue(h.ctx, copyOf(f))
		unwritten("Reissue", s, err)
		r := copyOf(f)
		r.Basis = 1
		s, err = h.Reissue(h.ctx, r)
		unwritten("Reissue, behind", s, err)
		s, err = h.Create(h.ctx, renewal(renewed))
		unwritten("Create of Renews", s, err)
		c2 := renewal(renewed)
		c2.Renews.Basis = 1
		s, err = h.Create(h.ctx, c2)
		unwritten("Create of Renews, behind", s, err)
		s, err = h.Bind(h.ctx, binding(f, newKey()))
		unwritten("Bind", s, err)
		b := binding(f, newKey())
		b.Verified = newSeal()
		s, err = h.Bind(h.ctx, b)
		unwritten("Bind, of another seal", s, err)
		h.wantFamilies("anna", 10)
		if p, err := h.Families(h.ctx, store.Query{Limit: 10}); err != nil || len(p.Families) != 0 {
			h.t.Errorf("of everybody: %d families, %v", len(p.Families), err)
		}
	}, f.ID, renewed.ID)

	head := h.head()
	c := login("anna")
	c.Limit, c.Ends = 1, [2]store.ID{replaced.ID}
	h.written(h.Create(h.ctx, c))
	if got := h.entries(head); len(got) != 0 {
		h.t.Errorf("Create: the limit or Ends took a family that is cut off for living: %+v", got)
	}
	// The login may have met it, and then its row is gone or ended.
	s := h.written(h.Revoke(h.ctx, elsewhere(reborn)))
	if s.State == store.Alive || s.Family.Birth == s.Entry || s.Ended != 1 {
		h.t.Errorf("Revoke of Except: %v, birth %d, ended %d: want it dead, and the one of the login", s.State, s.Family.Birth, s.Ended)
	}
	h.wantState(store.CutOff, c.ID)
	if got := h.listed("anna", 10); slices.Contains(got, reborn.ID) {
		h.t.Error("Families lists one that was not reborn")
	}
}
