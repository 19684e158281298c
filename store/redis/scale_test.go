package redis_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// revokeMany appends entries, a thousand at a time.
func revokeMany(tb testing.TB, db *redis.Store, from, n int) {
	tb.Helper()
	enginebench.Parallel(tb, 8, n/store.MaxEntries, func(i int) error {
		r := store.Revocation{Reason: "logout"}
		for k := range store.MaxEntries {
			r.Sessions = append(r.Sessions, enginebench.ID(from+i*store.MaxEntries+k))
		}
		_, err := db.Revoke(context.Background(), r)
		return err
	})
}

// readAll reads the whole log, as a node does when it starts.
func readAll(tb testing.TB, db *redis.Store) (entries int) {
	tb.Helper()
	var after store.Cursor
	for {
		b, err := db.Since(context.Background(), after, store.MaxEntries, 0)
		must(tb, err)
		entries += len(b.Entries)
		if !b.More {
			return entries
		}
		if b.Entries[0].Position <= after.Position {
			tb.Fatal("it does not go on")
		}
		after = store.Cursor{Position: b.Entries[len(b.Entries)-1].Position, ID: b.Entries[len(b.Entries)-1].ID}
	}
}

func full() bool { return os.Getenv("WAFER_SCALE") == "full" }

func memory(tb testing.TB, client *goredis.Client) int {
	tb.Helper()
	info, err := client.InfoMap(context.Background(), "memory").Result()
	must(tb, err)
	var n int
	fmt.Sscan(info["Memory"]["used_memory"], &n)
	return n
}

// TestBoot: a node that starts reads a million entries within five seconds, and the
// README states how much memory a family and an entry take.
func TestBoot(t *testing.T) {
	n := rounds.Of(20_000, 50_000)
	if full() {
		n = 1_000_000
	}
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	db := open(t, client, redis.Options{})
	filled(t, db, 100) // so that the scripts are loaded
	before := memory(t, client)
	ids := filled(t, db, rounds.Of(5_000, 20_000))
	family := (memory(t, client) - before) / len(ids)
	before = memory(t, client)
	revokeMany(t, db, 1<<40, n)
	entry := (memory(t, client) - before) / n
	// After their entries are dropped, each subject still has a cutoff.
	before = memory(t, client)
	enginebench.Parallel(t, 8, 10, func(i int) error {
		r := store.Revocation{}
		for k := range 1000 {
			r.Subjects = append(r.Subjects, fmt.Sprintf("somebody-%d@example.com", 1000*i+k))
		}
		_, err := db.Revoke(context.Background(), r)
		return err
	})
	cutoff := (memory(t, client)-before)/10_000 - 100 // the stream's part of an entry
	t.Logf("%d bytes a family of a subject of its own, %d bytes an entry, some %d a subject's cutoff", family, entry, cutoff)
	if family > 700 || entry > 400 {
		t.Errorf("%d bytes a family, %d an entry: the README says less", family, entry)
	}
	began := time.Now()
	if got := readAll(t, db); got != n+10_001 {
		t.Errorf("%d entries; want %d", got, n+10_001)
	}
	took := time.Since(began)
	t.Logf("%d entries read in %v", n, took)
	if most := 5 * time.Second; full() && took > most {
		t.Errorf("it took %v; want at most %v", took, most)
	}
}

// processorTime returns the processor time that the server's main thread has used.
func processorTime(t *testing.T, client *goredis.Client) (used time.Duration) {
	t.Helper()
	info := client.InfoMap(t.Context(), "cpu")
	for _, field := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		seconds, err := strconv.ParseFloat(info.Item("CPU", field), 64)
		if err != nil {
			t.Fatalf("INFO cpu: %s: %v", field, err)
		}
		used += time.Duration(seconds * float64(time.Second))
	}
	return used
}

// fixedWork is a script to which others are compared. It takes some 0.3 ms on a
// machine of 2025.
const fixedWork = "for i = 1, 1000 do redis.call('GET', KEYS[1]) end return 1"

