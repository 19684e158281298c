package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/bench/internal/app"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/store/sqlite"
)

// engine is a store of wafer's for the benchmarks of writes.
type engine struct {
	name string
	open func(b *testing.B, o clock) store.Store
}

// clock is what node and engine take for now; the refresh skips ahead in it.
type clock struct{ skipped *atomic.Int64 }

func (c clock) now() time.Time { return time.Now().Add(time.Duration(c.skipped.Load())) }

var engines = []engine{
	{"memory", func(_ *testing.B, c clock) store.Store { return memory.New(memory.Options{Now: c.now}) }},
	{"sqlite", func(b *testing.B, c clock) store.Store {
		db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "wafer.db"), sqlite.Options{Now: c.now})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return db
	}},
}

// BenchmarkWrites is what asks the store: login, refresh, commit and logout, in
// each engine, one request after the other, durable when it returns. A request
// is good once, so each iteration is another session's.
func BenchmarkWrites(b *testing.B) {
	for _, e := range engines {
		c := clock{new(atomic.Int64)}
		db := e.open(b, c)
		a, sessions, err := app.Wafer(context.Background(), "wafer "+e.name, db, app.Options{Now: c.now})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(sessions.Close)
		login := httptest.NewRequest(http.MethodPost, "https://example.com/login", nil)
		b.Run("login/"+e.name, func(b *testing.B) { each(b, serving(b, a.Login, login)) })
		b.Run("commit/"+e.name, func(b *testing.B) { eachOnce(b, a, a.Commit, func() {}) })
		b.Run("refresh/"+e.name, func(b *testing.B) {
			eachOnce(b, a, a.Data, func() { c.skipped.Add(int64(5 * time.Minute)) })
		})
	}
}

// eachOnce has the handler answer requests that are good once. They are made
// beforehand, off the clock.
func eachOnce(b *testing.B, a *app.App, h http.Handler, prepared func()) {
	const batch = 64
	var left []*http.Request
	b.ReportAllocs()
	for b.Loop() {
		if len(left) == 0 {
			b.StopTimer()
			for range batch {
				left = append(left, session(b, a))
			}
			prepared()
			b.StartTimer()
		}
		serving(b, h, left[0])()
		left = left[1:]
	}
}
