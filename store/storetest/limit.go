package storetest

import (
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

var limiting = []property{
	{name: "OneTooManyIsRefused", test: func(h *harness) {
		a, b := h.family("anna"), h.family("anna")
		h.family("bob")
		c := login("anna")
		c.Limit = 2
		h.nothingWritten(func() { h.full(h.Create(h.ctx, c)) }, a.ID, b.ID, c.ID)
		c.Limit = 3
		h.written(h.Create(h.ctx, c))
		c = login("anna")
		c.Limit = 1
		h.nothingWritten(func() { h.full(h.Create(h.ctx, c)) }, a.ID, b.ID, c.ID)
	}},
	{name: "WithoutALimitAnyNumberMayLive", test: func(h *harness) {
		for range 30 {
			h.family("anna")
		}
	}},
	{name: "RefusedItEndsNothing", test: func(h *harness) {
		a, b, other := h.family("anna"), h.family("anna"), h.family("bob")
		c := login("anna")
		c.Limit, c.Ends = 2, [2]store.ID{other.ID}
		h.nothingWritten(func() { h.full(h.Create(h.ctx, c)) }, a.ID, b.ID, other.ID)
	}},
	{name: "NativeFamiliesCount", test: func(h *harness) {
		c := login("anna")
		c.Native = true
		h.written(h.Create(h.ctx, c))
		c = login("anna")
		c.Limit = 1
		h.full(h.Create(h.ctx, c))
		f := h.family("bob")
		c = login("bob")
		c.Limit, c.Native, c.EndOldest = 1, true, true
		h.written(h.Create(h.ctx, c))
		h.wantState(store.Ended, f.ID)
	}},
	{name: "TheEndedAndTheCutOffDoNotCount", test: func(h *harness) {
		for range 3 {
			h.end(h.family("anna").ID)
		}
		c := login("anna")
		c.Limit = 1
		h.written(h.Create(h.ctx, c))
		h.revokeSubject("anna")
		c = login("anna")
		c.Limit = 1
		h.written(h.Create(h.ctx, c))
		h.revokeEveryone()
		c = login("anna")
		c.Limit = 1
		h.written(h.Create(h.ctx, c))
	}},
	{name: "TheReplacedDoNotCount", test: func(h *harness) {
		a, b := h.family("anna"), h.family("anna")
		c := login("anna")
		c.Limit, c.Ends = 2, [2]store.ID{newID(), a.ID}
		s := h.written(h.Create(h.ctx, c))
		h.wantState(store.Ended, a.ID)
		h.wantState(store.Alive, b.ID, c.ID)

		renew := renewal(s.Family)
		renew.Limit = 2
		h.written(h.Create(h.ctx, renew))
		h.wantState(store.Alive, b.ID, renew.ID)

		both := login("anna")
		both.Limit, both.Ends = 1, [2]store.ID{b.ID, renew.ID}
		h.written(h.Create(h.ctx, both))
		h.wantState(store.Alive, both.ID)
	}},
	{name: "AnotherSubjectsReplacedFamilyMakesNoRoom", test: func(h *harness) {
		a, other := h.family("anna"), h.family("bob")
		c := login("anna")
		c.Limit, c.Ends = 1, [2]store.ID{other.ID}
		h.nothingWritten(func() { h.full(h.Create(h.ctx, c)) }, a.ID, other.ID)
	}},
	{name: "TheExpiredDoNotCount", timed: true, test: func(h *harness) {
		idle, absolute := login("anna"), login("anna")
		idle.Idle, absolute.Absolute = 2*h.unit(), 2*h.unit()
		h.written(h.Create(h.ctx, idle))
		h.written(h.Create(h.ctx, absolute))
		c := login("anna")
		c.Limit = 1
		h.full(h.Create(h.ctx, c))
		h.pass(3 * h.unit())
		head := h.head()
		h.written(h.Create(h.ctx, c))
		if got := h.entries(head); len(got) != 0 {
			h.t.Errorf("%d entries: want none for those past their limits", len(got))
		}
		c = login("anna")
		c.Limit = 1
		h.full(h.Create(h.ctx, c))
	}},
	{name: "EndOldestEndsThoseBornFirst", test: func(h *harness) {
		var fs []store.Family
		for range 4 {
			fs = append(fs, h.bornNext("anna"))
		}
		other := h.family("bob")
		// The family that was refreshed or committed last is not the one born
		// last.
		h.written(h.Advance(h.ctx, next(fs[0])))
		h.written(h.Commit(h.ctx, keep(fs[1], "value")))
		head := h.head()
		c := login("anna")
		c.Limit, c.EndOldest, c.Reason, c.By = 3, true, "limit", "wafer"
		s := h.written(h.Create(h.ctx, c))
		entries := h.entries(head)
		if !slices.Equal(sessionsOf(entries), sorted(fs[0].ID, fs[1].ID)) || len(entries) != 2 {
			h.t.Fatalf("entries %+v: want the two oldest", entries)
		}
		for _, e := range entries {
			h.wantEntry(e, store.KindSession, e.Session, "", "limit", "wafer")
		}
		if last := entries[1].Position; s.Entry != last || s.Family.Birth != last || s.Family.Position != last {
			h.t.Errorf("entry %d, birth %d, position %d: want all %d", s.Entry, s.Family.Birth, s.Family.Position, last)
		}
		h.wantState(store.Ended, fs[0].ID, fs[1].ID)
		h.wantState(store.Alive, fs[2].ID, fs[3].ID, c.ID, other.ID)
	}},
	{name: "EndOldestOfOneLeavesTheNewOneAlone", test: func(h *harness) {
		a, b := h.family("anna"), h.family("anna")
		c := login("anna")
		c.Limit, c.EndOldest = 1, true
		h.written(h.Create(h.ctx, c))
		h.wantState(store.Ended, a.ID, b.ID)
		h.wantState(store.Alive, c.ID)
	}},
	{name: "EndOldestEndsNoneWhereThereIsRoom", test: func(h *harness) {
		a, b := h.family("anna"), h.family("anna")
		head := h.head()
		c := login("anna")
		c.Limit, c.EndOldest = 3, true
		h.written(h.Create(h.ctx, c))
		c = login("anna")
		c.Limit, c.EndOldest, c.Ends = 3, true, [2]store.ID{c.ID, b.ID}
		c.Ends[0] = store.ID{}
		h.written(h.Create(h.ctx, c))
		if got := sessionsOf(h.entries(head)); !slices.Equal(got, []store.ID{b.ID}) {
			h.t.Errorf("ended %v: want %v alone", got, b.ID)
		}
		h.wantState(store.Alive, a.ID)
	}},
	{name: "ARenewedFamilyIsAsYoungAsItsBirth", test: func(h *harness) {
		old, other := h.family("anna"), h.bornNext("anna")
		renewed := h.written(h.Create(h.ctx, renewal(old))).Family
		c := login("anna")
		c.Limit, c.EndOldest = 2, true
		h.written(h.Create(h.ctx, c))
		h.wantState(store.Ended, other.ID)
		h.wantState(store.Alive, renewed.ID, c.ID)
	}},
	{name: "EndOldestPassesOverTheDead", timed: true, test: func(h *harness) {
		ended := h.family("anna")
		h.end(ended.ID)
		short := login("anna")
		short.Idle = time.Millisecond
		h.written(h.Create(h.ctx, short))
		h.tick()
		a, b := h.bornNext("anna"), h.bornNext("anna")
		head := h.head()
		c := login("anna")
		c.Limit, c.EndOldest = 2, true
		h.written(h.Create(h.ctx, c))
		if got := sessionsOf(h.entries(head)); !slices.Equal(got, []store.ID{a.ID}) {
			h.t.Errorf("ended %v: want %v alone", got, a.ID)
		}
		h.wantState(store.Alive, b.ID, c.ID)
	}},
}
