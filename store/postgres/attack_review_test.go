//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// A statement_timeout of the role ends the wait for the standby with a
// warning, and COMMIT succeeds.
func TestAttackTimeoutAtTheCommit(t *testing.T) {
	t.Parallel()
	s := serverOf(t)
	url := s.PostgresURL("postgres", "postgres")
	admin := newPool(t, url)
	db := open(t, admin, postgres.Options{})
	_ = db
	run(t, admin, "ALTER ROLE postgres SET statement_timeout = '500ms'", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	waitFor(t, "new sessions wait for the standby", func() bool {
		conn, err := pgx.Connect(background, url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(background)
		var names string
		exec1(t, conn, &names, "SHOW synchronous_standby_names")
		return names == "nobody"
	})
	other := open(t, newPool(t, url), postgres.Options{Timeout: 2 * time.Second})
	snap, err := other.Revoke(background, store.Revocation{Everyone: true})
	if err == nil {
		t.Errorf("%v at %d: want an error, no standby has it", snap.Outcome, snap.Entry)
	}
	t.Log(err)
}

// An operator that another role makes in public.
func TestAttackOperatorInPublic(t *testing.T) {
	admin := newPool(t, serverURL(t))
	run(t, admin, "CREATE ROLE mallory LOGIN", "CREATE DATABASE attacked", "CREATE ROLE honest LOGIN", "GRANT CREATE ON DATABASE attacked TO honest")
	at := newPool(t, server(t).PostgresURL("postgres", "attacked"))
	run(t, at, "GRANT CREATE ON SCHEMA public TO PUBLIC") // as it is in every database of version 14
	m := newPool(t, server(t).PostgresURL("mallory", "attacked"))
	run(t, m, `CREATE FUNCTION public.evil(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS $$ BEGIN
		IF current_setting('is_superuser') = 'on' THEN ALTER ROLE mallory SUPERUSER; END IF;
		RETURN pg_catalog.numeric_mul($1, $2::numeric) - 86400000; END $$`,
		"CREATE OPERATOR public.* (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = public.evil)")
	db := open(t, newPool(t, server(t).PostgresURL("honest", "attacked")), postgres.Options{})
	s, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
	if err != nil || time.Since(s.Now) > time.Hour {
		t.Errorf("the engine's clock is %v, %v: another role's", s.Now, err)
	}
	if err := postgres.Migrate(background, at, postgres.Options{Schema: "by_admin"}); err != nil {
		t.Error(err)
	}
	var super bool
	exec1(t, admin, &super, "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'")
	if super {
		t.Error("mallory is a superuser after the administrator's Migrate")
	}
}

// A call that locks a family, or the keys, before the head would wait for the head
// while its holder waits for that row. The same holds for a group of calls, of which
// any may be the first.
func TestAttackARowBeforeTheHead(t *testing.T) {
	id := enginebench.ID(1)
	for name, call := range map[string]func(db *postgres.Store, f store.Family) (store.Snapshot, error){
		"Renew": func(db *postgres.Store, f store.Family) (store.Snapshot, error) {
			return db.Create(background, store.Creation{ID: enginebench.ID(2), Subject: "anna", Renews: &store.Renewal{ID: id, Basis: f.Position}})
		},
		"Commit": func(db *postgres.Store, f store.Family) (store.Snapshot, error) {
			return db.Commit(background, store.Commit{ID: id, Basis: f.Position, Value: []byte("value")})
		},
		"Revoke": func(db *postgres.Store, f store.Family) (store.Snapshot, error) {
			return db.Revoke(background, store.Revocation{Sessions: []store.ID{id}})
		},
		"Rebirth": func(db *postgres.Store, f store.Family) (store.Snapshot, error) {
			return db.Revoke(background, store.Revocation{Subjects: []string{"anna"}, Except: &store.Rebirth{ID: id, Basis: f.Position}})
		},
		"Restore": func(db *postgres.Store, f store.Family) (store.Snapshot, error) {
			return db.Restore(background, store.Restoration{Above: f.Position + 1, Entries: []store.Entry{{ID: enginebench.ID(3), Kind: store.KindSession, Session: id, Position: f.Position + 1}}})
		},
		"SwapKeys": func(db *postgres.Store, f store.Family) (store.Snapshot, error) {
			_, err := db.SwapKeys(background, 0, []byte("document"))
			return store.Snapshot{Outcome: store.Written}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, pool, o := openNew(t)
			f := loggedIn(t, db, id, time.Hour)
			holder := begin(t, pool)
			revokeIn(t, holder, o.Schema, "bob")
			done := async(func() (store.Snapshot, error) { return call(db, f) })
			waits(t, pool, done)
			for _, table := range []string{"families", "keys"} {
				if _, err := holder.Exec(background, "SELECT 1 FROM "+quoted(o.Schema)+"."+table+" FOR UPDATE NOWAIT"); err != nil {
					t.Fatalf("the holder of the head does not get the row of %s: %v", table, err)
				}
			}
			commit(t, holder)
			if s := result(t, done); s.Outcome != store.Written {
				t.Errorf("afterwards: %v, %v", s.Outcome, s.State)
			}
		})
	}
}

// A cutoff must stay in the store while its entry is in the log.
func TestAttackCutoffOfALivingEntry(t *testing.T) {
	db, pool, o := openNew(t)
	move := clockOf(t, pool, o.Schema)
	if _, err := db.Announce(background, store.Announcement{Access: time.Minute, Absolute: time.Hour, Leeway: time.Second, MaxStaleness: time.Second}); err != nil {
		t.Fatal(err)
	}
	// An entry of a clock that was ahead keeps those behind it in the log.
	move(3 * time.Hour)
	if _, err := db.Revoke(background, store.Revocation{Subjects: []string{"bob"}}); err != nil {
		t.Fatal(err)
	}
	move(-3 * time.Hour)
	s, err := db.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
	if err != nil {
		t.Fatal(err)
	}
	move(2 * time.Hour)
	if err := db.Sweep(background); err != nil {
		t.Fatal(err)
	}
	c, err := db.Cutoffs(background, store.ID{}, "anna")
	b, err2 := db.Since(background, store.Cursor{}, 10, 0)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if len(b.Entries) != 2 || b.Entries[1].Position != s.Entry {
		t.Fatalf("%d entries are left, floor %d: want two, of which the second is at %d", len(b.Entries), c.Floor, s.Entry)
	}
	if c.Subject != s.Entry {
		t.Errorf("the entry at %d is in the log, floor %d, and the cutoff is %d", s.Entry, c.Floor, c.Subject)
	}
	early, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour, NotBefore: s.Entry - 1})
	if err != nil || early.Outcome != store.Early {
		t.Errorf("a login from before it: %v, %v", early.Outcome, err)
	}
	r, err := db.Restore(background, store.Restoration{Entries: b.Entries, Above: b.Head})
	if err != nil || r.Outcome != store.Unwritten {
		t.Errorf("restoring what is in the log: %v, %v", r.Outcome, err)
	}
}

