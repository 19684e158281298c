package storetest

import (
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// rollingBack tests the view of other nodes on a store that lost its newest
// entries, as by a restored backup: they can detect it, and nothing breaks.
var rollingBack = []property{
	{name: "ABackupIsTheSameLogFurtherBack", test: func(h *harness) {
		f, other := h.family("anna"), h.family("bob")
		h.appendUnrelated()
		was := h.head()
		restore := h.engine.Backup(h.t)
		h.revokeSubject("anna")
		ended := h.end(other.ID)
		follower := h.cursor(ended)
		back := restore(h.t)

		b, err := back.Since(h.ctx, follower, store.MaxEntries, time.Minute)
		if err != nil {
			h.t.Fatal(err)
		}
		if now, err := h.Since(h.ctx, store.Cursor{}, 1, 0); err != nil || b.Log != now.Log {
			h.t.Errorf("the log's id is %v, and was %v: %v", b.Log, now.Log, err)
		}
		if !b.Broken || b.Head != was || len(b.Entries) != 0 || b.More {
			h.t.Errorf("asked for what is above %d it answers %+v: want it broken, its head, %d, and nothing", ended, b, was)
		}
		// A family whose end was lost is alive, and can be revoked again above
		// every position that was known.
		for _, id := range []store.ID{f.ID, other.ID} {
			if s, err := back.Family(h.ctx, id); err != nil || s.State != store.Alive || s.Head != was {
				h.t.Errorf("%v is %v at head %d, %v: want alive at %d", id, s.State, s.Head, err, was)
			}
		}
		s, err := back.Revoke(h.ctx, store.Revocation{Subjects: []string{"anna"}, Above: ended, Reason: "again"})
		if err != nil || s.Outcome != store.Written || s.Entry <= ended {
			h.t.Fatalf("%v at %d, %v: want written, above %d", s.Outcome, s.Entry, err, ended)
		}
		if s, err := back.Family(h.ctx, f.ID); err != nil || s.State != store.CutOff {
			h.t.Errorf("revoked again it is %v, %v", s.State, err)
		}
		// The cursor of a reader that followed before stays broken.
		b, err = back.Since(h.ctx, follower, store.MaxEntries, time.Minute)
		if err != nil || !b.Broken || len(b.Entries) != 0 || b.Head != s.Entry {
			h.t.Errorf("%+v, %v: want it broken, head %d", b, err, s.Entry)
		}
	}},
	{name: "APositionTakenAgainIsBroken", test: func(h *harness) {
		// The log went back, and goes on with other entries at the same positions,
		// as on a server whose clock is slower.
		h.appendUnrelated()
		before := h.headCursor()
		restore := h.engine.Backup(h.t)
		above := before.Position + 1e9
		again := func(h *harness) []store.Entry {
			h.t.Helper()
			for i := range store.Position(3) {
				h.revoke(store.Revocation{Subjects: []string{"anna"}, Above: above + i})
			}
			return h.entries(before.Position)
		}
		first := again(h)
		back := h.rolledBack(restore(h.t))
		second := again(back)
		for i, e := range first {
			if second[i].Position != e.Position || second[i].ID == e.ID {
				h.t.Fatalf("%+v after %+v: want another entry there", second[i], e)
			}
			back.wantBroken(at(e))
			if b, err := back.Since(h.ctx, at(second[i]), 10, 0); err != nil || b.Broken || len(b.Entries) != 2-i {
				h.t.Errorf("its own: %+v, %v", b, err)
			}
		}
		if b, err := back.Since(h.ctx, before, 10, 0); err != nil || b.Broken || len(b.Entries) != 3 {
			h.t.Errorf("what was read before the backup: %+v, %v", b, err)
		}
	}},
	{name: "WhatWasRevokedSinceIsRestored", test: func(h *harness) {
		ended, cut, committed, other := h.family("anna"), h.family("bob"), h.committed("anna", "value"), h.family("carl")
		was := h.head()
		restore := h.engine.Backup(h.t)
		ended = h.written(h.Advance(h.ctx, next(ended))).Family
		absent := newID()
		h.revoke(store.Revocation{Sessions: []store.ID{ended.ID, absent}, Reason: "logout", Actor: "anna"})
		h.revoke(store.Revocation{Subjects: []string{"bob"}, Reason: "stolen", Actor: "desk"})
		h.end(committed.ID)
		lost := h.entries(was)
		if len(lost) != 4 {
			h.t.Fatalf("%d entries: want 4", len(lost))
		}

		back := h.rolledBack(restore(h.t))
		back.wantState(store.Alive, ended.ID, cut.ID, committed.ID, other.ID)
		early := back.family("bob") // between the loss and the first restoration
		head := back.head()
		last := lost[len(lost)-1].Position
		s := back.written(back.Restore(h.ctx, store.Restoration{Entries: lost, Above: last}))
		entries := back.entries(head)
		if len(entries) != len(lost) || s.Entry != entries[len(entries)-1].Position || entries[0].Previous != was {
			h.t.Fatalf("entries %+v, entry %d: want %d after %d", entries, s.Entry, len(lost), was)
		}
		for i, e := range entries {
			back.wantEntry(e, lost[i].Kind, lost[i].Session, lost[i].Subject, lost[i].Reason, lost[i].Actor)
			if e.Position <= last || e.ID == lost[i].ID {
				h.t.Errorf("restored at %d with id %v: want above %d, and another than %v", e.Position, e.ID, last, lost[i].ID)
			}
		}
		back.wantState(store.Ended, ended.ID, committed.ID)
		back.wantState(store.CutOff, cut.ID, early.ID)
		back.same(back.look(other.ID).Family, other)
		back.unwritten(back.Advance(h.ctx, store.Advance{ID: ended.ID, Generation: 1, Basis: ended.Position}))
		back.unwritten(back.Advance(h.ctx, next(cut)))

		// Every other node restores the same entries, or a part, in its own
		// order.
		young := back.family("bob")
		back.covered(lost...)
		slices.Reverse(lost)
		back.covered(lost...)
		back.covered(lost[1:3]...)
		back.written(back.Advance(h.ctx, next(young)))
	}},
	{name: "EveryoneIsRestored", test: func(h *harness) {
		f, other := h.family("anna"), h.family("bob")
		was := h.head()
		restore := h.engine.Backup(h.t)
		h.end(f.ID)
		h.revokeSubject("anna")
		h.revokeEveryone()
		lost := h.entries(was)

		back := h.rolledBack(restore(h.t))
		back.restore(lost...)
		if n := len(back.entries(was)); n != 3 {
			h.t.Errorf("%d entries: want 3", n)
		}
		back.wantState(store.Ended, f.ID)
		back.wantState(store.CutOff, other.ID)
		young := back.family("anna")
		back.covered(lost...)
		slices.Reverse(lost)
		back.covered(lost...)
		back.wantState(store.Alive, young.ID)
	}},
	{name: "WhatTheBackupHoldsIsNotLost", test: func(h *harness) {
		f := h.family("anna")
		h.end(f.ID)
		h.revokeSubject("bob")
		h.appendUnrelated()
		held := h.entries(0) // including the first entry, which revokes everyone
		restore := h.engine.Backup(h.t)
		h.end(newID())
		back := h.rolledBack(restore(h.t))
		back.covered(held...)
	}},
	{name: "ABackupsFamiliesAreFurtherBack", test: func(h *harness) {
		f := h.family("anna")
		restore := h.engine.Backup(h.t)
		f = h.written(h.Advance(h.ctx, next(f))).Family
		h.tick()
		back := restore(h.t)
		s, err := back.Advance(h.ctx, store.Advance{ID: f.ID, Generation: f.Generation, Age: time.Nanosecond})
		if err != nil || s.Outcome != store.Unwritten || s.State != store.Alive || s.Family.Generation != f.Generation-1 {
			h.t.Errorf("generation %d of a family that is at %d: %v, %v, %v; want unwritten", f.Generation, s.Family.Generation, s.Outcome, s.State, err)
		}
	}},
}

// rolledBack returns the harness on a copy that went back. Its answers may be
// below those seen before.
func (h *harness) rolledBack(s store.Store) *harness {
	other := *h
	other.checkedStore = &checkedStore{Store: s, t: h.t, seen: newSeen()}
	return &other
}
