package storetest

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

var reading = []property{
	{name: "NoneIsAbsent", test: func(h *harness) {
		if s := h.look(newID()); s.State != store.Absent {
			h.t.Errorf("state %v: want absent", s.State)
		}
	}},
	{name: "TheSnapshotIsOfNow", test: func(h *harness) {
		f := h.family("anna")
		head := h.appendUnrelated()
		if s := h.look(f.ID); s.Head != head || s.Floor != 0 && s.Floor >= head {
			h.t.Errorf("head %d, floor %d: want head %d", s.Head, s.Floor, head)
		}
	}},
	{name: "ReadingWritesNothing", test: func(h *harness) {
		f := h.committed("anna", "value")
		h.nothingWritten(func() {
			for range 10 {
				h.same(h.look(f.ID).Family, f)
				h.cutoffs(f.ID, "anna")
			}
		}, f.ID)
	}},
	{name: "EachIsItsOwn", test: func(h *harness) {
		var fs []store.Family
		for range 20 {
			fs = append(fs, h.family("anna"))
		}
		for i, f := range fs {
			if i%2 == 0 {
				fs[i] = h.written(h.Advance(h.ctx, next(f))).Family
			}
		}
		for _, f := range fs {
			h.same(h.look(f.ID).Family, f)
		}
	}},
}

var listing = []property{
	{name: "ThoseBornLastComeFirst", test: func(h *harness) {
		var ids []store.ID
		for range 5 {
			ids = append(ids, h.bornNext("anna").ID)
			h.family("bob")
		}
		h.written(h.Advance(h.ctx, next(h.look(ids[1]).Family)))
		slices.Reverse(ids)
		for limit := 1; limit <= 6; limit++ {
			h.wantFamilies("anna", limit, ids[:min(limit, 5)]...)
		}
		h.wantFamilies("anna", store.MaxLooked, ids...)
		h.wantFamilies("nobody", 10)
	}},
	{name: "TheWholeRecordOfEachWithoutItsValue", test: func(h *harness) {
		c := login("anna")
		c.Label, c.Native = "the label", true
		f := h.written(h.Create(h.ctx, c)).Family
		f = h.lived(f)
		f = h.written(h.Commit(h.ctx, keep(f, "value"))).Family
		f.Value = nil
		p, err := h.Families(h.ctx, store.Query{Subject: "anna", Limit: 10})
		if err != nil || len(p.Families) != 1 {
			h.t.Fatalf("%d families, %v", len(p.Families), err)
		}
		h.same(p.Families[0], f)
	}},
	{name: "OnlyTheLiving", test: func(h *harness) {
		ended, old := h.family("anna"), h.family("anna")
		stays := h.family("anna")
		h.end(ended.ID)
		renewed := h.written(h.Create(h.ctx, renewal(old))).Family
		h.wantAmong("anna", stays.ID, renewed.ID)
		h.revokeSubject("anna")
		h.wantFamilies("anna", 10)
		young := h.family("anna")
		h.wantFamilies("anna", 10, young.ID)
		h.revokeEveryone()
		h.wantFamilies("anna", 10)
	}},
	{name: "TheDeadDoNotUseUpTheLimit", test: func(h *harness) {
		f := h.family("anna")
		for range 5 {
			h.end(h.bornNext("anna").ID)
		}
		h.wantFamilies("anna", 1, f.ID)
	}},
	{name: "OnlyThoseWithinTheirLimits", timed: true, test: func(h *harness) {
		idle, absolute, refreshed, stays := login("anna"), login("anna"), login("anna"), login("anna")
		idle.Idle, absolute.Absolute, refreshed.Idle = 2*h.unit(), 2*h.unit(), 2*h.unit()
		for _, c := range []store.Creation{idle, absolute, refreshed, stays} {
			h.written(h.Create(h.ctx, c))
		}
		h.wantAmong("anna", idle.ID, absolute.ID, refreshed.ID, stays.ID)
		h.pass(h.unit())
		h.written(h.Advance(h.ctx, next(h.look(refreshed.ID).Family)))
		h.pass(h.unit())
		h.wantAmong("anna", refreshed.ID, stays.ID)
	}},
}

// wantFamilies checks that exactly these are listed, in this order.
func (h *harness) wantFamilies(subject string, limit int, want ...store.ID) {
	h.t.Helper()
	if got := h.listed(subject, limit); !slices.Equal(got, want) {
		h.t.Errorf("the families of %q, at most %d: %v: want %v", subject, limit, got, want)
	}
}

// wantAmong checks that exactly these are listed, in any order.
func (h *harness) wantAmong(subject string, want ...store.ID) {
	h.t.Helper()
	if got := h.listed(subject, store.MaxLooked); !slices.Equal(sorted(got...), sorted(want...)) {
		h.t.Errorf("the families of %q: %v: want %v", subject, got, want)
	}
}

func (h *harness) listed(subject string, limit int) []store.ID {
	h.t.Helper()
	p, err := h.Families(h.ctx, store.Query{Subject: subject, Limit: limit})
	if err != nil {
		h.t.Fatalf("Families: %v", err)
	}
	var ids []store.ID
	for _, f := range p.Families {
		ids = append(ids, f.ID)
	}
	return ids
}
