package keyring

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestPrimaryIsTheLatestActivationThatMaySeal(t *testing.T) {
	week := Schedule{Seals: 7 * oneDay, Life: 7 * oneDay}
	for _, c := range []struct {
		name string
		keys []keySpec
		at   float64
		want byte // 0: none
	}{
		{"before the first activation", []keySpec{{id: 1, activates: 1}}, 0.5, 0},
		{"at the very instant of activation", []keySpec{{id: 1, activates: 1}}, 1, 1},
		{"the latest of those that activated", []keySpec{{id: 1}, {id: 2, activates: 1}, {id: 3, activates: 9}}, 5, 2},
		{"a published key does not seal yet", []keySpec{{id: 1}, {id: 2, activates: 3}}, 2.999, 1},
		{"the order of the document has no part in it", []keySpec{{id: 3, activates: 2}, {id: 1}, {id: 2, activates: 1}}, 5, 3},
		{"a revoked key does not seal", []keySpec{{id: 1}, {id: 2, activates: 1, revoked: 2}}, 3, 1},
		{"a revocation counts even before its own time", []keySpec{{id: 1}, {id: 2, activates: 1, revoked: 20}}, 3, 1},
		{"an expired key does not seal", []keySpec{{id: 1}, {id: 2, activates: 1, revoked: 2}}, 8, 0},
		{"all revoked", []keySpec{{id: 1, revoked: 1}, {id: 2, activates: 1, revoked: 1}}, 5, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := handMade(t, week, c.keys...)
			k, err := s.Primary(day(c.at))
			if c.want == 0 {
				wantError(t, err, ErrNoPrimary)
				if k != nil {
					t.Fatalf("a key came with the error: %v", k)
				}
				return
			}
			if err != nil || k.id != idOf(c.want) {
				t.Fatalf("primary is %v, %v: want %v", k, err, idOf(c.want))
			}
		})
	}
}

func TestSameSetSamePrimaryWhateverTheOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	keys := []keySpec{{id: 5}, {id: 2, activates: 1}, {id: 4, activates: 1}, {id: 3, activates: 1}, {id: 1, activates: 2, revoked: 3}, {id: 6, activates: 30}}
	first := handMade(t, Schedule{}, keys...)
	for range 50 {
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		s := handMade(t, Schedule{}, keys...)
		for at := 0.0; at < 40; at += 0.5 {
			if a, b := mustPrimary(t, first, day(at)), mustPrimary(t, s, day(at)); a.id != b.id {
				t.Fatalf("day %v: %v from one order of the keys, %v from another", at, a, b)
			}
		}
		for i, k := range s.Keys() {
			if f := first.Keys()[i]; f.id != k.id || !f.expires.Equal(k.expires) {
				t.Fatalf("key %d is %v until %v from one order, %v until %v from another", i, f, f.expires, k, k.expires)
			}
		}
	}
}

func TestPublishedKeyOpensBeforeItSeals(t *testing.T) {
	s := handMade(t, Schedule{}, keySpec{id: 1}, keySpec{id: 2, activates: 30})
	if k, err := s.Key(idOf(2), day(0)); err != nil || k.id != idOf(2) {
		t.Fatalf("Key of a published key: %v, %v", k, err)
	}
}

func TestKeySaysWhyNot(t *testing.T) {
	s := handMade(t, Schedule{Seals: 7 * oneDay, Life: 7 * oneDay}, keySpec{id: 1}, keySpec{id: 2, activates: 1, revoked: 3}, keySpec{id: 3, activates: 3})
	for _, c := range []struct {
		id   ID
		at   float64
		want error
	}{
		{idOf(1), 7.999, nil},
		{idOf(1), 8, ErrExpired}, // exactly: expiry is the first instant that refuses
		{idOf(2), 2, ErrRevoked}, // a clock before the revocation changes nothing
		{idOf(2), 100, ErrRevoked},
		{idOf(3), 1000, nil},
		{idOf(9), 3, ErrUnknown},
		{ID{}, 3, ErrUnknown},
	} {
		if _, err := s.Key(c.id, day(c.at)); err != c.want {
			t.Errorf("Key(%v) on day %v: %v, want %v", c.id, c.at, err, c.want)
		}
	}
}

