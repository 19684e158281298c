package wafer_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/waferkit/wafer"
)

// BenchmarkLogin begins a session: new ids, the cookies, and with wafer and scs
// a record in the memory store.
func BenchmarkLogin(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			p := &paths{contender: c.open(b)}
			w, serve := again(p.onLogin(), httptest.NewRequest(http.MethodPost, "https://example.com/login", nil))
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
			finish(b, p, w)
		})
	}
}

// BenchmarkSave reads the session, changes a counter and saves: wafer and
// gorilla into the cookie, scs into its store. wafer's Save is
// last-writer-wins, and the cookie's owner can put old data back.
// BenchmarkCommit measures the write that cannot be put back, as a save of scs
// cannot.
func BenchmarkSave(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			p := &paths{contender: c.open(b)}
			request := p.loggedIn(b)
			w, serve := again(p.onSave(), request)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
			finish(b, p, w)
			p.serve(b, p.onSaved(), requestWith((&http.Response{Header: w.header}).Cookies()))
		})
	}
}

// onSaved checks the data of a save.
func (p *paths) onSaved() http.Handler {
	return p.handler(func(_ http.ResponseWriter, r *http.Request) error {
		_, a, err := p.read(r)
		if err == nil && a.Counter <= benchCounter {
			err = errors.New("the change was not saved")
		}
		return err
	})
}

// TestBenchContenders takes each contender through its paths once, so that the
// benchmarks measure applications that work.
func TestBenchContenders(t *testing.T) {
	for _, c := range contenders {
		t.Run(c.name, func(t *testing.T) {
			p := &paths{contender: c.open(t)}
			r := p.loggedIn(t)
			p.serve(t, p.onIdentity(), r.Clone(t.Context()))
			p.serve(t, p.onData(), r.Clone(t.Context()))
			saved := requestWith(p.serve(t, p.onSave(), r.Clone(t.Context())))
			p.serve(t, p.onSaved(), saved)
			p.serve(t, p.onLogout(), r.Clone(t.Context()))
			w := httptest.NewRecorder()
			p.onData().ServeHTTP(w, requestWith(nil))
			if p.failed == nil {
				t.Error("a request without a cookie has the session's data")
			}
		})
	}
}

// BenchmarkCommit exists for wafer alone. Each iteration uses another session.
func BenchmarkCommit(b *testing.B) {
	app := openWafer(b)
	p := &paths{contender: app}
	commit := p.handler(func(w http.ResponseWriter, r *http.Request) error {
		subject, a, err := p.read(r)
		if err != nil {
			return err
		}
		if err := checkRead(subject, a); err != nil {
			return err
		}
		a.Counter++
		return app.Commit(w, r, a)
	})
	w := eachOnce(b, commit, p.loggedIn, func() {})
	finish(b, p, w)
}

// BenchmarkRefresh exists for wafer alone: the access lifetime is over, the
// refresh token advances the session to its next generation in the store, and
// the request goes on with its data. The others have no such path: gorilla's
// cookie is good until it expires, and scs queries its store at each request.
func BenchmarkRefresh(b *testing.B) {
	app := openWafer(b)
	p := &paths{contender: app}
	w := eachOnce(b, p.onData(), p.loggedIn, func() { app.skipped += benchAccess })
	finish(b, p, w)
	if len(w.header["Set-Cookie"]) != 2 {
		b.Fatalf("the refresh set the cookies %q", w.header["Set-Cookie"])
	}
}

// BenchmarkLogout ends a session: with wafer and scs on the server too, with
// gorilla only in the browser, so that a copied cookie stays good.
func BenchmarkLogout(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			p := &paths{contender: c.open(b)}
			h := p.onLogout()
			w := eachOnce(b, h, p.loggedIn, func() {})
			finish(b, p, w)
			if app, ok := p.contender.(*waferApp); ok {
				r := p.loggedIn(b)
				p.serve(b, h, r)
				if _, err := app.Check(r); !errors.Is(err, wafer.ErrNoSession) {
					b.Fatalf("a copy of the cookie is answered with %v after the logout", err)
				}
			}
		})
	}
}

// eachOnce makes the handler answer requests that are good once. They are made
// beforehand, with the timer stopped.
func eachOnce(b *testing.B, h http.Handler, request func(testing.TB) *http.Request, prepared func()) *discard {
	const batch = 256
	w, left := newDiscard(), []*http.Request(nil)
	b.ReportAllocs()
	for b.Loop() {
		if len(left) == 0 {
			b.StopTimer()
			for range batch {
				left = append(left, request(b))
			}
			prepared()
			b.StartTimer()
		}
		clear(w.header)
		h.ServeHTTP(w, left[0])
		left = left[1:]
	}
	return w
}

// finish reports the sizes of the last answer's cookies, and fails if a handler
// has failed.
func finish(b *testing.B, p *paths, w *discard) {
	b.Helper()
	b.ReportMetric(float64(w.setCookieBytes()), "set-cookie-bytes")
	if p.failed != nil {
		b.Fatal(p.failed)
	}
}
