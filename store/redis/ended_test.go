package redis_test

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

var aMillion = flag.Bool("million", false, "BenchmarkEnded also has a million ended rows")

// copyRows copies a store's record of a family to n other ids.
const copyRows = `
local raw = redis.call('GET', KEYS[1] .. ARGV[1])
for i = ARGV[2], ARGV[3] do redis.call('SET', KEYS[1] .. struct.pack('>I8I8', 0, i), raw, 'PX', 43200000) end
return 1`

// endedRows gives a subject n rows of families that have ended.
func endedRows(tb testing.TB, client *goredis.Client, db *redis.Store, name, subject string, n int) {
	tb.Helper()
	ctx := context.Background()
	id := create(tb, db, subject)
	s, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{id}})
	if err != nil || s.Outcome != store.Written {
		tb.Fatal(s.Outcome, err)
	}
	for from := 1; from < n; from += 10_000 {
		must(tb, client.Eval(ctx, copyRows, []string{"{" + name + "}:f:"}, id[:], from, min(from+9_999, n-1)).Err())
	}
}

// BenchmarkEnded compares calls on accounts that have 10, 1000 and 100,000 ended rows.
// Their cost is that of what lives, so the rates are within 1.5 of each other.
func BenchmarkEnded(b *testing.B) {
	client := goredis.NewClient(&goredis.Options{Addr: testserver.Redis(b, "--appendonly", "no").Addr})
	b.Cleanup(func() { client.Close() })
	sizes := []int{10, 1000, 100_000}
	if *aMillion {
		sizes = append(sizes, 1_000_000)
	}
	stores := make([]*redis.Store, len(sizes))
	for i, n := range sizes {
		name := "ended-" + strconv.Itoa(n)
		stores[i] = open(b, client, redis.Options{Name: name})
		endedRows(b, client, stores[i], name, "alice", n)
		for range 5 {
			create(b, stores[i], "alice")
		}
	}
	login := func(db *redis.Store, c store.Creation) error {
		c.ID, c.Idle, c.Absolute = newID(), time.Hour, 12*time.Hour
		s, err := db.Create(b.Context(), c)
		if err == nil && s.Outcome != store.Written {
			err = fmt.Errorf("%v", s.Outcome)
		}
		return err
	}
	for _, work := range []struct {
		name string
		do   func(db *redis.Store, i int) error
	}{
		{"login with a limit", func(db *redis.Store, _ int) error {
			return login(db, store.Creation{Subject: "alice", Limit: 5, EndOldest: true})
		}},
		{"list of devices", func(db *redis.Store, _ int) error {
			page, err := db.Families(b.Context(), store.Query{Subject: "alice", Limit: 100})
			if err == nil && len(page.Families) != 5 {
				err = fmt.Errorf("%d families", len(page.Families))
			}
			return err
		}},
		{"login of another", func(db *redis.Store, i int) error {
			return login(db, store.Creation{Subject: fmt.Sprintf("bob-%d", i), Limit: 5, EndOldest: true})
		}},
	} {
		b.Run(work.name, func(b *testing.B) {
			var ways []enginebench.Way
			for i, n := range sizes {
				ways = append(ways, enginebench.Way{Name: strconv.Itoa(n), Do: func(k int) error { return work.do(stores[i], k) }})
			}
			enginebench.Compare(b, 1, 200, ways...)
		})
	}
}

// commandsOf returns how many commands the server runs for a call, without those of
// housekeeping, which must not run.
func commandsOf(t *testing.T, admin *goredis.Client, call func() error) (n int) {
	t.Helper()
	must(t, admin.ConfigResetStat(t.Context()).Err())
	must(t, call())
	for name, calls := range ran(t, admin) {
		if name == "config|resetstat" {
			continue
		}
		k, err := strconv.Atoi(calls)
		must(t, err)
		n += k
	}
	return n
}

