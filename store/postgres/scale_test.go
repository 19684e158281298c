//go:build unix

package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

var scale = flag.String("scale", "", `"full" runs the tests of scale at the sizes that the budgets name`)

// sized returns the size of a test: at the budget's size, in CI, or by default.
func sized(full, usual, few int) int {
	if *scale == "full" {
		return full
	}
	return rounds.Of(few, usual)
}

// TestLoad loads a log of live revocations into a new replica.
func TestLoad(t *testing.T) {
	n := sized(1_000_000, 50_000, 20_000)
	db, pool, o := openNew(t)
	run(t, pool, fmt.Sprintf(`INSERT INTO %[1]s.entries (position, previous, time, id, session, kind, reason, actor)
		SELECT e.position + i, e.position + i - 1, e.time, gen_random_uuid(), gen_random_uuid(), 3, 'logout', ''
		FROM %[1]s.entries e, generate_series(1, %[2]d) i ORDER BY i`, quoted(o.Schema), n))
	for range 3 {
		before := heap()
		began := time.Now()
		r, err := revocation.Follow(t.Context(), db, revocation.Config{Limit: n * 65 / 64})
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if r.Len() != n {
			t.Errorf("the replica holds %d of %d", r.Len(), n)
		}
		// The budget is 8 s per million. It is logged and not asserted, since it
		// depends on the machine, which may be busy.
		t.Logf("loaded in %v: %v per million; %.1f bytes an entry in memory", took, took*1_000_000/time.Duration(n), float64(heap()-before)/float64(n))
		r.Close()
	}
	table, index, _, _ := sizes(t, pool, o.Schema, "entries")
	t.Logf("%d bytes an entry: %d of the table, %d of its indexes", (table+index)/int64(n), table/int64(n), index/int64(n))
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// sizes returns the size of a table with its indexes in bytes, how many updates it
// had, and how many of those were HOT: they updated no index.
func sizes(t testing.TB, pool *pgxpool.Pool, schema, table string) (bytes, indexes, updates, hot int64) {
	t.Helper()
	err := pool.QueryRow(context.Background(), `SELECT pg_table_size(relid), pg_indexes_size(relid), n_tup_upd, n_tup_hot_upd
		FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = $2`, schema, table).Scan(&bytes, &indexes, &updates, &hot)
	if err != nil {
		t.Fatal(err)
	}
	return bytes, indexes, updates, hot
}

// TestChurn runs more than an hour of logins, refreshes and logouts in fast motion.
// At its end the tables must be in proportion to the living families: at most twice
// the size of a new schema with as many rows.
func TestChurn(t *testing.T) {
	waves, each := 24, sized(20_000, 300, 150)
	pool, o := newPool(t, serverURL(t)+"&pool_max_conns=8"), postgres.Options{Schema: newSchema()}
	if err := postgres.Migrate(t.Context(), pool, o); err != nil {
		t.Fatal(err)
	}
	move := clockOf(t, pool, o.Schema)
	db := open(t, pool, o)
	if _, err := db.Announce(t.Context(), store.Announcement{Access: 5 * time.Minute, Absolute: 12 * time.Hour, Leeway: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	// Five minutes a wave: two hours in all. A family is refreshed in the next
	// four waves and then left, so it goes away half an hour later.
	generations := map[int]uint32{}
	var mu sync.Mutex
	var most int64
	for wave := range waves {
		enginebench.Parallel(t, 64, each, func(i int) error { return live(t.Context(), db, wave*each+i, i%10 == 0) })
		for back := 1; back <= 4 && wave-back >= 0; back++ {
			enginebench.Parallel(t, 64, each, func(i int) error {
				if i%10 == 0 {
					return nil // ended
				}
				k := (wave-back)*each + i
				mu.Lock()
				generations[k]++
				g := generations[k]
				mu.Unlock()
				s, err := db.Advance(t.Context(), store.Advance{ID: enginebench.ID(k), Generation: g})
				if err == nil && s.Outcome != store.Written {
					err = fmt.Errorf("refresh: %v, %v", s.Outcome, s.State)
				}
				return err
			})
		}
		move(5 * time.Minute)
		if err := db.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		// In real time autovacuum would run every minute. In fast motion it does
		// not.
		for _, table := range []string{"families", "entries", "subjects", "committed", "log"} {
			run(t, pool, "VACUUM (ANALYZE) "+quoted(o.Schema)+"."+table)
		}
		table, index, _, _ := sizes(t, pool, o.Schema, "families")
		most = max(most, table+index)
	}
	rows, err := db.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Abandoned families stay alive for the idle limit of 30 minutes.
	if want := 11 * each; rows > want {
		t.Errorf("%d families are left: want at most %d", rows, want)
	}
	var entries int64
	exec1(t, pool, &entries, "SELECT count(*) FROM "+quoted(o.Schema)+".entries")
	if want := int64(3 * each / 10); entries > want {
		t.Errorf("%d entries are left: want at most %d", entries, want)
	}

	// This is the size of as many families in a new schema.
	fresh := postgres.Options{Schema: newSchema()}
	other := open(t, pool, fresh)
	enginebench.Parallel(t, 64, rows, func(i int) error { return live(t.Context(), other, i, false) })
	least := map[string]int64{}
	for _, schema := range []string{o.Schema, fresh.Schema} {
		table, index, updates, hot := sizes(t, pool, schema, "families")
		least[schema] = table + index
		t.Logf("families: %d rows, %d bytes of the table and %d of indexes each, %d updates, %d%% of them HOT", rows, table/int64(rows), index/int64(rows), updates, 100*hot/max(updates, 1))
	}
	t.Logf("at most %d bytes, at last %d, a fresh one %d", most, least[o.Schema], least[fresh.Schema])
	if least[o.Schema] > 2*least[fresh.Schema]+1<<20 {
		t.Errorf("families take %d bytes, as many fresh ones %d", least[o.Schema], least[fresh.Schema])
	}
	if table, index, _, _ := sizes(t, pool, o.Schema, "entries"); table+index > 1<<20+entries*600 {
		t.Errorf("%d entries take %d bytes", entries, table+index)
	}
}

// live makes a family, and ends it.
func live(ctx context.Context, db *postgres.Store, i int, end bool) error {
	s, err := db.Create(ctx, store.Creation{ID: enginebench.ID(i), Subject: fmt.Sprintf("user-%d@example.com", i), Idle: 30 * time.Minute, Absolute: 12 * time.Hour})
	if err == nil && end {
		s, err = db.Revoke(ctx, store.Revocation{Sessions: []store.ID{enginebench.ID(i)}, Reason: "logout"})
	}
	if err == nil && s.Outcome != store.Written {
		err = fmt.Errorf("%v, %v", s.Outcome, s.State)
	}
	return err
}

// TestHOT checks the promise of the schema that refreshes update no index: advances,
// and after each of them a copy.
func TestHOT(t *testing.T) {
	pool := newPool(t, serverURL(t)+"&pool_max_conns=8")
	o, ids := filled(t, pool, rounds.Of(600, 2_000))
	db, err := postgres.OpenURL(t.Context(), serverURL(t), o)
	if err != nil {
		t.Fatal(err)
	}
	for g := range uint32(3) {
		enginebench.Parallel(t, 32, len(ids), func(i int) error {
			s, err := db.Advance(t.Context(), store.Advance{ID: ids[i], Generation: g + 1})
			if err == nil && s.Outcome == store.Written {
				s, err = db.Reissue(t.Context(), store.Reissue{ID: ids[i], Generation: g + 1})
			}
			if err == nil && s.Outcome != store.Written {
				err = fmt.Errorf("%v, %v", s.Outcome, s.State)
			}
			return err
		})
	}
	// A backend reports its statistics when it ends. An idle one may delay that.
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	var hot, updates int64
	waitFor(t, "the statistics are in", func() bool {
		_, _, updates, hot = sizes(t, pool, o.Schema, "families")
		return updates >= int64(6*len(ids))
	})
	t.Logf("%d%% of %d updates", 100*hot/updates, updates)
	if hot*100 < updates*80 {
		t.Errorf("%d of %d updates were HOT: want 80%%", hot, updates)
	}
}

// TestEveryone revokes everyone over a great many families: one entry, in one
// transaction as short as that of one session.
func TestEveryone(t *testing.T) {
	pool := newPool(t, serverURL(t))
	o, ids := filled(t, pool, sized(1_000_000, 20_000, 20_000))
	db := open(t, pool, o)
	took := map[bool][]time.Duration{}
	for i := range 30 {
		everyone := i%2 == 0
		r := store.Revocation{Everyone: everyone}
		if !everyone {
			r.Sessions = []store.ID{enginebench.ID(1<<40 + i)}
		}
		began := time.Now()
		if _, err := db.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		took[everyone] = append(took[everyone], time.Since(began))
	}
	// The quickest count: the others may have waited for the processor.
	everyone, one := slices.Min(took[true]), slices.Min(took[false])
	t.Logf("everyone of %d families: %v; one session: %v", len(ids), everyone, one)
	if everyone > 10*one {
		t.Errorf("everyone of %d families takes %v, one session %v", len(ids), everyone, one)
	}
	if s, err := db.Family(t.Context(), ids[0]); err != nil || s.State != store.CutOff {
		t.Errorf("a family is %v, %v after that", s.State, err)
	}
}

// BenchmarkNotify makes revocations at a steady rate, with and without NOTIFY, while
// another program on the same server notifies too, in another database, and a third
// commits without NOTIFY. Reported are the median and the 99th percentile of each,
// in microseconds.
func BenchmarkNotify(b *testing.B) {
	for _, perSecond := range []int{500, 5000} {
		for _, notify := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d a second, notify %v", perSecond, notify), func(b *testing.B) {
				o := postgres.Options{Schema: newSchema(), Notify: notify}
				db := open(b, newPool(b, serverURL(b)+"&pool_max_conns=8"), o)
				for range 3 { // other nodes that follow the log
					other := open(b, newPool(b, serverURL(b)), o)
					ctx, cancel := context.WithCancel(context.Background())
					b.Cleanup(cancel)
					go follow(ctx, other)
				}
				admin := newPool(b, serverURL(b))
				elsewhere := "elsewhere" + o.Schema
				run(b, admin, "CREATE DATABASE "+elsewhere)
				foreign := newPool(b, server(b).PostgresURL("postgres", elsewhere))
				run(b, foreign, "CREATE TABLE plain (a int)", "INSERT INTO plain VALUES (1)")
				var own, notifying, plain []time.Duration
				var made int
				var busy time.Duration
				for b.Loop() {
					ctx, cancel := context.WithCancel(context.Background())
					var wait sync.WaitGroup
					beside := func(text string, into *[]time.Duration) {
						wait.Go(func() {
							for ctx.Err() == nil {
								began := time.Now()
								if _, err := foreign.Exec(context.Background(), text); err != nil {
									b.Error(err)
									return
								}
								*into = append(*into, time.Since(began))
								time.Sleep(2 * time.Millisecond)
							}
						})
					}
					beside("SELECT pg_notify('other', clock_timestamp()::text) FROM plain", &notifying)
					beside("UPDATE plain SET a = a + 1", &plain)
					n := 2 * perSecond
					began := time.Now()
					var mu sync.Mutex
					enginebench.Parallel(b, 64, n, func(i int) error {
						at := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
						time.Sleep(time.Until(at))
						from := time.Now()
						_, err := db.Revoke(context.Background(), store.Revocation{Subjects: []string{fmt.Sprint("user-", i)}})
						mu.Lock()
						own = append(own, time.Since(from))
						mu.Unlock()
						return err
					})
					busy += time.Since(began)
					made += n
					cancel()
					wait.Wait()
				}
				b.ReportMetric(float64(made)/busy.Seconds(), "made/s")
				for name, list := range map[string][]time.Duration{"revoke": own, "other-notify": notifying, "other-plain": plain} {
					slices.Sort(list)
					b.ReportMetric(float64(list[len(list)/2].Microseconds()), name+"-p50")
					b.ReportMetric(float64(list[len(list)*99/100].Microseconds()), name+"-p99")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func follow(ctx context.Context, db *postgres.Store) {
	var cursor store.Cursor
	for ctx.Err() == nil {
		b, err := db.Since(ctx, cursor, 1000, time.Second)
		if err == nil && len(b.Entries) > 0 {
			cursor = after(b)
		}
	}
}
