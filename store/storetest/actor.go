package storetest

import (
	"time"

	"github.com/waferkit/wafer/store"
)

// actingFor tests families in which somebody acts for the subject: they are cut
// off with either.
var actingFor = []property{
	{name: "TheActorsCutoff", test: func(h *harness) {
		h.everyMethodSeesTheCutoff(func() store.Creation { return acting("anna", "carol") }, store.Revocation{Subjects: []string{"carol"}})
	}},
	{name: "TheSubjectsCutoff", test: func(h *harness) {
		h.everyMethodSeesTheCutoff(func() store.Creation { return acting("anna", "carol") }, store.Revocation{Subjects: []string{"anna"}})
	}},
	{name: "ALoginOnItsWayIsEarly", test: func(h *harness) {
		at := h.head()
		p := h.revokeSubject("carol")
		for _, notBefore := range []store.Position{at, p - 1} {
			c, ends := acting("anna", "carol"), h.family("bob")
			c.NotBefore, c.Ends = notBefore, [2]store.ID{ends.ID}
			h.nothingWritten(func() { h.early(h.Create(h.ctx, c)) }, c.ID, ends.ID)
		}
		h.wantPermitted("anna", at)
		for _, notBefore := range []store.Position{p, 0} {
			c := acting("anna", "carol")
			c.NotBefore = notBefore
			h.create(c)
			h.wantState(store.Alive, c.ID)
		}
		c := acting("anna", "dave")
		c.NotBefore = at
		h.create(c)
		// The other way round: the subject's cutoff, with another actor.
		c = acting("carol", "anna")
		c.NotBefore = at
		h.early(h.Create(h.ctx, c))
	}},
	{name: "AnothersCutoffIsNothing", test: func(h *harness) {
		f, plain := h.create(acting("anna", "carol")), h.family("anna")
		h.revoke(store.Revocation{Subjects: []string{"dave", "caro", "carolx", "Carol"}})
		h.revokeSubject("carol")
		h.wantState(store.CutOff, f.ID)
		h.wantState(store.Alive, plain.ID)
		h.wantFamilies("anna", 10, plain.ID)
	}},
	{name: "TheActorsOwnFamiliesAreCutOffToo", test: func(h *harness) {
		f, own := h.create(acting("anna", "carol")), h.family("carol")
		if s := h.written(h.Revoke(h.ctx, store.Revocation{Subjects: []string{"carol"}})); s.Ended != 2 {
			h.t.Errorf("ended %d: want 2", s.Ended)
		}
		h.wantState(store.CutOff, f.ID, own.ID)
		// It is a family of the subject's alone in lists and limits.
		f = h.create(acting("anna", "carol"))
		h.wantFamilies("carol", 10)
		h.wantFamilies("anna", 10, f.ID)
		c := login("carol")
		c.Limit = 1
		h.create(c)
		c = login("anna")
		c.Limit = 1
		h.full(h.Create(h.ctx, c))
	}},
	{name: "TheActorsRevocationElsewhereCutsThemOff", test: func(h *harness) {
		f, own := h.create(acting("anna", "carol")), h.family("carol")
		if s := h.written(h.Revoke(h.ctx, elsewhere(own))); s.Ended != 1 || s.State != store.Alive {
			h.t.Errorf("ended %d, state %v: want 1, alive", s.Ended, s.State)
		}
		h.wantState(store.CutOff, f.ID)
		h.wantState(store.Alive, own.ID)
	}},
	{name: "RenewedOrRebornItKeepsItsActor", test: func(h *harness) {
		for _, again := range []func(f store.Family) store.Family{
			func(f store.Family) store.Family { return h.create(renewal(f)) },
			func(f store.Family) store.Family { return h.written(h.Revoke(h.ctx, elsewhere(f))).Family },
		} {
			f := again(h.create(acting("anna", "carol")))
			if f.Actor != "carol" || h.look(f.ID).Family.Actor != "carol" {
				h.t.Errorf("actor %q", f.Actor)
			}
			h.wantState(store.Alive, f.ID)
			h.revokeSubject("carol")
			h.wantState(store.CutOff, f.ID)
		}
	}},
	{name: "BornAtTheActorsCutoffItLives", test: func(h *harness) {
		p := h.revokeSubject("carol")
		f := h.create(acting("anna", "carol"))
		if f.Birth != p {
			h.t.Errorf("birth %d: want %d", f.Birth, p)
		}
		h.wantState(store.Alive, f.ID)
		h.lived(f)
	}},
	{name: "ARestoredCutoffIsOneToo", test: func(h *harness) {
		f := h.create(acting("anna", "carol"))
		h.restore(lostSubject("carol", h.head()+1))
		h.wantState(store.CutOff, f.ID)
		h.unwritten(h.Advance(h.ctx, next(f)))
	}},
	{name: "TheActorsCutoffStays", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		f := h.create(acting("anna", "carol"))
		p := h.revokeSubject("carol")
		l.drop(p)
		h.wantState(store.CutOff, f.ID)
		h.unwritten(h.Advance(h.ctx, next(f)))
		h.unwritten(h.Create(h.ctx, renewal(f)))
		h.wantFamilies("anna", 10)
		if c := h.cutoffs(f.ID, "carol"); c.Subject != p {
			h.t.Errorf("cutoff %d: want %d", c.Subject, p)
		}
	}},
	{name: "WhatALoginMetStaysDead", leaps: true, test: func(h *harness) {
		f := h.create(acting("anna", "carol"))
		known := acting("anna", "carol")
		known.Known = time.Hour
		h.create(known)
		h.revokeSubject("carol")
		c := login("anna")
		c.Limit = 1
		h.create(c)
		for _, id := range []store.ID{f.ID, known.ID} {
			if s := h.look(id); s.State == store.Alive {
				h.t.Errorf("family %v is alive", id)
			}
		}
		h.wantFamilies("anna", 10, c.ID)
	}},
}
