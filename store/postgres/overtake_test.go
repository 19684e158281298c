//go:build unix

package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// The tests below hold one transaction open, by the schema's own functions, while
// the engine makes calls that meet it.

func begin(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.BeginTx(background, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback(background) })
	return tx
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(background); err != nil {
		t.Fatal(err)
	}
}

// login makes a family in an open transaction, and returns its birth.
func login(t *testing.T, tx pgx.Tx, schema string, id store.ID, subject string) (birth int64) {
	t.Helper()
	exec1(t, tx, &birth, postgres.Fill(`SELECT birth FROM @schema@.create_family($1, $2, '', false, NULL, '', '', '', NULL, '\x0000000000000000000000000000000000000000', 3600000, 3600000, NULL, NULL, 0, 0,
		0, '{}', NULL, 0, NULL, NULL, NULL, '', '', 0, false, NULL, 0, '', '', false)`, schema),
		pgtype.UUID{Bytes: id, Valid: true}, subject)
	return birth
}

// revokeIn revokes a subject in an open transaction, and returns the position.
func revokeIn(t *testing.T, tx pgx.Tx, schema, subject string) (entry int64) {
	t.Helper()
	exec1(t, tx, &entry, postgres.Fill(`SELECT entry FROM @schema@.revoke('{}', ARRAY[$1::text], false, NULL, 0, NULL, 0, NULL, 0, '', '', false)`, schema), subject)
	return entry
}

// callResult is the result of a call in another goroutine.
type callResult struct {
	store.Snapshot
	err error
}

func async(call func() (store.Snapshot, error)) <-chan callResult {
	done := make(chan callResult, 1)
	go func() {
		s, err := call()
		done <- callResult{s, err}
	}()
	return done
}

// waits waits until a backend is blocked by the lock of the open transaction, and
// fails if the call returns instead.
func waits(t *testing.T, pool *pgxpool.Pool, done <-chan callResult) {
	t.Helper()
	waitFor(t, "the call waits for the open transaction", func() bool {
		select {
		case a := <-done:
			t.Fatalf("it did not wait: %v, %v, %v", a.Outcome, a.State, a.err)
		default:
		}
		return blockedBackends(t, pool) > 0
	})
}

