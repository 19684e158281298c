package sqlite_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

var scale = flag.String("scale", "", `"full" runs the tests of scale at the sizes that the budgets name`)

// sized returns the size of a test: the budget's own, or a tenth or so of it in a
// full run of all tests, a fifth of that by default, and less again under the
// race detector, where the driver is some ten times slower.
func sized(full, usual, race int) int {
	switch {
	case *scale == "full":
		return full
	case underRace():
		return race
	}
	return rounds.Of(usual/5, usual)
}

func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}

// TestChurn keeps a tenth of the families alive at any time. The file's final
// size must be in proportion to those.
func TestChurn(t *testing.T) {
	n := sized(1_000_000, 50_000, 2_000)
	const waves, living = 20, 2
	path := filepath.Join(t.TempDir(), "wafer.db")
	c := &clock{now: time.Now()}
	db := open(t, path, sqlite.Options{Now: c.Now})
	if _, err := db.Announce(t.Context(), store.Announcement{Access: 5 * time.Minute, Absolute: 12 * time.Hour, Leeway: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	largest := int64(0)
	for wave := range waves {
		enginebench.Parallel(t, 64, n/waves, func(i int) error {
			return live(t.Context(), db, enginebench.ID(wave*n/waves+i), i)
		})
		if wave < waves-1 {
			// Half of the idle limit, and some: two waves live at a time.
			c.Move(35 * time.Minute)
		}
		if err := db.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, sizeOf(t, path))
	}
	took := time.Since(began)
	rows, err := db.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := living * n / waves; rows != want {
		t.Errorf("%d families are left: want %d", rows, want)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	size := sizeOf(t, path)

	// This is the size of as many families in a new file.
	path = filepath.Join(t.TempDir(), "fresh.db")
	fresh, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	enginebench.Parallel(t, 64, rows, func(i int) error { return live(t.Context(), fresh, enginebench.ID(i), i) })
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	least := sizeOf(t, path)
	t.Logf("%d families came and went in %v; %d live; the file has %d bytes (%d a living family), %d at most, log included; a fresh one %d",
		n, took.Round(time.Millisecond), rows, size, size/int64(rows), largest, least)
	// A quarter of the file, and some pages, may be free: housekeeping keeps
	// that for what comes next.
	if size > 2*least+2<<20 {
		t.Errorf("the file has %d bytes, a fresh one of as many families %d", size, least)
	}
}

// live creates family i. It refreshes every third and ends every tenth.
func live(ctx context.Context, db *sqlite.Store, id store.ID, i int) error {
	s, err := db.Create(ctx, store.Creation{ID: id, Subject: fmt.Sprintf("user-%d@example.com", i), Idle: time.Hour, Absolute: 12 * time.Hour})
	if err == nil && i%3 == 0 {
		s, err = db.Advance(ctx, store.Advance{ID: id, Generation: 1})
	}
	if err == nil && i%10 == 0 {
		s, err = db.Revoke(ctx, store.Revocation{Sessions: []store.ID{id}, Reason: "logout"})
	}
	if err == nil && s.Outcome != store.Written {
		err = fmt.Errorf("%v, %v", s.Outcome, s.State)
	}
	return err
}

// sizeOf returns the size of a database on disk, with the files that belong to it.
func sizeOf(t *testing.T, path string) (bytes int64) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err == nil {
			bytes += info.Size()
		} else if suffix == "" {
			t.Fatal(err)
		}
	}
	return bytes
}

// crowd adds n families to a file by one statement. If subject is empty, each has
// a subject of its own.
func crowd(t testing.TB, path, subject string, n int, idle time.Duration) {
	t.Helper()
	crowdOf(t, path, subject, n, idle, false)
}

