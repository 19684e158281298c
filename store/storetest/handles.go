package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

// another returns the harness on one more handle of the same data.
func (h *harness) another() *harness { return h.over(h.engine.Reopen(h.t)) }

// sharing runs for engines that several processes can share.
var sharing = []property{
	{name: "OneLogAndOneFirstEntry", test: func(h *harness) {
		h.appendUnrelated()
		all := h.entries(0)
		h.another().sameEntries(h.entries(0), all)
		if n := len(h.entries(0)); n != 2 {
			h.t.Errorf("%d entries: want no other first one", n)
		}
	}},
	{name: "ManyOpenAtOnce", test: func(h *harness) {
		others := make([]store.Store, 6)
		for i := range others {
			others[i] = h.engine.Reopen(h.t)
		}
		together(len(others), func(i int) {
			o := h.over(others[i])
			for n := range 10 {
				if _, err := o.writeSome(i + n); err != nil {
					h.t.Error(err)
				}
			}
		})
		h.entries(0)
	}},
	{name: "WhatOneWritesTheOtherReads", test: func(h *harness) {
		o := h.another()
		f := h.committed("anna", "value")
		o.same(o.look(f.ID).Family, f)
		f = o.written(o.Advance(h.ctx, next(f))).Family
		h.same(h.look(f.ID).Family, f)
		h.unwritten(h.Advance(h.ctx, store.Advance{ID: f.ID, Generation: 1, Basis: f.Position}))
		o.wantFamilies("anna", 10, f.ID)
		o.revokeSubject("anna")
		h.wantState(store.CutOff, f.ID)
		h.unwritten(h.Advance(h.ctx, next(f)))
		h.sameEntries(o.entries(0), h.entries(0))
		h.swap(0, "document", true)
		o.wantKeys(1, "document")
		o.swap(0, "document", false)
	}},
	{name: "NewsOfOneWakesTheOther", test: func(h *harness) {
		o := h.another()
		for range 3 {
			done := h.follow(h.ctx, h.headCursor(), time.Minute)
			h.wantEntryAt(done, o.appendUnrelated())
			done = o.follow(h.ctx, h.headCursor(), time.Minute)
			o.wantEntryAt(done, h.appendUnrelated())
		}
	}},
	{name: "OneSuccessorOfAGeneration", test: func(h *harness) {
		hs := []*harness{h, h.another(), h.another()}
		f := h.family("anna")
		for range 5 {
			won := h.winners(48, func(i int) (store.Snapshot, error) { return hs[i%3].Advance(h.ctx, next(f)) }, store.Unwritten)
			if len(won) != 1 {
				h.t.Fatalf("%d of 48 callers advanced generation %d: want 1", len(won), f.Generation)
			}
			f = won[0].Family
		}
	}},
	{name: "OneOfManySwaps", test: func(h *harness) {
		hs := []*harness{h, h.another(), h.another()}
		for version := range uint64(3) {
			var won atomic.Int64
			together(15, func(i int) {
				ok, err := hs[i%3].SwapKeys(h.ctx, version, fmt.Appendf(nil, "%d", i))
				if err != nil {
					h.t.Error(err)
				}
				if ok {
					won.Add(1)
				}
			})
			if won.Load() != 1 {
				h.t.Errorf("%d of 15 callers swapped version %d: want 1", won.Load(), version)
			}
		}
	}},
	{name: "AReaderMissesNoPosition", test: func(h *harness) {
		h.readerMissesNothing(h.another())
	}},
	{name: "NoRefreshAfterTheRevocation", test: func(h *harness) {
		o := h.another()
		h.revokedWhileRefreshing(o, plain, store.Revocation{Subjects: []string{"anna"}})
		o.revokedWhileRefreshing(h, plain, store.Revocation{Everyone: true})
		h.revokedWhileRefreshing(o, func() store.Creation { return acting("anna", "desk") }, store.Revocation{Subjects: []string{"desk"}})
	}},
	{name: "OfTwoThatRestoreOneAppends", test: func(h *harness) { h.restoreTogether(h, h.another()) }},
	{name: "NoRefreshAfterTheRestore", test: func(h *harness) {
		o := h.another()
		h.restoredWhileRefreshing(o)
		o.restoredWhileRefreshing(h)
	}},
	{name: "AnAnnouncementIsForAll", timed: true, test: func(h *harness) {
		o := h.another()
		l := o.ledger(2*h.unit(), 10*h.unit(), h.unit())
		h.announce(h.unit()/4, h.unit()/4, 0)
		for range 4 {
			h.appendUnrelated()
			h.pass(h.unit() / 2)
			h.housekeep()
			l.read()
		}
		l.drop(l.entries[len(l.entries)-1].Position)
	}},
	{name: "NodesAreToldOfEachOther", test: func(h *harness) {
		o := h.another()
		a, b := node("a"), node("b")
		a.Ring, a.RingVersion = newID(), 2
		h.wantPeers(a)
		o.wantPeers(b, peer(a))
		h.wantPeers(a, peer(b))
		o.announced(false, store.Announcement{Realm: "another"})
		o.announced(false, store.Announcement{Ring: newID()})
	}},
	{name: "HistoryOverThreeHandles", test: func(h *harness) {
		newHistory(h, []*harness{h, h.another(), h.another()}, seed(h.t)).run()
	}},
}

