package storetest

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// restoringAgain: an entry is appended once, however many nodes restore it and
// whenever they do.
var restoringAgain = []property{
	{name: "ALoginAfterTheFirstSurvivesTheSecond", test: func(h *harness) {
		for _, lost := range []func(p store.Position) store.Entry{func(p store.Position) store.Entry { return lostSubject("anna", p) }, lostEveryone} {
			e := lost(h.head() + 1000)
			early := h.family("anna") // after the loss, before the first
			h.restore(e)
			h.wantState(store.CutOff, early.ID)
			f := h.family("anna")
			for range 3 {
				h.covered(e)
				e.ID = newID() // entries are not matched by id
				h.covered(e)
			}
			h.same(h.look(f.ID).Family, f)
			h.written(h.Advance(h.ctx, next(f)))
			h.end(f.ID)
		}
	}},
	{name: "CalledAgainAfterAnErrorItIsDoneOnce", test: func(h *harness) {
		ended, cancel := context.WithCancel(h.ctx)
		cancel()
		h.restoreAgain(ended)
		for range 30 {
			ctx, cancel := context.WithTimeout(h.ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
			h.restoreAgain(ctx)
			cancel()
		}
	}},
	{name: "OfManyAtOnceOneAppends", test: func(h *harness) { h.restoreTogether(h, h, h, h) }},
	{name: "NoRefreshAfterTheRestore", test: func(h *harness) { h.restoredWhileRefreshing(h) }},
	{name: "ThoughTheSubjectsEntryIsDropped", timed: true, test: func(h *harness) {
		h.restoreThoughDropped(func(p store.Position) store.Entry { return lostSubject("anna", p) }, true)
	}},
	{name: "ThoughEveryonesEntryIsDropped", timed: true, test: func(h *harness) {
		h.restoreThoughDropped(lostEveryone, true)
	}},
	{name: "ThoughASessionsEntryIsDropped", timed: true, test: func(h *harness) {
		f := h.family("anna")
		h.restoreThoughDropped(func(p store.Position) store.Entry { return lostSession(f.ID, p) }, false)
		h.wantState(store.Ended, f.ID)
	}},
	{name: "ThoughAnAbsentSessionsEntryIsDropped", timed: true, test: func(h *harness) {
		id := newID()
		h.restoreThoughDropped(func(p store.Position) store.Entry { return lostSession(id, p) }, false)
	}},
	{name: "TheFloorCoversNoSubjectAndNothingThatLives", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		f := h.family("anna")
		p := h.appendUnrelated()
		l.drop(p)
		h.covered(lostSession(newID(), l.floor))
		h.restore(lostSession(newID(), l.floor+1))
		h.restore(lostSession(f.ID, p))
		h.wantState(store.Ended, f.ID)
		f = h.family("bob")
		h.restore(lostSubject("bob", p))
		h.wantState(store.CutOff, f.ID)
		f = h.family("bob")
		h.restore(lostEveryone(p))
		h.wantState(store.CutOff, f.ID)
	}},
	{name: "ARestoredEntryIsKeptFromItsNewTime", timed: true, test: func(h *harness) {
		l := h.ledger(3*h.unit()/2, 10*h.unit(), h.unit()/2)
		var p store.Position
		for range 8 {
			p = h.restore(lostSubject("anna", h.head()+1))
			h.pass(h.unit() / 2)
			if h.engine.Tidy != nil {
				h.engine.Tidy()
			}
			h.covered(lostSubject("anna", p))
			if l.read(); l.floor >= p {
				h.t.Fatalf("floor %d: entry %d was restored %v ago", l.floor, p, h.unit()/2)
			}
		}
		l.drop(p)
	}},
}

// restoreThoughDropped restores an entry, lets the new entry be dropped, and
// restores again, as a late node does.
func (h *harness) restoreThoughDropped(lost func(p store.Position) store.Entry, cutsOff bool) {
	l := h.ledger(h.unit(), 20*h.unit(), 0)
	old := h.family("anna")
	e := lost(h.head() + 10)
	p := h.restore(e)
	f := h.family("anna")
	l.drop(p)
	h.nothingWritten(func() {
		for range 3 {
			h.unwritten(h.Restore(h.ctx, restoration(e)))
		}
	}, old.ID, f.ID)
	h.wantState(store.Alive, f.ID)
	if cutsOff {
		h.wantState(store.CutOff, old.ID)
	}
}

