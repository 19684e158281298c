package storetest

import (
	"github.com/waferkit/wafer/store"
)

// counting tests what a revocation says of how many living families it has ended.
var counting = []property{
	{name: "OfSessionsExactly", test: func(h *harness) {
		a, b, ended, cut := h.family("anna"), h.family("bob"), h.family("anna"), h.family("carl")
		h.end(ended.ID)
		h.revokeSubject("carl")
		r := store.Revocation{Sessions: []store.ID{a.ID, newID(), b.ID, a.ID, ended.ID, cut.ID}}
		h.wantEnded(2, r)
		h.wantEnded(0, store.Revocation{Sessions: []store.ID{newID()}})
		if s := h.unwritten(h.Revoke(h.ctx, r)); s.Ended != 0 {
			h.t.Errorf("called again it has ended %d", s.Ended)
		}
	}},
	{name: "OfASubject", test: func(h *harness) {
		for range 3 {
			h.family("anna")
		}
		h.end(h.family("anna").ID)
		h.family("bob")
		h.wantEnded(3, store.Revocation{Subjects: []string{"anna"}})
		h.wantEnded(0, store.Revocation{Subjects: []string{"anna"}})
		h.family("anna")
		h.wantEnded(2, store.Revocation{Subjects: []string{"anna", "bob", "anna", "nobody"}})
	}},
	{name: "OfAnActorTooEachOnce", test: func(h *harness) {
		h.create(acting("anna", "desk"))
		h.create(acting("desk", "desk"))
		h.create(acting("desk", "boss"))
		h.create(acting("anna", "boss"))
		h.wantEnded(3, store.Revocation{Subjects: []string{"desk"}})
		h.wantEnded(1, store.Revocation{Subjects: []string{"anna", "boss"}})
	}},
	{name: "OfSessionsAndTheirSubject", test: func(h *harness) {
		a := h.family("anna")
		h.family("anna")
		h.wantEnded(2, store.Revocation{Sessions: []store.ID{a.ID}, Subjects: []string{"anna"}})
	}},
	{name: "ButForTheRebornOne", test: func(h *harness) {
		f := h.family("anna")
		h.family("anna")
		h.wantEnded(1, elsewhere(f))
		h.wantEnded(0, elsewhere(h.look(f.ID).Family))
		h.end(f.ID)
		h.family("anna")
		h.wantEnded(1, elsewhere(f)) // the one that is not reborn was dead before
		f = h.create(bound("anna"))
		r := elsewhere(f)
		r.Except.Key = newKey()
		h.wantEnded(1, r) // without its key it is cut off as any other
	}},
	{name: "OfEveryoneNone", test: func(h *harness) {
		h.family("anna")
		a := h.family("bob")
		h.wantEnded(1, store.Revocation{Everyone: true, Sessions: []store.ID{a.ID}})
		h.family("anna")
		h.wantEnded(0, store.Revocation{Everyone: true})
	}},
	{name: "NotTheExpired", timed: true, test: func(h *harness) {
		for _, limit := range expired {
			c := bearing("anna", "n")
			limit(h, &c)
			h.create(c)
			session := login("bob")
			limit(h, &session)
			h.create(session)
			h.pass(3 * h.unit())
			h.wantEnded(0, store.Revocation{Subjects: []string{"anna"}})
			h.wantEnded(0, store.Revocation{Sessions: []store.ID{session.ID}})
			h.wantEnded(0, revokeName("n"))
		}
	}},
}

func (h *harness) wantEnded(want int, r store.Revocation) {
	h.t.Helper()
	if s := h.written(h.Revoke(h.ctx, r)); s.Ended != want {
		h.t.Errorf("ended %d: want %d", s.Ended, want)
	}
}
