package postgres_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
	"github.com/waferkit/wafer/store/storetest"
)

var serverURL = os.Getenv("PGURL")

var schemas atomic.Int64

// newSchema names a schema of the test's own.
func newSchema(t testing.TB) string {
	name := fmt.Sprintf("t%d_%d", os.Getpid(), schemas.Add(1))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), serverURL)
		if err != nil {
			return
		}
		defer conn.Close(context.Background())
		conn.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE")
	})
	return name
}

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func open(t testing.TB, pool *pgxpool.Pool, o postgres.Options) *postgres.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), pool, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t testing.TB, pool *pgxpool.Pool, text string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(context.Background(), text, args...); err != nil {
		t.Fatal(err)
	}
}

// moving puts a clock into a schema that is ahead by what a table holds.
func moving(t testing.TB, pool *pgxpool.Pool, schema string) (move func(d time.Duration)) {
	in := pgx.Identifier{schema}.Sanitize()
	exec(t, pool, "CREATE TABLE "+in+".ahead AS SELECT 0::bigint AS ms")
	exec(t, pool, "GRANT SELECT ON "+in+".ahead TO PUBLIC")
	exec(t, pool, "CREATE OR REPLACE FUNCTION "+in+".clock() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + (SELECT ms FROM "+in+".ahead) $$")
	return func(d time.Duration) {
		exec(t, pool, "UPDATE "+in+".ahead SET ms = ms + $1", d.Milliseconds())
	}
}

func TestStore(t *testing.T) {
	pool := newPool(t, serverURL)
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		o := postgres.Options{Schema: newSchema(t)}
		db := open(t, pool, o)
		handles := []*postgres.Store{db}
		return storetest.Engine{
			Store: db,
			Clock: moving(t, pool, o.Schema),
			Reopen: func(t *testing.T) store.Store {
				handles = append(handles, open(t, pool, o))
				return handles[len(handles)-1]
			},
			Restart: func(t *testing.T) store.Store {
				for _, old := range handles {
					if err := old.Close(); err != nil {
						t.Error(err)
					}
				}
				db = open(t, pool, o)
				handles = []*postgres.Store{db}
				return db
			},
			Tidy: func() {
				if err := db.Tidy(t.Context()); err != nil {
					t.Error(err)
				}
			},
			Families: func() int {
				n, err := db.Rows(t.Context())
				if err != nil {
					t.Error(err)
				}
				return n
			},
		}
	})
}