// TestPromise8_TheEndedCostNothing: however many families of an account, a device's
// helper or a name have ended, the server runs the same commands for a call as if there
// had been none.
func TestPromise8_TheEndedCostNothing(t *testing.T) {
	defer redis.SweepOften(1 << 60)() // never
	defer redis.ShortLives(time.Hour)()
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	ctx := t.Context()
	name := store.Name{1}
	family := func(c store.Creation) store.Creation {
		c.ID, c.Idle, c.Absolute = newID(), time.Hour, 12*time.Hour
		c.Subject, c.Actor, c.Names = "alice", "support", []store.Name{name}
		return c
	}
	written := func(s store.Snapshot, err error) error {
		if err == nil && s.Outcome != store.Written {
			err = fmt.Errorf("%v", s.Outcome)
		}
		return err
	}
	calls := []struct {
		name string
		do   func(db *redis.Store) error
	}{
		{"login with a limit", func(db *redis.Store) error {
			return written(db.Create(ctx, family(store.Creation{Limit: 3, EndOldest: true})))
		}},
		{"list of a subject", func(db *redis.Store) error {
			page, err := db.Families(ctx, store.Query{Subject: "alice", Limit: 100})
			if len(page.Families) != 3 {
				t.Errorf("%d families live", len(page.Families))
			}
			return err
		}},
		{"list of everybody", func(db *redis.Store) error { _, err := db.Families(ctx, store.Query{Limit: 100}); return err }},
		{"housekeeping", func(db *redis.Store) error { _, err := db.TidyOnce(ctx); return err }},
		{"revoke the actor", func(db *redis.Store) error {
			return written(db.Revoke(ctx, store.Revocation{Subjects: []string{"support"}}))
		}},
		{"list after the cutoff", func(db *redis.Store) error {
			_, err := db.Families(ctx, store.Query{Subject: "alice", Limit: 100})
			return err
		}},
		{"revoke the subject", func(db *redis.Store) error {
			return written(db.Revoke(ctx, store.Revocation{Subjects: []string{"alice"}}))
		}},
		{"revoke the name", func(db *redis.Store) error { return written(db.Revoke(ctx, store.Revocation{Name: name})) }},
		{"revoke everyone", func(db *redis.Store) error { return written(db.Revoke(ctx, store.Revocation{Everyone: true})) }},
	}
	var counts [2][]int
	for i, ended := range []int{0, 3000} {
		db := open(t, client, redis.Options{Name: newName()})
		for done := 0; done < ended; {
			r := store.Revocation{}
			for range 500 {
				c := family(store.Creation{})
				must(t, written(db.Create(ctx, c)))
				r.Sessions = append(r.Sessions, c.ID)
			}
			must(t, written(db.Revoke(ctx, r)))
			done += 500
		}
		for range 3 {
			must(t, written(db.Create(ctx, family(store.Creation{}))))
		}
		for _, c := range calls { // so that the server has all scripts
			if c.name == "housekeeping" || c.name == "list of a subject" {
				must(t, c.do(db))
			}
		}
		for _, c := range calls {
			counts[i] = append(counts[i], commandsOf(t, client, func() error { return c.do(db) }))
		}
	}
	for i, c := range calls {
		t.Logf("%s: %d commands, and %d", c.name, counts[0][i], counts[1][i])
		if counts[0][i] == 0 || counts[1][i] > counts[0][i]+2 { // a script that was not loaded costs another try
			t.Errorf("%s: %d commands, and %d with 3000 ended families", c.name, counts[0][i], counts[1][i])
		}
	}
}

// TestACutoffsFamiliesCostNothing: the families that a cutoff of their subject or of
// everyone has killed are behind the end of every walk.
func TestACutoffsFamiliesCostNothing(t *testing.T) {
	defer redis.SweepOften(1 << 60)() // never
	defer redis.ShortLives(time.Hour)()
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	ctx := t.Context()
	for cutter, r := range map[string]store.Revocation{"subject": {Subjects: []string{"alice"}}, "everyone": {Everyone: true}} {
		db := open(t, client, redis.Options{Name: newName()})
		enginebench.Parallel(t, 16, 2000, func(int) error {
			_, err := db.Create(ctx, store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour})
			return err
		})
		if _, err := db.Revoke(ctx, r); err != nil {
			t.Fatal(err)
		}
		create(t, db, "alice")
		for what, call := range map[string]func() error{
			"login": func() error {
				s, err := db.Create(ctx, store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Limit: 1})
				if err == nil && s.Outcome != store.Full {
					err = fmt.Errorf("%v", s.Outcome)
				}
				return err
			},
			"list": func() error {
				page, err := db.Families(ctx, store.Query{Subject: "alice", Limit: 100})
				if err == nil && (len(page.Families) != 1 || page.Next != store.PageCursor{}) {
					err = fmt.Errorf("%+v", page)
				}
				return err
			},
		} {
			must(t, call()) // so that the server has the script
			if n := commandsOf(t, client, call); n > 20 {
				t.Errorf("%s after a cutoff of %s: %d commands", what, cutter, n)
			}
		}
	}
}