// A subject with very many families gets a limit. Each call ends a part of them, and
// is short: others wait for it.
func TestAttackVeryManyFamilies(t *testing.T) {
	pool, o := newPool(t, serverURL(t)), postgres.Options{Schema: newSchema(), Timeout: patience}
	db := open(t, pool, o)
	n := rounds.Of(3_000, 20_000)
	ids := make([]store.ID, n)
	for i := range ids {
		ids[i] = enginebench.ID(i + 2)
	}
	crowd(t, pool, o.Schema, ids, func(int) string { return "robot" }, time.Hour)
	calls := 1
	for {
		before, err := db.Cutoffs(background, store.ID{}, "")
		if err != nil {
			t.Fatal(err)
		}
		s, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "robot", Idle: time.Hour, Absolute: time.Hour, Limit: 5, EndOldest: true})
		if err != nil || s.Outcome != store.Again && s.Outcome != store.Written {
			t.Fatal(s.Outcome, err)
		}
		var entries int
		exec1(t, pool, &entries, "SELECT count(*) FROM "+quoted(o.Schema)+".entries WHERE position > $1", int64(before.Head))
		if entries > store.MaxEntries {
			t.Errorf("one call has ended %d", entries)
		}
		if s.Outcome == store.Written {
			break
		}
		calls++
	}
	if want := (n-4)/(store.MaxEntries-2) + 1; calls != want {
		t.Errorf("%d calls for %d families: want %d", calls, n, want)
	}
	page, err := db.Families(background, store.Query{Subject: "robot", Limit: store.MaxLooked})
	if err != nil || len(page.Families) != 5 || page.Next != (store.PageCursor{}) {
		t.Errorf("%d families live, %v: want 5", len(page.Families), err)
	}
}

