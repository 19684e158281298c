package storetest

import (
	"bytes"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

var renewing = []property{
	{name: "TheOldOneIsEndedAndTheNewOneGoesOn", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Label, c.Native = "the old label", true
		old := h.written(h.Create(h.ctx, c)).Family
		h.tick()
		old = h.lived(old)
		h.tick()
		head := h.head()
		c = renewal(old)
		c.Reason, c.By = "renewed", "anna"
		c.Label, c.Idle, c.Absolute = "ignored", 7*h.unit(), 8*h.unit()
		s := h.written(h.Create(h.ctx, c))
		entries := h.entries(head)
		if len(entries) != 1 {
			h.t.Fatalf("%d entries: want 1", len(entries))
		}
		h.wantEntry(entries[0], store.KindSession, old.ID, "", "renewed", "anna")
		p := entries[0].Position
		f := s.Family
		want := store.Family{
			ID: c.ID, Subject: "anna", Seal: c.Seal, Label: "the old label", Native: true, Birth: p, Position: p, Generation: 1,
			Started: old.Started, Authenticated: old.Authenticated, Issued: f.Issued, Idle: old.Idle, Absolute: old.Absolute,
		}
		h.same(f, want)
		h.same(h.look(c.ID).Family, want)
		if s.State != store.Alive || s.Head != p || s.Entry != p {
			h.t.Errorf("state %v, head %d, entry %d: want alive, %d", s.State, s.Head, s.Entry, p)
		}
		if !f.Issued.After(old.Issued) || f.Issued.After(s.Now) {
			h.t.Errorf("issued %v: want now, %v", f.Issued, s.Now)
		}
		h.wantState(store.Ended, old.ID)
	}},
	{name: "WhateverMakesTheFamilyIsTakenOver", timed: true, test: func(h *harness) {
		c := whole("anna")
		c.Started, c.Leeway = h.now(), 10*h.unit()
		c.Authenticated = c.Started.Add(-time.Hour)
		old := h.lived(h.create(c))
		h.tick()
		// The rest of the request is not read.
		r := whole("anna")
		r.Label, r.Names, r.Actor, r.Methods, r.Level = "junk", named("junk"), "junk", "junk", "junk"
		r.Idle, r.Absolute, r.Known = time.Millisecond, time.Millisecond, 1<<62
		r.Started, r.Authenticated = time.Unix(1, 0), time.Unix(2, 0)
		r.Renews = &store.Renewal{ID: old.ID, Basis: old.Position, Seal: old.Seal, Key: old.Key, Methods: "junk", Level: "junk"}
		f := h.create(r)
		want := old
		want.ID, want.Seal, want.First = r.ID, r.Seal, old.ID
		want.Birth, want.Position, want.Issued = f.Birth, f.Birth, f.Issued
		want.Generation, want.Copy, want.Used = 1, 0, 0
		h.same(f, want)
		h.same(h.look(f.ID).Family, want)
		if !f.Issued.After(old.Issued) {
			h.t.Errorf("issued %v: want now", f.Issued)
		}
	}},
	{name: "ANewAuthenticationReplacesTimeMethodsAndLevel", timed: true, test: func(h *harness) {
		c := whole("anna")
		c.Methods, c.Level = "pwd", "1"
		old := h.create(c)
		h.pass(h.unit())
		c = renewal(old)
		c.Leeway = h.unit() / 2
		c.Renews.Authenticated, c.Renews.Methods = h.now(), "pwd otp"
		f := h.written(h.Create(h.ctx, c)).Family
		want := old
		want.ID, want.Seal, want.First = c.ID, c.Seal, old.ID
		want.Birth, want.Position, want.Issued = f.Birth, f.Birth, f.Issued
		want.Authenticated, want.Methods, want.Level = c.Renews.Authenticated, "pwd otp", ""
		h.same(f, want)
		h.same(h.look(f.ID).Family, want)
		if !f.Deadline().Equal(f.Authenticated.Add(old.Absolute)) {
			h.t.Errorf("the deadline is %v: want it counted from %v", f.Deadline(), f.Authenticated)
		}
	}},
	{name: "ACommittedValueIsReplacedAtTheBirth", test: func(h *harness) {
		old := h.committed("anna", "old value")
		c := renewal(old)
		c.Value = []byte("new value")
		f := h.written(h.Create(h.ctx, c)).Family
		if !bytes.Equal(f.Value, c.Value) || f.LastCommit != f.Birth || f.LastCommit == 0 {
			h.t.Errorf("value %q, last commit %d, birth %d", f.Value, f.LastCommit, f.Birth)
		}
		a := next(f)
		a.Basis--
		h.behind(h.Advance(h.ctx, a))
		a.Basis++
		h.written(h.Advance(h.ctx, a))
	}},
	{name: "NoValueIsKeptWhereTheOldHadNone", test: func(h *harness) {
		c := renewal(h.family("anna"))
		c.Value = []byte("value")
		f := h.written(h.Create(h.ctx, c)).Family
		if f.Value != nil || f.LastCommit != 0 {
			h.t.Errorf("value %q, last commit %d: want none", f.Value, f.LastCommit)
		}
	}},
	{name: "BehindWhereTheOldIsCommittedAboveBasis", test: func(h *harness) {
		old := h.committed("anna", "value")
		other := h.family("bob")
		c := renewal(old)
		c.Renews.Basis, c.Ends = old.LastCommit-1, [2]store.ID{other.ID}
		h.nothingWritten(func() {
			s := h.behind(h.Create(h.ctx, c))
			h.same(s.Family, old)
			if s.State != store.Alive || s.Entry != 0 {
				h.t.Errorf("state %v, entry %d", s.State, s.Entry)
			}
		}, old.ID, c.ID, other.ID)
		c.Renews.Basis = old.LastCommit
		h.written(h.Create(h.ctx, c))
	}},
	{name: "TheDeadAreNotRenewed", test: func(h *harness) {
		ended, cut, gone := h.committed("anna", "value"), h.committed("bob", "value"), h.committed("carl", "value")
		h.end(ended.ID)
		h.revokeSubject("bob")
		h.revokeEveryone()
		other := h.family("someone else")
		absent := gone
		absent.ID = newID()
		for want, old := range map[store.State]store.Family{store.Ended: ended, store.CutOff: cut, store.Absent: absent} {
			for _, basis := range []store.Position{old.Position, 1} {
				c := renewal(old)
				c.Renews.Basis, c.Ends = basis, [2]store.ID{other.ID}
				h.nothingWritten(func() {
					s := h.unwritten(h.Create(h.ctx, c))
					// A family that is both ended and cut off may be in either
					// state.
					if s.State != want && (old.ID != ended.ID || s.State != store.CutOff) {
						h.t.Errorf("state %v: want %v", s.State, want)
					}
				}, old.ID, c.ID, other.ID)
			}
		}
		c := renewal(gone)
		if s := h.unwritten(h.Create(h.ctx, c)); s.State != store.CutOff || s.Family.ID != gone.ID {
			h.t.Errorf("state %v of %v: want the old family, cut off by everyone's revocation", s.State, s.Family.ID)
		}
	}},
	{name: "TheExpiredAreNotRenewed", timed: true, test: func(h *harness) {
		idle, absolute := login("anna"), login("anna")
		idle.Idle, absolute.Absolute = 2*h.unit(), 2*h.unit()
		for _, c := range []store.Creation{idle, absolute} {
			h.written(h.Create(h.ctx, c))
		}
		h.pass(3 * h.unit())
		for _, old := range []store.Creation{idle, absolute} {
			c := login("anna")
			c.Renews = &store.Renewal{ID: old.ID, Basis: store.MaxPosition, Seal: old.Seal}
			h.nothingWritten(func() {
				s := h.unwritten(h.Create(h.ctx, c))
				if s.State == store.Alive && !s.Family.Past(s.Now) {
					h.t.Errorf("at %v the family %+v is within its limits", s.Now, s.Family)
				}
			}, c.ID)
		}
	}},
	{name: "AnotherSubjectsFamilyIsNotRenewed", test: func(h *harness) {
		old := h.committed("anna", "value")
		for _, basis := range []store.Position{old.Position, 1} {
			c := renewal(old)
			c.Subject, c.Renews.Basis = "bob", basis
			h.nothingWritten(func() {
				s := h.unwritten(h.Create(h.ctx, c))
				h.same(s.Family, old)
			}, old.ID, c.ID)
		}
	}},
	{name: "TheOtherKindIsNotRenewed", test: func(h *harness) {
		old := h.committed("anna", "value")
		for _, basis := range []store.Position{old.Position, 1} {
			c := renewal(old)
			c.Native, c.Renews.Basis = true, basis
			h.nothingWritten(func() {
				s := h.unwritten(h.Create(h.ctx, c))
				h.same(s.Family, old)
			}, old.ID, c.ID)
		}
	}},
	{name: "TheLimitsNeedNotBeGiven", test: func(h *harness) {
		c := renewal(h.family("anna"))
		c.Idle, c.Absolute = 0, 0
		h.written(h.Create(h.ctx, c))
		h.wantState(store.Alive, c.ID)
	}},
	{name: "ARenewedFamilyDoesNotOutliveTheAbsoluteDeadline", timed: true, test: func(h *harness) {
		c := login("anna")
		c.Absolute = 3 * h.unit()
		old := h.written(h.Create(h.ctx, c)).Family
		h.pass(h.unit())
		young := h.written(h.Create(h.ctx, renewal(old))).Family
		h.pass(3 * h.unit())
		h.unwritten(h.Advance(h.ctx, next(young)))
	}},
	{name: "RenewAndEndsTogether", test: func(h *harness) {
		old, a, b := h.family("anna"), h.family("anna"), h.family("bob")
		head := h.head()
		c := renewal(old)
		c.Ends = [2]store.ID{a.ID, b.ID}
		s := h.written(h.Create(h.ctx, c))
		entries := h.entries(head)
		if len(entries) != 3 || !slices.Equal(sessionsOf(entries), sorted(old.ID, a.ID, b.ID)) {
			h.t.Fatalf("entries %+v: want three", entries)
		}
		if last := entries[2].Position; s.Entry != last || s.Family.Birth != last {
			h.t.Errorf("entry %d, birth %d: want %d", s.Entry, s.Family.Birth, last)
		}
	}},
}
