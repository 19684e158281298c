//go:build unix

package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// refreshed is a way to refresh a family by the token of generation 1: as the newest,
// or again, after its answer was lost.
type refreshed struct {
	kind       int    // of the schema's function
	generation uint32 // of the family afterwards
	copied     uint16
}

var refreshings = map[string]refreshed{"Advance": {1, 2, 0}, "Reissue": {2, 2, 1}}

// login makes a family that can be refreshed so.
func (r refreshed) login(t *testing.T, db *postgres.Store, id store.ID, idle time.Duration) store.Family {
	t.Helper()
	f := loggedIn(t, db, id, idle)
	if r.kind == 1 {
		return f
	}
	s, err := db.Advance(background, store.Advance{ID: id, Generation: 1})
	if err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	return s.Family
}

// call refreshes a family whose last refresh is at least age ago.
func (r refreshed) call(db *postgres.Store, id store.ID, age time.Duration) (store.Snapshot, error) {
	if r.kind == 1 {
		return db.Advance(background, store.Advance{ID: id, Generation: 1, Age: age, Basis: store.MaxPosition})
	}
	return db.Reissue(background, store.Reissue{ID: id, Generation: 1, Age: age, Basis: store.MaxPosition})
}

// in refreshes a family in an open transaction, and returns its position.
func (r refreshed) in(t *testing.T, tx pgx.Tx, schema string, id store.ID) (position int64) {
	t.Helper()
	exec1(t, tx, &position, postgres.Fill("SELECT position FROM @schema@.refresh(ARRAY[$1::uuid], ARRAY[$2::integer], '{1}', '{0}', '{f}', ARRAY[9007199254740991], '{0}', '{0}', '{0}', '{}', true)", schema),
		pgtype.UUID{Bytes: id, Valid: true}, r.kind)
	return position
}

func (r refreshed) is(f store.Family) bool { return f.Generation == r.generation && f.Copy == r.copied }

func loggedIn(t *testing.T, db *postgres.Store, id store.ID, idle time.Duration) store.Family {
	t.Helper()
	s, err := db.Create(background, store.Creation{ID: id, Subject: "anna", Idle: idle, Absolute: 24 * time.Hour})
	if err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	return s.Family
}

// TestARefreshThatIsNotCommitted makes other calls while a refresh is open, which
// has locked its row and read the head.
func TestARefreshThatIsNotCommitted(t *testing.T) {
	for name, refreshing := range refreshings {
		t.Run(name, func(t *testing.T) { aRefreshThatIsNotCommitted(t, refreshing) })
	}
}

