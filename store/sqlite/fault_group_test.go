//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// hold takes the file's write lock, as another process that writes does, until
// release is called.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	db := raw(t, path)
	conn, err := db.Conn(t.Context())
	must(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	must(t, err)
	return sync.OnceFunc(func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		if err := errors.Join(err, conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
}

func creation(id store.ID) store.Creation {
	return store.Creation{ID: id, Subject: "alice", Idle: time.Hour, Absolute: time.Hour}
}

// TestGroupFailsAlone has some writes of a group fail. The others must not.
func TestGroupFailsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	release := hold(t, path)
	const n = 40
	errs := make([]error, n)
	outcomes := make([]store.Snapshot, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if i%10 == 7 {
				_, errs[i] = db.Revoke(t.Context(), store.Revocation{Subjects: []string{"bob"}, Sessions: []store.ID{{5, 1}}, Above: store.MaxPosition})
				return
			}
			outcomes[i], errs[i] = db.Create(t.Context(), creation(store.ID{4, byte(i)}))
		})
	}
	time.Sleep(100 * time.Millisecond) // all wait behind the first
	release()
	group.Wait()
	for i, err := range errs {
		if i%10 == 7 {
			if err == nil {
				t.Error("an Above far beyond the clock was accepted")
			}
			continue
		}
		if err != nil || outcomes[i].Outcome != store.Written {
			t.Errorf("a neighbour: %v, %v", outcomes[i].Outcome, err)
		}
		if s, err := db.Family(t.Context(), store.ID{4, byte(i)}); err != nil || s.State != store.Alive {
			t.Errorf("a neighbour is %v, %v", s.State, err)
		}
	}
	c, err := db.Cutoffs(t.Context(), store.ID{5, 1}, "bob")
	if err != nil || c.Subject != 0 || c.Ending != 0 || c.Head != c.Everyone {
		t.Errorf("the failed write left %+v, %v", c, err)
	}
}

// TestGroupGivenUp has callers give up. A write that has not begun leaves nothing
// behind. A caller that gives up later gets one consistent result if it repeats
// the call.
func TestGroupGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	release := hold(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var group sync.WaitGroup
	const n = 10
	give := func(i int) {
		if _, err := db.Create(ctx, creation(store.ID{6, byte(i)})); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d: %v", i, err)
		}
	}
	group.Go(func() { give(0) }) // this one has begun
	time.Sleep(500 * time.Millisecond)
	for i := range n - 1 {
		group.Go(func() { give(i + 1) })
	}
	group.Wait()
	release()
	// A later write comes after all of them.
	if _, err := db.Create(t.Context(), creation(store.ID{7})); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < n; i++ {
		if s, err := db.Family(t.Context(), store.ID{6, byte(i)}); err != nil || s.State != store.Absent {
			t.Errorf("%d gave up, and its family is %v, %v", i, s.State, err)
		}
	}
	s, err := db.Create(t.Context(), creation(store.ID{6, 0}))
	if err != nil || s.State != store.Alive || s.Outcome != store.Written && s.Outcome != store.Taken {
		t.Errorf("asked again: %v, %v, %v", s.Outcome, s.State, err)
	}
	t.Logf("the one that had begun: %v", s.Outcome)
}

// TestBusy holds the lock as another process. Writes wait for it, but not for
// longer than BusyTimeout, however many there are.
func TestBusy(t *testing.T) {
	const busy = time.Second
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{BusyTimeout: busy})
	patient := open(t, path, sqlite.Options{BusyTimeout: time.Minute})
	written, err := fill(t.Context(), db, 3, 1)
	must(t, err)

	release := hold(t, path)
	released := make(chan struct{})
	time.AfterFunc(busy/2, func() { close(released); release() })
	_, err = patient.Create(t.Context(), creation(store.ID{8, 1}))
	must(t, err)
	select {
	case <-released:
	default:
		t.Error("a write beside the lock")
	}
	release()

	release = hold(t, path)
	began := time.Now()
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			if _, err := db.Create(t.Context(), creation(store.ID{9, byte(i)})); err == nil {
				t.Error("a write beside the lock")
			}
		})
	}
	group.Go(func() {
		if err := stand(t.Context(), db, written); err != nil {
			t.Errorf("a reader beside the lock: %v", err)
		}
	})
	group.Wait()
	// The first waits for BusyTimeout, and so do those that came meanwhile, all
	// together. One after another they would take 24 times as long.
	if took := time.Since(began); took < busy*9/10 || took > 12*busy {
		t.Errorf("24 writers learnt after %v that the lock is held; BusyTimeout is %v", took, busy)
	}
	release()
	if more, err := fill(t.Context(), db, 3, 2); err != nil || len(more) != 3 {
		t.Errorf("after the lock: %v", err)
	}
}

