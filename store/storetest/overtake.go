package storetest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

// overtaking: a write that a revocation or a commit has overtaken does not
// happen, and no entry is appended below a position that a reader has passed.
var overtaking = []property{
	{name: "AReaderMissesNoPosition", test: func(h *harness) { h.readerMissesNothing(h) }},
	{name: "NoRefreshAfterTheRevocation", test: func(h *harness) {
		h.revokedWhileRefreshing(h, plain, store.Revocation{Subjects: []string{"anna"}})
		h.revokedWhileRefreshing(h, plain, store.Revocation{Everyone: true})
		h.revokedWhileRefreshing(h, func() store.Creation { return acting("anna", "desk") }, store.Revocation{Subjects: []string{"desk"}})
	}},
	{name: "NoRefreshAfterTheEnd", test: func(h *harness) {
		h.rounds(func() {
			f := h.family("anna")
			var ended atomic.Bool
			together(3, func(i int) {
				if i == 0 {
					time.Sleep(50 * time.Microsecond)
					if _, err := h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{f.ID}}); err != nil {
						h.t.Error(err)
					}
					ended.Store(true)
					return
				}
				for g, turn := f, i; ; turn++ {
					after := ended.Load()
					s, err := h.refresh(g, turn)
					if err != nil || after && s.Outcome == store.Written {
						h.t.Errorf("%v after the end, %v", s.Outcome, err)
					}
					if err != nil || after || s.State != store.Alive {
						return
					}
					g = s.Family
				}
			})
		})
	}},
	{name: "NoRefreshBehindTheCommit", test: func(h *harness) {
		h.rounds(func() {
			f := h.family("anna")
			var committed atomic.Uint64
			together(3, func(i int) {
				if i == 0 {
					time.Sleep(50 * time.Microsecond)
					s, err := h.Commit(h.ctx, keep(f, "value"))
					if err != nil || s.Outcome != store.Written {
						h.t.Errorf("Commit: %v, %v", s.Outcome, err)
					}
					committed.Store(max(1, uint64(s.Entry)))
					return
				}
				for g, turn := f, i; ; turn++ {
					g.Position = f.Position // data sealed before the commit
					after := committed.Load()
					s, err := h.refresh(g, turn)
					if err != nil || after != 0 && s.Outcome == store.Written {
						h.t.Errorf("%v after the commit at %d, %v", s.Outcome, after, err)
					}
					if err != nil || s.Outcome == store.Behind || after != 0 {
						return
					}
					g = s.Family
				}
			})
			if got := h.look(f.ID).Family; string(got.Value) != "value" || got.Position < got.LastCommit {
				h.t.Errorf("value %q, position %d, last commit %d", got.Value, got.Position, got.LastCommit)
			}
		})
	}},
	{name: "NoLoginPastTheRevocation", test: func(h *harness) {
		// The password was checked while it was being changed.
		everyone := false
		h.rounds(func() {
			r := store.Revocation{Subjects: []string{"anna"}}
			if everyone = !everyone; everyone {
				r = store.Revocation{Everyone: true}
			}
			at := h.head()
			created := make([]store.Snapshot, 8)
			var cutoff store.Position
			together(9, func(i int) {
				var err error
				if i == 8 {
					var s store.Snapshot
					s, err = h.Revoke(h.ctx, r)
					cutoff = s.Entry
				} else {
					created[i], err = h.createNotBefore("anna", at)
				}
				if err != nil {
					h.t.Error(err)
				}
			})
			for _, s := range created {
				switch s.Outcome {
				case store.Early:
				case store.Written:
					if s.Family.Birth >= cutoff {
						h.t.Errorf("born at %d with NotBefore %d, past the revocation at %d", s.Family.Birth, at, cutoff)
					}
					h.wantState(store.CutOff, s.Family.ID)
				default:
					h.t.Errorf("Create: %v", s.Outcome)
				}
			}
		})
	}},
	{name: "NoLoginPastTheLogoutOfItsName", test: func(h *harness) {
		// The provider ended its session while logins with it were on their way.
		h.rounds(func() {
			handle := newID().String()
			at := h.head()
			created := make([]store.Snapshot, 8)
			together(9, func(i int) {
				var err error
				if i == 8 {
					_, err = h.Revoke(h.ctx, revokeName(handle))
				} else {
					c := bearing("anna", handle)
					c.NotBefore = at
					created[i], err = h.Create(h.ctx, c)
				}
				if err != nil {
					h.t.Error(err)
				}
			})
			for _, s := range created {
				switch s.Outcome {
				case store.Early:
				case store.Written:
					h.wantState(store.Ended, s.Family.ID)
				default:
					h.t.Errorf("Create: %v", s.Outcome)
				}
			}
		})
	}},
	{name: "EveryoneIsCutOffOrBornAfter", test: func(h *harness) {
		h.rounds(func() {
			created := make([]store.Snapshot, 12)
			late := make([]bool, 12) // began after the revocation had returned
			var cutoff atomic.Uint64
			together(13, func(i int) {
				var err error
				if i == 12 {
					var s store.Snapshot
					s, err = h.Revoke(h.ctx, store.Revocation{Everyone: true})
					cutoff.Store(uint64(s.Entry))
				} else {
					time.Sleep(time.Duration(i%4) * 20 * time.Microsecond)
					late[i] = cutoff.Load() != 0
					created[i], err = h.Create(h.ctx, login("anna"))
				}
				if err != nil {
					h.t.Error(err)
				}
			})
			for i, s := range created {
				born := uint64(s.Family.Birth) >= cutoff.Load()
				want := store.CutOff
				if born {
					want = store.Alive
				}
				h.wantState(want, s.Family.ID)
				if late[i] && !born {
					h.t.Errorf("born at %d after everyone was revoked at %d", s.Family.Birth, cutoff.Load())
				}
			}
		})
	}},
}

