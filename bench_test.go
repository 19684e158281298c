package wafer_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// benchAccount is session data as applications have it: five fields, a slice,
// a small map.
type benchAccount struct {
	Email   string         `cbor:"1,keyasint"`
	Roles   []string       `cbor:"2,keyasint"`
	Cart    map[string]int `cbor:"3,keyasint"`
	Theme   string         `cbor:"4,keyasint"`
	Counter int            `cbor:"5,keyasint"`
	Since   time.Time      `cbor:"6,keyasint"`
}

const benchSubject = "3f1f2c0e-6a55-4f0b-9d0e-2f4f4b9f2a11"

func newBenchAccount() benchAccount {
	return benchAccount{
		Email:   "alice@example.com",
		Roles:   []string{"customer", "reviewer", "editor"},
		Cart:    map[string]int{"apple": 1, "pear": 2, "plum": 3, "fig": 4},
		Theme:   "dark",
		Counter: 42,
		Since:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// benchRequest logs in and returns the sessions and a request that carries the
// cookies, as a browser sends them.
func benchRequest(b *testing.B) (*wafer.Sessions[benchAccount], *http.Request) {
	b.Helper()
	ring, err := keyring.Static(strings.Repeat("5a", keyring.SecretSize))
	if err != nil {
		b.Fatal(err)
	}
	sessions, err := wafer.New(context.Background(), ring, memory.New(memory.Options{}), wafer.Config[benchAccount]{
		Realm: "bench", Observe: func(wafer.Event) {}, Access: 20 * time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sessions.Close)
	w := httptest.NewRecorder()
	login := httptest.NewRequest(http.MethodPost, "https://example.com/login", nil)
	if err := sessions.Start(w, login, benchSubject, newBenchAccount()); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	return sessions, r
}

// discard is a ResponseWriter that costs next to nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkRequest is the whole request path: the Cookie header in, identity
// or data out. Floor does the least that anything of the kind must do with the
// same cookie, by the standard library: find it, decode it, open it.
func BenchmarkRequest(b *testing.B) {
	b.Run("floor", benchFloor)
	b.Run("identity", func(b *testing.B) {
		benchHandler(b, func(s *wafer.Session[benchAccount]) error {
			if s.Subject != benchSubject {
				return fmt.Errorf("the subject is %q", s.Subject)
			}
			return nil
		})
	})
	b.Run("data", func(b *testing.B) {
		benchHandler(b, func(s *wafer.Session[benchAccount]) error {
			data, err := s.Data()
			if err != nil || data.Counter != 42 || len(data.Cart) != 4 {
				return fmt.Errorf("the data is %+v, %v", data, err)
			}
			return nil
		})
	})
}

func benchHandler(b *testing.B, check func(*wafer.Session[benchAccount]) error) {
	sessions, r := benchRequest(b)
	var failed error
	h := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err == nil {
			err = check(s)
		}
		if err != nil {
			failed = err
		}
	}))
	w := &discard{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
	if failed != nil {
		b.Fatal(failed)
	}
}

func benchFloor(b *testing.B) {
	_, r := benchRequest(b)
	// The same bytes as the real cookie's, but sealed plainly.
	c, err := r.Cookie("__Host-session")
	if err != nil {
		b.Fatal(err)
	}
	n := base64.RawURLEncoding.DecodedLen(len(c.Value)) - 5 - 12 // head and salt
	block, _ := aes.NewCipher(make([]byte, 32))
	aead, _ := cipher.NewGCM(block)
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	aad := []byte("\x01\x00\x00\x00\x00bench\x00__Host-session")
	sealed := aead.Seal(nonce, nonce, make([]byte, n-aead.NonceSize()-aead.Overhead()), aad)
	sealed = append(make([]byte, 17), sealed...)
	value := base64.RawURLEncoding.EncodeToString(sealed)
	if len(value) != len(c.Value) {
		b.Fatalf("the floor's cookie has %d bytes, the real one %d", len(value), len(c.Value))
	}
	r.Header.Set("Cookie", strings.Replace(r.Header.Get("Cookie"), c.Value, value, 1))
	b.ReportMetric(float64(len(value)), "cookie-bytes")
	b.ReportAllocs()
	for b.Loop() {
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
				b.Fatal(err)
			}
			if _, err := aead.Open(raw[29:29], raw[17:29], raw[29:], aad); err != nil {
				b.Fatal(err)
			}
		}
	}
}