// crowdOf is crowd for families that live or have ended.
func crowdOf(t testing.TB, path, subject string, n int, idle time.Duration, ended bool) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	_, err = db.Exec(`PRAGMA busy_timeout = 60000;
		INSERT INTO families (id, subject, label, native, actor, methods, level, counts, seal, birth, position, last_commit,
			generation, copy, used, started, authenticated, issued, idle, absolute, ended, known, due)
		SELECT randomblob(16), coalesce(nullif(?1, ''), 'crowd-' || i), '', 0, '', '', '', 0, randomblob(20), head, head, 0,
			1, 0, 0, ?2 - i, ?2 - i, ?2, ?3, 86400000 + i, ?5, ?2, ?2 + ?3
		FROM log, (WITH RECURSIVE counted(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < ?4) SELECT i FROM counted)`,
		subject, now.UnixMilli(), idle.Milliseconds(), n, ended)
	if err != nil {
		t.Fatal(err)
	}
}

// quickest runs both in turn, some times, and returns the shortest duration of each:
// the others may have waited for the processor or the disk.
func quickest(t *testing.T, times int, a, b func() error) (tookA, tookB time.Duration) {
	t.Helper()
	var took [2][]time.Duration
	for range times {
		for which, do := range []func() error{a, b} {
			began := time.Now()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			took[which] = append(took[which], time.Since(began))
		}
	}
	return slices.Min(took[0]), slices.Min(took[1])
}

// TestOneSubject gives one subject a great many families, and another few.
func TestOneSubject(t *testing.T) {
	n := sized(100_000, 50_000, 1_500)
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	crowd(t, path, "many", n, 12*time.Hour)
	crowd(t, path, "few", 100, 12*time.Hour)
	families := func(subject string, want int) func() error {
		return func() error {
			page, err := db.Families(t.Context(), store.Query{Subject: subject, Limit: 100})
			if n := len(page.Families); err == nil && n != want {
				err = fmt.Errorf("%d families of %q: want %d", n, subject, want)
			}
			return err
		}
	}
	revoke := func(subject string) func() error {
		return func() error {
			_, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{subject}, Reason: "password change"})
			return err
		}
	}
	few, many := quickest(t, 15, families("few", 100), families("many", 100))
	t.Logf("100 families: of %d %v, of 100 %v: x%.1f", n, many, few, ratio(many, few))
	if ratio(many, few) > 10 {
		t.Errorf("100 families of %d take %v, of 100 %v", n, many, few)
	}
	few, many = quickest(t, 15, revoke("few"), revoke("many"))
	t.Logf("revoking a subject: of %d families %v, of 100 %v: x%.1f", n, many, few, ratio(many, few))
	if ratio(many, few) > 10 {
		t.Errorf("revoking a subject of %d families takes %v, of 100 %v", n, many, few)
	}
	// Families that are cut off cost time until they are past their limits and
	// removed. That cost is logged and not asserted.
	gone, login := quickest(t, 5, families("many", 0), func() error {
		var id store.ID
		rand.Read(id[:])
		s, err := db.Create(t.Context(), store.Creation{ID: id, Subject: "many", Idle: time.Hour, Absolute: time.Hour, Limit: 5, EndOldest: true})
		if err == nil {
			_, err = db.Revoke(t.Context(), store.Revocation{Subjects: []string{"many"}, Above: s.Head})
		}
		return err
	})
	t.Logf("after that, listing none of %d: %v; a login with a limit of 5, and its end: %v", n, gone, login)
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// TestEveryone revokes everyone over a great many families: one entry, in one
// transaction as short as that of one session.
func TestEveryone(t *testing.T) {
	n := sized(1_000_000, 100_000, 3_000)
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	began := time.Now()
	crowd(t, path, "", n, 12*time.Hour)
	t.Logf("%d families were made in %v", n, time.Since(began).Round(time.Millisecond))
	id := enginebench.ID(1)
	if err := live(t.Context(), db, id, 1); err != nil {
		t.Fatal(err)
	}
	before, err := db.Since(t.Context(), store.Cursor{}, store.MaxEntries, 0)
	if err != nil {
		t.Fatal(err)
	}
	next := 2
	one, everyone := quickest(t, 15, func() error {
		next++
		_, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{enginebench.ID(next)}})
		return err
	}, func() error {
		_, err := db.Revoke(t.Context(), store.Revocation{Everyone: true})
		return err
	})
	after, err := db.Since(t.Context(), store.Cursor{Position: before.Head, ID: before.HeadID}, store.MaxEntries, 0)
	if err != nil || len(after.Entries) != 30 {
		t.Errorf("%d entries, %v: want one for each of 30 revocations", len(after.Entries), err)
	}
	t.Logf("everyone of %d families: %v; one session: %v: x%.1f", n, everyone, one, ratio(everyone, one))
	if ratio(everyone, one) > 10 {
		t.Errorf("everyone of %d families takes %v, one session %v", n, everyone, one)
	}
	if s, err := db.Family(t.Context(), id); err != nil || s.State != store.CutOff {
		t.Errorf("a family is %v, %v after that", s.State, err)
	}
}

