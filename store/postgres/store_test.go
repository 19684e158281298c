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
	admin := newPool(t, serverURL(t))
	var free []*slot
	storetest.Run(t, func(sub *testing.T) storetest.Engine {
		if len(free) == 0 {
			free = append(free, newSlot(sub, t, url, prepare))
		}
		s := free[0]
		free = free[1:]
		sub.Cleanup(func() { free = append(free, s) })
		db := s.begin(sub, admin)
		return storetest.Engine{
			Store:  db,
			Clock:  s.move,
			Reopen: func(t *testing.T) store.Store { return s.handle(t, s.options) },
			Restart: func(t *testing.T) store.Store {
				s.closeAll(t)
				db = s.handle(t, s.options)
				return db
			},
			Backup: func(t *testing.T) func(t *testing.T) store.Store {
				copied := postgres.Options{Schema: newSchema()}
				prepare(t, &copied)
				backup(t, admin, s.options.Schema, copied.Schema)
				return func(t *testing.T) store.Store { return s.handle(t, copied) }
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

// slot is a schema, and pools for handles of it. The subtests take turns with it:
// a new schema costs more than most of them, and so do new connections, each of
// which plans every function for itself.
type slot struct {
	options postgres.Options
	move    func(d time.Duration) // its clock
	log     string                // the statements that begin its log
	pools   []*pgxpool.Pool
	handles []*postgres.Store // of this turn; each has the pool of its number
	newPool func() *pgxpool.Pool
}

// newSlot makes a slot in the subtest sub, whose pools are closed after the test of.
func newSlot(sub, of *testing.T, url string, prepare func(t *testing.T, o *postgres.Options)) *slot {
	sub.Helper()
	s := &slot{options: postgres.Options{Schema: newSchema()}, newPool: func() *pgxpool.Pool { return newPool(of, url) }}
	prepare(sub, &s.options)
	text, err := postgres.SQL(s.options.Schema)
	begins := strings.Index(text, "INSERT INTO "+quoted(s.options.Schema)+".keys")
	if err != nil || begins < 0 {
		sub.Fatal("the schema's text does not begin the log", err)
	}
	s.log = text[begins:]
	return s
}

// begin begins a turn, and returns a handle of an empty store, whose clock is right.
func (s *slot) begin(t *testing.T, admin *pgxpool.Pool) *postgres.Store {
	t.Helper()
	s.handles = nil
	if s.move == nil {
		db := s.handle(t, s.options) // makes the schema, if it may
		s.move = clockOf(t, admin, s.options.Schema)
		return db
	}
	text := "UPDATE @schema@.ahead SET ms = 0; TRUNCATE @schema@.migrations"
	for _, table := range tables {
		text += ", @schema@." + table
	}
	err := admin.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) error {
		_, err := conn.Conn().PgConn().Exec(t.Context(), postgres.Fill(text, s.options.Schema)+";"+s.log).ReadAll()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.handle(t, s.options)
}

func (s *slot) pool(i int) *pgxpool.Pool {
	if i == len(s.pools) {
		s.pools = append(s.pools, s.newPool())
	}
	return s.pools[i]
}

// handle opens another handle.
func (s *slot) handle(t *testing.T, o postgres.Options) *postgres.Store {
	t.Helper()
	s.handles = append(s.handles, open(t, s.pool(len(s.handles)), o))
	return s.handles[len(s.handles)-1]
}

// closeAll closes all handles and connections.
func (s *slot) closeAll(t *testing.T) {
	t.Helper()
	for i, old := range s.handles {
		if err := old.Close(); err != nil {
			t.Error(err)
		}
		s.pools[i].Reset()
	}
	s.handles = nil
}

// tables are those of the schema, but for its migrations.
var tables = []string{"log", "announced", "peers", "keys", "entries", "subjects", "families", "bearers", "committed"}

// backup copies the rows as they are at one moment.
func backup(t testing.TB, admin *pgxpool.Pool, from, to string) {
	t.Helper()
	if err := postgres.Migrate(t.Context(), admin, postgres.Options{Schema: to}); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginTxFunc(t.Context(), admin, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		for _, table := range tables {
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
GRANT SELECT, UPDATE ON @schema@.log, @schema@.announced, @schema@.keys TO app;
GRANT SELECT, INSERT, DELETE ON @schema@.entries TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON @schema@.families, @schema@.bearers, @schema@.subjects, @schema@.committed, @schema@.peers TO app;`

// TestStore runs the conformance suite as a role with no more rights than it needs,
// on a server with unfavourable settings.
func TestStore(t *testing.T) {
	t.Parallel()
	admin := newPool(t, serverURL(t))
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

// after returns the cursor of a reader that has read up to a batch's head.
func after(b store.Batch) store.Cursor { return store.Cursor{Position: b.Head, ID: b.HeadID} }

func splitStatements(text string) (list []string) {
	for _, one := range strings.Split(text, ";") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}