// blockedBackends returns how many backends wait for the lock of another.
func blockedBackends(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	exec1(t, pool, &n, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0")
	return n
}

func result(t *testing.T, done <-chan callResult) store.Snapshot {
	t.Helper()
	select {
	case a := <-done:
		if a.err != nil {
			t.Fatal(a.err)
		}
		return a.Snapshot
	case <-time.After(patience):
		t.Fatalf("no answer within %v", patience)
		panic("unreachable")
	}
}

func TestALoginThatIsNotCommittedIsDeadAfterTheRevocation(t *testing.T) {
	for name, r := range map[string]store.Revocation{
		"subject":  {Subjects: []string{"anna"}},
		"everyone": {Everyone: true},
		"session":  {Sessions: []store.ID{enginebench.ID(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			db, pool, o := openNew(t)
			tx := begin(t, pool)
			birth := login(t, tx, o.Schema, enginebench.ID(1), "anna")
			done := async(func() (store.Snapshot, error) { return db.Revoke(background, r) })
			waits(t, pool, done)
			commit(t, tx)
			s := result(t, done)
			if s.Outcome != store.Written || int64(s.Entry) <= birth {
				t.Errorf("revoked at %d, %v: want above the birth %d", s.Entry, s.Outcome, birth)
			}
			f, err := db.Family(background, enginebench.ID(1))
			if err != nil || f.State != store.CutOff && f.State != store.Ended {
				t.Errorf("the login is %v, %v", f.State, err)
			}
			a, err := db.Advance(background, store.Advance{ID: enginebench.ID(1), Generation: 1})
			if err != nil || a.Outcome != store.Unwritten {
				t.Errorf("refreshed: %v, %v", a.Outcome, err)
			}
		})
	}
}

// TestARevocationThatIsNotCommitted makes other calls while a revocation is open.
func TestARevocationThatIsNotCommitted(t *testing.T) {
	prepare := func(t *testing.T) (*postgres.Store, *pgxpool.Pool, pgx.Tx, int64, store.Family) {
		db, pool, o := openNew(t)
		s, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		tx := begin(t, pool)
		return db, pool, tx, revokeIn(t, tx, o.Schema, "anna"), s.Family
	}
	t.Run("ARefreshDoesNotWaitAndIsBelow", func(t *testing.T) {
		db, _, tx, p, f := prepare(t)
		// An advance, and then a copy of it.
		for _, name := range []string{"Advance", "Reissue"} {
			s, err := refreshings[name].call(db, f.ID, 0)
			if err != nil || s.Outcome != store.Written || int64(s.Family.Position) >= p {
				t.Errorf("%s: %v at %d, %v: want below the revocation at %d", name, s.Outcome, s.Family.Position, err, p)
			}
		}
		commit(t, tx)
		if s, err := refreshings["Reissue"].call(db, f.ID, 0); err != nil || s.Outcome != store.Unwritten || s.State != store.CutOff {
			t.Errorf("another copy afterwards: %v, %v, %v", s.Outcome, s.State, err)
		}
		if s, err := db.Advance(background, store.Advance{ID: f.ID, Generation: 2}); err != nil || s.Outcome != store.Unwritten || s.State != store.CutOff {
			t.Errorf("an advance afterwards: %v, %v, %v", s.Outcome, s.State, err)
		}
	})
	t.Run("ACommitWaitsAndIsNotWritten", func(t *testing.T) {
		db, pool, tx, _, f := prepare(t)
		done := async(func() (store.Snapshot, error) {
			return db.Commit(background, store.Commit{ID: f.ID, Basis: f.Position, Value: []byte("value")})
		})
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Unwritten || s.State != store.CutOff {
			t.Errorf("%v, %v", s.Outcome, s.State)
		}
	})
	t.Run("ARenewalWaitsAndIsNotWritten", func(t *testing.T) {
		db, pool, tx, _, f := prepare(t)
		done := async(func() (store.Snapshot, error) {
			return db.Create(background, store.Creation{ID: enginebench.ID(2), Subject: "anna", Renews: &store.Renewal{ID: f.ID, Basis: f.Position}})
		})
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Unwritten || s.State != store.CutOff {
			t.Errorf("%v, %v", s.Outcome, s.State)
		}
	})
	t.Run("NoRebirthOverIt", func(t *testing.T) {
		db, pool, tx, p, f := prepare(t)
		done := async(func() (store.Snapshot, error) {
			return db.Revoke(background, store.Revocation{Subjects: []string{"anna"}, Except: &store.Rebirth{ID: f.ID, Basis: f.Position}})
		})
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Written || s.State != store.CutOff || int64(s.Entry) <= p {
			t.Errorf("%v at %d, %v", s.Outcome, s.Entry, s.State)
		}
	})
	t.Run("ALoginWithTheOldPasswordIsEarly", func(t *testing.T) {
		db, pool, tx, _, f := prepare(t)
		done := async(func() (store.Snapshot, error) {
			return db.Create(background, store.Creation{ID: enginebench.ID(2), Subject: "anna", Idle: time.Hour, Absolute: time.Hour, NotBefore: f.Birth})
		})
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Early {
			t.Errorf("%v", s.Outcome)
		}
	})
	t.Run("ALoginAfterItLives", func(t *testing.T) {
		db, pool, tx, p, _ := prepare(t)
		done := async(func() (store.Snapshot, error) {
			return db.Create(background, store.Creation{ID: enginebench.ID(2), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
		})
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Written || s.State != store.Alive || int64(s.Family.Birth) != p {
			t.Errorf("%v, %v, born at %d: want at the revocation, %d", s.Outcome, s.State, s.Family.Birth, p)
		}
	})
	for name, refreshing := range refreshings {
		t.Run("TheRowIsLockedFor"+name, func(t *testing.T) {
			// Another transaction has locked the row. The call waits for it, and sees
			// what was committed meanwhile.
			db, pool, o := openNew(t)
			f := refreshing.login(t, db, enginebench.ID(1), time.Hour)
			tx := begin(t, pool)
			p := revokeIn(t, tx, o.Schema, "anna")
			if _, err := tx.Exec(background, "SELECT 1 FROM "+quoted(o.Schema)+".families FOR UPDATE"); err != nil {
				t.Fatal(err)
			}
			done := async(func() (store.Snapshot, error) { return refreshing.call(db, f.ID, 0) })
			waits(t, pool, done)
			commit(t, tx)
			if s := result(t, done); s.Outcome != store.Unwritten || s.State != store.CutOff || int64(s.Head) < p {
				t.Errorf("%v, %v, head %d: want the revocation at %d seen", s.Outcome, s.State, s.Head, p)
			}
		})
	}
}

// TestASessionThatIsRevokedBeforeItIsThere gives up a login and revokes it. The
// login must not take effect afterwards.
func TestASessionThatIsRevokedBeforeItIsThere(t *testing.T) {
	db, pool, o := openNew(t)
	creation := store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour}
	tx := begin(t, pool)
	if _, err := tx.Exec(background, postgres.Fill(`SELECT @schema@.revoke(ARRAY[$1::uuid], '{}', false, NULL, 0, NULL, 0, NULL, 0, '', '', false)`, o.Schema), pgtype.UUID{Bytes: enginebench.ID(1), Valid: true}); err != nil {
		t.Fatal(err)
	}
	done := async(func() (store.Snapshot, error) { return db.Create(background, creation) })
	waits(t, pool, done)
	commit(t, tx)
	if s := result(t, done); s.Outcome != store.Taken || s.State != store.Absent {
		t.Errorf("%v, %v", s.Outcome, s.State)
	}
	if s, err := db.Create(background, creation); err != nil || s.Outcome != store.Taken {
		t.Errorf("again: %v, %v", s.Outcome, err)
	}
}

// TestACutoffOutlivesAClockThatJumped creates a family under a clock that is far
// ahead, so that its limits end later than the time for which its subject's cutoff
// is kept. The cutoff must stay as long as the family.
func TestACutoffOutlivesAClockThatJumped(t *testing.T) {
	db, pool, o := openNew(t)
	move := clockOf(t, pool, o.Schema)
	if _, err := db.Announce(background, store.Announcement{Access: time.Minute, Absolute: 12 * time.Hour, Leeway: time.Second}); err != nil {
		t.Fatal(err)
	}
	move(100 * time.Hour)
	if s, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: 12 * time.Hour, Absolute: 12 * time.Hour}); err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	move(-100 * time.Hour)
	for _, subject := range []string{"anna", "bob", "the newest, which stays in the log"} {
		if _, err := db.Revoke(background, store.Revocation{Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	move(14 * time.Hour)
	if err := db.Sweep(background); err != nil {
		t.Fatal(err)
	}
	if s, err := db.Family(background, enginebench.ID(1)); err != nil || s.State != store.CutOff {
		t.Errorf("it is %v, %v: want it cut off still", s.State, err)
	}
	if c, err := db.Cutoffs(background, store.ID{}, "bob"); err != nil || c.Subject != 0 {
		t.Errorf("the cutoff %d of a subject without families is kept, %v", c.Subject, err)
	}
}

func TestSinceNeverSkips(t *testing.T) {
	db, pool, o := openNew(t)
	b, err := db.Since(background, store.Cursor{}, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	cursor := after(b)
	tx := begin(t, pool)
	first := revokeIn(t, tx, o.Schema, "anna")
	// The second comes later and tries to commit first.
	done := async(func() (store.Snapshot, error) {
		return db.Revoke(background, store.Revocation{Subjects: []string{"bob"}})
	})
	waits(t, pool, done)
	if b, err = db.Since(background, cursor, 10, 0); err != nil || len(b.Entries) != 0 || b.Head != cursor.Position {
		t.Fatalf("%d entries, head %d, %v: want none, neither being committed", len(b.Entries), b.Head, err)
	}
	commit(t, tx)
	second := result(t, done).Entry
	b, err = db.Since(background, cursor, 10, 0)
	if err != nil || len(b.Entries) != 2 || int64(b.Entries[0].Position) != first || b.Entries[1].Position != second || b.Entries[1].Previous != b.Entries[0].Position {
		t.Errorf("%+v, %v: want %d, then %d", b.Entries, err, first, second)
	}
}

// TestNoWriteInAnotherIsolation calls the functions under other isolation levels,
// which they must refuse.
func TestNoWriteInAnotherIsolation(t *testing.T) {
	_, pool, o := openNew(t)
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		for _, function := range []string{"lock_head()", "refresh(ARRAY[gen_random_uuid()], '{1}', '{1}', '{0}', '{f}', '{0}', '{0}', '{0}', '{0}', '{}', false)"} {
			err := pgx.BeginTxFunc(background, pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
				_, err := tx.Exec(background, "SELECT "+quoted(o.Schema)+"."+function)
				return err
			})
			var e *pgconn.PgError
			if !errors.As(err, &e) || e.Code != "25000" {
				t.Errorf("%s in %s: %v, want it refused", function, level, err)
			}
		}
	}
}
