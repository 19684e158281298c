//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// TestRestoreKeepsTheList: a caller that gave up puts its list to another use,
// and what is written afterwards is what it had asked for.
func TestRestoreKeepsTheList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	other := raw(t, path)
	other.SetMaxOpenConns(1)
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		restoreAndGiveUp(t, db, wait)
		if _, err := other.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		// Written in turn, this comes after it.
		if _, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{named(2)}}); err != nil {
			t.Fatal(err)
		}
		c, err := db.Cutoffs(t.Context(), named(1), "anna")
		if err != nil {
			t.Fatal(err)
		}
		if c.Everyone > 1<<52 {
			t.Fatal("everyone was revoked, whom the caller put into the list after it gave up")
		}
		if c.Subject > 1<<52 {
			return
		}
		if wait > 2*time.Second {
			t.Fatal("a write that has begun, and waits for the file's lock, is given up with its caller")
		}
	}
}

// restoreAndGiveUp gives up after a while, and then changes its list.
func restoreAndGiveUp(t *testing.T, db *sqlite.Store, wait time.Duration) {
	t.Helper()
	ctx, giveUp := context.WithTimeout(t.Context(), wait)
	defer giveUp()
	lost := []store.Entry{{Kind: store.KindSubject, Subject: "anna", Position: 1 << 52}}
	if _, err := db.Restore(ctx, store.Restoration{Entries: lost, Above: 1 << 52}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v: want that it gave up", err)
	}
	lost[0] = store.Entry{Kind: store.KindEveryone, Position: 1<<53 - 1}
}