func TestExpiryIsTheSuccessorsActivationPlusLife(t *testing.T) {
	const life = 10 * oneDay
	never := time.Time{}
	for _, c := range []struct {
		name string
		keys []keySpec
		want map[byte]time.Time
	}{
		{"no successor, no expiry", []keySpec{{id: 1}}, map[byte]time.Time{1: never}},
		{"each by its own successor", []keySpec{{id: 1}, {id: 2, activates: 4}, {id: 3, activates: 9}},
			map[byte]time.Time{1: day(4).Add(life), 2: day(9).Add(life), 3: never}},
		{"revoked before its activation: never a successor", []keySpec{{id: 1}, {id: 2, activates: 4, revoked: 3.9}, {id: 3, activates: 9}},
			map[byte]time.Time{1: day(9).Add(life), 2: day(9).Add(life), 3: never}},
		{"revoked before its activation, and nothing after it", []keySpec{{id: 1}, {id: 2, activates: 4, revoked: 3.9}},
			map[byte]time.Time{1: never, 2: never}},
		{"revoked at its activation: it took over", []keySpec{{id: 1}, {id: 2, activates: 4, revoked: 4}, {id: 3, activates: 9}},
			map[byte]time.Time{1: day(4).Add(life)}},
		{"revoked after its activation: it took over", []keySpec{{id: 1}, {id: 2, activates: 4, revoked: 5}, {id: 3, activates: 9}},
			map[byte]time.Time{1: day(4).Add(life), 2: day(9).Add(life), 3: never}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := handMade(t, Schedule{Life: life}, c.keys...)
			for id, want := range c.want {
				if k := s.find(idOf(id)); !k.Expires().Equal(want) {
					t.Errorf("key %v expires %v: want %v", k.id, k.Expires(), want)
				}
			}
		})
	}
}

func TestLateRotationNeverStopsSealing(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	for d := 0.0; d < 2000; d += 10 {
		k, err := r.Primary(day(d))
		if err != nil {
			t.Fatalf("day %v without a rotation: %v", d, err)
		}
		if _, err := r.Key(t.Context(), k.ID(), day(d).Add(DefaultLife)); err != nil {
			t.Fatalf("sealed on day %v without a rotation, opened a life later: %v", d, err)
		}
	}
}

func TestSetAccessors(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{Seals: 3 * oneDay, Life: 2 * oneDay})
	s := r.Set()
	if s.Version() != 1 || s.Schedule() != (Schedule{Seals: 3 * oneDay, Life: 2 * oneDay}) || r.Life() != 2*oneDay {
		t.Fatalf("version %d, schedule %v, life %v", s.Version(), s.Schedule(), r.Life())
	}
	keys := s.Keys()
	if len(keys) != 2 || !keys[0].Created().Equal(epoch) || !keys[0].Activates().Equal(epoch) || !keys[1].Activates().Equal(day(3)) {
		t.Fatalf("a new set is %v", s)
	}
	if _, revoked := keys[0].Revocation(); revoked {
		t.Fatal("a new key is revoked")
	}
	keys[0] = nil
	if s.Keys()[0] == nil {
		t.Fatal("the caller's slice is the set's own")
	}
}

func TestScheduleBounds(t *testing.T) {
	for _, c := range []struct {
		name     string
		schedule Schedule
		ok       bool
	}{
		{"defaults", Schedule{}, true},
		{"the shortest", Schedule{Seals: 2 * Lead, Life: time.Minute}, true},
		{"seals too short to publish ahead", Schedule{Seals: 2*Lead - time.Second}, false},
		{"life too short", Schedule{Life: time.Minute - time.Second}, false},
		{"negative seals", Schedule{Seals: -1}, false},
		{"negative life", Schedule{Life: -1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := new(memorySource)
			_, err := Create(t.Context(), source, plainKeeper{}, epoch, c.schedule)
			if (err == nil) != c.ok {
				t.Fatalf("Create with %+v: %v", c.schedule, err)
			}
			if version, _ := source.read(); (version == 1) != c.ok {
				t.Fatalf("the source has version %d after that", version)
			}
		})
	}
}
