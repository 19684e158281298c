package storetest

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

var logging = []property{
	{name: "TheFirstEntryRevokesEveryone", test: func(h *harness) {
		entries := h.entries(0)
		if len(entries) != 1 {
			h.t.Fatalf("a new log of %d entries: want 1", len(entries))
		}
		if e := entries[0]; e.Kind != store.KindEveryone || e.Previous != 0 {
			h.t.Errorf("the first entry: %+v", e)
		}
		if c := h.cutoffs(store.ID{}, ""); c.Everyone != entries[0].Position || c.Head != entries[0].Position || c.Floor != 0 {
			h.t.Errorf("cutoffs of a new store: %+v", c)
		}
	}},
	{name: "AnotherStoreIsAnotherLog", test: func(h *harness) {
		other, err := h.open(h.t).Store.Since(h.ctx, store.Cursor{}, 1, 0)
		if err != nil {
			h.t.Fatal(err)
		}
		mine, err := h.Since(h.ctx, store.Cursor{}, 1, 0)
		if err != nil || mine.Log == other.Log || mine.Entries[0].ID == other.Entries[0].ID {
			h.t.Errorf("two logs, %v and %v, first entries %v and %v, %v", mine.Log, other.Log, mine.Entries[0].ID, other.Entries[0].ID, err)
		}
	}},
	{name: "EveryEndingIsInTheLog", test: func(h *harness) {
		ended := map[store.ID]bool{}
		for range 3 {
			a, b, c, d, e := h.family("anna"), h.family("anna"), h.family("anna"), h.family("bob"), h.family("carl")
			h.end(a.ID)
			n := login("anna")
			n.Ends = [2]store.ID{b.ID}
			h.written(h.Create(h.ctx, n))
			h.written(h.Create(h.ctx, renewal(c)))
			n = login("bob")
			n.Limit, n.EndOldest = 1, true
			h.written(h.Create(h.ctx, n))
			h.revoke(store.Revocation{Sessions: []store.ID{e.ID}, Subjects: []string{"bob"}})
			for _, f := range []store.Family{a, b, c, d, e} {
				ended[f.ID] = true
			}
		}
		entries := h.entries(0)
		for _, id := range sessionsOf(entries) {
			delete(ended, id)
		}
		if len(ended) != 0 {
			h.t.Errorf("%d endings are not in the log", len(ended))
		}
		ids := map[store.ID]bool{}
		previous := store.Position(0)
		for _, e := range entries {
			if ids[e.ID] || e.Previous != previous {
				h.t.Errorf("entry %d: id %v, after %d, names %d", e.Position, e.ID, previous, e.Previous)
			}
			ids[e.ID], previous = true, e.Position
		}
	}},
	{name: "InPartsItIsTheSame", test: func(h *harness) {
		for range 10 {
			h.appendUnrelated()
			h.revokeSubject("anna")
		}
		all := h.entries(0)
		for _, limit := range []int{1, 2, 7, 20, 21, 22, store.MaxEntries} {
			var got []store.Entry
			after := store.Cursor{}
			for {
				b, err := h.Since(h.ctx, after, limit, 0)
				if err != nil {
					h.t.Fatal(err)
				}
				got = append(got, b.Entries...)
				if want := min(limit, len(all)-len(got)+len(b.Entries)); len(b.Entries) != want || b.Head != all[len(all)-1].Position {
					h.t.Fatalf("limit %d: %d entries, head %d: want %d", limit, len(b.Entries), b.Head, want)
				}
				if b.More != (len(got) < len(all)) {
					h.t.Fatalf("limit %d: more %v after %d of %d", limit, b.More, len(got), len(all))
				}
				if !b.More {
					break
				}
				after = at(got[len(got)-1])
			}
			h.sameEntries(got, all)
		}
		for i, e := range all {
			h.sameEntries(h.entries(e.Position), all[i+1:])
			h.sameEntries(h.entries(e.Previous), all[i:])
		}
	}},
	{name: "AtTheHeadItIsEmpty", test: func(h *harness) {
		h.appendUnrelated()
		head := h.headCursor()
		b, err := h.Since(h.ctx, head, 10, 0)
		if err != nil || b.Broken || len(b.Entries) != 0 || b.More || b.Head != head.Position || b.HeadID != head.ID {
			h.t.Errorf("Since(%v): %+v, %v: want nothing, and that head", head, b, err)
		}
	}},
	{name: "ReadTwiceItIsTheSame", test: func(h *harness) {
		h.committed("anna", "value")
		h.revoke(store.Revocation{Sessions: []store.ID{newID()}, Subjects: []string{"anna"}, Everyone: true, Reason: "r", Actor: "a"})
		first := h.entries(0)
		second := h.entries(0)
		h.sameEntries(second, first)
		first[0].Subject = "changed" // the slice belongs to the caller
		h.sameEntries(h.entries(0), second)
	}},
}

func (h *harness) sameEntries(got, want []store.Entry) {
	h.t.Helper()
	if !slices.EqualFunc(got, want, func(a, b store.Entry) bool {
		same := a.Time.Equal(b.Time)
		a.Time = b.Time
		return same && a == b
	}) {
		h.t.Errorf("entries\n%+v\nwant\n%+v", got, want)
	}
}