// The role has a lock_timeout, for which each write of the group waits once more.
func TestAttackLockTimeout(t *testing.T) {
	admin := newPool(t, serverURL(t))
	o := postgres.Options{Schema: newSchema(), Timeout: 2 * time.Second}
	run(t, admin, "CREATE ROLE hasty SUPERUSER LOGIN", "ALTER ROLE hasty SET lock_timeout = '200ms'")
	direct := open(t, admin, o)
	db := open(t, newPool(t, server(t).PostgresURL("hasty", "postgres")), o)
	tx := begin(t, admin)
	revokeIn(t, tx, o.Schema, "bob")
	var all []<-chan callResult
	for i := range 60 {
		all = append(all, async(func() (store.Snapshot, error) {
			ctx, cancel := context.WithTimeout(background, 700*time.Millisecond)
			defer cancel()
			return db.Create(ctx, store.Creation{ID: enginebench.ID(i + 1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
		}))
	}
	gaveUp := 0
	for _, done := range all {
		if a := <-done; errors.Is(a.err, context.DeadlineExceeded) {
			gaveUp++
		}
	}
	time.Sleep(time.Second) // long after all of them gave up
	commit(t, tx)
	time.Sleep(time.Second)
	n, err := direct.Rows(background)
	if err != nil || n != 0 {
		t.Errorf("%d of %d were made after their callers gave up, %v", n, gaveUp, err)
	}
}

// Open refuses a role whose bytea_output is the old format, which pgx reads only in
// some modes.
func TestAttackByteaOutput(t *testing.T) {
	admin := newPool(t, serverURL(t))
	run(t, admin, "CREATE ROLE old SUPERUSER LOGIN", "ALTER ROLE old SET bytea_output = escape")
	_, err := postgres.Open(background, newPool(t, server(t).PostgresURL("old", "postgres")), postgres.Options{Schema: newSchema()})
	if err == nil || !strings.Contains(err.Error(), "bytea_output") {
		t.Errorf("Open: %v", err)
	}
}

// The server gives up a connection that is cut off while it holds the head, after
// ten seconds. That setting lasts for the transaction alone.
func TestAttackKeepalivesWhileTheHeadIsLocked(t *testing.T) {
	_, pool, o := openNew(t)
	settings := func(q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) (all string) {
		if err := q.QueryRow(background, "SELECT concat_ws(' ', current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'), current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout'))").Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	conn, err := pool.Acquire(background)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	before := settings(conn)
	tx, err := conn.Begin(background)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(background, "SELECT "+quoted(o.Schema)+".lock_head()"); err != nil {
		t.Fatal(err)
	}
	if got := settings(tx); got != "5 2 3 10000" {
		t.Errorf("while the head is locked: %s", got)
	}
	if err := tx.Rollback(background); err != nil {
		t.Fatal(err)
	}
	if got := settings(conn); got != before {
		t.Errorf("afterwards: %s, before: %s", got, before)
	}
}
