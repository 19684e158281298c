package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/waferkit/wafer/bench/internal/app"
)

// BenchmarkWrites measures the operations that call the store: login, refresh,
// commit and logout, in each engine, one request after the other, durable when
// it returns. Each iteration uses another session, since each request can be
// made only once.
func BenchmarkWrites(b *testing.B) {
	for _, e := range engines {
		db, _ := e.open(b)
		a, sessions, err := app.Wafer(context.Background(), "wafer "+e.name, db, app.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(sessions.Close)
		login := httptest.NewRequest(http.MethodPost, "https://example.com/login", nil)
		b.Run("login/"+e.name, func(b *testing.B) { each(b, serving(b, a.Login, login)) })
		b.Run("commit/"+e.name, func(b *testing.B) { eachOnce(b, a, a.Commit, func() {}) })
		b.Run("logout/"+e.name, func(b *testing.B) { eachOnce(b, a, a.Logout, func() {}) })

		// For refreshes an access lifetime ends within a second.
		quick, others, err := app.Wafer(context.Background(), "wafer "+e.name, db, app.Options{Access: lifetime})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(others.Close)
		b.Run("refresh/"+e.name, func(b *testing.B) {
			eachOnce(b, quick, quick.Data, func() { time.Sleep(lifetime) })
		})
	}
}

const lifetime = 400 * time.Millisecond

// eachOnce makes the handler answer requests that are good once. They are made
// beforehand, with the timer stopped.
func eachOnce(b *testing.B, a *app.App, h http.Handler, prepared func()) {
	batch := 64
	var left []*http.Request
	b.ReportAllocs()
	for b.Loop() {
		if len(left) == 0 {
			b.StopTimer()
			for range batch {
				left = append(left, session(b, a))
			}
			prepared()
			batch = min(2*batch, 8192) // a fast engine finishes a small batch at once
			b.StartTimer()
		}
		w := answer{header: make(http.Header)}
		h.ServeHTTP(&w, left[0])
		left = left[1:]
		if w.status != 0 {
			b.Fatalf("answered %d", w.status)
		}
	}
}