func aRefreshThatIsNotCommitted(t *testing.T, refreshing refreshed) {
	t.Run("ARevocationDoesNotWaitAndIsAbove", func(t *testing.T) {
		db, pool, o := openNew(t)
		f := refreshing.login(t, db, enginebench.ID(1), time.Hour)
		tx := begin(t, pool)
		position := refreshing.in(t, tx, o.Schema, f.ID)
		for _, r := range []store.Revocation{{Subjects: []string{"anna"}}, {Everyone: true}} {
			s, err := db.Revoke(background, r)
			if err != nil || int64(s.Entry) <= position {
				t.Fatalf("revoked at %d, %v: want above the refresh at %d", s.Entry, err, position)
			}
		}
		commit(t, tx)
		s, err := db.Family(background, f.ID)
		if err != nil || s.State != store.CutOff || int64(s.Family.Position) != position || !refreshing.is(s.Family) {
			t.Errorf("%v, %+v, %v: want cut off at %d, and the refresh kept", s.State, s.Family, err, position)
		}
	})
	t.Run("ItsEndWaitsAndIsAbove", func(t *testing.T) {
		db, pool, o := openNew(t)
		f := refreshing.login(t, db, enginebench.ID(1), time.Hour)
		tx := begin(t, pool)
		position := refreshing.in(t, tx, o.Schema, f.ID)
		done := async(func() (store.Snapshot, error) {
			return db.Revoke(background, store.Revocation{Sessions: []store.ID{f.ID}})
		})
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Written || int64(s.Entry) <= position {
			t.Errorf("%v at %d: want above the refresh at %d", s.Outcome, s.Entry, position)
		}
		if s, err := db.Family(background, f.ID); err != nil || s.State != store.Ended || !refreshing.is(s.Family) {
			t.Errorf("%v, %+v, %v: want it ended, and the refresh kept", s.State, s.Family, err)
		}
	})
	t.Run("ACommitWaitsAndKeepsTheGeneration", func(t *testing.T) {
		db, pool, o := openNew(t)
		f := refreshing.login(t, db, enginebench.ID(1), time.Hour)
		tx := begin(t, pool)
		refreshing.in(t, tx, o.Schema, f.ID)
		done := async(func() (store.Snapshot, error) {
			return db.Commit(background, store.Commit{ID: f.ID, Basis: f.Position, Value: []byte("value")})
		})
		waits(t, pool, done)
		commit(t, tx)
		s := result(t, done)
		if s.Outcome != store.Written || !refreshing.is(s.Family) || s.Family.Position != s.Entry || s.Family.LastCommit != s.Entry {
			t.Errorf("%v at %d, %+v", s.Outcome, s.Entry, s.Family)
		}
		if s, err := db.Advance(background, store.Advance{ID: f.ID, Generation: 2, Basis: f.Position}); err != nil || s.Outcome != store.Behind {
			t.Errorf("a refresh from before it: %v, %v", s.Outcome, err)
		}
	})
	t.Run("ARenewalWaitsAndEndsIt", func(t *testing.T) {
		db, pool, o := openNew(t)
		f := refreshing.login(t, db, enginebench.ID(1), time.Hour)
		tx := begin(t, pool)
		position := refreshing.in(t, tx, o.Schema, f.ID)
		done := async(func() (store.Snapshot, error) {
			return db.Create(background, store.Creation{ID: enginebench.ID(2), Subject: "anna", Renews: &store.Renewal{ID: f.ID, Basis: f.Position}})
		})
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Written || int64(s.Entry) <= position || s.Family.Birth != s.Entry {
			t.Errorf("%v at %d, born at %d: want above the refresh at %d", s.Outcome, s.Entry, s.Family.Birth, position)
		}
		if s, err := db.Family(background, f.ID); err != nil || s.State != store.Ended {
			t.Errorf("the old one is %v, %v", s.State, err)
		}
	})
	t.Run("TheSecondWithTheSameTokenIsNotWritten", func(t *testing.T) {
		db, pool, o := openNew(t)
		f := refreshing.login(t, db, enginebench.ID(1), time.Hour)
		tx := begin(t, pool)
		refreshing.in(t, tx, o.Schema, f.ID)
		done := async(func() (store.Snapshot, error) { return refreshing.call(db, f.ID, time.Minute) })
		waits(t, pool, done)
		commit(t, tx)
		if s := result(t, done); s.Outcome != store.Unwritten || s.State != store.Alive || !refreshing.is(s.Family) {
			t.Errorf("%v, %v, %+v: want the successor told", s.Outcome, s.State, s.Family)
		}
	})
	t.Run("HousekeepingPassesItOver", func(t *testing.T) {
		db, pool, o := openNew(t)
		move := clockOf(t, pool, o.Schema)
		f := refreshing.login(t, db, enginebench.ID(1), time.Minute)
		move(59 * time.Second)
		tx := begin(t, pool)
		refreshing.in(t, tx, o.Schema, f.ID)
		move(30 * time.Second) // past the due time that the family began with
		if err := db.Sweep(background); err != nil {
			t.Fatal(err)
		}
		commit(t, tx)
		for range 2 { // housekeeping finds it and gives it a later due time
			if err := db.Sweep(background); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := db.Advance(background, store.Advance{ID: f.ID, Generation: 2}); err != nil || s.Outcome != store.Written {
			t.Errorf("a family that was refreshed in time: %v, %v, %v", s.Outcome, s.State, err)
		}
		move(2 * time.Minute)
		if err := db.Sweep(background); err != nil {
			t.Fatal(err)
		}
		if n, err := db.Rows(background); err != nil || n != 0 {
			t.Errorf("%d families, %v: want it gone after its limit", n, err)
		}
	})
}

// TestHousekeepingThatIsNotCommitted makes calls on a family that is being removed.
// They must wait, and then find the family absent.
func TestHousekeepingThatIsNotCommitted(t *testing.T) {
	db, pool, o := openNew(t)
	move := clockOf(t, pool, o.Schema)
	f := loggedIn(t, db, enginebench.ID(1), time.Minute)
	if s, err := db.Commit(background, store.Commit{ID: f.ID, Basis: f.Position, Value: []byte("value")}); err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	calls := []func() (store.Snapshot, error){
		func() (store.Snapshot, error) {
			return db.Commit(background, store.Commit{ID: f.ID, Basis: store.MaxPosition, Value: []byte("other")})
		},
	}
	for _, refreshing := range refreshings {
		calls = append(calls, func() (store.Snapshot, error) { return refreshing.call(db, f.ID, 0) })
	}
	tx := begin(t, pool)
	// Housekeeping's own lock keeps the engine's housekeeping out.
	if _, err := tx.Exec(background, "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 7738423))", o.Schema); err != nil {
		t.Fatal(err)
	}
	move(2 * time.Minute)
	if _, err := tx.Exec(background, postgres.Fill("SELECT @schema@.tidy(256)", o.Schema)); err != nil {
		t.Fatal(err)
	}
	var left int
	exec1(t, tx, &left, postgres.Fill("SELECT count(*) FROM @schema@.families", o.Schema))
	if left != 0 {
		t.Fatalf("%d families: want it removed here", left)
	}
	var waiting []<-chan callResult
	for _, call := range calls {
		done := async(call)
		waits(t, pool, done)
		waiting = append(waiting, done)
	}
	commit(t, tx)
	for _, done := range waiting {
		if s := result(t, done); s.Outcome != store.Unwritten || s.State != store.Absent {
			t.Errorf("%v, %v: want nothing written, absent", s.Outcome, s.State)
		}
	}
	var values int
	exec1(t, pool, &values, postgres.Fill("SELECT count(*) FROM @schema@.committed", o.Schema))
	if values != 0 {
		t.Errorf("%d values are left of families that are gone", values)
	}
}

// TestEveryQueryMode uses every query mode of pgx: the documentation of Open says
// that each works.
func TestEveryQueryMode(t *testing.T) {
	value := []byte{0, 1, '\\', 'x', 0xff, '\'', '$', '1'}
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			db := open(t, newPool(t, serverURL(t)+"&default_query_exec_mode="+mode), postgres.Options{Schema: newSchema()})
			bearing := []store.Name{{0, '\\', 'x', '"', '{', ',', 1}, {0xff, 0xfe, '\''}} // byte for byte
			bound, verified := store.Seal{0, '\\', '\'', 0xff}, store.Seal{1}
			s, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Names: bearing, Seal: verified, Idle: time.Hour, Absolute: time.Hour})
			if err != nil || s.Outcome != store.Written || !slices.Equal(s.Family.Names, bearing) {
				t.Fatalf("%v, %v, %v", s.Outcome, s.Family.Names, err)
			}
			f := s.Family
			device := store.Key{0xff, '\\', 'x', 0}
			if s, err = db.Bind(background, store.Binding{ID: f.ID, Key: device, Verified: verified, Seal: bound, Counts: true}); err != nil || s.Outcome != store.Written || s.Family.Key != device || s.Family.Seal != bound {
				t.Fatalf("%v, %v, %v, %v", s.Outcome, s.Family.Key, s.Family.Seal, err)
			}
			s, err = db.Commit(background, store.Commit{ID: f.ID, Basis: f.Position, Key: device, Value: value})
			if err != nil || s.Outcome != store.Written || string(s.Family.Value) != string(value) {
				t.Fatalf("%v, %q, %v", s.Outcome, s.Family.Value, err)
			}
			if s, err = db.Advance(background, store.Advance{ID: f.ID, Generation: 1, Key: device, Basis: s.Entry}); err != nil || s.Outcome != store.Written || string(s.Family.Value) != string(value) {
				t.Errorf("%v, %q, %v", s.Outcome, s.Family.Value, err)
			}
			text := strings.Repeat("ü", 127)
			r := store.Revocation{Reason: text, Actor: text}
			for i := range store.MaxEntries {
				r.Subjects = append(r.Subjects, strings.Repeat("'", 250)+string(rune('A'+i%26))+string(rune('a'+i/26)))
			}
			before, err := db.Since(background, store.Cursor{}, 10, 0)
			if err != nil {
				t.Fatal(err)
			}
			if s, err = db.Revoke(background, r); err != nil || s.Outcome != store.Written {
				t.Fatalf("%v, %v", s.Outcome, err)
			}
			b, err := db.Since(background, after(before), store.MaxEntries, 0)
			if err != nil || len(b.Entries) != store.MaxEntries || b.More || b.Head != s.Entry {
				t.Fatalf("%d entries, %v", len(b.Entries), err)
			}
			for i, e := range b.Entries {
				if e.Subject != r.Subjects[i] || e.Reason != text || e.Actor != text || !e.Session.IsZero() {
					t.Fatalf("entry %d: %+v", i, e)
				}
			}
			page, err := db.Families(background, store.Query{Subject: "anna", Limit: 10})
			if err != nil || len(page.Families) != 1 || page.Families[0].Value != nil || !slices.Equal(page.Families[0].Names, bearing) {
				t.Errorf("%+v, %v", page, err)
			}
			if ok, err := db.SwapKeys(background, 0, value); err != nil || !ok {
				t.Errorf("swapped: %v, %v", ok, err)
			}
			if v, document, err := db.LoadKeys(background); err != nil || v != 1 || string(document) != string(value) {
				t.Errorf("version %d, %q, %v", v, document, err)
			}
		})
	}
}

