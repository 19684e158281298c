package wafer_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// These benchmarks compare the whole request path, from the Cookie header to
// identity and data, with session libraries that keep data in a cookie or in a
// store. All have the same value, the same handlers and the same checks of what
// arrived. docs/benchmarks.md has the results.

// benchAccount is typical session data: five fields and a time, of which one is
// a slice and one a small map.
type benchAccount struct {
	Email   string         `cbor:"1,keyasint"`
	Roles   []string       `cbor:"2,keyasint"`
	Cart    map[string]int `cbor:"3,keyasint"`
	Theme   string         `cbor:"4,keyasint"`
	Counter int            `cbor:"5,keyasint"`
	Since   time.Time      `cbor:"6,keyasint"`
}

const (
	benchSubject = "3f1f2c0e-6a55-4f0b-9d0e-2f4f4b9f2a11"
	benchCounter = 42
)

func newBenchAccount() benchAccount {
	return benchAccount{
		Email:   "alice@example.com",
		Roles:   []string{"customer", "reviewer", "editor"},
		Cart:    map[string]int{"apple": 1, "pear": 2, "plum": 3, "fig": 4},
		Theme:   "dark",
		Counter: benchCounter,
		Since:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

var benchWant = newBenchAccount()

// checkRead checks a session that was read, at a negligible cost.
func checkRead(subject string, a benchAccount) error {
	want := &benchWant
	same := subject == benchSubject && a.Email == want.Email && a.Theme == want.Theme &&
		a.Counter >= want.Counter && a.Since.Equal(want.Since) &&
		slices.Equal(a.Roles, want.Roles) && len(a.Cart) == len(want.Cart)
	if !same || a.Cart["fig"] != 4 {
		return fmt.Errorf("the session of %q has %+v", subject, a)
	}
	return nil
}

// contender is an application on a session library.
type contender interface {
	// middleware wraps handlers as the library requires.
	middleware(h http.Handler) http.Handler
	login(w http.ResponseWriter, r *http.Request, subject string, a benchAccount) error
	identity(r *http.Request) (subject string, err error)
	read(r *http.Request) (subject string, a benchAccount, err error)
	save(w http.ResponseWriter, r *http.Request, a benchAccount) error
	logout(w http.ResponseWriter, r *http.Request) error
}

// paths holds the handlers of an application. failed is the last error of a
// handler.
type paths struct {
	contender
	failed error
}

func (p *paths) handler(h func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return p.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			p.failed = err
		}
	}))
}

func (p *paths) onLogin() http.Handler {
	return p.handler(func(w http.ResponseWriter, r *http.Request) error {
		return p.login(w, r, benchSubject, newBenchAccount())
	})
}

func (p *paths) onIdentity() http.Handler {
	return p.handler(func(w http.ResponseWriter, r *http.Request) error {
		subject, err := p.identity(r)
		if err == nil && subject != benchSubject {
			err = fmt.Errorf("the subject is %q", subject)
		}
		return err
	})
}

func (p *paths) onData() http.Handler {
	return p.handler(func(w http.ResponseWriter, r *http.Request) error {
		subject, a, err := p.read(r)
		if err != nil {
			return err
		}
		return checkRead(subject, a)
	})
}

// onSave reads, changes and saves. The data grows by each round.
func (p *paths) onSave() http.Handler {
	return p.handler(func(w http.ResponseWriter, r *http.Request) error {
		subject, a, err := p.read(r)
		if err != nil {
			return err
		}
		if err := checkRead(subject, a); err != nil {
			return err
		}
		a.Counter++
		return p.save(w, r, a)
	})
}

func (p *paths) onLogout() http.Handler { return p.handler(p.logout) }

// serve makes a handler answer one request, and returns the cookies that it
// set.
func (p *paths) serve(b testing.TB, h http.Handler, r *http.Request) []*http.Cookie {
	b.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if p.failed != nil || w.Code != http.StatusOK {
		b.Fatalf("%s %s: %d, %v", r.Method, r.URL, w.Code, p.failed)
	}
	return w.Result().Cookies()
}

// requestWith returns a request as a browser sends it after receiving the
// cookies.
func requestWith(cookies []*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	for _, c := range cookies {
		if c.MaxAge >= 0 {
			r.AddCookie(c)
		}
	}
	return r
}

// loggedIn logs in and returns the request that carries the session.
func (p *paths) loggedIn(b testing.TB) *http.Request {
	b.Helper()
	r := requestWith(p.serve(b, p.onLogin(), httptest.NewRequest(http.MethodPost, "https://example.com/login", nil)))
	if r.Header.Get("Cookie") == "" {
		b.Fatal("the login set no cookie")
	}
	return r
}

