package storetest

import (
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

// binding returns a request that binds a family to a key, by one who has verified
// its seal.
func binding(f store.Family, key store.Key) store.Binding {
	return store.Binding{ID: f.ID, Key: key, Verified: f.Seal, Seal: newSeal()}
}

var bindingOnce = []property{
	{name: "AnUnboundFamilyGetsTheKeyAndItsSeal", timed: true, test: func(h *harness) {
		for _, counts := range []bool{false, true} {
			f := h.lived(h.committed("anna", "value"))
			h.tick()
			head := h.appendUnrelated()
			b := binding(f, newKey())
			b.Counts = counts
			s := h.written(h.Bind(h.ctx, b))
			want := f // the position, the generation and the issue time stay
			want.Key, want.Counts, want.Seal = b.Key, counts, b.Seal
			h.same(s.Family, want)
			h.same(h.look(f.ID).Family, want)
			if s.State != store.Alive || s.Head != head || h.head() != head {
				h.t.Errorf("state %v, head %d: want alive, %d", s.State, s.Head, head)
			}
			p, err := h.Families(h.ctx, store.Query{Subject: "anna", Limit: 1})
			if err != nil || len(p.Families) != 1 || p.Families[0].Key != b.Key || p.Families[0].Counts != counts {
				h.t.Errorf("listed as %+v, %v", p.Families, err)
			}
		}
	}},
	{name: "AFamilyOfAnotherSealIsChanged", test: func(h *harness) {
		f := h.committed("anna", "value")
		for i := range f.Seal {
			b := binding(f, newKey())
			b.Verified[i] ^= 1
			h.nothingWritten(func() {
				s := h.changed(h.Bind(h.ctx, b))
				h.same(s.Family, f)
				if s.State != store.Alive {
					h.t.Errorf("state %v: want alive", s.State)
				}
			}, f.ID)
		}
		h.written(h.Bind(h.ctx, binding(f, newKey())))
	}},
	{name: "AnotherKeyIsUnwritten", test: func(h *harness) {
		for _, counts := range []bool{false, true} {
			b := binding(h.family("anna"), newKey())
			b.Counts = counts
			f := h.written(h.Bind(h.ctx, b)).Family
			for _, verified := range []store.Seal{f.Seal, newSeal()} {
				other := binding(f, newKey())
				other.Verified, other.Counts = verified, true
				h.nothingWritten(func() { h.same(h.unwritten(h.Bind(h.ctx, other)).Family, f) }, f.ID)
			}
		}
	}},
	{name: "CalledAgainItIsUnwritten", test: func(h *harness) {
		// Its answer was lost: the row has the new seal, not the one verified.
		for _, counts := range []bool{false, true} {
			b := binding(h.family("anna"), newKey())
			b.Counts = counts
			f := h.written(h.Bind(h.ctx, b)).Family
			h.nothingWritten(func() { h.same(h.unwritten(h.Bind(h.ctx, b)).Family, f) }, f.ID)
		}
	}},
	{name: "TheSameKeyIsMadeToCountOnce", test: func(h *harness) {
		f := h.family("anna")
		key := newKey()
		f = h.written(h.Bind(h.ctx, binding(f, key))).Family
		b := binding(f, key)
		h.nothingWritten(func() { h.unwritten(h.Bind(h.ctx, b)) }, f.ID) // nothing to write
		b.Counts = true
		want := f // with the seal that it has
		want.Counts = true
		h.same(h.written(h.Bind(h.ctx, b)).Family, want)
		h.same(h.look(f.ID).Family, want)
		for _, counts := range []bool{true, false} { // it counts for good
			b.Counts = counts
			h.nothingWritten(func() { h.unwritten(h.Bind(h.ctx, b)) }, f.ID)
		}
	}},
	{name: "ABoundOneFromItsFirstMomentStaysSo", test: func(h *harness) {
		f := h.create(bound("anna"))
		if !f.Counts {
			h.t.Error("the key does not count")
		}
		b := binding(f, f.Key)
		b.Counts = true
		h.nothingWritten(func() { h.unwritten(h.Bind(h.ctx, b)) }, f.ID)
		h.nothingWritten(func() { h.unwritten(h.Bind(h.ctx, binding(f, newKey()))) }, f.ID)
	}},
	{name: "TheDeadAreUnwritten", test: func(h *harness) {
		ended, cut, acted, absent := h.family("anna"), h.family("bob"), h.create(acting("carl", "desk")), h.family("dora")
		h.end(ended.ID)
		h.revoke(store.Revocation{Subjects: []string{"bob", "desk"}})
		absent.ID = newID()
		for want, f := range map[store.State]store.Family{store.Ended: ended, store.CutOff: cut, store.Absent: absent} {
			for _, verified := range []store.Seal{f.Seal, newSeal()} {
				b := binding(f, newKey())
				b.Verified, b.Counts = verified, true
				h.nothingWritten(func() {
					if s := h.unwritten(h.Bind(h.ctx, b)); s.State != want {
						h.t.Errorf("state %v: want %v", s.State, want)
					}
				}, f.ID)
			}
		}
		h.nothingWritten(func() { h.unwritten(h.Bind(h.ctx, binding(acted, newKey()))) }, acted.ID)
	}},
	{name: "TheExpiredAreUnwritten", timed: true, test: func(h *harness) {
		for _, limit := range expired {
			c := login("anna")
			limit(h, &c)
			f := h.create(c)
			key := newKey()
			f = h.written(h.Bind(h.ctx, binding(f, key))).Family
			unbound := login("anna")
			limit(h, &unbound)
			g := h.create(unbound)
			h.pass(3 * h.unit())
			h.unwritten(h.Bind(h.ctx, binding(g, newKey())))
			b := binding(f, key)
			b.Counts = true
			h.unwritten(h.Bind(h.ctx, b))
		}
	}},
	{name: "OneKeyOfMany", test: func(h *harness) {
		h.rounds(func() {
			f := h.family("anna")
			won := h.winners(16, func(int) (store.Snapshot, error) { return h.Bind(h.ctx, binding(f, newKey())) }, store.Unwritten)
			if len(won) != 1 {
				h.t.Fatalf("%d of 16 callers bound it: want 1", len(won))
			}
			h.same(h.look(f.ID).Family, won[0].Family)
		})
	}},
	{name: "BoundOrRenewed", test: func(h *harness) {
		// The second caller finds the other's seal, or the end.
		h.rounds(func() {
			f := h.family(newID().String())
			var written atomic.Int64
			together(8, func(i int) {
				var s store.Snapshot
				var err error
				if i%2 == 0 {
					s, err = h.Bind(h.ctx, binding(f, newKey()))
				} else {
					s, err = h.Create(h.ctx, renewal(f))
				}
				if err != nil || s.Outcome != store.Written && s.Outcome != store.Unwritten && s.Outcome != store.Changed {
					h.t.Errorf("%v, %v", s.Outcome, err)
				}
				if s.Outcome == store.Written {
					written.Add(1)
				}
			})
			if n := written.Load(); n != 1 {
				h.t.Errorf("%d of 8 callers wrote: want 1", n)
			}
		})
	}},
}

// keyed returns requests by every method that asks for a family's key, each with
// the key given. A written one changes the family.
func (h *harness) keyed(f store.Family, key store.Key) map[string]func() (store.Snapshot, error) {
	f = h.look(f.ID).Family
	return map[string]func() (store.Snapshot, error){
		"Advance": func() (store.Snapshot, error) {
			a := next(f)
			a.Key = key
			return h.Advance(h.ctx, a)
		},
		"Advance PositionOnly": func() (store.Snapshot, error) {
			a := raise(f)
			a.Key = key
			return h.Advance(h.ctx, a)
		},
		"Reissue": func() (store.Snapshot, error) {
			r := copyOf(f)
			r.Key = key
			return h.Reissue(h.ctx, r)
		},
		"Commit": func() (store.Snapshot, error) {
			c := keep(f, "keyed")
			c.Key = key
			return h.Commit(h.ctx, c)
		},
		"Renew": func() (store.Snapshot, error) {
			c := renewal(f)
			c.Renews.Key = key
			return h.Create(h.ctx, c)
		},
		"rebirth": func() (store.Snapshot, error) {
			r := elsewhere(f)
			r.Except.Key = key
			s, err := h.Revoke(h.ctx, r)
			if s.Outcome == store.Written && s.Family.Birth != s.Entry {
				s.Outcome = store.Unwritten // the entry is appended all the same
			}
			return s, err
		},
	}
}

// proving tests what a family's key is asked for, and from when on.
var proving = []property{
	{name: "AKeyThatCountsIsAskedFor", test: func(h *harness) {
		for _, method := range []string{"Advance", "Advance PositionOnly", "Reissue", "Commit", "Renew", "rebirth"} {
			f := h.advanced(h.create(bound("anna")))
			other := f.Key
			other[31] ^= 1
			for name, key := range map[string]store.Key{"none": {}, "another": newKey(), "almost the same": other} {
				try := func() {
					s, err := h.keyed(f, key)[method]()
					if err != nil || s.Outcome != store.Unwritten {
						h.t.Errorf("%s with a proof by %s: %v, %v: want unwritten", method, name, s.Outcome, err)
					}
					h.same(s.Family, f)
				}
				if method != "rebirth" {
					h.nothingWritten(try, f.ID)
					continue
				}
				try()
				h.wantState(store.CutOff, f.ID)
				f = h.advanced(h.create(bound("anna")))
			}
			if s, err := h.keyed(f, f.Key)[method](); err != nil || s.Outcome != store.Written || s.Family.Key != f.Key || !s.Family.Counts {
				h.t.Errorf("%s: %v, %v: want written", method, s.Outcome, err)
			}
		}
	}},
	{name: "OneThatDoesNotCountIsNot", test: func(h *harness) {
		for _, method := range []string{"Advance", "Advance PositionOnly", "Reissue", "Commit", "Renew", "rebirth"} {
			for name, key := range map[string]store.Key{"none": {}, "another": newKey()} {
				f := h.advanced(h.family("anna"))
				f = h.written(h.Bind(h.ctx, binding(f, newKey()))).Family
				s, err := h.keyed(f, key)[method]()
				if err != nil || s.Outcome != store.Written || s.Family.Key != f.Key || s.Family.Counts {
					h.t.Errorf("%s with a proof by %s: %v, %v, counts %v: want written, and not", method, name, s.Outcome, err, s.Family.Counts)
				}
			}
		}
	}},
	{name: "ARefreshWithItMakesItCount", test: func(h *harness) {
		for method, want := range map[string]bool{
			"Advance": true, "Advance PositionOnly": true, "Reissue": true, "Commit": false, "Renew": false, "rebirth": false,
		} {
			f := h.advanced(h.family("anna"))
			f = h.written(h.Bind(h.ctx, binding(f, newKey()))).Family
			s, err := h.keyed(f, f.Key)[method]()
			if err != nil || s.Outcome != store.Written || s.Family.Counts != want || h.look(s.Family.ID).Family.Counts != want {
				h.t.Errorf("%s: %v, %v, counts %v: want written, %v", method, s.Outcome, err, s.Family.Counts, want)
			}
		}
	}},
	{name: "ARefreshThatIsNotWrittenMakesNothingCount", test: func(h *harness) {
		f := h.advanced(h.committed("anna", "value"))
		f = h.written(h.Bind(h.ctx, binding(f, newKey()))).Family
		a, r := next(f), copyOf(f)
		a.Age, r.Age = time.Hour, time.Hour
		h.nothingWritten(func() {
			h.unwritten(h.Advance(h.ctx, a))
			h.unwritten(h.Reissue(h.ctx, r))
			a.Age, a.Basis, r.Age, r.Basis = 0, 1, 0, 1
			h.behind(h.Advance(h.ctx, a))
			h.behind(h.Reissue(h.ctx, r))
		}, f.ID)
	}},
	{name: "AnUnboundFamilyAsksForNoneAndTakesNone", test: func(h *harness) {
		for _, method := range []string{"Advance", "Advance PositionOnly", "Reissue", "Commit", "Renew", "rebirth"} {
			f := h.advanced(h.family("anna"))
			s, err := h.keyed(f, newKey())[method]()
			if err != nil || s.Outcome != store.Written || !s.Family.Key.IsZero() || s.Family.Counts || !s.Family.First.IsZero() {
				h.t.Errorf("%s: %v, %v, key %x, counts %v: want written, none", method, s.Outcome, err, s.Family.Key, s.Family.Counts)
			}
		}
	}},
	{name: "WithoutTheProofItIsNotBehind", test: func(h *harness) {
		f := h.advanced(h.commit(h.create(bound("anna")), "value"))
		a, r := next(f), copyOf(f)
		a.Basis, r.Basis = 1, 1
		h.behind(h.Advance(h.ctx, a))
		h.behind(h.Reissue(h.ctx, r))
		a.Key, r.Key = newKey(), store.Key{}
		h.unwritten(h.Advance(h.ctx, a))
		h.unwritten(h.Reissue(h.ctx, r))
	}},
	{name: "ARenewalTakesOverTheKey", test: func(h *harness) {
		for _, counts := range []bool{false, true} {
			b := binding(h.family("anna"), newKey())
			b.Counts = counts
			old := h.written(h.Bind(h.ctx, b)).Family
			if f := h.create(renewal(old)); f.Key != b.Key || f.Counts != counts || f.First != old.ID {
				h.t.Errorf("key %x, counts %v, first %v: want %x, %v, %v", f.Key, f.Counts, f.First, b.Key, counts, old.ID)
			}
		}
	}},
	{name: "FirstNamesTheNewestOfAChain", test: func(h *harness) {
		// It is the family that was bound, wherever in a chain of renewals.
		unbound := h.create(renewal(h.family("anna")))
		first := h.written(h.Bind(h.ctx, binding(unbound, newKey()))).Family
		if !unbound.First.IsZero() || !first.First.IsZero() || !first.Successor.IsZero() {
			h.t.Errorf("first %v and %v, successor %v: want none yet", unbound.First, first.First, first.Successor)
		}
		var chain []store.Family
		for f := first; len(chain) < 4; {
			f = h.create(renewal(f))
			chain = append(chain, f)
			if f.First != first.ID || !f.Successor.IsZero() {
				h.t.Errorf("first %v, successor %v: want %v, none", f.First, f.Successor, first.ID)
			}
			want := first
			want.Successor = f.ID
			s := h.look(first.ID)
			h.same(s.Family, want)
			if s.State != store.Ended {
				h.t.Errorf("the first is %v: want ended", s.State)
			}
		}
		for _, f := range chain[:3] {
			if s := h.look(f.ID); s.State != store.Ended || !s.Family.Successor.IsZero() {
				h.t.Errorf("%v, successor %v: want ended, none", s.State, s.Family.Successor)
			}
		}
		h.wantFamilies("anna", 10, chain[3].ID)
	}},
	{name: "TheFirstStaysKnownAsLongAsTheNewest", leaps: true, test: func(h *harness) {
		c := bound("anna")
		c.Idle, c.Absolute = 2*h.unit(), 4*h.unit()
		first := h.create(c)
		f := h.create(renewal(first))
		check := func() {
			h.t.Helper()
			for range 4 {
				h.housekeep()
			}
			if s := h.look(first.ID); s.State != store.Ended || s.Family.Successor != f.ID || s.Family.Key != first.Key {
				h.t.Errorf("%v, successor %v: want ended, %v", s.State, s.Family.Successor, f.ID)
			}
		}
		h.pass(h.unit())
		f = h.advanced(f)
		h.pass(h.unit() + h.unit()/2) // the first is past its idle limit
		check()
		r := renewal(f)
		r.Renews.Authenticated, r.Leeway = h.now(), h.unit()
		f = h.create(r)
		h.pass(h.unit())
		f = h.advanced(f)
		h.pass(h.unit() + h.unit()/2) // and past the limit that its first successor had
		check()
		h.pass(3 * h.unit())
		h.eventually("the row of the first is gone", func() bool { return h.look(first.ID).State == store.Absent })
	}},
	{name: "ItsOwnTimeIsNotCutShort", timed: true, test: func(h *harness) {
		c := bound("anna")
		c.Idle, c.Absolute, c.Known = h.unit(), h.unit(), 5*h.unit()
		first := h.create(c)
		h.create(renewal(first))
		h.pass(2 * h.unit())
		for range 10 {
			h.housekeep()
		}
		again := login("anna")
		again.ID = first.ID
		h.taken(h.Create(h.ctx, again))
		h.wantState(store.Ended, first.ID)
	}},
}
