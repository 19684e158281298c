package storetest

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

var racing = []property{
	{name: "OneSuccessorOfAGeneration", test: func(h *harness) {
		f := h.family("anna")
		h.rounds(func() {
			won := h.winners(64, func(int) (store.Snapshot, error) { return h.Advance(h.ctx, next(f)) }, store.Unwritten)
			if len(won) != 1 {
				h.t.Fatalf("%d of 64 callers advanced generation %d: want 1", len(won), f.Generation)
			}
			f = won[0].Family
			h.same(h.look(f.ID).Family, f)
		})
	}},
	{name: "OneFamilyOfAnID", test: func(h *harness) {
		h.rounds(func() {
			other := h.family("bob")
			head := h.head()
			c := login("anna")
			c.Ends = [2]store.ID{other.ID}
			won := h.winners(16, func(int) (store.Snapshot, error) { return h.Create(h.ctx, c) }, store.Taken)
			if n := len(h.entries(head)); len(won) != 1 || n != 1 {
				h.t.Fatalf("%d of 16 callers created it, with %d entries: want 1 and 1", len(won), n)
			}
		})
	}},
	{name: "OneEndingOfAReplacedFamily", test: func(h *harness) {
		h.rounds(func() {
			other := h.family("bob")
			head := h.head()
			won := h.winners(16, func(int) (store.Snapshot, error) {
				c := login("anna")
				c.Ends = [2]store.ID{other.ID}
				return h.Create(h.ctx, c)
			}, store.Written)
			if n := len(h.entries(head)); len(won) != 16 || n != 1 {
				h.t.Fatalf("%d of 16 callers replaced it, with %d entries: want 16 and 1", len(won), n)
			}
		})
	}},
	{name: "OneCommitOfABasis", test: func(h *harness) {
		f := h.family("anna")
		h.rounds(func() {
			won := h.winners(16, func(i int) (store.Snapshot, error) {
				return h.Commit(h.ctx, keep(f, string(rune('a'+i))))
			}, store.Behind)
			if len(won) != 1 {
				h.t.Fatalf("%d of 16 callers committed from %d: want 1", len(won), f.Position)
			}
			f = won[0].Family
			h.same(h.look(f.ID).Family, f)
		})
	}},
	{name: "OneForgiving", test: func(h *harness) {
		h.rounds(func() {
			f := h.written(h.Advance(h.ctx, next(h.family("anna")))).Family
			won := h.winners(16, func(int) (store.Snapshot, error) { return h.Forgive(h.ctx, f.ID, 1) }, store.Unwritten)
			if len(won) != 1 {
				h.t.Fatalf("%d of 16 callers forgave: want 1", len(won))
			}
		})
	}},
	{name: "OneEntryOfASession", test: func(h *harness) {
		h.rounds(func() {
			for _, id := range []store.ID{h.family("anna").ID, newID()} {
				head := h.head()
				won := h.winners(16, func(int) (store.Snapshot, error) {
					return h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{id}})
				}, store.Unwritten)
				if n := len(h.entries(head)); len(won) != 1 || n != 1 {
					h.t.Fatalf("%d of 16 callers revoked it, with %d entries: want 1 and 1", len(won), n)
				}
			}
		})
	}},
	{name: "OneRenewalOfAFamily", test: func(h *harness) {
		h.rounds(func() {
			old := h.committed(newID().String(), "value")
			won := h.winners(16, func(int) (store.Snapshot, error) {
				c := renewal(old)
				c.Value = []byte("value")
				return h.Create(h.ctx, c)
			}, store.Unwritten)
			if len(won) != 1 {
				h.t.Fatalf("%d of 16 callers renewed it: want 1", len(won))
			}
			h.wantFamilies(old.Subject, 100, won[0].Family.ID)
		})
	}},
	{name: "NeverMoreThanTheLimit", test: func(h *harness) {
		h.rounds(func() {
			subject := newID().String()
			won := h.winners(24, func(int) (store.Snapshot, error) {
				c := login(subject)
				c.Limit = 3
				return h.Create(h.ctx, c)
			}, store.Full)
			if n := len(h.listed(subject, 100)); len(won) != 3 || n != 3 {
				h.t.Fatalf("%d of 24 logins, %d living: want 3", len(won), n)
			}
		})
	}},
	{name: "TheOldestMakeRoomOneByOne", test: func(h *harness) {
		h.rounds(func() {
			subject, head := newID().String(), h.head()
			won := h.winners(24, func(int) (store.Snapshot, error) {
				c := login(subject)
				c.Limit, c.EndOldest = 3, true
				return h.Create(h.ctx, c)
			}, store.Written)
			living := h.listed(subject, 100)
			if len(won) != 24 || len(living) != 3 {
				h.t.Fatalf("%d of 24 logins, %d living: want 24 and 3", len(won), len(living))
			}
			ended := sessionsOf(h.entries(head))
			for _, s := range won {
				if slices.Contains(living, s.Family.ID) == slices.Contains(ended, s.Family.ID) {
					h.t.Errorf("family %v: living and in the log, or neither", s.Family.ID)
				}
			}
		})
	}},
	{name: "AtMostOneSurvivesElsewhere", test: func(h *harness) {
		h.rounds(func() {
			subject := newID().String()
			var fs []store.Family
			for range 8 {
				fs = append(fs, h.family(subject))
			}
			together(len(fs), func(i int) {
				if _, err := h.Revoke(h.ctx, elsewhere(fs[i])); err != nil {
					h.t.Error(err)
				}
			})
			if n := len(h.listed(subject, 100)); n > 1 {
				h.t.Fatalf("%d living: want at most the last", n)
			}
		})
	}},
	{name: "NoRebirthOfTheDead", test: func(h *harness) {
		h.rounds(func() {
			f := h.family(newID().String())
			deadly := []store.Revocation{{Sessions: []store.ID{f.ID}}, {Subjects: []string{f.Subject}}, {Everyone: true}}
			for i, kill := range deadly {
				if i > 0 {
					f = h.family(f.Subject)
				}
				if len(kill.Sessions) > 0 {
					kill.Sessions = []store.ID{f.ID}
				}
				var reborn, killed store.Snapshot
				together(8, func(i int) {
					var err error
					switch i {
					case 0:
						reborn, err = h.Revoke(h.ctx, elsewhere(f))
					case 1:
						killed, err = h.Revoke(h.ctx, kill)
					default: // others, to be in the way
						_, err = h.Advance(h.ctx, next(f))
					}
					if err != nil {
						h.t.Error(err)
					}
				})
				if reborn.State == store.Alive && killed.Entry < reborn.Entry {
					h.t.Fatalf("reborn at %d, though it was revoked at %d", reborn.Entry, killed.Entry)
				}
				if s := h.look(f.ID); s.State == store.Alive && killed.Entry > reborn.Entry {
					h.t.Fatalf("reborn at %d, it survived the revocation at %d", reborn.Entry, killed.Entry)
				}
			}
		})
	}},
	{name: "AReaderMissesNoPosition", test: func(h *harness) { h.readerMissesNothing(h) }},
	{name: "NoRefreshAfterTheRevocation", test: func(h *harness) {
		h.revokedWhileRefreshing(h, store.Revocation{Subjects: []string{"anna"}})
		h.revokedWhileRefreshing(h, store.Revocation{Everyone: true})
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
				for a := next(f); ; {
					after := ended.Load()
					s, err := h.Advance(h.ctx, a)
					if err != nil || after && s.Outcome == store.Written {
						h.t.Errorf("%v after the end, %v", s.Outcome, err)
					}
					if err != nil || after || s.State != store.Alive {
						return
					}
					a = next(s.Family)
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
				for a := next(f); ; {
					a.Basis = f.Position // data sealed before the commit
					after := committed.Load()
					s, err := h.Advance(h.ctx, a)
					if err != nil || after != 0 && s.Outcome == store.Written {
						h.t.Errorf("%v after the commit at %d, %v", s.Outcome, after, err)
					}
					if err != nil || s.Outcome == store.Behind || after != 0 {
						return
					}
					a = next(s.Family)
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

// rounds runs act three times at least, and for a while where the engine is
// fast.
func (h *harness) rounds(act func()) {
	began := time.Now()
	for i := 0; i < 3 || time.Since(began) < 200*time.Millisecond; i++ {
		act()
	}
}

// winners calls act n times at once and returns what was Written; every other
// outcome must be loser.
func (h *harness) winners(n int, act func(i int) (store.Snapshot, error), loser store.Outcome) []store.Snapshot {
	h.t.Helper()
	var mu sync.Mutex
	var won []store.Snapshot
	together(n, func(i int) {
		s, err := act(i)
		if err != nil || s.Outcome != store.Written && s.Outcome != loser {
			h.t.Errorf("%v, %v: want written or %v", s.Outcome, err, loser)
		}
		if s.Outcome == store.Written {
			mu.Lock()
			won = append(won, s)
			mu.Unlock()
		}
	})
	return won
}

// readerMissesNothing follows the log by the handle reader while many write by
// h, and wants every position in the order of the chain.
func (h *harness) readerMissesNothing(reader *harness) {
	const writers, each = 12, 25
	var mu sync.Mutex
	appended := map[store.Position]bool{}
	var writing atomic.Int64
	writing.Store(writers)
	seen := map[store.Position]bool{}
	cursor := h.head()
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
				if e.Previous != cursor {
					h.t.Errorf("after %d comes entry %d, which names %d", cursor, e.Position, e.Previous)
				}
				cursor = e.Position
				seen[cursor] = true
			}
			if last && len(b.Entries) == 0 {
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

// writeSome appends entries by one of several methods and returns the last.
func (h *harness) writeSome(i int) (store.Position, error) {
	var s store.Snapshot
	var err error
	switch i % 4 {
	case 0:
		s, err = h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{newID(), newID()}})
	case 1:
		s, err = h.Revoke(h.ctx, store.Revocation{Subjects: []string{newID().String()}})
	default:
		if s, err = h.Create(h.ctx, login("anna")); err != nil {
			break
		}
		if i%4 == 2 {
			s, err = h.Commit(h.ctx, keep(s.Family, "value"))
			break
		}
		c := renewal(s.Family)
		s, err = h.Create(h.ctx, c)
	}
	return s.Entry, err
}

// revokedWhileRefreshing revokes by h while families of anna are refreshed by
// the handle other.
func (h *harness) revokedWhileRefreshing(other *harness, r store.Revocation) {
	h.rounds(func() {
		var fs []store.Family
		for range 6 {
			fs = append(fs, h.family("anna"))
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
			for a := next(fs[i]); ; {
				after := cutoff.Load()
				s, err := other.Advance(h.ctx, a)
				if err != nil {
					h.t.Error(err)
					return
				}
				if s.Outcome != store.Written {
					if s.State != store.CutOff {
						h.t.Errorf("Advance: %v, of a family %v: want it cut off", s.Outcome, s.State)
					}
					return
				}
				if after != 0 {
					h.t.Errorf("refreshed after the revocation at %d had returned", after)
					return
				}
				written[i] = append(written[i], s.Family.Position)
				a = next(s.Family)
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