// discard is a ResponseWriter that costs next to nothing.
type discard struct{ header http.Header }

func newDiscard() *discard { return &discard{make(http.Header)} }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// setCookieBytes returns the size of the response's cookies on the wire.
func (d *discard) setCookieBytes() (n int) {
	for _, line := range d.header["Set-Cookie"] {
		n += len("Set-Cookie: \r\n") + len(line)
	}
	return n
}

// cookieBytes returns the size of the cookie that holds the session or its id,
// and of all cookies in a request's header.
func cookieBytes(r *http.Request) (session, all int) {
	for _, c := range r.Cookies() {
		if c.Name != "__Host-refresh" {
			session = len(c.Name) + len("=") + len(c.Value)
		}
	}
	return session, len(r.Header.Get("Cookie"))
}

// again returns a function that makes the handler answer a request once more.
// gorilla/sessions stores what it decoded in the request itself, which is
// restored each time.
func again(h http.Handler, request *http.Request) (*discard, func()) {
	w, r, ctx := newDiscard(), new(http.Request), request.Context()
	*r = *request
	return w, func() {
		clear(w.header)
		if r.Context() != ctx {
			*r = *request
		}
		h.ServeHTTP(w, r)
	}
}

// BenchmarkRequest is a request that reads its session: identity reads only the
// subject, and data everything. Floor is the least work on wafer's cookie with
// the standard library: find it, decode it, open it.
func BenchmarkRequest(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		open := benchFloor(b)
		b.ReportAllocs()
		for b.Loop() {
			if err := open(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, path := range []struct {
		name    string
		handler func(*paths) http.Handler
	}{{"identity", (*paths).onIdentity}, {"data", (*paths).onData}} {
		for _, c := range contenders {
			b.Run(path.name+"/"+c.name, func(b *testing.B) {
				p := &paths{contender: c.open(b)}
				r := p.loggedIn(b)
				_, serve := again(path.handler(p), r)
				b.ReportAllocs()
				for b.Loop() {
					serve()
				}
				session, all := cookieBytes(r)
				b.ReportMetric(float64(session), "session-cookie-bytes")
				b.ReportMetric(float64(all), "cookie-bytes")
				if p.failed != nil {
					b.Fatal(p.failed)
				}
			})
		}
	}
}

// BenchmarkRequestParallel is the same on all processors, with a request of its
// own for each goroutine.
func BenchmarkRequestParallel(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		open := benchFloor(b)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if open() != nil {
					b.Error("the floor's cookie does not open")
					return
				}
			}
		})
	})
	for _, c := range contenders {
		b.Run("data/"+c.name, func(b *testing.B) {
			p := &paths{contender: c.open(b)}
			h, request := p.onData(), p.loggedIn(b)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				_, serve := again(h, request)
				for pb.Next() {
					serve()
				}
			})
			if p.failed != nil {
				b.Fatal(p.failed)
			}
		})
	}
}

var errFloor = errors.New("the floor found no cookie")

// benchFloor returns the floor's work on wafer's own header, whose session
// cookie has the usual length but is sealed with plain AES-GCM.
func benchFloor(b *testing.B) func() error {
	p := &paths{contender: openWafer(b)}
	r := p.loggedIn(b)
	c, err := r.Cookie("__Host-session")
	if err != nil {
		b.Fatal(err)
	}
	const head = 5 + 12 // key id and salt
	n := base64.RawURLEncoding.DecodedLen(len(c.Value)) - head
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	aad := []byte("\x01\x00\x00\x00\x00bench\x00__Host-session")
	sealed := aead.Seal(nonce, nonce, make([]byte, n-aead.NonceSize()-aead.Overhead()), aad)
	value := base64.RawURLEncoding.EncodeToString(append(make([]byte, head), sealed...))
	if len(value) != len(c.Value) {
		b.Fatalf("the floor's cookie has %d bytes, the real one %d", len(value), len(c.Value))
	}
	r.Header.Set("Cookie", strings.Replace(r.Header.Get("Cookie"), c.Value, value, 1))
	return func() error {
		line := r.Header.Get("Cookie")
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if name != "__Host-session" {
				continue
			}
			raw, err := base64.RawURLEncoding.DecodeString(value)
			if err != nil {
				return err
			}
			_, err = aead.Open(raw[29:29], raw[17:29], raw[29:], aad)
			return err
		}
		return errFloor
	}
}