// TestTidyBesideWriters measures refreshes while the engine's own housekeeping
// has a great deal to remove, and while it has nothing to do.
func TestTidyBesideWriters(t *testing.T) {
	n := sized(1_000_000, 40_000, 2_000)
	path := filepath.Join(t.TempDir(), "wafer.db")
	c := &clock{now: time.Now()}
	db := open(t, path, sqlite.Options{Now: c.Now})
	crowd(t, path, "", n, time.Hour)
	const clients = 4
	var generations [clients]uint32
	for i := range clients {
		generations[i] = 1
		if _, err := db.Create(t.Context(), store.Creation{ID: enginebench.ID(i), Subject: "writer", Idle: 12 * time.Hour, Absolute: 12 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	// advance refreshes until done, and returns what 99 of 100 are within.
	advance := func(done func() bool) (p99, most time.Duration, perSecond float64) {
		var mu sync.Mutex
		var all []time.Duration
		began := time.Now()
		enginebench.Parallel(t, clients, clients, func(i int) error {
			var own []time.Duration
			for !done() {
				began := time.Now()
				s, err := db.Advance(t.Context(), store.Advance{ID: enginebench.ID(i), Generation: generations[i]})
				own = append(own, time.Since(began))
				if err != nil || s.Outcome != store.Written {
					return fmt.Errorf("%v, %v, %v", s.Outcome, s.State, err)
				}
				generations[i]++
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
			return nil
		})
		slices.Sort(all)
		return all[len(all)*99/100], all[len(all)-1], float64(len(all)) / time.Since(began).Seconds()
	}
	until := time.Now().Add(500 * time.Millisecond)
	idle, idleMost, idleRate := advance(func() bool { return time.Now().After(until) })
	c.Move(2 * time.Hour)
	began := time.Now()
	var tidied atomic.Bool
	var watch sync.WaitGroup
	watch.Go(func() {
		defer tidied.Store(true)
		for rows := n; rows > clients && time.Since(began) < 10*time.Minute; time.Sleep(time.Duration(n/10) * time.Microsecond) {
			var err error
			if rows, err = db.Rows(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	busy, busyMost, busyRate := advance(tidied.Load)
	watch.Wait()
	if rows, err := db.Rows(t.Context()); err != nil || rows != clients {
		t.Errorf("%d families are left, %v: want %d", rows, err, clients)
	}
	t.Logf("%d families were removed in %v", n, time.Since(began).Round(time.Millisecond))
	t.Logf("refreshes beside that: 99 of 100 within %v, all within %v, %.0f a second", busy, busyMost, busyRate)
	t.Logf("refreshes alone:       99 of 100 within %v, all within %v, %.0f a second: x%.1f", idle, idleMost, idleRate, ratio(busy, idle))
	if ratio(busy, idle) > 50 && busy > time.Second {
		t.Errorf("99 of 100 refreshes beside housekeeping are within %v, alone within %v", busy, idle)
	}
}
