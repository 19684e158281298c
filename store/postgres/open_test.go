//go:build unix

package postgres_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// refused fails unless Open returns an error with the words of want.
func refused(t *testing.T, url string, o postgres.Options, want string) {
	t.Helper()
	db, err := postgres.OpenURL(background, url, o)
	if err == nil {
		db.Close()
		t.Fatalf("opened: want an error that says %q", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("%v: want %q", err, want)
	}
}

func TestMigrateAtOnce(t *testing.T) {
	pool, o := newPool(t, serverURL(t)), postgres.Options{Schema: newSchema()}
	var wait sync.WaitGroup
	logs := make([]store.ID, 8)
	for i := range logs {
		wait.Go(func() {
			db, err := postgres.Open(background, pool, o)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			c, err := db.Cutoffs(background, store.ID{}, "")
			if err != nil {
				t.Error(err)
			}
			logs[i] = c.Log
		})
	}
	wait.Wait()
	for _, log := range logs {
		if log.IsZero() || log != logs[0] {
			t.Fatalf("logs %v: want one", logs)
		}
	}
	var n int
	exec1(t, pool, &n, "SELECT count(*) FROM "+quoted(o.Schema)+".entries")
	if n != 1 {
		t.Errorf("%d entries: want the first alone", n)
	}
	if err := postgres.Migrate(background, pool, o); err != nil {
		t.Errorf("migrate again: %v", err)
	}
}

func TestByHand(t *testing.T) {
	pool, o := newPool(t, serverURL(t)), postgres.Options{Schema: newSchema(), MustExist: true}
	refused(t, serverURL(t), o, "there is no log")
	text, err := postgres.SQL(o.Schema)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(background, serverURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(background)
	if _, err := conn.PgConn().Exec(background, text).ReadAll(); err != nil {
		t.Fatal(err)
	}
	db := open(t, pool, o)
	if _, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour}); err != nil {
		t.Error(err)
	}
	if rest, err := postgres.SQLFrom(o.Schema, 1); err != nil || rest != "" {
		t.Errorf("of version 1 remains %q, %v", rest, err)
	}
}

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	pool := newPool(t, serverURL(t))
	other := newSchema()
	run(t, pool, "CREATE SCHEMA "+quoted(other), "CREATE TABLE "+quoted(other)+".things (a int)")
	refused(t, serverURL(t), postgres.Options{Schema: other}, "other tables")

	_, _, o := openNew(t)
	run(t, pool, "INSERT INTO "+quoted(o.Schema)+".migrations (version) VALUES (99)")
	refused(t, serverURL(t), o, "newer release")
	refused(t, serverURL(t), postgres.Options{Schema: o.Schema, MustExist: true}, "newer release")

	// A schema of the first edition of the contract had no seals.
	_, _, old := openNew(t)
	run(t, pool, "ALTER TABLE "+quoted(old.Schema)+".families DROP COLUMN seal")
	for _, must := range []bool{false, true} {
		old.MustExist = must
		refused(t, serverURL(t), old, "DROP SCHEMA "+quoted(old.Schema)+" CASCADE")
	}
	if err := postgres.Migrate(background, pool, old); err == nil {
		t.Error("migrated what cannot be")
	}

	// Open uses an empty schema that an administrator has created.
	given := newSchema()
	run(t, pool, "CREATE SCHEMA "+quoted(given))
	open(t, pool, postgres.Options{Schema: given})
}

