//go:build unix

package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// within bounds how long another process's revocation takes to be seen, on any
// machine. A caller that is not notified waits longer.
const within = time.Minute

// seen waits in Since while do revokes, and returns how long after do returned
// the entry arrived.
func seen(t *testing.T, db *sqlite.Store, do func() store.Position) time.Duration {
	t.Helper()
	at := headOf(t, db)
	type result struct {
		store.Batch
		err error
		at  time.Time
	}
	results := make(chan result, 1)
	go func() {
		b, err := db.Since(t.Context(), at, 10, 2*within)
		results <- result{b, err, time.Now()}
	}()
	time.Sleep(30 * time.Millisecond) // it waits by now
	want := do()
	done := time.Now()
	n := <-results
	if n.err != nil || len(n.Entries) == 0 || n.Entries[0].Position > want || n.Head < want {
		t.Errorf("%d entries up to %d, %v; want %d", len(n.Entries), n.Head, n.err, want)
	}
	return n.at.Sub(done)
}

// TestPromise1_ProcessSeesRevocation revokes in another process, and in another
// handle of this one. Every waiting caller must see it soon.
func TestPromise1_ProcessSeesRevocation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, path, sqlite.Options{})
	handle := open(t, path, sqlite.Options{})
	peers := []*peer{openPeer(t, path), openPeer(t, path)}
	var all []time.Duration
	for i := range 12 {
		id := store.ID{1, byte(i)}
		waits := []*sqlite.Store{db, handle}[i%2]
		took := seen(t, waits, func() store.Position {
			if i%3 == 2 {
				s, err := []*sqlite.Store{handle, db}[i%2].Revoke(t.Context(), store.Revocation{Sessions: []store.ID{id}})
				if err != nil {
					t.Error(err)
				}
				return s.Entry
			}
			at, err := strconv.ParseUint(peers[i%2].do("revoke %v", id), 10, 64)
			if err != nil {
				t.Error(err)
			}
			return store.Position(at)
		})
		if all = append(all, took); took > within {
			t.Fatalf("seen after %v", took)
		}
	}
	t.Logf("seen after %v at most, half of them within %v", slices.Max(all), enginebench.Median(all))
}

// TestProcessEndsFamily ends families in one process, which must not be alive in
// another.
func TestProcessEndsFamily(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	a, b := openPeer(t, path), openPeer(t, path)
	for i := range 5 {
		id := store.ID{2, byte(i)}
		if got := a.do("create %v", id); got != "written" {
			t.Errorf("create: %s", got)
		}
		if got := b.do("state %v", id); got != "alive" {
			t.Errorf("it is %s in the other process", got)
		}
		b.do("revoke %v", id)
		if got := a.do("state %v", id); got != "ended" {
			t.Errorf("it was ended and is %s in the other process", got)
		}
		if got := a.do("create %v", id); got != "taken" {
			t.Errorf("create again: %s", got)
		}
	}
}

