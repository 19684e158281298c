package sqlite_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// TestLoad loads a log of live revocations into a new replica.
func TestLoad(t *testing.T) {
	n := sized(1_000_000, 100_000, 3_000)
	db := open(t, t.TempDir()+"/wafer.db", sqlite.Options{})
	began := time.Now()
	enginebench.Parallel(t, 4, n/store.MaxEntries, func(i int) error {
		r := store.Revocation{Reason: "logout", Sessions: make([]store.ID, store.MaxEntries)}
		for k := range r.Sessions {
			r.Sessions[k] = enginebench.ID(i*store.MaxEntries + k)
		}
		_, err := db.Revoke(t.Context(), r)
		return err
	})
	t.Logf("%d revocations were written in %v", n, time.Since(began))
	for range 3 {
		before := heap()
		began := time.Now()
		r, err := revocation.Follow(t.Context(), db, revocation.Config{Limit: n * 65 / 64})
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		bytes := float64(heap()-before) / float64(n)
		if r.Len() != n {
			t.Errorf("the replica holds %d of %d", r.Len(), n)
		}
		// With few entries the list's own size is a good part of it.
		if bytes > 64 && n > 10_000 {
			t.Errorf("%.1f bytes an entry: want at most 64", bytes)
		}
		// The budget is 2 s per million. It is logged and not asserted, since it
		// depends on the machine, which may be busy.
		t.Logf("loaded in %v: %v per million; %.1f bytes an entry", took, took*1_000_000/time.Duration(n), bytes)
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