// TestNoScriptIsLong: the worst script of any call takes at most 250 ms of the
// server's processor time. On a slow machine it may take longer, but not for more
// work.
func TestNoScriptIsLong(t *testing.T) {
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no", "--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000"))
	db := open(t, client, redis.Options{})
	ctx := context.Background()
	// run returns the server's processor time for work, and the part of it that
	// went to the longest command. The log of slow commands has wall times, which a
	// busy machine stretches, so only their shares count.
	run := func(work func()) (longest time.Duration) {
		must(t, client.Do(ctx, "SLOWLOG", "RESET").Err())
		before := processorTime(t, client)
		work()
		used := processorTime(t, client) - before
		list, err := client.SlowLogGet(ctx, 100000).Result()
		must(t, err)
		var worst, sum time.Duration
		for _, e := range list {
			if e.Args[0] != "SLOWLOG" && e.Args[0] != "INFO" { // sent by this test
				worst, sum = max(worst, e.Duration), sum+e.Duration
			}
		}
		if sum == 0 {
			t.Fatal("the server ran no command")
		}
		return time.Duration(float64(used) * float64(worst) / float64(sum))
	}
	slowest := func(what string, do func()) {
		t.Helper()
		unit := run(func() {
			for range 10 {
				must(t, client.Do(ctx, "EVAL", fixedWork, 1, "{wafer}:none").Err())
			}
		})
		worst := run(do)
		t.Logf("%s: the longest command takes %v of processor time, and the fixed work %v", what, worst, unit)
		if most := max(250*time.Millisecond, 800*unit); worst > most {
			t.Errorf("%s held the server up for %v, want at most %v", what, worst, most)
		}
	}
	families := func(subject string, n int) (ids []store.ID) {
		for range n {
			ids = append(ids, newID())
		}
		enginebench.Parallel(t, 64, n, func(i int) error {
			_, err := db.Create(ctx, store.Creation{ID: ids[i], Subject: subject, Idle: 12 * time.Hour, Absolute: 12 * time.Hour})
			return err
		})
		return ids
	}
	n := rounds.Of(2000, 4000)
	if full() {
		n = 100_000
	}
	ids := families("alice", 1000)
	slowest("revoking 1000 sessions", func() {
		s, err := db.Revoke(ctx, store.Revocation{Sessions: ids})
		if err != nil || s.Outcome != store.Written {
			t.Errorf("%v, %v", s.Outcome, err)
		}
	})
	families("bob", n)
	slowest(fmt.Sprintf("ending %d for a limit", n), func() {
		c := store.Creation{ID: newID(), Subject: "bob", Idle: time.Hour, Absolute: time.Hour, Limit: 3, EndOldest: true}
		s, err := db.Create(ctx, c)
		for calls := 1; err == nil && s.Outcome == store.Again && calls <= n/900; calls++ {
			s, err = db.Create(ctx, c)
		}
		if err != nil || s.Outcome != store.Written || s.Entry == 0 {
			t.Errorf("%v, entry %d, %v", s.Outcome, s.Entry, err)
		}
	})
	if page, err := db.Families(ctx, store.Query{Subject: "bob", Limit: 100}); err != nil || len(page.Families) != 3 {
		t.Errorf("%d families; want 3, %v", len(page.Families), err)
	}
	families("carol", n)
	slowest(fmt.Sprintf("revoking a subject of %d families", n), func() {
		_, err := db.Revoke(ctx, store.Revocation{Subjects: []string{"carol"}})
		must(t, err)
	})
	slowest("revoking everyone", func() {
		_, err := db.Revoke(ctx, store.Revocation{Everyone: true})
		must(t, err)
	})
	families("dave", n)
	slowest(fmt.Sprintf("listing the first thousand of %d", n), func() {
		if page, err := db.Families(ctx, store.Query{Subject: "dave", Limit: store.MaxLooked}); err != nil || len(page.Families) != store.MaxLooked {
			t.Errorf("%d families, %v", len(page.Families), err)
		}
	})
	// All of them have expired, and the index has not been cleaned yet.
	for _, key := range keys(t, client, "{wafer}:f:*") {
		must(t, client.Unlink(ctx, key).Err())
	}
	slowest(fmt.Sprintf("listing none of %d that have expired", n), func() {
		if page, err := db.Families(ctx, store.Query{Subject: "dave", Limit: store.MaxLooked}); err != nil || len(page.Families) != 0 {
			t.Errorf("%d families, %v", len(page.Families), err)
		}
	})
	announce(t, db, store.Announcement{Access: time.Millisecond, Absolute: time.Millisecond})
	slowest("dropping all entries, and forgetting a subject", func() { must(t, db.Tidy(ctx)) })
	if b, err := db.Since(ctx, store.Cursor{}, 10, 0); err != nil || len(b.Entries) != 0 || b.Floor != b.Head {
		t.Errorf("%d entries are left, floor %d of %d, %v", len(b.Entries), b.Floor, b.Head, err)
	}
}
