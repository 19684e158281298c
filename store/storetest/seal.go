package storetest

import (
	"github.com/waferkit/wafer/store"
)

// sealing tests that the seal is kept as it was given, and that a family is only
// continued by a caller who has verified the seal that its row has.
var sealing = []property{
	{name: "KeptAsGivenWhateverIsWritten", test: func(h *harness) {
		c := whole("anna")
		for i := range c.Seal {
			c.Seal[i] = byte(i * 13)
		}
		f := h.create(c)
		for name, write := range map[string]func() store.Family{
			"Advance":              func() store.Family { return h.advanced(f) },
			"Advance PositionOnly": func() store.Family { return h.written(h.Advance(h.ctx, raise(f))).Family },
			"Reissue":              func() store.Family { return h.reissued(h.advanced(f), 1) },
			"Commit":               func() store.Family { return h.commit(f, "value") },
			"rebirth":              func() store.Family { return h.written(h.Revoke(h.ctx, elsewhere(f))).Family },
		} {
			f = write()
			if got := h.look(f.ID).Family; f.Seal != c.Seal || got.Seal != c.Seal {
				h.t.Errorf("%s: seal %x, in the row %x: want %x", name, f.Seal, got.Seal, c.Seal)
			}
		}
		p, err := h.Families(h.ctx, store.Query{Subject: "anna", Limit: 1})
		if err != nil || len(p.Families) != 1 || p.Families[0].Seal != c.Seal {
			h.t.Errorf("listed as %+v, %v: want seal %x", p.Families, err, c.Seal)
		}
	}},
	{name: "TheZeroSealIsOneToo", test: func(h *harness) {
		c := login("anna")
		c.Seal = store.Seal{}
		f := h.create(c)
		r := renewal(f)
		r.Renews.Seal = newSeal()
		h.nothingWritten(func() { h.changed(h.Create(h.ctx, r)) }, f.ID, r.ID)
		r.Renews.Seal = store.Seal{}
		h.written(h.Create(h.ctx, r))
	}},
	{name: "AFamilyOfAnotherSealIsChanged", test: func(h *harness) {
		old, other := h.committed("anna", "value"), h.family("bob")
		for i := range old.Seal { // every byte counts
			c := renewal(old)
			c.Renews.Seal[i] ^= 1
			c.Ends, c.Value = [2]store.ID{other.ID}, []byte("another")
			h.nothingWritten(func() {
				s := h.changed(h.Create(h.ctx, c))
				h.same(s.Family, old)
				if s.State != store.Alive || s.Entry != 0 {
					h.t.Errorf("state %v, entry %d: want alive, none", s.State, s.Entry)
				}
			}, old.ID, other.ID, c.ID)
		}
		h.written(h.Create(h.ctx, renewal(old)))
	}},
	{name: "TheDeadAreUnwrittenWhateverTheirSeal", test: func(h *harness) {
		ended, cut := h.family("anna"), h.family("bob")
		h.end(ended.ID)
		h.revokeSubject("bob")
		for _, old := range []store.Family{ended, cut} {
			c := renewal(old)
			c.Renews.Seal = newSeal()
			h.nothingWritten(func() { h.unwritten(h.Create(h.ctx, c)) }, old.ID, c.ID)
		}
	}},
	{name: "TheNewFamilyHasItsOwn", test: func(h *harness) {
		old := h.family("anna")
		c := renewal(old)
		f := h.create(c)
		if got := h.look(f.ID).Family.Seal; f.Seal != c.Seal || got != c.Seal {
			h.t.Errorf("seal %x, in the row %x: want %x", f.Seal, got, c.Seal)
		}
		// The next renewal must have verified that one.
		c = renewal(f)
		c.Renews.Seal = old.Seal
		h.nothingWritten(func() { h.changed(h.Create(h.ctx, c)) }, f.ID, c.ID)
	}},
}