// readerMissesNothing follows the log on the handle reader while many write on
// h, and checks that it reads every position in the order of the chain.
func (h *harness) readerMissesNothing(reader *harness) {
	const writers, each = 12, 25
	var mu sync.Mutex
	appended := map[store.Position]bool{}
	var writing atomic.Int64
	writing.Store(writers)
	seen := map[store.Position]bool{}
	cursor := h.headCursor()
	together(writers+1, func(i int) {
		if i < writers {
			defer writing.Add(-1)
			for n := range each {
				p, err := h.writeSome(i + n)
				if err != nil {
					h.t.Error(err)
					return
				}
				mu.Lock()
				appended[p] = true
				mu.Unlock()
			}
			return
		}
		for {
			last := writing.Load() == 0
			b, err := reader.Since(h.ctx, cursor, 7, 20*time.Millisecond)
			if err != nil {
				h.t.Errorf("Since: %v", err)
				return
			}
			for _, e := range b.Entries {
				if e.Previous != cursor.Position {
					h.t.Errorf("after %d comes entry %d, which names %d", cursor.Position, e.Position, e.Previous)
				}
				cursor = at(e)
				seen[e.Position] = true
			}
			if b.Broken || last && len(b.Entries) == 0 {
				return
			}
		}
	})
	for p := range appended {
		if !seen[p] {
			h.t.Errorf("the reader passed entry %d by", p)
		}
	}
}

// writeSome appends entries by one of several methods and returns the last
// position.
func (h *harness) writeSome(i int) (store.Position, error) {
	var s store.Snapshot
	var err error
	switch i % 5 {
	case 4:
		handle := newID().String()
		if _, err = h.Create(h.ctx, bearing("anna", handle)); err == nil {
			s, err = h.Revoke(h.ctx, revokeName(handle))
		}
	case 0:
		s, err = h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{newID(), newID()}})
	case 1:
		s, err = h.Revoke(h.ctx, store.Revocation{Subjects: []string{newID().String()}})
	default:
		if s, err = h.Create(h.ctx, login("anna")); err != nil {
			break
		}
		if i%5 == 2 {
			s, err = h.Commit(h.ctx, keep(s.Family, "value"))
			break
		}
		c := renewal(s.Family)
		s, err = h.Create(h.ctx, c)
	}
	return s.Entry, err
}

// revokedWhileRefreshing revokes on h while families of anna are refreshed on
// the handle other.
func (h *harness) revokedWhileRefreshing(other *harness, creation func() store.Creation, r store.Revocation) {
	h.rounds(func() {
		var fs []store.Family
		for range 6 {
			fs = append(fs, h.create(creation()))
		}
		var cutoff atomic.Uint64
		written := make([][]store.Position, len(fs))
		together(len(fs)+1, func(i int) {
			if i == len(fs) {
				time.Sleep(100 * time.Microsecond)
				s, err := h.Revoke(h.ctx, r)
				if err != nil {
					h.t.Error(err)
				}
				cutoff.Store(max(1, uint64(s.Entry)))
				return
			}
			for f, turn := fs[i], i; ; turn++ {
				after := cutoff.Load()
				s, err := other.refresh(f, turn)
				if err != nil {
					h.t.Error(err)
					return
				}
				if s.Outcome != store.Written {
					if s.State != store.CutOff {
						h.t.Errorf("%v, of a family %v: want it cut off", s.Outcome, s.State)
					}
					return
				}
				if after != 0 {
					h.t.Errorf("refreshed after the revocation at %d had returned", after)
					return
				}
				written[i] = append(written[i], s.Family.Position)
				f = s.Family
			}
		})
		for _, ps := range written {
			for _, p := range ps {
				if uint64(p) >= cutoff.Load() {
					h.t.Errorf("a family born before minted %d, at or above the revocation at %d", p, cutoff.Load())
				}
			}
		}
	})
}