// TestIdleWaitIsCheap checks that callers that wait for entries use little
// processor time.
func TestIdleWaitIsCheap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	const handles, each, span = 3, 8, 1500 * time.Millisecond
	done := make(chan error)
	began := processorTime(t)
	for range handles {
		db := open(t, path, sqlite.Options{})
		at := headOf(t, db)
		for range each {
			go func() {
				_, err := db.Since(t.Context(), at, 1, span)
				done <- err
			}()
		}
	}
	time.Sleep(300 * time.Millisecond)
	began = max(began, processorTime(t)) // without the opening
	for range handles * each {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	used := processorTime(t) - began
	t.Logf("%d waited %v: %v of the processor", handles*each, span, used)
	if used > span/4 {
		t.Errorf("waiting %v used %v of the processor", span, used)
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestPromise3_ProcessesRefresh has two processes refresh one family at once. Each
// generation, and each copy of the last one, must be made by exactly one.
func TestPromise3_ProcessesRefresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	peers := []*peer{openPeer(t, path), openPeer(t, path)}
	id := store.ID{3}
	peers[0].do("create %v", id)
	const last = 120
	for _, verb := range []string{"race", "copy"} {
		winners := make(map[string]int)
		for i, answer := range all(peers, "%s %v %d", verb, id, last) {
			won := strings.Fields(answer)
			t.Logf("process %d won %d times: %s", i, len(won), verb)
			for _, g := range won {
				winners[g]++
			}
		}
		for g := 1; g < last; g++ {
			if n := winners[fmt.Sprint(g)]; n != 1 {
				t.Errorf("%s: %d was won %d times", verb, g, n)
			}
		}
	}
}

// TestFirstOpenAtOnce has eight processes open a missing file at once. They must
// end up with one log and one key set.
func TestFirstOpenAtOnce(t *testing.T) {
	for range 2 {
		path := filepath.Join(t.TempDir(), "data", "wafer.db")
		peers := make([]*peer, 8)
		for i := range peers {
			peers[i] = startPeer(t, path)
		}
		all(peers, "open")
		logs := all(peers, "log")
		if slices.Sort(logs); logs[0] != logs[len(logs)-1] {
			t.Errorf("several logs: %v", logs)
		}
		for i, p := range peers {
			p.send("swap document%d", i)
		}
		winner := ""
		for i, p := range peers {
			if p.receive() == "true" {
				if winner != "" {
					t.Errorf("two first key sets: %s and document%d", winner, i)
				}
				winner = fmt.Sprintf("document%d", i)
			}
		}
		for _, keys := range all(peers, "keys") {
			if keys != "1 "+winner {
				t.Errorf("the keys are %q; want %q", keys, "1 "+winner)
			}
		}
		if list := names(t, filepath.Dir(path)); len(list) != 3 {
			t.Errorf("left behind: %v", list)
		}
	}
}

// TestProcessMigrates migrates the file to a newer schema while an older release
// has it open. The open handle must go on, and a new Open must fail.
func TestProcessMigrates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	old := open(t, path, sqlite.Options{})
	written, err := fill(t.Context(), old, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	// This is a migration that older releases can live with.
	execute(t, path, "BEGIN IMMEDIATE", "CREATE TABLE later (one INTEGER PRIMARY KEY)", "PRAGMA user_version = 99", "COMMIT")
	refused(t, path, "99", "newer")
	if err := stand(t.Context(), old, written); err != nil {
		t.Errorf("the older reads: %v", err)
	}
	if _, err := fill(t.Context(), old, 3, 2); err != nil {
		t.Errorf("the older writes: %v", err)
	}
}

// TestPromise1_SecondHandleKeepsLocks opens and closes a second handle. A process
// that closes any descriptor of a file drops all its POSIX locks on it. The
// second handle must not do that to the first, or another process would consider
// itself the last one and remove the -wal that the first still writes to.
func TestPromise1_SecondHandleKeepsLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	db := openOnly(t, path, sqlite.Options{})
	var written []*filler
	for i := range 3 {
		if err := openOnly(t, path, sqlite.Options{}).Close(); err != nil {
			t.Error(err)
		}
		if other, err := sqlite.Open(t.Context(), filepath.Dir(path), sqlite.Options{}); err == nil {
			t.Error("a directory was opened")
			other.Close()
		}
		// Another process comes and goes.
		p := openPeer(t, path)
		p.do("create %v", store.ID{12, byte(i)})
		p.close()
		if _, err := os.Stat(path + "-wal"); err != nil {
			t.Errorf("the -wal was removed under an open store: %v", err)
		}
		more, err := fill(t.Context(), db, 3, byte(i+1))
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, more...)
		if got := openPeer(t, path).do("state %v", more[0].id); got != "alive" {
			t.Errorf("what this process wrote is %s in another", got)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := stand(t.Context(), open(t, path, sqlite.Options{}), written); err != nil {
		t.Error(err)
	}
	check(t, path)
}
