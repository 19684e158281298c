//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// 1: a statement_timeout of the role ends the wait for the standby with a
// warning, and COMMIT succeeds.
func TestAttackTimeoutAtTheCommit(t *testing.T) {
	s := testserver.Postgres(t)
	url := s.PostgresURL("postgres", "postgres")
	admin := newPool(t, url)
	db := open(t, admin, postgres.Options{})
	_ = db
	run(t, admin, "ALTER ROLE postgres SET statement_timeout = '500ms'", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	time.Sleep(300 * time.Millisecond)
	other := open(t, newPool(t, url), postgres.Options{})
	snap, err := other.Revoke(background, store.Revocation{Everyone: true})
	if err == nil {
		t.Errorf("%v at %d: want an error, no standby has it", snap.Outcome, snap.Entry)
	}
	t.Log(err)
}

// 2: an operator that another role makes in public.
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
	s, err := db.Create(background, store.Creation{ID: named(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
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

// 3: Forgive locks a family, and the next call of its group then waits for the
// head, whose holder waits for that family.
func TestAttackForgiveBeforeTheHead(t *testing.T) {
	db, pool, o := openNew(t)
	for i := 1; i <= 2; i++ {
		if _, err := db.Create(background, store.Creation{ID: named(i), Subject: "anna", Idle: time.Hour, Absolute: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Advance(background, store.Advance{ID: named(1), Generation: 1}); err != nil {
		t.Fatal(err)
	}
	var before, after int
	deadlocks := "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
	exec1(t, pool, &before, deadlocks)
	holder, other := begin(t, pool), begin(t, pool)
	revokeIn(t, holder, o.Schema, "bob")
	lone := async(func() (store.Snapshot, error) {
		return db.Revoke(background, store.Revocation{Subjects: []string{"carl"}})
	})
	waits(t, pool, lone)
	// Next in the queue for the head.
	second := make(chan error, 1)
	go func() {
		_, err := other.Exec(background, postgres.Fill("SELECT @schema@.lock_head()", o.Schema))
		second <- err
	}()
	time.Sleep(300 * time.Millisecond)
	forgiven := async(func() (store.Snapshot, error) { return db.Forgive(background, named(1), 1) })
	time.Sleep(50 * time.Millisecond)
	revoked := async(func() (store.Snapshot, error) {
		return db.Revoke(background, store.Revocation{Subjects: []string{"dora"}})
	})
	time.Sleep(50 * time.Millisecond)
	commit(t, holder)
	result(t, lone)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // the group has the family, and waits for the head
	began := time.Now()
	if _, err := other.Exec(background, postgres.Fill("SELECT @schema@.revoke(ARRAY[$1::uuid], '{}', false, NULL, 0, 0, '', '', false)", o.Schema), pgtype.UUID{Bytes: named(1), Valid: true}); err != nil {
		t.Errorf("another node's revocation: %v", err)
	}
	took := time.Since(began)
	commit(t, other)
	result(t, forgiven)
	result(t, revoked)
	waitFor(t, "statistics", func() bool { time.Sleep(1100 * time.Millisecond); return true })
	exec1(t, pool, &after, deadlocks)
	if after != before || took > 500*time.Millisecond {
		t.Errorf("%d deadlocks; the head was held for %v", after-before, took)
	}
}

// 4: the network ends in the middle of a group.
func TestAttackCutOffInTheMiddle(t *testing.T) {
	s := server(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var left atomic.Int64
	var armed atomic.Bool
	left.Store(9000)
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", s.Addr)
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c, up)
			mu.Unlock()
			go io.Copy(c, up)
			go func() { // the client's bytes
				b := make([]byte, 1024)
				for {
					n, err := c.Read(b)
					if err != nil {
						if armed.Load() {
							return // nothing arrives, not even the end
						}
						up.Close()
						return
					}
					if armed.Load() && left.Add(-int64(n)) < 0 {
						continue
					}
					up.Write(b[:n])
				}
			}()
		}
	}()
	admin := newPool(t, serverURL(t))
	o := postgres.Options{Schema: newSchema(), Timeout: 3 * time.Second}
	direct := open(t, admin, o)
	cut := open(t, newPool(t, strings.Replace(serverURL(t), s.Addr, listener.Addr().String(), 1)+"&pool_max_conns=1"), o)
	if _, err := cut.Revoke(background, store.Revocation{Subjects: []string{"anna"}}); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, admin)
	revokeIn(t, tx, o.Schema, "bob")
	text := strings.Repeat("x", 255)
	var all []<-chan answer
	for i := range 40 {
		all = append(all, async(func() (store.Snapshot, error) {
			return cut.Revoke(background, store.Revocation{Subjects: []string{fmt.Sprint(i)}, Reason: text, Actor: text})
		}))
		if i == 0 {
			waits(t, admin, all[0])
		}
	}
	time.Sleep(300 * time.Millisecond)
	armed.Store(true)
	commit(t, tx)
	result(t, all[0])
	began := time.Now()
	for _, a := range all[1:] {
		<-a
	}
	t.Logf("those that were cut off got their errors after %v", time.Since(began))
	began = time.Now()
	_, err = direct.Revoke(background, store.Revocation{Subjects: []string{"dora"}})
	if err != nil {
		_, err = direct.Revoke(background, store.Revocation{Subjects: []string{"dora"}})
	}
	if err != nil {
		t.Errorf("another node cannot write %v after that: %v", time.Since(began), err)
	}
	var held int
	exec1(t, admin, &held, "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start < now() - interval '2 s'")
	t.Logf("%d transactions are open for more than 2 s", held)
}

// 5: the entry is in the log, and its cutoff is not in the store.
func TestAttackCutoffOfALivingEntry(t *testing.T) {
	db, pool, o := openNew(t)
	move := clockOf(t, pool, o.Schema)
	if err := db.Announce(background, store.Announcement{Access: time.Minute, Absolute: time.Hour, Leeway: time.Second, MaxStaleness: time.Second}); err != nil {
		t.Fatal(err)
	}
	s, err := db.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
	if err != nil {
		t.Fatal(err)
	}
	move(2 * time.Hour)
	if err := db.Tidy(background); err != nil {
		t.Fatal(err)
	}
	c, err := db.Cutoffs(background, store.ID{}, "anna")
	b, err2 := db.Since(background, 0, 10, 0)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if len(b.Entries) == 1 && b.Entries[0].Position == s.Entry && c.Subject != s.Entry {
		t.Errorf("the entry at %d is in the log, floor %d, and the cutoff is %d", s.Entry, c.Floor, c.Subject)
	}
	early, err := db.Create(background, store.Creation{ID: named(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour, NotBefore: s.Entry - 1})
	if err != nil || early.Outcome != store.Early {
		t.Errorf("a login from before it: %v, %v", early.Outcome, err)
	}
	r, err := db.Restore(background, store.Restoration{Entries: b.Entries, Above: b.Head})
	if err != nil || r.Outcome != store.Unwritten {
		t.Errorf("restoring what is in the log: %v, %v", r.Outcome, err)
	}
}

// 6: a limit that comes to a subject with very many families.
func TestAttackVeryManyFamilies(t *testing.T) {
	db, pool, o := openNew(t)
	if _, err := db.Create(background, store.Creation{ID: named(1), Subject: "robot", Idle: time.Hour, Absolute: time.Hour}); err != nil {
		t.Fatal(err)
	}
	run(t, pool, fmt.Sprintf(`INSERT INTO %[1]s.families (id, birth, position, last_commit, generation, forgiven, started, authenticated, issued, idle, absolute, due, native, ended, subject, label)
		SELECT gen_random_uuid(), birth, position, last_commit, generation, forgiven, started, authenticated, issued, idle, absolute, due, native, ended, subject, label FROM %[1]s.families, generate_series(1, 30000)`, quoted(o.Schema)))
	for range 3 {
		began := time.Now()
		s, err := db.Create(background, store.Creation{ID: named(2), Subject: "robot", Idle: time.Hour, Absolute: time.Hour, Limit: 5, EndOldest: true})
		t.Logf("%v, %v after %v", s.Outcome, err, time.Since(began))
		if err == nil {
			return
		}
	}
	t.Error("the subject can never log in")
}

// 7: a lock_timeout of the role: each of the group waits for it once more.
func TestAttackLockTimeout(t *testing.T) {
	admin := newPool(t, serverURL(t))
	o := postgres.Options{Schema: newSchema(), Timeout: 2 * time.Second}
	run(t, admin, "CREATE ROLE hasty SUPERUSER LOGIN", "ALTER ROLE hasty SET lock_timeout = '200ms'")
	direct := open(t, admin, o)
	db := open(t, newPool(t, server(t).PostgresURL("hasty", "postgres")), o)
	tx := begin(t, admin)
	revokeIn(t, tx, o.Schema, "bob")
	var all []<-chan answer
	for i := range 60 {
		all = append(all, async(func() (store.Snapshot, error) {
			ctx, cancel := context.WithTimeout(background, 700*time.Millisecond)
			defer cancel()
			return db.Create(ctx, store.Creation{ID: named(i + 1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
		}))
	}
	gaveUp := 0
	for _, done := range all {
		if a := <-done; errors.Is(a.err, context.DeadlineExceeded) {
			gaveUp++
		}
	}
	time.Sleep(1500 * time.Millisecond) // long after all of them gave up
	commit(t, tx)
	time.Sleep(1500 * time.Millisecond)
	n, err := direct.Rows(background)
	if err != nil || n != 0 {
		t.Errorf("%d of %d were made after their callers gave up, %v", n, gaveUp, err)
	}
}

// 8: a server that speaks another language.
func TestAttackLanguage(t *testing.T) {
	t.Setenv("LANGUAGE", "de")
	s := testserver.Postgres(t, "lc_messages=C.UTF-8")
	url := s.PostgresURL("postgres", "postgres")
	pool := newPool(t, url)
	_, err := pool.Exec(background, "SELECT 1/0")
	t.Log(err)
	if !strings.Contains(err.Error(), "FEHLER") {
		t.Skip("no German here")
	}
	o := postgres.Options{}
	db := open(t, pool, o)
	if s, err := db.Create(background, store.Creation{ID: named(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour}); err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	run(t, pool, "CREATE SEQUENCE wafer.tries",
		`CREATE FUNCTION wafer.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('wafer.tries') <= 2 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; RETURN new; END $$`,
		"CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON wafer.families FOR EACH ROW EXECUTE FUNCTION wafer.fail()")
	if s, err := db.Advance(background, store.Advance{ID: named(1), Generation: 1}); err != nil || s.Outcome != store.Written {
		t.Errorf("%v, %v: want it tried again", s.Outcome, err)
	}
}

// 9: a role whose bytes are written the old way.
func TestAttackByteaOutput(t *testing.T) {
	admin := newPool(t, serverURL(t))
	run(t, admin, "CREATE ROLE old SUPERUSER LOGIN", "ALTER ROLE old SET bytea_output = escape")
	for _, mode := range []string{"exec", "simple_protocol", "cache_describe"} {
		db := open(t, newPool(t, server(t).PostgresURL("old", "postgres")+"&default_query_exec_mode="+mode), postgres.Options{Schema: newSchema()})
		s, err := db.Create(background, store.Creation{ID: named(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		value := []byte{0, 1, '\\', 'x', 0xff, '\''}
		if _, err := db.Commit(background, store.Commit{ID: named(1), Basis: s.Family.Position, Value: value}); err != nil {
			t.Errorf("%s: commit: %v", mode, err)
		}
		f, err := db.Family(background, named(1))
		if err != nil || string(f.Family.Value) != string(value) {
			t.Errorf("%s: %q, %v", mode, f.Family.Value, err)
		}
		if _, err := db.Advance(background, store.Advance{ID: named(1), Generation: 1, Basis: f.Family.Position}); err != nil {
			t.Errorf("%s: advance: %v", mode, err)
		}
	}
}

var _ pgx.Tx

// 10: an administrator ends "a stuck query" that waits for the standby.
func TestAttackCancelAtTheCommit(t *testing.T) {
	s := testserver.Postgres(t)
	admin := newPool(t, s.PostgresURL("postgres", "postgres"))
	db := open(t, admin, postgres.Options{Timeout: 20 * time.Second})
	run(t, admin, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	time.Sleep(300 * time.Millisecond)
	done := async(func() (store.Snapshot, error) { return db.Revoke(background, store.Revocation{Everyone: true}) })
	waitFor(t, "it waits for the standby", func() bool {
		var n int
		exec1(t, admin, &n, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		return n > 0
	})
	a := <-done
	if a.err == nil {
		t.Errorf("%v at %d: want an error, no standby has it", a.Outcome, a.Entry)
	}
}
