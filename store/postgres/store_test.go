//go:build unix

package postgres_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
	"github.com/waferkit/wafer/store/storetest"
)

// conform runs the conformance suite over stores that it opens through url. Each
// handle has a pool of its own, as another process would.
func conform(t *testing.T, url string, prepare func(t *testing.T, o *postgres.Options)) {
	// The suite makes hundreds of schemas. Errors in the functions' text show when
	// they are called.
	admin := newPool(t, serverURL(t)+"&check_function_bodies=off")
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		o := postgres.Options{Schema: newSchema()}
		prepare(t, &o)
		handle := func(t *testing.T, o postgres.Options) *postgres.Store { return open(t, newPool(t, url), o) }
		db := handle(t, o)
		handles := []*postgres.Store{db}
		return storetest.Engine{
			Store: db,
			Clock: clockOf(t, admin, o.Schema),
			Reopen: func(t *testing.T) store.Store {
				handles = append(handles, handle(t, o))
				return handles[len(handles)-1]
			},
			Restart: func(t *testing.T) store.Store {
				for _, old := range handles {
					if err := old.Close(); err != nil {
						t.Error(err)
					}
				}
				db = handle(t, o)
				handles = []*postgres.Store{db}
				return db
			},
			Backup: func(t *testing.T) func(t *testing.T) store.Store {
				copied := postgres.Options{Schema: newSchema()}
				prepare(t, &copied)
				backup(t, admin, o.Schema, copied.Schema)
				return func(t *testing.T) store.Store { return handle(t, copied) }
			},
			Tidy: func() {
				if err := db.Sweep(t.Context()); err != nil {
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

// backup copies the rows as they are at one moment.
func backup(t testing.TB, admin *pgxpool.Pool, from, to string) {
	t.Helper()
	if err := postgres.Migrate(t.Context(), admin, postgres.Options{Schema: to}); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginTxFunc(t.Context(), admin, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		for _, table := range []string{"log", "keys", "entries", "subjects", "families", "committed"} {
			if _, err := tx.Exec(t.Context(), "DELETE FROM "+quoted(to)+"."+table); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), "INSERT INTO "+quoted(to)+"."+table+" SELECT * FROM "+quoted(from)+"."+table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	moving(t, admin, to, from)
}

// rights are the grants that the README lists.
const rights = `GRANT USAGE ON SCHEMA @schema@ TO app;
GRANT SELECT ON @schema@.migrations TO app;
GRANT SELECT, UPDATE ON @schema@.log, @schema@.keys TO app;
GRANT SELECT, INSERT, DELETE ON @schema@.entries TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON @schema@.families, @schema@.subjects, @schema@.committed TO app;`

// TestStore runs the conformance suite as a role with no more rights than it needs,
// on a server with unfavourable settings.
func TestStore(t *testing.T) {
	t.Parallel()
	admin := newPool(t, serverURL(t)+"&check_function_bodies=off")
	run(t, admin, "DROP ROLE IF EXISTS app", "CREATE ROLE app LOGIN",
		"ALTER ROLE app SET default_transaction_isolation = 'serializable'", "ALTER ROLE app SET default_transaction_read_only = on",
		"ALTER ROLE app SET synchronous_commit = off", "ALTER ROLE app SET search_path = ''")
	conform(t, server(t).PostgresURL("app", "postgres")+"&pool_max_conns=4", func(t *testing.T, o *postgres.Options) {
		o.MustExist = true
		if err := postgres.Migrate(t.Context(), admin, *o); err != nil {
			t.Fatal(err)
		}
		grant(t, admin, o.Schema)
	})
}

// TestStoreBehindPooler runs it through pgbouncer in transaction mode, with the
// setting that the README names, and a single connection in each node's pool.
func TestStoreBehindPooler(t *testing.T) {
	t.Parallel()
	url := bouncer(t) + "&default_query_exec_mode=exec&pool_max_conns=1"
	conform(t, url, func(t *testing.T, o *postgres.Options) { o.Notify = true })
}

func grant(t testing.TB, admin *pgxpool.Pool, schema string) {
	t.Helper()
	for _, text := range splitStatements(postgres.Fill(rights, schema)) {
		run(t, admin, text)
	}
}

// patience is how long a test waits for what must happen. Only a hang lasts that
// long.
const patience = 2 * time.Minute

// waitFor waits until done returns true. If that takes longer than patience, it
// fails the test and ends the goroutine, which need not be the test's.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("not within %v: %s", patience, what)
			runtime.Goexit()
		}
	}
}

var background = context.Background()

func splitStatements(text string) (list []string) {
	for _, one := range strings.Split(text, ";") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}
