package refresh_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// TestShelfIsAStore: the store that the search copies with each world does what
// store/memory does, on random calls. No family gets past its limits here, since
// store/memory removes those.
func TestShelfIsAStore(t *testing.T) {
	rng, ctx := seeded(t), context.Background()
	var written [6]int
	for range rounds.Of(400, 3000) {
		s := &search{only: "nothing"} // the oracle is not asked
		w := &world{now: 100}
		s.store = &searchStore{search: s, w: w}
		mem := memory.New(memory.Options{Now: func() time.Time { return unitTime(w.clock()) }})
		begin, err := mem.Cutoffs(ctx, store.ID{}, "")
		if err != nil {
			t.Fatal(err)
		}
		w.shelf.head, w.shelf.everyone = begin.Head, begin.Everyone
		for range 60 {
			w.now += units(rng.IntN(8))
			if rng.IntN(20) == 0 {
				w.behind += units(rng.IntN(10))
			}
			call := anyCall(rng, w)
			got, want, err := call.do(ctx, s.store, mem)
			if err != nil {
				t.Fatalf("%+v: %v", call, err)
			}
			compare(t, call, got, want)
			if got.Outcome == store.Written {
				written[call.method]++
			}
			cutoffs, err := mem.Cutoffs(ctx, familyID(call.family), subject)
			if err != nil {
				t.Fatal(err)
			}
			cutoffs.Now, cutoffs.Log = time.Time{}, store.ID{}
			if mine := s.store.Cutoffs(call.family); mine != cutoffs {
				t.Fatalf("after %+v the cutoffs are %+v, want %+v", call, mine, cutoffs)
			}
		}
	}
	for method, n := range written {
		if n < 100 {
			t.Errorf("method %d wrote only %d times", method, n)
		}
	}
}

// storeCall is one call with the same arguments for both stores.
type storeCall struct {
	method  int
	family  int8
	advance store.Advance
	reissue store.Reissue
	commit  store.Commit
	create  store.Creation
	revoke  store.Revocation
	bind    store.Binding
}

// anyMethod prefers what a refresh calls: families that are ended stay so.
func anyMethod(rng *rand.Rand) int {
	switch n := rng.IntN(21); {
	case n == 20:
		return 5
	case n == 0:
		return 4
	case n < 4:
		return 3
	case n < 6:
		return 2
	default:
		return n % 2
	}
}

func anyCall(rng *rand.Rand, w *world) storeCall {
	f := int8(1 + rng.IntN(maxFamilies-1))
	r := &w.shelf.rows[f]
	near := func(n uint16) uint16 { return uint16(max(0, int(n)+rng.IntN(4)/2-rng.IntN(3)/2)) }
	basis := store.MaxPosition
	if rng.IntN(3) == 0 {
		basis = r.committed - store.Position(rng.IntN(2))
		basis = min(basis, store.MaxPosition)
	}
	native, age, skew := rng.IntN(20) == 0, time.Duration(rng.IntN(8))*searchUnit, time.Duration(rng.IntN(4))*searchUnit
	above := w.shelf.head + store.Position(rng.IntN(3))
	key := func() store.Key { return proof(rng.IntN(int(strangeProof) + 1)).key() }
	if rng.IntN(3) != 0 {
		key = r.key.key
	}
	c := storeCall{
		method: anyMethod(rng), family: f,
		advance: store.Advance{ID: familyID(f), Generation: uint32(max(near(r.n), 1)), Copy: near(r.k), Native: native, Key: key(), Basis: basis, Age: age, Lag: uint16(rng.IntN(4)), Skew: skew, PositionOnly: rng.IntN(5) == 0},
		reissue: store.Reissue{ID: familyID(f), Generation: uint32(max(near(r.n), 2) - 1), Copy: near(r.a), Native: native, Key: key(), Basis: basis, Age: age, Skew: skew},
		commit:  store.Commit{ID: familyID(f), Basis: basis, Key: key(), Value: []byte{byte(1 + rng.IntN(100))}, Above: above},
		create:  store.Creation{ID: familyID(f), Subject: subject, Native: native, Key: proof(rng.IntN(5) / 4).key(), Idle: searchTime(noIdle), Absolute: searchTime(1 << 20), Above: above, Value: []byte{byte(1 + rng.IntN(100))}},
		revoke:  store.Revocation{Above: above},
		bind:    store.Binding{ID: familyID(f), Key: proof(1 + rng.IntN(2)).key(), Counts: rng.IntN(2) == 0},
	}
	another := 1 + f%(maxFamilies-1)
	switch rng.IntN(3) {
	case 0:
		c.create.Renews = &store.Renewal{ID: familyID(another), Basis: basis, Key: w.shelf.rows[another].key.key()}
		if rng.IntN(3) == 0 {
			c.create.Renews.Key = key()
		}
	case 1:
		c.create.Ends[0] = familyID(another)
	}
	switch rng.IntN(4) {
	case 0:
		c.revoke.Subjects = []string{subject}
	case 1:
		c.revoke.Subjects, c.revoke.Except = []string{subject}, &store.Rebirth{ID: familyID(f), Basis: basis, Key: key()}
	case 2:
		c.revoke.Sessions = []store.ID{familyID(f)}
	case 3:
		c.revoke.Everyone = true
	}
	return c
}

func (c storeCall) do(ctx context.Context, s *searchStore, mem *memory.Store) (got, want store.Snapshot, err error) {
	switch c.method {
	case 0:
		got, _ = s.Advance(ctx, c.advance)
		want, err = mem.Advance(ctx, c.advance)
	case 1:
		got, _ = s.Reissue(ctx, c.reissue)
		want, err = mem.Reissue(ctx, c.reissue)
	case 2:
		got = s.Commit(c.commit)
		want, err = mem.Commit(ctx, c.commit)
	case 3:
		got = s.Create(c.create)
		want, err = mem.Create(ctx, c.create)
	case 4:
		got, _ = s.Revoke(ctx, c.revoke)
		want, err = mem.Revoke(ctx, c.revoke)
	case 5:
		got = s.Bind(c.bind)
		want, err = mem.Bind(ctx, c.bind)
	}
	return got, want, err
}

// compare compares what two stores show of a call.
func compare(t *testing.T, c storeCall, got, want store.Snapshot) {
	t.Helper()
	f, g := &got.Family, &want.Family
	if got.Outcome != want.Outcome || got.Head != want.Head || got.Floor != want.Floor || got.Entry != want.Entry || !got.Now.Equal(want.Now) {
		t.Fatalf("%+v: %+v, want %+v", c, got, want)
	}
	if got.State != want.State || f.ID != g.ID || f.Native != g.Native || f.Birth != g.Birth || f.Position != g.Position || f.LastCommit != g.LastCommit ||
		f.Generation != g.Generation || f.Copy != g.Copy || f.Used != g.Used || !f.Issued.Equal(g.Issued) || f.Idle != g.Idle ||
		f.Key != g.Key || f.Counts != g.Counts {
		t.Fatalf("%+v: %+v, want %+v", c, got, want)
	}
}
