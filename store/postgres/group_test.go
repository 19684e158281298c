//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
)

// failing makes the first n updates or inserts of a table fail with a code. It
// counts them by a sequence, which no rollback undoes.
func failing(t *testing.T, schema, table, code string, n int) (tries func() int) {
	t.Helper()
	pool, in := newPool(t, serverURL(t)), quoted(schema)
	run(t, pool, "CREATE SEQUENCE "+in+".tries",
		fmt.Sprintf(`CREATE FUNCTION %s.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('%s.tries') <= %d THEN RAISE EXCEPTION 'not now' USING ERRCODE = '%s'; END IF; RETURN new; END $$`, in, in, n, code),
		"CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON "+in+"."+table+" FOR EACH ROW EXECUTE FUNCTION "+in+".fail()")
	return func() (tries int) {
		exec1(t, pool, &tries, "SELECT last_value FROM "+in+".tries")
		return tries
	}
}

// TestTriedAgain checks that a transaction which the server rolled back because of
// another is tried again, a few times, and that no other is.
func TestTriedAgain(t *testing.T) {
	for _, test := range []struct {
		code        string
		fails, want int
		written     bool
	}{
		{"40001", 3, 4, true}, {"40P01", 3, 4, true}, {"0A000", 1, 2, true}, {"40001", 1000, 5, false}, {"53100", 3, 1, false}, {"23514", 3, 1, false},
	} {
		t.Run(fmt.Sprintf("%s %d times", test.code, test.fails), func(t *testing.T) {
			db, _, o := openNew(t)
			if s, err := db.Create(background, store.Creation{ID: enginebench.ID(1), Subject: "anna", Idle: time.Hour, Absolute: time.Hour}); err != nil || s.Outcome != store.Written {
				t.Fatal(s.Outcome, err)
			}
			tries := failing(t, o.Schema, "families", test.code, test.fails)
			s, err := db.Advance(background, store.Advance{ID: enginebench.ID(1), Generation: 1})
			var e *pgconn.PgError
			switch {
			case test.written && (err != nil || s.Outcome != store.Written || s.Family.Generation != 2):
				t.Errorf("%v, generation %d, %v: want written once", s.Outcome, s.Family.Generation, err)
			case !test.written && (!errors.As(err, &e) || e.Code != test.code):
				t.Errorf("%v, %v: want the server's error %s", s.Outcome, err, test.code)
			}
			if got := tries(); got != test.want {
				t.Errorf("%d tries: want %d", got, test.want)
			}
			if f, err := db.Family(background, enginebench.ID(1)); err != nil || (f.Family.Generation == 2) != test.written {
				t.Errorf("generation %d, %v", f.Family.Generation, err)
			}
		})
	}
}

// TestOneFailsAlone checks that a write which the server refuses does not make the
// others of its group fail.
func TestOneFailsAlone(t *testing.T) {
	db, pool, o := openNew(t)
	in := quoted(o.Schema)
	run(t, pool, `CREATE FUNCTION `+in+`.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF new.label = 'bad' THEN RAISE EXCEPTION 'a bad one'; END IF; RETURN new; END $$`,
		"CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON "+in+".families FOR EACH ROW EXECUTE FUNCTION "+in+".fail()")
	create := func(i int) error {
		label := "good"
		if i%7 == 0 {
			label = "bad"
		}
		s, err := db.Create(background, store.Creation{ID: enginebench.ID(i), Subject: "anna", Label: label, Idle: time.Hour, Absolute: time.Hour})
		if (err == nil) != (label == "good") || err == nil && s.Outcome != store.Written {
			return fmt.Errorf("a %s one: %v, %v", label, s.Outcome, err)
		}
		return nil
	}
	enginebench.Parallel(t, 64, 300, create)
	if n, err := db.Rows(background); err != nil || n != 300-43 {
		t.Errorf("%d families, %v: want %d", n, err, 300-43)
	}
	// The same holds for refreshes, whose group is one statement.
	run(t, pool, "ALTER TABLE "+in+".families DISABLE TRIGGER fail", "UPDATE "+in+".families SET label = 'bad' WHERE id IN (SELECT id FROM "+in+".families LIMIT 20)", "ALTER TABLE "+in+".families ENABLE TRIGGER fail")
	var mu sync.Mutex
	failed := 0
	enginebench.Parallel(t, 64, 300, func(i int) error {
		_, err := db.Advance(background, store.Advance{ID: enginebench.ID(i), Generation: 1})
		if err != nil {
			mu.Lock()
			failed++
			mu.Unlock()
		}
		return nil
	})
	if failed != 20 {
		t.Errorf("%d refreshes failed: want the 20 bad ones", failed)
	}
}