// TestCloseWhileWriting closes the store while writes wait. Each must return an
// error or be durable.
func TestCloseWhileWriting(t *testing.T) {
	for round := range 4 {
		path := filepath.Join(t.TempDir(), "wafer.db")
		db := openOnly(t, path, sqlite.Options{})
		release := func() {}
		if round%2 == 0 {
			release = hold(t, path)
		}
		const n = 60
		errs := make([]error, n)
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() { _, errs[i] = db.Create(t.Context(), creation(store.ID{10, byte(i)})) })
		}
		group.Go(func() {
			time.Sleep(time.Duration(round) * 3 * time.Millisecond)
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		if round%2 == 0 {
			time.AfterFunc(100*time.Millisecond, release)
		}
		ended := make(chan struct{})
		go func() { group.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(2 * time.Minute):
			t.Fatal("writers or Close wait for ever")
		}
		release()
		if _, err := db.Create(t.Context(), creation(store.ID{10, 200})); err == nil {
			t.Error("a write after Close")
		}
		if _, err := db.Family(t.Context(), store.ID{10, 200}); err == nil {
			t.Error("a read after Close")
		}
		again := open(t, path, sqlite.Options{})
		durable := 0
		for i, err := range errs {
			s, e := again.Family(t.Context(), store.ID{10, byte(i)})
			if e != nil || err == nil && s.State != store.Alive {
				t.Errorf("an acknowledged family is %v, %v", s.State, e)
			}
			if err == nil {
				durable++
			}
		}
		t.Logf("%d of %d were written", durable, n)
	}
}

// TestCloseWhileWaiting closes the store while callers wait for entries. They
// must not delay Close, nor wait any longer.
func TestCloseWhileWaiting(t *testing.T) {
	before := runtime.NumGoroutine()
	db := openOnly(t, filepath.Join(t.TempDir(), "wafer.db"), sqlite.Options{})
	at := headOf(t, db)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() { _, _ = db.Since(t.Context(), at, 10, 5*time.Minute) })
	}
	time.Sleep(150 * time.Millisecond)
	began := time.Now()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	group.Wait()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("Close and those who waited took %v", took)
	}
	gone(t, before)
}

// TestCloseLeavesNothing uses and closes stores, which must leave no goroutine.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 5 {
		db := openOnly(t, filepath.Join(t.TempDir(), "wafer.db"), sqlite.Options{})
		if _, err := fill(t.Context(), db, 3, byte(i)); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, _ = db.Since(ctx, headOf(t, db), 1, time.Second) // gives up
		cancel()
		_, _ = db.Since(t.Context(), headOf(t, db), 1, time.Millisecond)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}
	if _, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{}); err == nil {
		t.Error("a directory was opened")
	}
	gone(t, before)
}

// gone waits until there are no more goroutines than before.
func gone(t *testing.T, before int) {
	t.Helper()
	for began := time.Now(); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			all := make([]byte, 1<<16)
			t.Errorf("%d goroutines more than before\n%s", runtime.NumGoroutine()-before, all[:runtime.Stack(all, true)])
			return
		}
	}
}

// TestLoneWriter checks that a lone write does not wait for others to join it: it
// costs about as much as the bare statement.
func TestLoneWriter(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "wafer.db"), sqlite.Options{})
	s, err := db.Create(t.Context(), creation(store.ID{11}))
	must(t, err)
	bare := raw(t, filepath.Join(dir, "bare.db"))
	bare.SetMaxOpenConns(1)
	for _, text := range []string{"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE f (id INTEGER PRIMARY KEY, g INTEGER)", "INSERT INTO f VALUES (1, 1)"} {
		_, err := bare.ExecContext(t.Context(), text)
		must(t, err)
	}
	update, err := bare.PrepareContext(t.Context(), "UPDATE f SET g = g + 1 WHERE id = 1")
	must(t, err)
	defer update.Close()
	var mine, its []time.Duration
	const n = 60
	for range n { // in turn, so that both have the same disk
		began := time.Now()
		s, err = db.Advance(t.Context(), store.Advance{ID: store.ID{11}, Generation: s.Family.Generation})
		mine = append(mine, time.Since(began))
		must(t, err)
		began = time.Now()
		_, err := update.ExecContext(t.Context())
		its = append(its, time.Since(began))
		must(t, err)
	}
	t.Logf("half of them within %v; of the bare statement %v", enginebench.Median(mine), enginebench.Median(its))
	// The quickest count: the others may have waited for the processor.
	if slices.Min(mine) > 4*slices.Min(its)+5*time.Millisecond {
		t.Errorf("the quickest took %v, the bare statement %v", slices.Min(mine), slices.Min(its))
	}
}

// TestDurable checks that the writing connection syncs each commit, which killing
// a process cannot show.
func TestDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		var got string
		if err := db.Writer(t.Context(), func(c *sql.Conn) error {
			return c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got)
		}); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
}
