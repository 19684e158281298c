package redis_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// rows returns the families that a server keeps.
func rows(t testing.TB, client *goredis.Client, tag string) map[store.ID]redis.Row {
	t.Helper()
	all := make(map[store.ID]redis.Row)
	for _, key := range keys(t, client, tag+"f:*") {
		id := store.ID([]byte(strings.TrimPrefix(key, tag+"f:")))
		both := client.TxPipeline() // housekeeping goes on meanwhile
		text, ttl := both.Get(context.Background(), key), both.PTTL(context.Background(), key)
		if _, err := both.Exec(context.Background()); errors.Is(err, goredis.Nil) {
			continue
		}
		row, err := redis.ParseRow(text.Val(), id)
		must(t, err)
		all[id] = row
		if (ttl.Val() >= 0) != row.Ended {
			t.Errorf("a family that ended: %v, has a time to live of %v", row.Ended, ttl.Val())
		}
	}
	return all
}

// checkIndexes checks that the indexes hold exactly the families that have not ended,
// and that the server expires none of them. What housekeeping changes while they are
// read is read again.
func checkIndexes(t testing.TB, client *goredis.Client, tag string) (families int) {
	t.Helper()
	for attempt := 0; ; attempt++ {
		families, want, have := readIndexes(t, client, tag)
		if maps.EqualFunc(want, have, slices.Equal) {
			return families
		}
		if attempt == 20 {
			t.Fatalf("the indexes hold\n%q\nwant\n%q", have, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func readIndexes(t testing.TB, client *goredis.Client, tag string) (families int, want, have map[string][]string) {
	t.Helper()
	ctx := context.Background()
	want, have = make(map[string][]string), make(map[string][]string)
	for _, row := range rows(t, client, tag) {
		if row.Ended {
			continue
		}
		families++
		in := []string{"living", "i:" + row.Subject}
		if row.Actor != "" {
			in = append(in, "a:"+row.Actor)
		}
		for _, n := range row.Names {
			in = append(in, "n:"+string(n[:]))
		}
		for _, key := range in {
			want[key] = append(want[key], redis.Place(&row.Family))
		}
	}
	for _, key := range slices.Concat(keys(t, client, tag+"living"), keys(t, client, tag+"[ian]:*")) {
		members, err := client.ZRange(ctx, key, 0, -1).Result()
		must(t, err)
		have[strings.TrimPrefix(key, tag)] = members
		if ttl := client.PTTL(ctx, key).Val(); ttl >= 0 {
			t.Errorf("%q expires in %v", key, ttl)
		}
	}
	for _, members := range want {
		slices.Sort(members)
	}
	return families, want, have
}

// TestIndexesAreExact: after any call, and after housekeeping, every family that has
// not ended is in all its indexes and no other is in any.
func TestIndexesAreExact(t *testing.T) {
	s := newShifted(t)
	ctx := t.Context()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var ids []store.ID
	any := func() store.ID {
		if len(ids) == 0 || random.IntN(20) == 0 {
			return newID()
		}
		return ids[random.IntN(len(ids))]
	}
	who := func() string { return []string{"alice", "bob", "carol"}[random.IntN(3)] }
	names := []store.Name{{0}, {1}, {'\n', 0, 0xff}, {0xff}}
	names[0][31] = 1
	slices.SortFunc(names, func(a, b store.Name) int { return slices.Compare(a[:], b[:]) })
	read := func(id store.ID) store.Family {
		snap, err := s.Family(ctx, id)
		must(t, err)
		return snap.Family
	}
	calls := []func() (store.Snapshot, error){
		func() (store.Snapshot, error) {
			c := store.Creation{
				ID: newID(), Subject: who(), Idle: 3 * time.Hour, Absolute: 6 * time.Hour, Limit: random.IntN(9), EndOldest: true,
				Known: time.Duration(random.IntN(3)) * 4 * time.Hour, Ends: [2]store.ID{any()},
			}
			if random.IntN(2) == 0 {
				c.Actor = who()
			}
			c.Names = slices.Clone(names[random.IntN(2) : 2+random.IntN(3)])
			if random.IntN(3) == 0 {
				c.Key = store.Key{1}
			}
			ids = append(ids, c.ID)
			return s.Create(ctx, c)
		},
		func() (store.Snapshot, error) {
			old := read(any())
			c := store.Creation{ID: newID(), Subject: "nobody", Native: old.Native, Renews: &store.Renewal{ID: newID()}}
			if !old.ID.IsZero() {
				c.Subject, c.Renews = old.Subject, &store.Renewal{ID: old.ID, Seal: old.Seal, Basis: old.Position, Key: old.Key}
			}
			ids = append(ids, c.ID)
			return s.Create(ctx, c)
		},
		func() (store.Snapshot, error) {
			old := read(any())
			return s.Advance(ctx, store.Advance{ID: newID(), Generation: max(old.Generation, 1), Key: old.Key})
		},
		func() (store.Snapshot, error) {
			return s.Bind(ctx, store.Binding{ID: any(), Key: store.Key{byte(1 + random.IntN(2))}, Counts: random.IntN(2) == 0})
		},
		func() (store.Snapshot, error) {
			return s.Commit(ctx, store.Commit{ID: any(), Basis: store.MaxPosition, Value: []byte("v"), Key: store.Key{1}})
		},
		func() (store.Snapshot, error) {
			return s.Revoke(ctx, store.Revocation{Sessions: []store.ID{any(), any()}})
		},
		func() (store.Snapshot, error) { return s.Revoke(ctx, store.Revocation{Subjects: []string{who()}}) },
		func() (store.Snapshot, error) {
			old := read(any())
			r := store.Revocation{Subjects: []string{old.Subject}, Except: &store.Rebirth{ID: old.ID, Basis: store.MaxPosition, Key: old.Key}}
			if old.ID.IsZero() {
				r = store.Revocation{Subjects: []string{who()}}
			}
			return s.Revoke(ctx, r)
		},
		func() (store.Snapshot, error) {
			return s.Revoke(ctx, store.Revocation{Name: names[random.IntN(len(names))]})
		},
		func() (store.Snapshot, error) {
			if random.IntN(10) > 0 {
				return store.Snapshot{}, nil
			}
			return s.Revoke(ctx, store.Revocation{Everyone: true})
		},
		func() (store.Snapshot, error) {
			snap, err := s.Family(ctx, any())
			must(t, err)
			return s.Restore(ctx, store.Restoration{Above: snap.Head, Entries: []store.Entry{{Kind: store.KindSession, Session: any(), Position: snap.Head}}})
		},
		func() (store.Snapshot, error) {
			s.move(time.Duration(random.IntN(40)) * time.Minute)
			return store.Snapshot{}, nil
		},
		func() (store.Snapshot, error) {
			if random.IntN(4) == 0 {
				s.move(-time.Duration(random.IntN(40)) * time.Minute)
			}
			return store.Snapshot{}, s.Tidy(ctx)
		},
	}
	calls = append(calls, calls[0], calls[0], calls[0], calls[1]) // more logins than ends
	most := 0
	for range rounds.Of(400, 3000) {
		if _, err := calls[random.IntN(len(calls))](); err != nil {
			t.Fatal(err)
		}
		most = max(most, checkIndexes(t, s.client, "{wafer}:"))
	}
	if most < 5 {
		t.Errorf("there were never more than %d families", most)
	}
	s.move(100 * time.Hour)
	must(t, s.Tidy(ctx))
	if left := leftovers(t, s.client); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestAnIdStaysKnown: a family that housekeeping removes, or that a login meets dead,
// stays known as ended until its time is over.
func TestAnIDStaysKnown(t *testing.T) {
	for name, remove := range map[string]func(s *shifted){
		"housekeeping": func(s *shifted) { must(t, s.Tidy(t.Context())) },
		"a login": func(s *shifted) {
			c := store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Limit: 1}
			if snap, err := s.Create(t.Context(), c); err != nil || snap.Outcome != store.Written {
				t.Errorf("%v, %v", snap.Outcome, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShifted(t)
			c := store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Known: 10 * time.Hour}
			again := func() store.Outcome {
				snap, err := s.Create(t.Context(), c)
				must(t, err)
				return snap.Outcome
			}
			if o := again(); o != store.Written {
				t.Fatal(o)
			}
			s.move(2 * time.Hour)
			remove(s)
			checkIndexes(t, s.client, "{wafer}:")
			if row := rows(t, s.client, "{wafer}:")[c.ID]; !row.Ended {
				t.Errorf("the row is %+v", row)
			}
			s.move(7*time.Hour + 59*time.Minute)
			must(t, s.Tidy(t.Context()))
			if o := again(); o != store.Taken {
				t.Errorf("%v before its time is over", o)
			}
			s.move(2 * time.Minute)
			if o := again(); o != store.Written {
				t.Errorf("%v after its time is over", o)
			}
		})
	}
}

// TestALostRowLeavesTheIndexes: a call that meets an id whose row is lost takes it out
// of the index that it walks.
func TestALostRowLeavesTheIndexes(t *testing.T) {
	s := newShifted(t)
	ctx := t.Context()
	c := store.Creation{Subject: "alice", Names: []store.Name{{1}}, Actor: "carol", Idle: time.Hour, Absolute: time.Hour}
	for range 3 {
		c.ID = newID()
		if snap, err := s.Create(ctx, c); err != nil || snap.Outcome != store.Written {
			t.Fatal(snap.Outcome, err)
		}
	}
	for _, key := range keys(t, s.client, "{wafer}:f:*") {
		must(t, s.client.Del(ctx, key).Err())
	}
	size := func(key string) int64 { return s.client.ZCard(ctx, "{wafer}:"+key).Val() }
	c.ID, c.Names, c.Actor, c.Limit = newID(), nil, "", 1
	if snap, err := s.Create(ctx, c); err != nil || snap.Outcome != store.Written || size("i:alice") != 1 {
		t.Errorf("a login: %v, %v, and the index holds %d", snap.Outcome, err, size("i:alice"))
	}
	name := store.Name{1}
	if snap, err := s.Revoke(ctx, store.Revocation{Name: name}); err != nil || snap.Ended != 0 || size("n:"+string(name[:])) != 0 {
		t.Errorf("a revoked name: %d, %v, and the index holds %d", snap.Ended, err, size("n:"+string(name[:])))
	}
	must(t, s.Tidy(ctx))
	if size("living") != 1 {
		t.Errorf("housekeeping leaves %d in the index of everybody", size("living"))
	}
	s.revokeSubject("carol") // which the lost ones are below
	s.move(13 * time.Hour)
	must(t, s.Tidy(ctx))
	if left := leftovers(t, s.client); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestBoundedSteps: a login that meets thousands of families that time has killed takes
// them away in steps of a bounded number of commands.
func TestBoundedSteps(t *testing.T) {
	defer redis.SweepOften(1 << 60)() // never
	s := newShifted(t)
	ctx := t.Context()
	const dead = 2500
	for range dead {
		c := store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour}
		if _, err := s.Create(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	s.set(2 * time.Hour)
	c := store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Limit: 1}
	var outcomes []string
	for range 4 {
		n := commandsOf(t, s.client, func() error {
			snap, err := s.Create(ctx, c)
			outcomes = append(outcomes, snap.Outcome.String())
			return err
		})
		if most := 5 * (store.MaxLooked + 10); n > most { // GET, DEL and two ZREM each
			t.Errorf("%d commands; want at most %d", n, most)
		}
		if outcomes[len(outcomes)-1] == "written" {
			break
		}
	}
	if got := fmt.Sprint(outcomes); got != "[again again written]" {
		t.Errorf("outcomes %s", got)
	}
	if n := checkIndexes(t, s.client, "{wafer}:"); n != 1 {
		t.Errorf("%d families are left", n)
	}
}
