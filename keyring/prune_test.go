package keyring

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestPruneAtTheEdge(t *testing.T) {
	const life = 10 * oneDay
	schedule := Schedule{Seals: 5 * oneDay, Life: life}
	keys := []keySpec{{id: 1}, {id: 2, activates: 5}, {id: 3, activates: 50, revoked: 20}, {id: 4, activates: 60}}
	expired := day(5).Add(life + Lead)
	revoked := day(20).Add(life)
	for _, c := range []struct {
		name string
		at   time.Time
		want int
	}{
		{"an expired key stays for a lead", expired, 4},
		{"then it goes", expired.Add(time.Millisecond), 3},
		{"a revoked key stays for a life, as evidence", revoked, 3},
		{"then it goes", revoked.Add(time.Millisecond), 2},
		{"what seals and what comes next stay", day(60), 2},
		{"the last one stays", day(1000), 1},
	} {
		s := handMade(t, schedule, keys...)
		if after := must(s.prune(c.at))(t); len(after.keys) != c.want || (after == s) != (c.want == 4) {
			t.Errorf("%s: %v", c.name, after)
		}
	}
}

func TestPruneIsIdempotent(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	for i, want := range []bool{true, false} {
		changed, err := r.Prune(t.Context(), day(100))
		if err != nil || changed != want {
			t.Fatalf("call %d: %v, %v", i, changed, err)
		}
	}
	if source.version != 2 || len(r.Set().Keys()) != 1 {
		t.Fatalf("version %d with %v", source.version, r)
	}
}

// history makes a random life of a set, with time moving forward only, and
// calls check before and after each step.
func history(t *testing.T, seed uint64, check func(before, after *Set, now time.Time, step string)) {
	random := rand.New(rand.NewPCG(seed, 2))
	schedule := Schedule{Seals: 2*Lead + time.Duration(random.Int64N(int64(5*oneDay))).Truncate(time.Second), Life: time.Minute + time.Duration(random.Int64N(int64(10*oneDay))).Truncate(time.Second)}
	now := epoch
	s := must(newSet(now, schedule))(t)
	for range 60 {
		switch random.IntN(4) {
		case 0: // soon after the last step
			now = now.Add(time.Millisecond + time.Duration(random.Int64N(int64(time.Minute))))
		case 1: // about an edge of some key
			k := s.keys[random.IntN(len(s.keys))]
			edges := []time.Time{k.activates, k.expires, k.expires.Add(Lead)}
			if k.revocation != nil {
				edges = append(edges, k.revocation.At.Add(schedule.Life))
			}
			if at := edges[random.IntN(len(edges))].Add(time.Duration(random.Int64N(int64(time.Second)))); at.After(now) {
				now = at
			}
		default:
			now = now.Add(time.Millisecond + time.Duration(random.Int64N(int64(3*oneDay))))
		}
		now = now.Truncate(time.Millisecond).Add(time.Millisecond)
		var after *Set
		var err error
		var step string
		switch random.IntN(6) {
		case 0:
			id := s.keys[random.IntN(len(s.keys))].id
			step = fmt.Sprintf("revoke %v", id)
			after, err = s.revoke(now, "at random", func(k *Key) bool { return k.id == id })
		case 1:
			step = "rotate at once"
			after, err = s.rotate(now, 0)
		case 2, 3:
			step = "rotate"
			after, err = s.rotate(now, schedule.Seals)
		default:
			step = "prune"
			after, err = s.prune(now)
		}
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, step, err)
		}
		check(s, after, now, fmt.Sprintf("seed %d: %s at %v: %v -> %v", seed, step, now.Sub(epoch), s, after))
		s = after
	}
}

// edges returns the instants from now on at which anything about the sets can
// change.
func edges(now time.Time, sets ...*Set) []time.Time {
	all := []time.Time{now}
	for _, s := range sets {
		for _, k := range s.keys {
			for _, at := range []time.Time{k.activates, k.expires, k.expires.Add(Lead)} {
				for _, d := range []time.Duration{-time.Millisecond, 0, time.Millisecond} {
					if at := at.Add(d); at.After(now) {
						all = append(all, at)
					}
				}
			}
		}
	}
	return all
}

func TestPruneRemovesOnlyWhatCannotMatter(t *testing.T) {
	pruned := 0
	for seed := range uint64(25) {
		history(t, seed, func(_, s *Set, now time.Time, step string) {
			after := must(s.prune(now))(t)
			for _, at := range edges(now, s, after) {
				a, errA := s.Primary(at)
				b, errB := after.Primary(at)
				if errA != nil || errB != nil || a.id != b.id {
					t.Fatalf("%s; prune changes the primary at %v from %v, %v to %v, %v", step, at.Sub(epoch), a, errA, b, errB)
				}
				for _, k := range s.keys {
					_, errA := s.Key(k.id, at)
					_, errB := after.Key(k.id, at)
					if (errA == nil) != (errB == nil) {
						t.Fatalf("%s; prune changes %v at %v from %v to %v", step, k, at.Sub(epoch), errA, errB)
					}
				}
			}
			pruned += len(s.keys) - len(after.keys)
		})
	}
	if pruned < 20 {
		t.Fatalf("only %d keys were pruned: the test shows nothing", pruned)
	}
}

// A key that stopped opening or sealing never does so again, whatever change is
// made to the set.
func TestNoKeyComesBackToLife(t *testing.T) {
	for seed := range uint64(25) {
		dead := make(map[ID]error)   // refused at some time before
		retired := make(map[ID]bool) // sealed once, and then another did
		var sealing ID
		history(t, seed, func(before, after *Set, now time.Time, step string) {
			for _, s := range []*Set{before, after} {
				k := mustPrimary(t, s, now)
				if k.id != sealing {
					retired[sealing] = true
					sealing = k.id
				}
				for _, at := range edges(now, s) {
					if k := mustPrimary(t, s, at); retired[k.id] {
						t.Fatalf("%s; %v seals again at %v", step, k, at.Sub(epoch))
					}
					for _, k := range s.keys {
						if k.accepts(at) == nil && dead[k.id] != nil {
							t.Fatalf("%s; %v opens again at %v, after %v", step, k, at.Sub(epoch), dead[k.id])
						}
					}
				}
				for _, k := range s.keys {
					if err := k.accepts(now); err != nil {
						dead[k.id] = err
					}
				}
			}
		})
	}
}

// Every key that seals was published at least a lead before, except after a
// revocation.
func TestPublishedALeadAhead(t *testing.T) {
	for seed := range uint64(25) {
		history(t, seed, func(before, after *Set, now time.Time, step string) {
			if before == after {
				return
			}
			at := now.Add(Lead - 2*time.Millisecond)
			a, b := mustPrimary(t, before, at), mustPrimary(t, after, at)
			if a.id == b.id {
				return
			}
			if k := after.find(a.id); k != nil && k.revocation == nil {
				t.Fatalf("%s; within a lead the primary goes from %v to %v", step, a, b)
			}
		})
	}
}
