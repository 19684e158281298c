package storetest

import (
	"time"

	"github.com/waferkit/wafer/store"
)

// goingBack is what the others see of a store that lost its newest entries, as
// by a restored backup: enough to notice, and nothing that breaks.
var goingBack = []property{
	{name: "ABackupIsTheSameLogFurtherBack", test: func(h *harness) {
		f, other := h.family("anna"), h.family("bob")
		h.news()
		was := h.head()
		restore := h.engine.Backup(h.t)
		p := h.revokeSubject("anna")
		ended := h.end(other.ID)
		back := restore(h.t)

		b, err := back.Since(h.ctx, ended, store.MaxEntries, 0)
		if err != nil {
			h.t.Fatal(err)
		}
		if now, err := h.Since(h.ctx, 0, 1, 0); err != nil || b.Log != now.Log {
			h.t.Errorf("the log's id is %v, and was %v: %v", b.Log, now.Log, err)
		}
		if b.Head != was || len(b.Entries) != 0 || b.More {
			h.t.Errorf("asked for what is above %d it answers %+v: want its head, %d, and nothing", ended, b, was)
		}
		// What was lost is alive, and can be revoked anew above all that was
		// known.
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
		// Who follows from before sees a predecessor that is not the entry it
		// holds.
		b, err = back.Since(h.ctx, ended, store.MaxEntries, 0)
		if err != nil || len(b.Entries) != 1 || b.Entries[0].Previous != was || b.Entries[0].Position != s.Entry {
			h.t.Errorf("%+v, %v: want one entry, at %d, after %d (and not %d or %d)", b, err, s.Entry, was, p, ended)
		}
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
