package e2e_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
)

// shopKeys returns the application's current key set.
func (s *shop) shopKeys() string {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.Endpoints().ServeHTTP(w, httptest.NewRequest("GET", "/jwks.json", nil))
	if w.Code != 200 {
		s.t.Fatal(w.Code)
	}
	return w.Body.String()
}

// An invalid key set changes nothing: a service that has keys continues with
// them, and one that has none does not start.
func TestVerifierHostileAnswers(t *testing.T) {
	status := func(code int) func(*http.Response) { return func(r *http.Response) { r.StatusCode = code } }
	for name, change := range map[string]func(s *shop) func(*http.Response){
		"nothing":      func(*shop) func(*http.Response) { return body("") },
		"a page":       func(*shop) func(*http.Response) { return body("<!doctype html><title>Log in</title>") },
		"no keys":      func(*shop) func(*http.Response) { return body(`{}`) },
		"an empty set": func(*shop) func(*http.Response) { return body(`{"keys":[]}`) },
		"other keys only": func(*shop) func(*http.Response) {
			return body(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`)
		},
		"more behind it": func(s *shop) func(*http.Response) { return body(s.shopKeys() + "{}") },
		"a key twice": func(s *shop) func(*http.Response) {
			set := s.shopKeys()
			key := set[len(`{"keys":[`) : strings.Index(set, "}")+1]
			return body(`{"keys":[` + key + "," + key + "]}")
		},
		"a private key": func(s *shop) func(*http.Response) {
			return body(strings.Replace(s.shopKeys(), `"crv"`, `"d":"AAAA","crv"`, 1))
		},
		"too long": func(s *shop) func(*http.Response) {
			set := s.shopKeys()
			return body(set[:1] + strings.Repeat(" ", codec.MaxJWKS+1-len(set)) + set[1:])
		},
		"a body that breaks off": func(s *shop) func(*http.Response) {
			return func(r *http.Response) {
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader(s.shopKeys()), errorReader{}))
			}
		},
		"a copy of an hour ago": func(*shop) func(*http.Response) {
			return func(r *http.Response) { r.Header.Set("Age", "3600") }
		},
		"404":                           func(*shop) func(*http.Response) { return status(404) },
		"500":                           func(*shop) func(*http.Response) { return status(500) },
		"206":                           func(*shop) func(*http.Response) { return status(206) },
		"304":                           func(*shop) func(*http.Response) { return status(304) },
		"a redirect that leads nowhere": func(*shop) func(*http.Response) { return status(302) },
	} {
		t.Run(name, func(t *testing.T) {
			withShop(t, func(t *testing.T, s *shop) {
				v := s.service()
				time.Sleep(time.Minute)
				s.keys.set(func(k *keysServer) { k.change = change(s) })
				v.is("junk", junk(), wafer.ErrUnavailable)
				if age := v.KeysAge(); age < time.Minute {
					t.Errorf("it was taken for a key set: the keys are %v old", age)
				}
				v.is("a good token", s.orders("alice"), nil)

				ctx, cancel := withTimeout(t, 5*time.Second)
				defer cancel()
				other, err := wafer.NewVerifier(ctx, wafer.VerifierConfig{
					Issuer: shopIssuer, Audiences: []string{ordersAPI}, Observe: func(wafer.Event) {},
					JWKSURL: shopKeysURL, Client: &http.Client{Transport: s.keys}, Log: s.log,
				})
				if err == nil {
					other.Close()
					t.Error("a service began with it")
				}
				if err != nil && strings.Contains(err.Error(), "11qYA") {
					t.Errorf("the error quotes it: %v", err)
				}
				s.keys.set(func(k *keysServer) { k.change = nil })
				time.Sleep(30 * time.Second)
				v.is("junk, after it", junk(), wafer.ErrNoSession)
			})
		})
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("harness: connection reset") }

// A body of exactly the limit is read. Otherwise the test with one more byte
// shows nothing.
func TestPromise8_VerifierLongestBody(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		s.keys.set(func(k *keysServer) {
			set := s.shopKeys()
			k.change = body(set[:1] + strings.Repeat(" ", codec.MaxJWKS-len(set)) + set[1:])
		})
		s.service().is("a token", s.orders("alice"), nil)
	})
}

// A fetch ends after 5 s, however the answer comes.
func TestPromise8_VerifierSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		ctx, cancel := withTimeout(t, 12*time.Second)
		defer cancel()
		_, err := wafer.NewVerifier(ctx, wafer.VerifierConfig{
			Issuer: shopIssuer, Audiences: []string{ordersAPI}, JWKSURL: shopKeysURL,
			InsecureWithoutRevocations: true, Observe: func(wafer.Event) {},
			Client: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				began := time.Now()
				drip := readerFunc(func(p []byte) (int, error) {
					select {
					case <-time.After(100 * time.Millisecond):
						p[0] = ' '
						return 1, nil
					case <-r.Context().Done():
						took = append(took, time.Since(began))
						return 0, r.Context().Err()
					}
				})
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(drip), Request: r}, nil
			})},
		})
		if err == nil || len(took) < 2 || took[0] != 5*time.Second || took[1] != 5*time.Second {
			t.Errorf("%v; the fetches took %v", err, took)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// tryKeys makes a verifier with a URL and returns the error of the first fetch.
func tryKeys(t *testing.T, url string, client *http.Client) error {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	v, err := wafer.NewVerifier(ctx, wafer.VerifierConfig{
		Issuer: shopIssuer, Audiences: []string{ordersAPI}, JWKSURL: url, Client: client,
		InsecureWithoutRevocations: true, Observe: func(e wafer.Event) {
			if e.Kind == wafer.KindUnavailable {
				cancel(e.Err)
			}
		},
	})
	if err == nil {
		v.Close()
		return nil
	}
	return context.Cause(ctx)
}

// A real server that sends a gigabyte delivers little of it.
func TestPromise8_VerifierGigabyte(t *testing.T) {
	t.Parallel()
	var sent, served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		chunk := []byte(strings.Repeat(" ", 1<<16))
		for range 1 << 14 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	err := tryKeys(t, server.URL, nil)
	server.Close() // waits for the handler
	if !errors.Is(err, codec.ErrLength) {
		t.Errorf("the error is %v", err)
	}
	// The buffers of a loopback connection take some bytes in vain.
	if each := sent.Load() / max(served.Load(), 1); served.Load() == 0 || each > 32<<20 {
		t.Errorf("%d requests took %d bytes each", served.Load(), each)
	}
}

// Redirects are followed to the configured origin and to no other.
func TestVerifierRedirects(t *testing.T) {
	t.Parallel()
	keys := openShop(t).shopKeys()
	var strayed atomic.Int64
	otherServer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strayed.Add(1)
		io.WriteString(w, keys)
	}))
	defer otherServer.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strayed.Add(1)
		io.WriteString(w, keys)
	}))
	defer plain.Close()
	mux := http.NewServeMux()
	issuer := httptest.NewTLSServer(mux)
	defer issuer.Close()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, keys) })
	for path, to := range map[string]string{
		"/other": otherServer.URL + "/keys", "/plain": plain.URL + "/keys", "/same": "/keys",
		"/1": "/2", "/2": "/3", "/3": "/keys", "/0": "/1", "/loop": "/loop",
		"/down":      strings.Replace(issuer.URL, "https:", "http:", 1) + "/keys",
		"/backwards": "/other",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
	}
	pool := issuer.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	pool.AddCert(otherServer.Certificate())
	lax := *issuer.Client()
	lax.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }

	var group sync.WaitGroup
	for path, good := range map[string]bool{
		"/keys": true, "/same": true, "/1": true,
		"/0": false, "/loop": false, "/other": false, "/plain": false, "/down": false, "/backwards": false,
	} {
		group.Go(func() {
			err := tryKeys(t, issuer.URL+path, &lax)
			if (err == nil) != good || !good && !strings.Contains(err.Error(), "redirects") {
				t.Errorf("%s: %v, want good: %v", path, err, good)
			}
		})
	}
	group.Wait()
	if n := strayed.Load(); n != 0 {
		t.Errorf("other servers got %d requests", n)
	}
	// With the system's certificates, the issuer's is unknown.
	if err := tryKeys(t, issuer.URL+"/keys", nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}
