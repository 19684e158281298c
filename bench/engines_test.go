package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/store/postgres"
	"github.com/waferkit/wafer/store/redis"
	"github.com/waferkit/wafer/store/sqlite"
)

// engine is one of wafer's stores. size returns the number of bytes that it
// holds, in memory or on disk.
type engine struct {
	name string
	open func(tb testing.TB) (db store.Store, size func() float64)
}

var engines = []engine{
	{"memory", func(testing.TB) (store.Store, func() float64) {
		return memory.New(memory.Options{}), heap
	}},
	{"sqlite", func(tb testing.TB) (store.Store, func() float64) {
		path := filepath.Join(tb.TempDir(), "wafer.db")
		db, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { db.Close() })
		return db, func() float64 {
			// Writes are in the write-ahead log beside the file until a
			// checkpoint.
			side, err := sql.Open("sqlite", path)
			if err != nil {
				tb.Fatal(err)
			}
			defer side.Close()
			if _, err := side.Exec("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
				tb.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				tb.Fatal(err)
			}
			return float64(info.Size())
		}
	}},
	{"redis", func(tb testing.TB) (store.Store, func() float64) {
		url := "redis://" + servers(tb).Durable.Addr
		db, err := redis.OpenURL(tb.Context(), url, redis.Options{Name: unique(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			tb.Fatal(err)
		}
		client := goredis.NewClient(&goredis.Options{Addr: servers(tb).Durable.Addr})
		tb.Cleanup(func() { db.Close(); client.Close() })
		return db, func() float64 {
			info, err := client.Info(context.Background(), "memory").Result()
			if err != nil {
				tb.Fatal(err)
			}
			_, after, _ := strings.Cut(info, "used_memory_dataset:")
			digits, _, _ := strings.Cut(after, "\r")
			n, err := strconv.ParseFloat(digits, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}},
	{"postgres", func(tb testing.TB) (store.Store, func() float64) {
		url, schema := servers(tb).Postgres.PostgresURL("postgres", "postgres"), unique()
		db, err := postgres.OpenURL(tb.Context(), url, postgres.Options{Schema: schema})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { db.Close() })
		return db, func() (n float64) {
			c, err := pgx.Connect(context.Background(), url)
			if err != nil {
				tb.Fatal(err)
			}
			defer c.Close(context.Background())
			err = c.QueryRow(context.Background(), `SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
				JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'`, schema).Scan(&n)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}},
}

// unique returns a name for a store, so that each benchmark begins with an
// empty one.
func unique() string { return "bench_" + strings.ToLower(rand.Text()) }

// clients is the number of concurrent callers of an engine.
const clients = 64

// BenchmarkEngines reports the logins, refreshes and revocations that an engine
// performs in a second for 64 callers, durable when they return, and its bytes
// for each family. docs/capacity.md is computed from these figures.
func BenchmarkEngines(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			families := min(*largest, 50_000)
			if e.name == "postgres" || e.name == "sqlite" {
				families = min(*largest, 20_000) // as many as take seconds
			}
			db, size := e.open(b)
			before := size()
			ids := make([]store.ID, families)
			creates := rate(b, families, func(i int) error {
				rand.Read(ids[i][:])
				s, err := db.Create(b.Context(), store.Creation{
					ID: ids[i], Subject: fmt.Sprintf("3f1f2c0e-6a55-4f0b-9d0e-%012d", i), Label: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
					Idle: 30 * time.Minute, Absolute: 12 * time.Hour,
				})
				return written(s, err)
			})
			held := size() - before
			advances, generation := 0.0, uint32(0)
			for b.Loop() {
				generation++
				advances = rate(b, families, func(i int) error {
					// Not in the order of their creation, since users come at
					// any time.
					id := ids[i*7919%families] // a prime, so each family comes once
					return written(db.Advance(b.Context(), store.Advance{ID: id, Generation: generation}))
				})
			}
			revokes := rate(b, families/4, func(i int) error {
				return written(db.Revoke(b.Context(), store.Revocation{Sessions: ids[i : i+1], Reason: "logout"}))
			})
			b.ReportMetric(creates, "logins/s")
			b.ReportMetric(advances, "refreshes/s")
			b.ReportMetric(revokes, "revocations/s")
			b.ReportMetric(held/float64(families), "B/family")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func written(s store.Snapshot, err error) error {
	if err == nil && s.Outcome != store.Written {
		err = fmt.Errorf("%v, %v", s.Outcome, s.State)
	}
	return err
}

// rate makes the clients do 0 to n-1, and returns how many they did in a
// second.
func rate(b *testing.B, n int, do func(i int) error) float64 {
	b.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	began := time.Now()
	for range clients {
		wait.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return float64(n) / time.Since(began).Seconds()
}
