package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/bench/internal/app"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/pairs"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// largest bounds the benchmarks of scale: 10,000,000 sessions take a minute.
var largest = flag.Int("largest", 1000, "the most sessions and revocations to measure with")

func sizes(from int) (list []int) {
	for n := from; n <= *largest; n *= 10 {
		list = append(list, n)
	}
	return list
}

// heap returns the bytes in use after a collection.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkScaleSessions reports the server's memory for each active session,
// of which all have made a request. scs in memory stops at a hundred thousand.
func BenchmarkScaleSessions(b *testing.B) {
	for _, n := range sizes(1000) {
		b.Run(fmt.Sprintf("wafer/%d", n), func(b *testing.B) {
			cookies := newMinter(b)
			before := heap()
			for b.Loop() {
				for range n {
					cookies.next()
					cookies.serve()
				}
			}
			b.ReportMetric(max(0, heap()-before)/float64(n*b.N), "B/session")
			runtime.KeepAlive(cookies)
		})
		if n > 100_000 {
			continue
		}
		b.Run(fmt.Sprintf("scs-memstore/%d", n), func(b *testing.B) {
			a := app.SCS("scs memstore", nil)
			before := heap()
			for b.Loop() {
				for range n {
					r := session(b, a)
					serving(b, a.Data, r)()
				}
			}
			b.ReportMetric((heap()-before)/float64(n*b.N), "B/session")
			runtime.KeepAlive(a)
		})
	}
}

// minter makes the session cookies of any number of sessions, as logins on
// other nodes would have, and keeps none.
type minter struct {
	tb      testing.TB
	cookies *codec.Cookies
	header  codec.Session
	data    []byte
	line    []string
	serve   func()
}

func newMinter(tb testing.TB) *minter {
	tb.Helper()
	ring, err := app.Ring(1)
	if err != nil {
		tb.Fatal(err)
	}
	a, sessions, err := app.Wafer(tb.Context(), "wafer", memory.New(memory.Options{}), app.Options{Ring: ring})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(sessions.Close)
	m := &minter{tb: tb, line: make([]string, 1)}
	if m.cookies, err = codec.NewCookies(ring, app.Realm, "__Host-session"); err != nil {
		tb.Fatal(err)
	}
	r := session(tb, a)
	c, err := r.Cookie("__Host-session")
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now()
	if m.header, m.data, err = m.cookies.Open(context.Background(), now, c.Value); err != nil {
		tb.Fatal(err)
	}
	m.header.Access, m.header.Idle = now.Add(time.Hour), now.Add(2*time.Hour)
	r.Header["Cookie"] = m.line
	m.serve = serving(tb, a.Data, r)
	return m
}

// next makes another session.
func (m *minter) next() {
	rand.Read(m.header.ID[:])
	m.header.Issued = time.Now()
	sealed, err := m.cookies.Seal(m.header.Issued, &m.header, m.data)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.line[0] = "__Host-session=" + sealed
}

// against reports the ratio of the times of work and base, which run in turns.
func against(b *testing.B, turn time.Duration, work, base func()) {
	ratios := pairs.Ratios(turn, work, base, b.Loop)
	b.ReportMetric(pairs.At(ratios, 0.5), "ratio")
	b.ReportMetric(pairs.At(ratios, 0.1), "ratio-p10")
	b.ReportMetric(pairs.At(ratios, 0.9), "ratio-p90")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkScaleRevocations reports the ratio of a request with that many
// revocations in force to one with none.
func BenchmarkScaleRevocations(b *testing.B) {
	for _, n := range sizes(100) {
		if n > 1_000_000 {
			break // BenchmarkCheck of package revocation covers larger numbers
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			base := waferInMemory(b)
			a, sessions, err := app.Wafer(b.Context(), "wafer", memory.New(memory.Options{}), app.Options{MaxRevocations: n + n/8 + 1024})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(sessions.Close)
			for left := n; left > 0; {
				ids := make([]store.ID, min(left, store.MaxEntries))
				for i := range ids {
					rand.Read(ids[i][:])
				}
				if _, err := sessions.Revoke(b.Context(), wafer.Revocation{Sessions: ids}); err != nil {
					b.Fatal(err)
				}
				left -= len(ids)
			}
			against(b, pairs.Turn, serving(b, a.Data, session(b, a)), serving(b, base.Data, session(b, base)))
		})
	}
}

// BenchmarkScaleData reports the ratios of a request whose session holds that
// many bytes more than the usual data, to one with the usual data and to the
// same with scs in memory.
func BenchmarkScaleData(b *testing.B) {
	base := waferInMemory(b)
	for _, n := range []int{0, 256, 512, 1024, 2048, 2560} {
		ours, theirs := waferInMemory(b), app.SCS("scs memstore", nil)
		ours.Padding, theirs.Padding = n, n
		r := session(b, ours)
		for _, than := range []*app.App{base, theirs} {
			b.Run(fmt.Sprintf("%d/to-%s", n, slug(than.Name)), func(b *testing.B) {
				against(b, pairs.Turn, serving(b, ours.Data, r), serving(b, than.Data, session(b, than)))
				b.ReportMetric(float64(len(r.Header.Get("Cookie"))), "cookie-bytes")
			})
		}
	}
}

// 3.5 KB of data are more than a cookie holds, so the login fails.
func TestTooMuchDataIsRefused(t *testing.T) {
	_, sessions, err := app.Wafer(t.Context(), "wafer", memory.New(memory.Options{}), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sessions.Close)
	a := app.NewAccount()
	a.Padding = string(make([]byte, 3500))
	err = sessions.Start(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "https://example.com/", nil), app.Subject, a)
	if !errors.Is(err, wafer.ErrTooLarge) {
		t.Errorf("a session of more than 3500 bytes began with %v", err)
	}
}

// BenchmarkScaleKeys reports the ratio of a request with that many keys in the
// ring to one with a single key. The cookie is sealed under the newest.
func BenchmarkScaleKeys(b *testing.B) {
	for _, n := range []int{1, 3, 10, 30, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ring, err := app.Ring(n)
			if err != nil {
				b.Fatal(err)
			}
			a, sessions, err := app.Wafer(b.Context(), "wafer", memory.New(memory.Options{}), app.Options{Ring: ring})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(sessions.Close)
			base := waferInMemory(b)
			against(b, pairs.Turn, serving(b, a.Data, session(b, a)), serving(b, base.Data, session(b, base)))
		})
	}
}