// restoreAgain restores with ctx. If that returned an error, it reuses the
// slice for other entries and restores once more.
func (h *harness) restoreAgain(ctx context.Context) {
	h.t.Helper()
	f, stranger, absent, subject := h.family("anna"), h.family("bob"), newID(), newID().String()
	head := h.head()
	want := []store.Entry{lostSession(f.ID, head+1), lostSubject(subject, head+2), lostSession(absent, head+3)}
	mine := slices.Clone(want)
	s, err := h.Restore(ctx, restoration(mine...))
	if err != nil {
		for i := range mine {
			mine[i] = lostSession(stranger.ID, head+1)
		}
		s, err = h.Restore(h.ctx, restoration(want...))
	}
	if err != nil || s.Outcome != store.Written && s.Outcome != store.Unwritten {
		h.t.Fatalf("Restore: %v, %v", s.Outcome, err)
	}
	h.appended(head, 3)
	h.wantState(store.Ended, f.ID)
	h.wantState(store.Alive, stranger.ID)
	h.covered(want...)
}

// restoreTogether has all handles restore the same entries at once.
func (h *harness) restoreTogether(hs ...*harness) {
	for range 3 {
		f, g := h.family("anna"), h.family("bob")
		head := h.head()
		lost := []store.Entry{lostSession(f.ID, head+1), lostSubject("bob", head+2)}
		for len(lost) < store.MaxEntries {
			p := head + store.Position(len(lost)) + 1
			lost = append(lost, lostSession(newID(), p), lostSubject(newID().String(), p+1))
		}
		wrote := make([]bool, len(hs))
		together(len(hs), func(i int) {
			mine := slices.Clone(lost)
			if i%2 == 1 {
				slices.Reverse(mine) // each in an order of its own
			}
			s, err := hs[i].Restore(h.ctx, restoration(mine...))
			if err != nil {
				h.t.Error(err)
			}
			wrote[i] = s.Outcome == store.Written
		})
		n := 0
		for _, w := range wrote {
			if w {
				n++
			}
		}
		if n != 1 {
			h.t.Errorf("%d of %d callers wrote: want 1", n, len(hs))
		}
		h.appended(head, store.MaxEntries)
		h.wantState(store.Ended, f.ID)
		h.wantState(store.CutOff, g.ID)
	}
}

// restoredWhileRefreshing restores on h while families are created and
// refreshed on the handle other. Once it has returned, no earlier family is
// refreshed, and those created after it live.
func (h *harness) restoredWhileRefreshing(other *harness) {
	h.rounds(func() {
		fs := []store.Family{h.family("anna"), h.family("anna"), h.family("bob")}
		p := h.head() + 100
		returned := make(chan struct{})
		var cutoff store.Position
		born := make([]store.Snapshot, 6)
		together(len(fs)+len(born)+1, func(i int) {
			switch {
			case i < len(fs):
				for f, turn := fs[i], i; ; turn++ {
					var after bool
					select {
					case <-returned:
						after = true
					default:
					}
					s, err := other.refresh(f, turn)
					if err != nil {
						h.t.Error(err)
						return
					}
					if s.Outcome != store.Written {
						return
					}
					if after {
						h.t.Errorf("a family %v of %s was refreshed after the Restore had returned", s.State, s.Family.Subject)
						return
					}
					f = s.Family
				}
			case i == len(fs):
				defer close(returned)
				s, err := h.Restore(h.ctx, restoration(lostSubject("anna", p), lostSession(fs[2].ID, p+1)))
				if err != nil {
					h.t.Error(err)
				}
				cutoff = s.Entry - 1
			default:
				time.Sleep(time.Duration(i%4) * 30 * time.Microsecond)
				var err error
				if born[i-len(fs)-1], err = other.Create(h.ctx, login("anna")); err != nil {
					h.t.Error(err)
				}
			}
		})
		for _, s := range born {
			want := store.CutOff
			if s.Family.Birth >= cutoff {
				want = store.Alive
			}
			h.wantState(want, s.Family.ID)
		}
	})
}
