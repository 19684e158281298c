package storetest

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/waferkit/wafer/store"
)

// cancelling: after an error the write may or may not have happened, and
// repeating the call with the same arguments leads to one consistent result.
var cancelling = []property{
	{name: "EndedBeforeTheCall", test: func(h *harness) {
		ended, cancel := context.WithCancel(h.ctx)
		cancel()
		h.callAgain(ended)
	}},
	{name: "EndedDuringTheCall", test: func(h *harness) {
		for range 20 {
			ctx, cancel := context.WithTimeout(h.ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
			h.callAgain(ctx)
			cancel()
		}
	}},
	{name: "ReadersReturnAnErrorOrTheTruth", test: func(h *harness) {
		ended, cancel := context.WithCancel(h.ctx)
		cancel()
		f := h.family("anna")
		if s, err := h.Family(ended, f.ID); err == nil && s.State != store.Alive {
			h.t.Errorf("Family: %v", s.State)
		}
		if p, err := h.Families(ended, store.Query{Subject: "anna", Limit: 10}); err == nil && len(p.Families) != 1 {
			h.t.Errorf("Families: %d", len(p.Families))
		}
		if b, err := h.Since(ended, store.Cursor{}, 10, time.Minute); err == nil && len(b.Entries) != 1 {
			h.t.Errorf("Since: %d entries", len(b.Entries))
		}
		if c, err := h.Cutoffs(ended, f.ID, "anna"); err == nil && c.Everyone == 0 {
			h.t.Errorf("Cutoffs: %+v", c)
		}
		if v, _, err := h.LoadKeys(ended); err == nil && v != 0 {
			h.t.Errorf("LoadKeys: %d", v)
		}
		h.same(h.look(f.ID).Family, f)
	}},
}

// callAgain makes each write with ctx and, if that returned an error, once
// more. Whether or not the first call wrote, the result is that of one call.
func (h *harness) callAgain(ctx context.Context) {
	h.t.Helper()
	other := h.family("bob")
	head := h.head()
	c := login("anna")
	c.Ends = [2]store.ID{other.ID}
	s, err := h.Create(ctx, c)
	if err != nil {
		s, err = h.Create(h.ctx, c)
	}
	if err != nil || s.Outcome != store.Written && s.Outcome != store.Taken || s.State != store.Alive || s.Family.ID != c.ID {
		h.t.Fatalf("Create: %v, %v, %v", s.Outcome, s.State, err)
	}
	h.appended(head, 1)
	f := s.Family

	s, err = h.Advance(ctx, next(f))
	if err != nil {
		s, err = h.Advance(h.ctx, next(f))
	}
	if err != nil || s.Outcome != store.Written && s.Outcome != store.Unwritten || s.Family.Generation != 2 {
		h.t.Fatalf("Advance: %v, generation %d, %v", s.Outcome, s.Family.Generation, err)
	}
	f = s.Family

	most := uint16(1)
	s, err = h.Reissue(ctx, copyOf(f))
	if err != nil {
		s, err = h.Reissue(h.ctx, copyOf(f))
		most = 2 // without a minimum age, each call makes a copy
	}
	if err != nil || s.Outcome != store.Written || s.Family.Copy == 0 || s.Family.Copy > most {
		h.t.Fatalf("Reissue: %v, copy %d, %v: want at most %d", s.Outcome, s.Family.Copy, err, most)
	}

	head = h.head()
	s, err = h.Commit(ctx, keep(f, "value"))
	if err != nil {
		s, err = h.Commit(h.ctx, keep(f, "value"))
	}
	if err != nil || s.Outcome != store.Written && s.Outcome != store.Behind || string(s.Family.Value) != "value" || s.Family.LastCommit <= head {
		h.t.Fatalf("Commit: %v, value %q at %d, %v", s.Outcome, s.Family.Value, s.Family.LastCommit, err)
	}
	h.appended(head, 1)

	head = h.head()
	r := store.Revocation{Sessions: []store.ID{f.ID, newID()}}
	s, err = h.Revoke(ctx, r)
	if err != nil {
		s, err = h.Revoke(h.ctx, r)
	}
	if err != nil || s.Outcome != store.Written && s.Outcome != store.Unwritten || s.Entry != s.Head {
		h.t.Fatalf("Revoke: %v, entry %d, head %d, %v", s.Outcome, s.Entry, s.Head, err)
	}
	h.appended(head, 2)
	h.wantState(store.Ended, f.ID)

	version, _, err := h.LoadKeys(h.ctx)
	if err != nil {
		h.t.Fatalf("LoadKeys: %v", err)
	}
	if _, err = h.SwapKeys(ctx, version, []byte("document")); err != nil {
		if _, err = h.SwapKeys(h.ctx, version, []byte("document")); err != nil {
			h.t.Fatalf("SwapKeys: %v", err)
		}
	}
	h.wantKeys(version+1, "document")
	if _, err := h.Announce(ctx, store.Announcement{Access: time.Hour, Realm: realm}); err != nil {
		h.announce(time.Hour, time.Hour, 0)
	}
}

func (h *harness) appended(head store.Position, n int) {
	h.t.Helper()
	if got := len(h.entries(head)); got != n {
		h.t.Fatalf("%d entries: want %d", got, n)
	}
}
