package bench

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/waferkit/wafer/bench/internal/app"
	"github.com/waferkit/wafer/internal/pairs"
	"github.com/waferkit/wafer/store/memory"
)

// waferInMemory reads without a store, so the memory store stands for any.
func waferInMemory(tb testing.TB) *app.App {
	tb.Helper()
	a, sessions, err := app.Wafer(tb.Context(), "wafer", memory.New(memory.Options{}), app.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(sessions.Close)
	return a
}

// networked are the libraries whose sessions are on a server.
func networked(tb testing.TB) []*app.App {
	tb.Helper()
	s := servers(tb)
	postgres, err := s.SCSPostgres(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	gorilla, err := s.GorillaRedis()
	if err != nil {
		tb.Fatal(err)
	}
	return []*app.App{s.SCSRedis(), gorilla, postgres}
}

// slug returns a name in the form of a benchmark's name.
func slug(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c == ' ' {
			b[i] = '-'
		}
	}
	return string(b)
}

// BenchmarkNetwork measures each path of each application, one request after
// the other, with the servers on the same machine. Loopback is the fastest
// network there is.
func BenchmarkNetwork(b *testing.B) {
	apps := append([]*app.App{waferInMemory(b), app.SCS("scs memstore", nil)}, networked(b)...)
	for _, a := range apps {
		b.Run("data/"+slug(a.Name), func(b *testing.B) { each(b, serving(b, a.Data, session(b, a))) })
	}
	for _, a := range apps {
		login := httptest.NewRequest(http.MethodPost, "https://example.com/login", nil)
		b.Run("login/"+slug(a.Name), func(b *testing.B) { each(b, serving(b, a.Login, login)) })
	}
	for _, a := range apps {
		b.Run("save/"+slug(a.Name), func(b *testing.B) { each(b, serving(b, a.Save, session(b, a))) })
	}
}

func each(b *testing.B, do func()) {
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}

// BenchmarkNetworkParallel reads sessions with 64 concurrent requests.
func BenchmarkNetworkParallel(b *testing.B) {
	for _, a := range append([]*app.App{waferInMemory(b), app.SCS("scs memstore", nil)}, networked(b)...) {
		came := session(b, a)
		b.Run("data/"+slug(a.Name), func(b *testing.B) {
			b.SetParallelism(32) // times the number of processors
			b.RunParallel(func(pb *testing.PB) {
				serve := serving(b, a.Data, came)
				for pb.Next() {
					serve()
				}
			})
		})
	}
}

// BenchmarkBudget reports the ratio of wafer to each of the others, in turns.
func BenchmarkBudget(b *testing.B) {
	ours := waferInMemory(b)
	for _, theirs := range networked(b) {
		b.Run("data-to-"+slug(theirs.Name), func(b *testing.B) {
			mine, other := serving(b, ours.Data, session(b, ours)), serving(b, theirs.Data, session(b, theirs))
			against(b, pairs.Turn, mine, other)
		})
	}
}
