package sqlite_test

import (
	"flag"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

var scale = flag.String("scale", "", `"full" runs the tests of scale at the sizes that the budgets name`)

// sized returns the size of a test: as the budget names it, or as a tenth or
// so of it where every run of the tests has to pay for it, and less again under
// the race detector, where the driver is some ten times slower.
func sized(full, usual, race int) int {
	switch {
	case *scale == "full":
		return full
	case underRace():
		return race
	}
	return usual
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

// TestLoad loads a log of live revocations into a new replica.
func TestLoad(t *testing.T) {
	n := sized(1_000_000, 100_000, 10_000)
	db := open(t, t.TempDir()+"/wafer.db", sqlite.Options{})
	began := time.Now()
	parallel(t, 4, n/store.MaxEntries, func(i int) error {
		r := store.Revocation{Reason: "logout", Sessions: make([]store.ID, store.MaxEntries)}
		for k := range r.Sessions {
			r.Sessions[k] = named(i*store.MaxEntries + k)
		}
		_, err := db.Revoke(t.Context(), r)
		return err
	})
	t.Logf("%d revocations were written in %v", n, time.Since(began))
	var took []time.Duration
	for range 3 {
		before := heap()
		began = time.Now()
		r, err := revocation.Follow(t.Context(), db, revocation.Config{Limit: n * 65 / 64})
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		bytes := float64(heap()-before) / float64(n)
		if r.Len() != n {
			t.Errorf("the replica holds %d of %d", r.Len(), n)
		}
		if bytes > 64 {
			t.Errorf("%.1f bytes an entry: want at most 64", bytes)
		}
		t.Logf("loaded in %v: %v per million; %.1f bytes an entry", took[len(took)-1], took[len(took)-1]*1_000_000/time.Duration(n), bytes)
		r.Close()
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
