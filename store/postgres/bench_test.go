//go:build unix

package postgres_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// The benchmarks compare the engine with the bare statements that do the same work:
// through the same client library, on the same schema and server, in the same run.
// Rounds of each alternate. Reported are the medians of each rate and of its ratio
// to the first:
//
//	bare/s      operations a second, each by one statement alone
//	batch/s     the same statements, with those that wait in one pgx.Batch
//	store/s     operations a second by the Store
//	%of-bare    the ratio of store to bare
//	%batch      the ratio of batch to bare
//
// The budget is 70% with 64 clients.

const bareUpdate = `UPDATE @schema@.families f SET generation = generation + 1, issued = $1, position = greatest(position, $2)
	WHERE id = $3 AND generation = $4 AND NOT ended AND issued + idle > $1 AND absolute > $1
	AND birth >= greatest($5, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject))
	RETURNING subject, label, birth, position, last_commit, generation, forgiven, started, authenticated, issued, idle, absolute`

// BenchmarkAdvance compares a refresh with its UPDATE.
func BenchmarkAdvance(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			pool := newPool(b, serverURL(b)+"&pool_max_conns=16")
			ways := map[string]func(i int) error{}
			bare, ids := filled(b, pool, 10_000)
			ways["bare"] = bareAdvance(pool, bare.Schema, ids)
			batched, _ := filled(b, pool, 10_000)
			ways["batch"] = batchAdvance(b, pool, batched.Schema, ids)
			own, _ := filled(b, pool, 10_000)
			db := open(b, pool, own)
			generations := ones(len(ids))
			ways["store"] = func(i int) error {
				i = i % len(ids)
				g := generations[i]
				generations[i]++
				s, err := db.Advance(context.Background(), store.Advance{ID: ids[i], Generation: g})
				if err == nil && s.Outcome != store.Written {
					err = fmt.Errorf("%v, %v", s.Outcome, s.State)
				}
				return err
			}
			compare(b, clients, []string{"bare", "batch", "store"}, ways)
		})
	}
}

func bareArgs(id store.ID, generation uint32, position int64) []any {
	return []any{time.Now().UnixMilli(), position, pgtype.UUID{Bytes: id, Valid: true}, int64(generation), int64(0)}
}

func scanBare(row pgx.Row) error {
	var subject, label string
	var n [10]int64
	return row.Scan(&subject, &label, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9])
}

func bareAdvance(pool *pgxpool.Pool, schema string, ids []store.ID) func(i int) error {
	generations, text := ones(len(ids)), postgres.Fill(bareUpdate, schema)
	return func(i int) error {
		i = i % len(ids) // one client at a time uses a family
		g := generations[i]
		generations[i]++
		return scanBare(pool.QueryRow(context.Background(), text, bareArgs(ids[i], g, 1)...))
	}
}

// batchAdvance sends the statements that wait as one pgx.Batch.
func batchAdvance(b *testing.B, pool *pgxpool.Pool, schema string, ids []store.ID) func(i int) error {
	generations, text := ones(len(ids)), postgres.Fill(bareUpdate, schema)
	type one struct {
		args []any
		done chan error
	}
	queue := make(chan one, 256)
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for first := range queue {
				group := []one{first}
			gather:
				for len(group) < 128 {
					select {
					case w, open := <-queue:
						if !open {
							break gather
						}
						group = append(group, w)
					default:
						break gather
					}
				}
				batch := new(pgx.Batch)
				for _, w := range group {
					batch.Queue(text, w.args...)
				}
				results := pool.SendBatch(context.Background(), batch)
				errs := make([]error, len(group))
				for i := range group {
					errs[i] = scanBare(results.QueryRow())
				}
				err := results.Close()
				for i, w := range group {
					w.done <- cmp.Or(errs[i], err)
				}
			}
		})
	}
	b.Cleanup(func() { // before the pool closes
		close(queue)
		wait.Wait()
	})
	return func(i int) error {
		i = i % len(ids)
		g := generations[i]
		generations[i]++
		w := one{bareArgs(ids[i], g, 1), make(chan error, 1)}
		queue <- w
		return <-w.done
	}
}

// compare runs rounds of all in turn.
func compare(b *testing.B, clients int, names []string, ways map[string]func(i int) error) {
	ops := 60 * clients
	if clients == 1 {
		ops = 200
	}
	rates, ratios := map[string][]float64{}, map[string][]float64{}
	done, round := 0, 0
	for b.Loop() {
		now := map[string]float64{}
		for turn := range names {
			// The order alternates, so that none always pays for another.
			name := names[(turn+round)%len(names)]
			now[name] = rate(b, clients, done, ops, ways[name])
		}
		for name, r := range now {
			rates[name] = append(rates[name], r)
			ratios[name] = append(ratios[name], r/now[names[0]])
		}
		done += ops
		round++
	}
	for _, name := range names {
		b.ReportMetric(median(rates[name]), name+"/s")
	}
	for _, name := range names[1:] {
		b.ReportMetric(100*median(ratios[name]), "%"+name)
	}
	b.ReportMetric(0, "ns/op")
}

// rate has clients do operations from up to from+ops, and returns how many a
// second they made.
func rate(b *testing.B, clients, from, ops int, do func(i int) error) float64 {
	began := time.Now()
	parallel(b, clients, ops, func(i int) error { return do(from + i) })
	return float64(ops) / time.Since(began).Seconds()
}

// parallel calls do with 0 to n-1 from several goroutines.
func parallel(tb testing.TB, workers, n int, do func(i int) error) {
	tb.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				if err := do(i); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
}

// filled makes a schema of n families, each with a subject of its own. It returns
// their ids, which are the same each time.
func filled(tb testing.TB, pool *pgxpool.Pool, n int) (o postgres.Options, ids []store.ID) {
	tb.Helper()
	o = postgres.Options{Schema: newSchema()}
	if err := postgres.Migrate(context.Background(), pool, o); err != nil {
		tb.Fatal(err)
	}
	ids = make([]store.ID, n)
	for i := range ids {
		ids[i] = named(i)
	}
	crowd(tb, pool, o.Schema, ids, func(i int) string { return fmt.Sprintf("user-%d@example.com", i) }, 12*time.Hour)
	return o, ids
}

// crowd copies families in, as new ones are.
func crowd(tb testing.TB, pool *pgxpool.Pool, schema string, ids []store.ID, subject func(i int) string, idle time.Duration) {
	tb.Helper()
	var head int64
	exec1(tb, pool, &head, "SELECT max(position) FROM "+quoted(schema)+".entries")
	now := time.Now().UnixMilli()
	_, err := pool.CopyFrom(context.Background(), pgx.Identifier{schema, "families"},
		[]string{"id", "birth", "position", "last_commit", "generation", "forgiven", "started", "authenticated", "issued", "idle", "absolute", "due", "native", "ended", "subject", "label"},
		pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
			return []any{pgtype.UUID{Bytes: ids[i], Valid: true}, head, head, int64(0), int64(1), int64(0), now, now, now, idle.Milliseconds(), now + 12*3600_000, now + idle.Milliseconds(), false, false, subject(i), ""}, nil
		}))
	if err != nil {
		tb.Fatal(err)
	}
}

// named returns the id of a number. The ids of near numbers are far apart.
func named(i int) (id store.ID) {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	return id
}

func ones(n int) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i] = 1
	}
	return list
}

func median[T cmp.Ordered](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