// TestALockedRowHoldsUpNoOther refreshes families while another transaction has
// locked more rows than there are groups. The other families' refreshes do not wait.
func TestALockedRowHoldsUpNoOther(t *testing.T) {
	pool := newPool(t, serverURL(t)+"&pool_max_conns=10")
	o, ids := filled(t, pool, 40)
	o.Timeout = patience
	db := open(t, pool, o)
	tx := begin(t, pool)
	if _, err := tx.Exec(background, "SELECT 1 FROM "+quoted(o.Schema)+".families WHERE id = ANY ($1) FOR UPDATE", uuids(ids[:20])); err != nil {
		t.Fatal(err)
	}
	refresh := func(id store.ID) <-chan callResult {
		return async(func() (store.Snapshot, error) { return refreshings["Advance"].call(db, id, 0) })
	}
	var locked []<-chan callResult
	for _, id := range ids[:20] {
		locked = append(locked, refresh(id))
	}
	waits(t, pool, locked[0])
	for _, id := range ids[20:] {
		if s := result(t, refresh(id)); s.Outcome != store.Written {
			t.Errorf("another family: %v, %v", s.Outcome, s.State)
		}
	}
	commit(t, tx)
	for _, done := range locked {
		if s := result(t, done); s.Outcome != store.Written {
			t.Errorf("a family whose row was locked: %v, %v", s.Outcome, s.State)
		}
	}
}

func uuids(ids []store.ID) (list []pgtype.UUID) {
	for _, id := range ids {
		list = append(list, pgtype.UUID{Bytes: id, Valid: true})
	}
	return list
}

// TestGivenUp has callers give up. A write that has not begun leaves nothing behind.
// A caller that gives up later returns at once, and the writes of others stand.
func TestGivenUp(t *testing.T) {
	db, pool, o := openNew(t)
	tx := begin(t, pool)
	revokeIn(t, tx, o.Schema, "anna") // holds the head
	create := func(i int) func() (store.Snapshot, error) {
		return func() (store.Snapshot, error) {
			ctx := background
			if i%2 == 0 {
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				ctx = short
			}
			return db.Create(ctx, store.Creation{ID: enginebench.ID(i), Subject: "anna", Idle: time.Hour, Absolute: time.Hour})
		}
	}
	first := async(create(1))
	waits(t, pool, first)
	var others []<-chan callResult
	for i := 2; i < 20; i++ {
		others = append(others, async(create(i)))
	}
	for i, done := range others {
		if i%2 != 0 {
			continue
		}
		select {
		case a := <-done:
			if !errors.Is(a.err, context.DeadlineExceeded) {
				t.Errorf("%v, %v: want the context's error", a.Outcome, a.err)
			}
		case <-time.After(patience):
			t.Fatal("a caller that gave up is kept")
		}
	}
	commit(t, tx)
	result(t, first)
	for i, done := range others {
		if i%2 == 1 {
			if s := result(t, done); s.Outcome != store.Written {
				t.Errorf("%v", s.Outcome)
			}
		}
	}
	if n, err := db.Rows(background); err != nil || n != 10 {
		t.Errorf("%d families, %v: want those 10 whose callers waited", n, err)
	}
}