// TestATableIsLocked locks a table as an administrator. Calls must fail within the
// timeout, and succeed again afterwards.
func TestATableIsLocked(t *testing.T) {
	for _, table := range []string{"families", "entries", "log"} {
		t.Run(table, func(t *testing.T) {
			pool, o := newPool(t, serverURL(t)), postgres.Options{Schema: newSchema(), Timeout: 300 * time.Millisecond}
			db := open(t, pool, o)
			f := loggedIn(t, db, enginebench.ID(1), time.Hour)
			tx := begin(t, newPool(t, serverURL(t)))
			if _, err := tx.Exec(background, "LOCK TABLE "+quoted(o.Schema)+"."+table+" IN ACCESS EXCLUSIVE MODE"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if s, err := db.Advance(background, store.Advance{ID: f.ID, Generation: 1}); err == nil {
				t.Errorf("advanced: %v", s.Outcome)
			}
			if s, err := db.Create(background, store.Creation{ID: enginebench.ID(2), Subject: "anna", Idle: time.Hour, Absolute: time.Hour}); err == nil {
				t.Errorf("created: %v", s.Outcome)
			}
			if took := time.Since(began); took > patience {
				t.Errorf("two errors after %v: want them within the timeout", took)
			}
			commit(t, tx)
			waitFor(t, "a refresh, and it is the first", func() bool {
				s, err := db.Advance(background, store.Advance{ID: f.ID, Generation: 1})
				return err == nil && s.Family.Generation == 2
			})
			waitFor(t, "a revocation", func() bool {
				s, err := db.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
				return err == nil && s.Outcome == store.Written
			})
		})
	}
}

// TestTheSchemaIsMadeAnew recreates the schema under a running engine. The engine
// must go on with the new log and report the new id, and no old family may be
// alive.
func TestTheSchemaIsMadeAnew(t *testing.T) {
	db, pool, o := openNew(t)
	f := loggedIn(t, db, enginebench.ID(1), time.Hour)
	before, err := db.Cutoffs(background, f.ID, "anna")
	if err != nil {
		t.Fatal(err)
	}
	run(t, pool, "DROP SCHEMA "+quoted(o.Schema)+" CASCADE")
	if _, err := db.Advance(background, store.Advance{ID: f.ID, Generation: 1}); err == nil {
		t.Error("advanced without a schema")
	}
	if _, err := db.Cutoffs(background, f.ID, "anna"); err == nil {
		t.Error("cutoffs without a schema")
	}
	if err := postgres.Migrate(background, pool, o); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new log is read", func() bool {
		c, err := db.Cutoffs(background, f.ID, "anna")
		return err == nil && c.Log != before.Log && c.Everyone > before.Head
	})
	waitFor(t, "the engine writes to it", func() bool {
		s, err := db.Advance(background, store.Advance{ID: f.ID, Generation: 1})
		return err == nil && s.State == store.Absent
	})
	waitFor(t, "and appends to it", func() bool {
		s, err := db.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
		return err == nil && s.Outcome == store.Written
	})
}
