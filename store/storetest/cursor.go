package storetest

import (
	"github.com/waferkit/wafer/store"
)

// following tests cursors: a reader that was on another log, or on this one before
// it went back, must notice.
var following = []property{
	{name: "AnotherEntryAtThePositionIsBroken", test: func(h *harness) {
		for range 3 {
			h.appendUnrelated()
		}
		for _, e := range h.entries(0) {
			id := e.ID
			for i := range id { // every byte counts
				id[i] ^= 1
				h.wantBroken(store.Cursor{Position: e.Position, ID: id})
				id[i] ^= 1
			}
			h.wantBroken(store.Cursor{Position: e.Position})
			if b, err := h.Since(h.ctx, at(e), 10, 0); err != nil || b.Broken {
				h.t.Errorf("at the entry: %+v, %v", b, err)
			}
		}
	}},
	{name: "NoEntryAtThePositionIsBroken", test: func(h *harness) {
		h.revoke(store.Revocation{Subjects: []string{"anna"}, Above: h.head() + 100})
		h.revoke(store.Revocation{Subjects: []string{"anna"}, Above: h.head() + 100})
		entries := h.entries(0)
		for _, e := range entries {
			for _, p := range []store.Position{e.Position - 1, e.Position + 1} {
				h.wantBroken(store.Cursor{Position: p, ID: e.ID})
				h.wantBroken(store.Cursor{Position: p, ID: newID()})
			}
		}
		last := entries[len(entries)-1]
		for _, p := range []store.Position{1, last.Position + 1e9, store.MaxPosition} {
			h.wantBroken(store.Cursor{Position: p, ID: last.ID})
			h.wantBroken(store.Cursor{Position: p})
		}
	}},
	{name: "AtTheHeadNothingIsBroken", timed: true, test: func(h *harness) {
		// Not even once every entry was dropped, the one at the head too, which an
		// engine may keep.
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		before := h.appendUnrelated()
		p := h.appendUnrelated()
		head := h.headCursor()
		h.pass(l.life + h.unit()/4)
		for i, last := 0, 0; last < 20; i++ {
			// As housekeep, but nothing is appended.
			if h.engine.Tidy != nil {
				h.engine.Tidy()
			}
			if _, err := h.Advance(h.ctx, store.Advance{ID: newID(), Generation: 1}); err != nil {
				h.t.Fatal(err)
			}
			b, err := h.Since(h.ctx, head, 10, 0)
			if err != nil || b.Broken || len(b.Entries) != 0 || b.Head != p || b.HeadID != head.ID {
				h.t.Fatalf("floor %d: %+v, %v: want nothing after %v", b.Floor, b, err, head)
			}
			if b.Floor >= before {
				last++
			} else if h.patience(i) {
				h.t.Fatalf("floor %d: want entry %d dropped", b.Floor, before)
			}
		}
		if b, err := h.Since(h.ctx, store.Cursor{}, 10, 0); err != nil || b.Broken || len(b.Entries) > 1 || b.HeadID != head.ID {
			h.t.Errorf("from the beginning: %+v, %v", b, err)
		}
		h.wantBroken(store.Cursor{Position: p, ID: newID()})
		h.wantBroken(store.Cursor{Position: p - 1, ID: head.ID})
		next := h.appendUnrelated()
		b, err := h.Since(h.ctx, head, 10, 0)
		if err != nil || b.Broken || len(b.Entries) != 1 || b.Entries[0].Position != next || b.Entries[0].Previous != p {
			h.t.Errorf("%+v, %v: want entry %d after %d", b, err, next, p)
		}
	}},
	{name: "TheHeadIsNamedWithItsEntry", test: func(h *harness) {
		f := h.family("anna")
		for _, write := range []func(){
			func() { f = h.commit(f, "value") },
			func() { h.revoke(store.Revocation{Sessions: []store.ID{newID(), newID()}, Subjects: []string{"bob"}}) },
			func() { h.revokeEveryone() },
			func() { h.revoke(revokeName("n")) },
			func() { h.restore(lostSubject("carl", h.head()+1)) },
			func() { h.create(renewal(h.family("dora"))) },
		} {
			write()
			entries := h.entries(0)
			if head := h.headCursor(); head != at(entries[len(entries)-1]) {
				h.t.Errorf("the head is %v: want that of %+v", head, entries[len(entries)-1])
			}
		}
	}},
}
