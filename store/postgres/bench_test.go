//go:build unix

package postgres_test

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/internal/enginebench"
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
//	%store-of-bare   the ratio of the two
//	%batch-of-bare   likewise
//
// The budget is 70% with 64 clients.

const bareUpdate = `UPDATE @schema@.families f SET generation = generation + 1, copy = 0, used = 0, issued = $1, position = greatest(position, $2)
	WHERE id = $3 AND generation = $4 AND NOT ended AND issued + idle > $1 AND greatest(started, authenticated) + absolute > $1
	AND birth >= greatest($5, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject))
	RETURNING subject, label, names, actor, methods, level, key, counts, first, successor, seal,
	birth, position, last_commit, generation, copy, used, started, authenticated, issued, idle, absolute`

// BenchmarkAdvance compares a refresh with its UPDATE.
func BenchmarkAdvance(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			pool := newPool(b, serverURL(b)+"&pool_max_conns=16")
			bare, ids := filled(b, pool, 10_000)
			batched, _ := filled(b, pool, 10_000)
			own, _ := filled(b, pool, 10_000)
			db := open(b, pool, own)
			generations := enginebench.Generations(len(ids))
			engine := func(i int) error {
				i = i % len(ids)
				g := generations[i]
				generations[i]++
				s, err := db.Advance(context.Background(), store.Advance{ID: ids[i], Generation: g})
				if err == nil && s.Outcome != store.Written {
					err = fmt.Errorf("%v, %v", s.Outcome, s.State)
				}
				return err
			}
			ops := 60 * clients
			if clients == 1 {
				ops = 200
			}
			enginebench.Compare(b, clients, ops, enginebench.Way{Name: "bare", Do: bareAdvance(pool, bare.Schema, ids)},
				enginebench.Way{Name: "batch", Do: batchAdvance(b, pool, batched.Schema, ids)}, enginebench.Way{Name: "store", Do: engine})
		})
	}
}

func bareArgs(id store.ID, generation uint32, position int64) []any {
	return []any{time.Now().UnixMilli(), position, pgtype.UUID{Bytes: id, Valid: true}, int64(generation), int64(0)}
}

func scanBare(row pgx.Row) error {
	var subject, label, actor, methods, level string
	var names [][]byte
	var key, seal []byte
	var first, successor pgtype.UUID
	var counts bool
	var n [11]int64
	return row.Scan(&subject, &label, &names, &actor, &methods, &level, &key, &counts, &first, &successor, &seal, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &n[10])
}

func bareAdvance(pool *pgxpool.Pool, schema string, ids []store.ID) func(i int) error {
	generations, text := enginebench.Generations(len(ids)), postgres.Fill(bareUpdate, schema)
	return func(i int) error {
		i = i % len(ids) // one client at a time uses a family
		g := generations[i]
		generations[i]++
		return scanBare(pool.QueryRow(context.Background(), text, bareArgs(ids[i], g, 1)...))
	}
}

// batchAdvance sends the statements that wait as one pgx.Batch.
func batchAdvance(b *testing.B, pool *pgxpool.Pool, schema string, ids []store.ID) func(i int) error {
	generations, text := enginebench.Generations(len(ids)), postgres.Fill(bareUpdate, schema)
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
		ids[i] = enginebench.ID(i)
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
	columns := []string{"id", "birth", "oldest", "position", "last_commit", "generation", "copy", "used", "started", "authenticated", "issued", "idle", "absolute",
		"keep", "due", "native", "ended", "counts", "seal", "subject", "actor", "label", "methods", "level"}
	_, err := pool.CopyFrom(context.Background(), pgx.Identifier{schema, "families"}, columns, pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
		return []any{pgtype.UUID{Bytes: ids[i], Valid: true}, head, head, head, int64(0), int64(1), int32(0), int32(0), now, now, now, idle.Milliseconds(), int64(12 * 3600_000),
			now, now + idle.Milliseconds(), false, false, false, make([]byte, len(store.Seal{})), subject(i), "", "", "", ""}, nil
	}))
	if err != nil {
		tb.Fatal(err)
	}
}
