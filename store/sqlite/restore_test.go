//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// TestRestoreKeepsTheList has a caller give up and then reuse its list. What is
// written later must be the list as it was.
func TestRestoreKeepsTheList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	other := raw(t, path)
	other.SetMaxOpenConns(1)
	ahead := store.Position(time.Now().Add(12 * time.Hour).UnixMicro()) // of all positions that the test takes
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		restoreAndGiveUp(t, db, wait, ahead)
		revokeAndGiveUp(t, db, wait)
		if _, err := other.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		// Writes keep their order, so this comes after both.
		if _, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{enginebench.ID(2)}}); err != nil {
			t.Fatal(err)
		}
		c, err := db.Cutoffs(t.Context(), enginebench.ID(1), "anna")
		if err != nil {
			t.Fatal(err)
		}
		if c.Everyone > ahead {
			t.Fatal("everyone was revoked, whom the caller put into the list after it gave up")
		}
		of, err := db.Cutoffs(t.Context(), enginebench.ID(3), "carl")
		if err != nil {
			t.Fatal(err)
		}
		if of.Subject != 0 {
			t.Fatal("carl was revoked, whom the caller put into the list after it gave up")
		}
		if c.Subject > ahead {
			return
		}
		if wait > time.Minute {
			t.Fatal("a write that has begun, and waits for the file's lock, is given up with its caller")
		}
	}
}

// restoreAndGiveUp calls Restore, gives up after wait, and then changes the list.
func restoreAndGiveUp(t *testing.T, db *sqlite.Store, wait time.Duration, ahead store.Position) {
	t.Helper()
	ctx, giveUp := context.WithTimeout(t.Context(), wait)
	defer giveUp()
	lost := []store.Entry{{Kind: store.KindSubject, Subject: "anna", Position: ahead}}
	if _, err := db.Restore(ctx, store.Restoration{Entries: lost, Above: ahead}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v: want that it gave up", err)
	}
	lost[0] = store.Entry{Kind: store.KindEveryone, Position: ahead}
}

func revokeAndGiveUp(t *testing.T, db *sqlite.Store, wait time.Duration) {
	t.Helper()
	ctx, giveUp := context.WithTimeout(t.Context(), wait)
	defer giveUp()
	subjects := []string{"bert"}
	if _, err := db.Revoke(ctx, store.Revocation{Subjects: subjects}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v: want that it gave up", err)
	}
	subjects[0] = "carl"
}

// TestRestoreIsShort compares restoring as many entries as one call may with
// revoking as many: both must hold the file's lock about as long. The other
// nodes' calls, which find everything covered, hold it for less.
func TestRestoreIsShort(t *testing.T) {
	times := 9
	if underRace() {
		times = 1
	}
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	crowd(t, path, "", 2*times*store.MaxEntries+1, 12*time.Hour)
	next := 0
	fresh := func(kind store.Kind, absent bool) (sessions []store.ID, subjects []string) {
		for range store.MaxEntries {
			next++
			switch {
			case kind == store.KindSubject:
				subjects = append(subjects, fmt.Sprint("lost", next))
			case absent:
				sessions = append(sessions, enginebench.ID(1<<40+next))
			default:
				sessions = append(sessions, enginebench.ID(next))
			}
		}
		return sessions, subjects
	}
	for _, c := range []struct {
		what   string
		kind   store.Kind
		absent bool
	}{{"living sessions", store.KindSession, false}, {"absent sessions", store.KindSession, true}, {"subjects", store.KindSubject, false}} {
		var again store.Restoration
		var covered []time.Duration
		restore, revoke := quickest(t, times, func() error {
			sessions, subjects := fresh(c.kind, c.absent)
			head, err := db.Cutoffs(t.Context(), store.ID{}, "")
			if err != nil {
				return err
			}
			again = store.Restoration{Above: head.Head + store.MaxEntries}
			for i := range store.MaxEntries {
				e := store.Entry{Kind: c.kind, Position: head.Head + 1 + store.Position(i)}
				if c.kind == store.KindSubject {
					e.Subject = subjects[i]
				} else {
					e.Session = sessions[i]
				}
				again.Entries = append(again.Entries, e)
			}
			s, err := db.Restore(t.Context(), again)
			if err == nil && s.Outcome != store.Written {
				err = fmt.Errorf("%v", s.Outcome)
			}
			return err
		}, func() error {
			sessions, subjects := fresh(c.kind, c.absent)
			_, err := db.Revoke(t.Context(), store.Revocation{Sessions: sessions, Subjects: subjects})
			return err
		})
		for range times {
			began := time.Now()
			if s, err := db.Restore(t.Context(), again); err != nil || s.Outcome != store.Unwritten {
				t.Fatalf("restored again: %v, %v", s.Outcome, err)
			}
			covered = append(covered, time.Since(began))
		}
		t.Logf("%d %s: restored in %v, revoked in %v: x%.1f; found covered in %v", store.MaxEntries, c.what, restore, revoke, ratio(restore, revoke), enginebench.Median(covered))
		if ratio(restore, revoke) > 6 {
			t.Errorf("restoring %d %s takes %v, revoking as many %v", store.MaxEntries, c.what, restore, revoke)
		}
	}
}