// TestTheLogIsGone empties the store under a running engine. No new log may begin
// in its place.
func TestTheLogIsGone(t *testing.T) {
	for _, table := range []string{"log", "entries"} {
		t.Run(table, func(t *testing.T) {
			db, pool, o := openNew(t)
			run(t, pool, "TRUNCATE "+quoted(o.Schema)+"."+table)
			id := enginebench.ID(1)
			_, create := db.Create(background, store.Creation{ID: id, Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
			_, advance := db.Advance(background, store.Advance{ID: id, Generation: 1})
			_, reissue := db.Reissue(background, store.Reissue{ID: id, Generation: 1})
			_, revoke := db.Revoke(background, store.Revocation{Everyone: true})
			_, family := db.Family(background, id)
			_, since := db.Since(background, store.Cursor{}, 1, 0)
			_, cutoffs := db.Cutoffs(background, id, "anna")
			_, bind := db.Bind(background, store.Binding{ID: id, Key: store.Key{1}})
			_, commit := db.Commit(background, store.Commit{ID: id, Value: []byte("value")})
			_, name := db.Revoke(background, store.Revocation{Name: store.Name{1}})
			_, list := db.Families(background, store.Query{Subject: "anna", Limit: 1})
			for method, err := range map[string]error{"create": create, "advance": advance, "reissue": reissue, "revoke": revoke, "family": family, "since": since,
				"cutoffs": cutoffs, "bind": bind, "commit": commit, "revoke a name": name, "families": list} {
				if err == nil {
					t.Errorf("%s works without the log's table %s", method, table)
				}
			}
			refused(t, serverURL(t), o, "is gone")
		})
	}
	// Without it, nothing is known of the realm, nor of how long a cutoff is kept.
	t.Run("announced", func(t *testing.T) {
		db, pool, o := openNew(t)
		run(t, pool, "TRUNCATE "+quoted(o.Schema)+".announced")
		_, announce := db.Announce(background, store.Announcement{Realm: "test"})
		_, cutoffs := db.Cutoffs(background, enginebench.ID(1), "anna")
		_, revoke := db.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
		for method, err := range map[string]error{"announce": announce, "cutoffs": cutoffs, "revoke": revoke} {
			if err == nil {
				t.Errorf("%s works without what was announced", method)
			}
		}
		refused(t, serverURL(t), o, "is gone")
	})
}

func TestNamesOfSchemas(t *testing.T) {
	pool := newPool(t, serverURL(t))
	for _, name := range []string{`Upper`, `with "quotes"; DROP SCHEMA public; --`, `it's`, `back\slash'`, `sp ace`, `Säuberung`, `select`, strings.Repeat("x", 63)} {
		for _, mode := range []string{"cache_statement", "simple_protocol"} {
			db := open(t, newPool(t, serverURL(t)+"&default_query_exec_mode="+mode), postgres.Options{Schema: name, Notify: true})
			id := store.ID{1}
			if mode == "simple_protocol" {
				id = store.ID{2}
			}
			if s, err := db.Create(background, store.Creation{ID: id, Subject: `an'na "\`, Idle: time.Hour, Absolute: time.Hour}); err != nil || s.Outcome != store.Written || s.Family.Subject != `an'na "\` {
				t.Errorf("%q: create: %v, %q, %v", name, s.Outcome, s.Family.Subject, err)
			}
			if s, err := db.Revoke(background, store.Revocation{Subjects: []string{`an'na "\`}}); err != nil || s.Outcome != store.Written {
				t.Errorf("%q: revoke: %v, %v", name, s.Outcome, err)
			}
			if err := db.Sweep(background); err != nil {
				t.Errorf("%q: tidy: %v", name, err)
			}
		}
		var found bool
		exec1(t, pool, &found, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", name)
		if !found {
			t.Errorf("no schema %q", name)
		}
	}
	for _, name := range []string{strings.Repeat("x", 64), "a\x00b", "\xff", "$wafer$", "a@b", "pg_wafer", "information_schema"} {
		if err := postgres.Migrate(background, pool, postgres.Options{Schema: name}); err == nil {
			t.Errorf("a schema named %q was made", name)
		}
		if _, err := postgres.SQL(name); err == nil {
			t.Errorf("SQL for a schema named %q", name)
		}
		refused(t, serverURL(t), postgres.Options{Schema: name}, "name")
	}
}

func TestRefusesWhatLosesRevocations(t *testing.T) {
	t.Run("fsync off", func(t *testing.T) {
		s := serverOf(t, "fsync=off")
		refused(t, s.PostgresURL("postgres", "postgres"), postgres.Options{}, "fsync = off")
	})
	t.Run("a standby", func(t *testing.T) {
		primary := server(t)
		db, pool, o := openNew(t)
		// Later connections of this pool go elsewhere.
		config := pool.Config()
		var turned atomic.Pointer[testserver.Server]
		config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			if s := turned.Load(); s != nil {
				_, port, _ := cutLast(s.Addr, ':')
				n, err := strconv.Atoi(port)
				c.Port = uint16(n)
				return err
			}
			return nil
		}
		turning, err := pgxpool.NewWithConfig(background, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(turning.Close)
		stray := open(t, turning, o)
		dir := testserver.PostgresDir(t)
		basebackup, err := exec.LookPath("pg_basebackup")
		if err != nil {
			found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_basebackup")
			if len(found) == 0 {
				t.Fatal("pg_basebackup comes with postgres, and is not there")
			}
			basebackup = found[len(found)-1]
		}
		if out, err := exec.Command(basebackup, "-d", primary.PostgresURL("postgres", "postgres"), "-D", filepath.Join(dir, "data"), "-R", "-c", "fast").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// The server's user must own its data.
		info, err := os.Stat(filepath.Join(primary.Dir, "data"))
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				err = os.Lchown(path, int(owner.Uid), int(owner.Gid))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		standby, err := testserver.ServePostgres(dir, "max_connections=200") // no less than the primary
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(standby.Discard)
		url := standby.PostgresURL("postgres", "postgres")
		refused(t, url, postgres.Options{}, "standby") // by the pool, that finds no primary
		if _, err := postgres.Open(background, newPool(t, url), postgres.Options{}); err == nil || !strings.Contains(err.Error(), "standby") {
			t.Errorf("%v: want it refused as a standby", err)
		}
		if _, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour}); err != nil {
			t.Fatal(err)
		}
		turned.Store(standby)
		turning.Reset()
		_, err = stray.Family(background, enginebench.ID(1))
		_, err2 := stray.Since(background, store.Cursor{}, 1, 0)
		_, err3 := stray.Cutoffs(background, enginebench.ID(1), "anna")
		_, err4 := stray.Families(background, store.Query{Subject: "nobody", Limit: 1})
		_, _, err5 := stray.LoadKeys(background)
		_, err6 := stray.Revoke(background, store.Revocation{Everyone: true})
		_, err7 := stray.Advance(background, store.Advance{ID: enginebench.ID(1), Generation: 1})
		_, err8 := stray.Reissue(background, store.Reissue{ID: enginebench.ID(1), Generation: 1})
		for i, err := range []error{err, err2, err3, err4, err5, err6, err7, err8} {
			if err == nil {
				t.Errorf("call %d was answered by a standby", i)
			}
		}
	})
	t.Run("another encoding", func(t *testing.T) {
		pool := newPool(t, serverURL(t))
		run(t, pool, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
		refused(t, server(t).PostgresURL("postgres", "latin"), postgres.Options{}, "LATIN1")
	})
}

// TestSynchronousCommit uses a role with synchronous_commit off. The engine's
// transactions must override it, each for itself alone.
func TestSynchronousCommit(t *testing.T) {
	_, pool, o := openNew(t)
	for set, want := range map[string]string{"off": "on", "local": "local", "remote_apply": "remote_apply"} {
		tx := begin(t, pool)
		if _, err := tx.Exec(background, "SET synchronous_commit = "+set); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(background, postgres.Fill("SELECT * FROM @schema@.refresh(ARRAY[$1::uuid], '{1}', '{1}', '{0}', '{f}', '{0}', '{0}', '{0}', '{0}', '{}', false)", o.Schema), pgtype.UUID{Bytes: enginebench.ID(1), Valid: true}); err != nil {
			t.Fatal(err)
		}
		var got string
		exec1(t, tx, &got, "SHOW synchronous_commit")
		if got != want {
			t.Errorf("set to %s it is %s at the commit: want %s", set, got, want)
		}
		tx.Rollback(background)
	}
	d, err := open(t, pool, o).Durability(background)
	if err != nil || d.Version < 140000 || d.InRecovery || !d.Fsync || !d.FullPageWrites || d.SynchronousCommit != "on" || d.StandbyNames != "" || d.Encoding != "UTF8" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	for _, url := range []string{"postgres://app:hunter2@127.0.0.1:1/app", "postgres://app:hunter2@[/app", "host=127.0.0.1 port=1 user=app password=hunter2 nonsense",
		"password = hunter2 port=x", "host=127.0.0.1 password='hunter2", "postgres://app@127.0.0.1:1/app?password=hunter2&port=x", "postgres://app:p#hunter2@127.0.0.1/app"} {
		db, err := postgres.OpenURL(background, url, postgres.Options{})
		if err == nil {
			db.Close()
			t.Fatal("opened")
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

func TestClosed(t *testing.T) {
	db, err := postgres.OpenURL(background, serverURL(t), postgres.Options{Schema: newSchema(), Notify: true})
	if err != nil {
		t.Fatal(err)
	}
	b, err := db.Since(background, store.Cursor{}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := db.Since(background, after(b), 1, time.Minute)
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("a wait ended without an error")
		}
	case <-time.After(patience):
		t.Error("it still waits")
	}
	for name, refreshing := range refreshings {
		if _, err := refreshing.call(db, enginebench.ID(1), 0); err == nil {
			t.Errorf("%s after Close", name)
		}
	}
	if _, err := db.Family(background, enginebench.ID(1)); err == nil {
		t.Error("read after Close")
	}
}