// restarting runs for engines that keep their data when they are closed.
var restarting = []property{
	{name: "EverythingIsThere", test: func(h *harness) {
		f, ended, cut := h.committed("anna", "value"), h.family("anna"), h.family("bob")
		f = h.lived(f)
		h.end(ended.ID)
		h.revokeSubject("bob")
		full := h.create(whole("dora"))
		renewed := h.create(renewal(full))
		full = h.look(full.ID).Family
		acted := h.create(acting("dora", "desk"))
		h.revokeSubject("desk")
		logout := revokeName("n")
		logout.ID = newID()
		at := h.head()
		p := h.revoke(logout)
		a := node("web")
		a.Access, a.Absolute, a.Leeway, a.MaxStaleness = time.Hour, 2*time.Hour, time.Minute, 30*time.Second
		a.Ring, a.RingVersion, a.Settings = newID(), 7, "settings"
		h.announced(true, a)
		h.swap(0, "document", true)
		all, cutoffs := h.entries(0), h.cutoffs(ended.ID, "bob")

		o := h.over(h.engine.Restart(h.t))
		o.sameEntries(o.entries(0), all)
		o.same(o.look(f.ID).Family, f)
		o.wantState(store.Ended, ended.ID)
		o.wantState(store.CutOff, cut.ID)
		o.wantFamilies("anna", 10, f.ID)
		o.same(o.look(full.ID).Family, full)
		o.same(o.look(renewed.ID).Family, renewed)
		o.wantState(store.CutOff, acted.ID)
		o.wantFamilies("dora", 10, renewed.ID)
		if s := o.unwritten(o.Revoke(h.ctx, logout)); s.Entry != p {
			h.t.Errorf("the logout is at %d: want %d", s.Entry, p)
		}
		login := bearing("dora", "n")
		login.NotBefore = at
		o.early(o.Create(h.ctx, login))
		o.wantOwner(realm, a.Ring, 7)
		o.wantPeers(store.Announcement{}, peer(a))
		got := o.cutoffs(ended.ID, "bob")
		got.Now = cutoffs.Now
		if got != cutoffs {
			h.t.Errorf("cutoffs %+v: want %+v", got, cutoffs)
		}
		o.wantKeys(1, "document")
		o.swap(0, "created again", false)
		o.written(o.Advance(h.ctx, next(f)))
		if p := o.appendUnrelated(); p <= all[len(all)-1].Position {
			h.t.Errorf("position %d after %d", p, all[len(all)-1].Position)
		}
	}},
	{name: "WhatWasRestoredIsThere", test: func(h *harness) {
		f, cut := h.committed("anna", "value"), h.family("bob")
		p := h.head() + 100
		lost := []store.Entry{lostSession(f.ID, p), lostSubject("bob", p+1), lostSession(newID(), p+2)}
		h.restore(lost...)
		young := h.family("bob")
		all, cutoffs := h.entries(0), h.cutoffs(f.ID, "bob")

		o := h.over(h.engine.Restart(h.t))
		o.sameEntries(o.entries(0), all)
		o.wantState(store.Ended, f.ID)
		o.wantState(store.CutOff, cut.ID)
		o.wantState(store.Alive, young.ID)
		got := o.cutoffs(f.ID, "bob")
		got.Now = cutoffs.Now
		if got != cutoffs {
			h.t.Errorf("cutoffs %+v: want %+v", got, cutoffs)
		}
		o.covered(lost...)
		o.written(o.Advance(h.ctx, next(young)))
	}},
	{name: "TheFloorStays", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		f := h.family("anna")
		p := h.revokeSubject("anna")
		l.drop(p)
		o := h.over(h.engine.Restart(h.t))
		if c := o.cutoffs(store.ID{}, "anna"); c.Floor < p || c.Subject != p {
			h.t.Errorf("cutoffs %+v: want floor and subject at %d", c, p)
		}
		o.wantState(store.CutOff, f.ID)
		l.h = o
		l.read()
		// The floor's entry is known by its id, and so is the head's.
		floor := h.cursor(l.floor)
		if b, err := o.Since(h.ctx, floor, store.MaxEntries, 0); err != nil || b.Broken {
			h.t.Errorf("at the floor: %+v, %v", b, err)
		}
		o.wantBroken(store.Cursor{Position: l.floor, ID: newID()})
	}},
}
