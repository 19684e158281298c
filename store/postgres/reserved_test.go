//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// kept makes the calls that keep a node fresh and let a login begin, and fails if one
// of them does not return.
func kept(t *testing.T, db *postgres.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	b, err := db.Since(ctx, store.Cursor{}, 10, 0)
	if err != nil {
		t.Fatal("Since:", err)
	}
	if _, err := db.Since(ctx, after(b), 10, 100*time.Millisecond); err != nil { // which polls
		t.Error("Since that waits:", err)
	}
	if _, err := db.Cutoffs(ctx, enginebench.ID(1), "anna"); err != nil {
		t.Error("Cutoffs:", err)
	}
	if _, err := db.Announce(ctx, store.Announcement{Realm: "test", Access: time.Minute, Node: enginebench.ID(2)}); err != nil {
		t.Error("Announce:", err)
	}
	if _, _, err := db.LoadKeys(ctx); err != nil {
		t.Error("LoadKeys:", err)
	}
}

// TestThePoolIsHeld holds every connection of the caller's pool. An entry of another
// node arrives all the same.
func TestThePoolIsHeld(t *testing.T) {
	pool, o := newPool(t, serverURL(t)+"&pool_max_conns=1"), postgres.Options{Schema: newSchema()}
	db := open(t, pool, o)
	other := open(t, newPool(t, serverURL(t)), o)
	conn, err := pool.Acquire(background)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	kept(t, db)
	short, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	if _, err := db.Family(short, enginebench.ID(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: want no connection left for a read of the pool", err)
	}
	b, err := db.Since(background, store.Cursor{}, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan store.Batch, 1)
	go func() {
		b, _ := db.Since(background, after(b), 10, 4*patience)
		arrived <- b
	}()
	waitFor(t, "an entry arrives", func() bool {
		if _, err := other.Revoke(background, store.Revocation{Everyone: true}); err != nil {
			t.Fatal(err)
		}
		select {
		case b := <-arrived:
			return len(b.Entries) > 0
		case <-time.After(time.Second):
			return false
		}
	})
}

// TestManyAsk has very many calls of Cutoffs that do not end. The log is read all the
// same, and the node announces itself.
func TestManyAsk(t *testing.T) {
	db, pool, o := openNew(t)
	b, err := db.Since(background, store.Cursor{}, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	tx := begin(t, newPool(t, serverURL(t)))
	if _, err := tx.Exec(background, "LOCK TABLE "+quoted(o.Schema)+".subjects IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var asks []<-chan callResult
	for range 128 {
		asks = append(asks, async(func() (store.Snapshot, error) {
			_, err := db.Cutoffs(background, enginebench.ID(1), "anna")
			return store.Snapshot{}, err
		}))
	}
	waits(t, pool, asks[0])
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	if _, err := db.Since(ctx, after(b), 10, 100*time.Millisecond); err != nil {
		t.Error("Since:", err)
	}
	if _, err := db.Announce(ctx, store.Announcement{Realm: "test", Node: enginebench.ID(2)}); err != nil {
		t.Error("Announce:", err)
	}
	commit(t, tx)
	for _, done := range asks {
		result(t, done)
	}
}

// TestTheHeadIsLocked makes them while another transaction has locked the head.
func TestTheHeadIsLocked(t *testing.T) {
	db, pool, o := openNew(t)
	tx := begin(t, pool)
	revokeIn(t, tx, o.Schema, "anna")
	kept(t, db)
	commit(t, tx)
}

// TestOneAccountsLists makes very many lists of one account, which do not end.
// Logins, refreshes, another account's list and the calls that keep a node fresh must
// go on.
func TestOneAccountsLists(t *testing.T) {
	pool := newPool(t, serverURL(t)+"&pool_max_conns=4")
	o := postgres.Options{Schema: newSchema(), Timeout: patience}
	db := open(t, pool, o)
	f := loggedIn(t, db, enginebench.ID(1), time.Hour)
	// A list of mallory's waits for a lock of this test's.
	run(t, pool, postgres.Fill("ALTER FUNCTION @schema@.list RENAME TO listed", o.Schema), postgres.Fill(`CREATE FUNCTION @schema@.list(of_subject text, a bigint, b bigint, c uuid, d integer) RETURNS SETOF @schema@.snapshot LANGUAGE plpgsql AS $$ BEGIN
		IF of_subject = 'mallory' THEN PERFORM pg_advisory_xact_lock(17, 4); END IF;
		RETURN QUERY SELECT * FROM @schema@.listed(of_subject, a, b, c, d); END $$`, o.Schema))
	holder, err := pgx.Connect(background, serverURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(background)
	if _, err := holder.Exec(background, "SELECT pg_advisory_lock(17, 4)"); err != nil {
		t.Fatal(err)
	}
	var lists []<-chan callResult
	for range 128 {
		lists = append(lists, async(func() (store.Snapshot, error) {
			_, err := db.Families(background, store.Query{Subject: "mallory", Limit: 1000})
			return store.Snapshot{}, err
		}))
	}
	waits(t, newPool(t, serverURL(t)), lists[0])
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	kept(t, db)
	if s, err := db.Create(ctx, store.Creation{ID: enginebench.ID(2), Subject: "bob", Idle: time.Hour, Absolute: time.Hour, Limit: 3}); err != nil || s.Outcome != store.Written {
		t.Errorf("a login: %v, %v", s.Outcome, err)
	}
	if s, err := db.Advance(ctx, store.Advance{ID: f.ID, Generation: 1}); err != nil || s.Outcome != store.Written {
		t.Errorf("a refresh: %v, %v", s.Outcome, err)
	}
	if p, err := db.Families(ctx, store.Query{Subject: "bob", Limit: 10}); err != nil || len(p.Families) != 1 {
		t.Errorf("another's list: %d families, %v", len(p.Families), err)
	}
	if _, err := holder.Exec(background, "SELECT pg_advisory_unlock(17, 4)"); err != nil {
		t.Fatal(err)
	}
	for _, done := range lists {
		result(t, done)
	}
}
