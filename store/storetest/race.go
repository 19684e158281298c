package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

// racing: of many callers with the same request at once, one gets it.
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
	{name: "OneCopyWithinTheAge", timed: true, test: func(h *harness) {
		f := h.advanced(h.family("anna"))
		for i := range uint16(3) {
			h.pass(h.unit())
			won := h.winners(32, func(int) (store.Snapshot, error) {
				r := copyOf(f)
				r.Age = h.unit()
				return h.Reissue(h.ctx, r)
			}, store.Unwritten)
			if len(won) != 1 || won[0].Family.Copy != i+1 {
				h.t.Fatalf("%d of 32 callers got a copy: want one, copy %d", len(won), i+1)
			}
			h.same(h.look(f.ID).Family, won[0].Family)
		}
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
	{name: "OneEntryOfANamesLogout", test: func(h *harness) {
		h.rounds(func() {
			handle := newID().String()
			var bearers []store.ID
			for range 3 {
				bearers = append(bearers, h.create(bearing("anna", handle)).ID)
			}
			head := h.head()
			r := revokeName(handle)
			r.ID = newID()
			won := h.winners(16, func(int) (store.Snapshot, error) { return h.Revoke(h.ctx, r) }, store.Unwritten)
			if n := len(h.entries(head)); len(won) != 1 || won[0].Ended != 3 || n != 4 {
				h.t.Fatalf("%d of 16 callers revoked it, with %d entries: want 1 and 4", len(won), n)
			}
			h.wantState(store.Ended, bearers...)
		})
	}},
	{name: "OneSuccessorOfTheFirst", test: func(h *harness) {
		h.rounds(func() {
			first := h.create(bound(newID().String()))
			f := h.create(renewal(first))
			won := h.winners(16, func(int) (store.Snapshot, error) { return h.Create(h.ctx, renewal(f)) }, store.Unwritten)
			if len(won) != 1 {
				h.t.Fatalf("%d of 16 callers renewed it: want 1", len(won))
			}
			if s := h.look(first.ID); s.State != store.Ended || s.Family.Successor != won[0].Family.ID {
				h.t.Fatalf("the first is %v, its successor %v: want %v", s.State, s.Family.Successor, won[0].Family.ID)
			}
		})
	}},
	{name: "OneRealmAndOneRingOfMany", test: func(h *harness) {
		var accepted, highest atomic.Int64
		rings := []store.ID{newID(), newID()}
		together(24, func(i int) {
			a := node("a")
			a.Realm, a.Ring, a.RingVersion = fmt.Sprint("realm ", i%3), rings[i%2], uint64(i)
			p, err := h.Announce(h.ctx, a)
			if err != nil || p.Accepted && (p.Realm != a.Realm || p.Ring != a.Ring) {
				h.t.Errorf("%+v, %v", p, err)
			}
			if p.Accepted {
				accepted.Add(1)
				for was := highest.Load(); int64(i) > was && !highest.CompareAndSwap(was, int64(i)); was = highest.Load() {
				}
			}
		})
		p := h.announced(true, store.Announcement{})
		// One of six pairs is the store's: four of the nodes.
		if n := accepted.Load(); n != 4 || p.RingVersion != uint64(highest.Load()) || len(p.Nodes) != 4 {
			h.t.Errorf("%d accepted, %d known, version %d: want 4, 4, %d", n, len(p.Nodes), p.RingVersion, highest.Load())
		}
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
					default: // unrelated calls, for contention
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
}

// rounds runs act at least three times, and for a while if the engine is fast.
func (h *harness) rounds(act func()) {
	began := time.Now()
	while := time.Duration(rounds.Of(30, 200)) * time.Millisecond
	for i := 0; i < 3 || time.Since(began) < while; i++ {
		act()
	}
}

// winners calls act n times at once and returns the Written snapshots. Every
// other outcome must be loser.
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
