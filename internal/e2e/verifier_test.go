package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

func TestVerifierShowsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t, func(c *wafer.Config[basket]) {
			c.Tokens.Claims = func(_ context.Context, session *wafer.Session[basket]) (wafer.TokenClaims, error) {
				return wafer.TokenClaims{Scope: "orders:read", Extra: map[string]any{"role": "clerk"}}, nil
			}
		})
		v := s.service()
		began := time.Now()
		pair := s.login("alice")
		time.Sleep(time.Minute)
		token := s.token(pair, ordersAPI)
		session, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		var claims struct{ Role string }
		if err := session.Claims(&claims); err != nil || claims.Role != "clerk" {
			t.Errorf("the claims are %v, %v", claims, err)
		}
		if session.Subject != "alice" || session.ID != pair.Session || session.Scope() != "orders:read" ||
			!session.Authenticated.Equal(began.Truncate(time.Second)) || session.Position() == 0 || !session.Deadline().Equal(time.Now().Add(testAccess).Truncate(time.Second)) {
			t.Errorf("the session is %+v of %q, scope %q, authenticated %v, until %v", session.ID, session.Subject, session.Scope(), session.Authenticated, session.Deadline())
		}
		if _, err := session.Data(); err != nil {
			t.Error(err)
		}
	})
}

// A Verifier answers a request as the application's own Bearer does, including
// the headers.
func TestVerifierAnswersAsBearer(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		pair := s.login("alice")
		own, orders := s.token(pair, shopAudience), s.token(pair, ordersAPI)
		ended := s.login("bob")
		endedOwn, endedOrders := s.token(ended, shopAudience), s.token(ended, ordersAPI)
		s.revoke(wafer.Revocation{Subjects: []string{"bob"}})
		synctest.Wait()

		who := func(get func(context.Context) (string, error)) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				subject, err := get(r.Context())
				fmt.Fprint(w, subject, " ", err)
			})
		}
		bearers := map[string]http.Handler{
			"Sessions": s.Bearer(who(func(ctx context.Context) (string, error) {
				session, err := s.Get(ctx)
				return session.Subject, err
			})),
			"Verifier": v.Bearer(v.Bearer(who(func(ctx context.Context) (string, error) {
				session, err := v.Get(ctx)
				return session.Subject, err
			}))),
		}
		for _, test := range []struct {
			name      string
			own       []string // the Authorization headers at the application; "OTHER": the tokens change places
			orders    []string
			status    int
			challenge string
		}{
			{"good", []string{"Bearer " + own}, []string{"Bearer " + orders}, 200, ""},
			{"another case", []string{"bEARER   " + own}, []string{"bEARER   " + orders}, 200, ""},
			{"none", nil, nil, 401, "Bearer"},
			{"another scheme", []string{"Basic YTpi"}, []string{"Basic YTpi"}, 401, "Bearer"},
			{"empty", []string{"Bearer "}, []string{"Bearer "}, 401, `Bearer error="invalid_token"`},
			{"two", []string{"Bearer " + own, "Bearer " + own}, []string{"Bearer " + orders, "Bearer " + orders}, 401, `Bearer error="invalid_token"`},
			{"of the other audience", []string{"Bearer " + orders}, []string{"Bearer " + own}, 401, `Bearer error="invalid_token"`},
			{"revoked", []string{"Bearer " + endedOwn}, []string{"Bearer " + endedOrders}, 401, `Bearer error="invalid_token"`},
			{"a refresh token", []string{"Bearer " + pair.RefreshToken()}, []string{"Bearer " + pair.RefreshToken()}, 401, `Bearer error="invalid_token"`},
			{"damaged", []string{"Bearer " + own + "A"}, []string{"Bearer " + orders + "A"}, 401, `Bearer error="invalid_token"`},
		} {
			for name, headers := range map[string][]string{"Sessions": test.own, "Verifier": test.orders} {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header["Authorization"] = headers
				w := httptest.NewRecorder()
				bearers[name].ServeHTTP(w, r)
				if w.Code != test.status || w.Header().Get("WWW-Authenticate") != test.challenge {
					t.Errorf("%s, %s: %d %q, want %d %q", test.name, name, w.Code, w.Header().Get("WWW-Authenticate"), test.status, test.challenge)
				}
				if w.Code == 200 && w.Body.String() != "alice <nil>" || w.Code == 401 && strings.TrimSpace(w.Body.String()) != "Unauthorized" {
					t.Errorf("%s, %s: the body is %q", test.name, name, w.Body)
				}
				vary := strings.Join(w.Header()["Vary"], ",")
				if strings.Count(vary, "Authorization") != 1 || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s, %s: Vary %q, Cache-Control %q", test.name, name, vary, w.Header().Get("Cache-Control"))
				}
			}
		}
	})
}

func TestVerifierRefuse(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service(func(c *wafer.VerifierConfig) {
			c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				w.WriteHeader(wafer.Status(err))
				fmt.Fprint(w, "ours")
			}
		})
		token := s.orders("alice")
		s.log.cut(true)
		time.Sleep(testStaleness + time.Second)
		h := v.Bearer(http.NotFoundHandler())
		for header, want := range map[string]int{"Bearer " + token: 503, "Bearer junk": 401} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want || w.Body.String() != "ours" || (w.Header().Get("Retry-After") != "") != (want == 503) ||
				(w.Header().Get("WWW-Authenticate") != "") != (want == 401) || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d, want %d: %q %v", w.Code, want, w.Body, w.Header())
			}
		}
		if _, err := v.Get(t.Context()); err == nil || wafer.Status(err) != 500 {
			t.Errorf("Get without Bearer: %v", err)
		}
	})
}

// A revoked token is refused here as soon as the log delivers the entry,
// whether the token is new or cached.
func TestPromise1_VerifierHearsOfRevocations(t *testing.T) {
	for name, revocation := range map[string]func(*wafer.TokenPair) wafer.Revocation{
		"session":  func(p *wafer.TokenPair) wafer.Revocation { return wafer.Revocation{Sessions: []store.ID{p.Session}} },
		"subject":  func(p *wafer.TokenPair) wafer.Revocation { return wafer.Revocation{Subjects: []string{"alice"}} },
		"everyone": func(p *wafer.TokenPair) wafer.Revocation { return wafer.Revocation{Everyone: true} },
	} {
		t.Run(name, func(t *testing.T) {
			withShop(t, func(t *testing.T, s *shop) {
				v := s.service()
				pair := s.login("alice")
				seen, unseen, bob := s.token(pair, ordersAPI), s.token(pair, ordersAPI), s.orders("bob")
				v.is("before", seen, nil)
				v.is("before, again", seen, nil)
				v.is("bob's, before", bob, nil)
				s.revoke(revocation(pair))
				time.Sleep(time.Second) // an entry that revokes everyone waits for the keys
				v.is("a token that was seen before", seen, wafer.ErrNoSession)
				v.is("one that was not", unseen, wafer.ErrNoSession)
				if name == "everyone" {
					v.is("bob's", bob, wafer.ErrNoSession)
				} else {
					v.is("bob's", bob, nil)
				}
				if name != "session" {
					v.is("a new login", s.orders("alice"), nil)
				}
			})
		})
	}
}

// A service that has lost touch with the log queries the store about each
// session, and answers that it is unavailable if the store fails too.
func TestPromise1_VerifierOutOfTouch(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		alice, bob := s.orders("alice"), s.orders("bob")
		v.is("alice, in touch", alice, nil)
		v.is("bob, in touch", bob, nil)
		if n := s.log.queries(); n != 0 {
			t.Errorf("%d questions about sessions on a fresh replica", n)
		}
		s.log.cut(false)
		time.Sleep(testStaleness + time.Second)
		s.revoke(wafer.Revocation{Subjects: []string{"bob"}})
		if state := v.Health().State; state != "stale" {
			t.Errorf("the state is %q", state)
		}
		v.is("alice, out of touch", alice, nil)
		v.is("bob, revoked meanwhile", bob, wafer.ErrNoSession)
		if n := s.log.queries(); n < 2 {
			t.Errorf("the store was called %d times", n)
		}
		s.log.cut(true)
		v.is("alice, without the store", alice, wafer.ErrUnavailable)
		v.is("bob, without the store", bob, wafer.ErrUnavailable)
		v.is("junk, without the store", "junk", wafer.ErrNoSession)
		s.log.heal()
		time.Sleep(testStaleness)
		v.is("alice, in touch again", alice, nil)
		v.is("bob, in touch again", bob, wafer.ErrNoSession)
		if state := v.Health().State; state != "fresh" {
			t.Errorf("the state is %q", state)
		}
	})
}

func TestPromise2_VerifierExpiry(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		seen, unseen := s.orders("alice"), s.orders("alice")
		expires := time.Now().Add(testAccess).Truncate(time.Second)
		v.is("a new one", seen, nil)
		time.Sleep(time.Until(expires) - time.Millisecond)
		v.is("a millisecond before its expiry", seen, nil)
		time.Sleep(time.Millisecond)
		v.is("at its expiry, seen before", seen, wafer.ErrNoSession)
		v.is("at its expiry", unseen, wafer.ErrNoSession)
	})
}

// Without a log the service reports once that it cannot see revocations. A
// token of an ended session is then good until it expires, and no longer.
func TestVerifierWithoutRevocations(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service(func(c *wafer.VerifierConfig) { c.Log, c.InsecureWithoutRevocations = nil, true })
		token := s.orders("alice")
		s.revoke(wafer.Revocation{Everyone: true})
		time.Sleep(time.Minute)
		v.is("after its revocation", token, nil)
		time.Sleep(testAccess)
		v.is("past its expiry", token, wafer.ErrNoSession)
		if n := v.count(wafer.KindInsecure); n != 1 {
			t.Errorf("it was said %d times, want once: %v", n, v.events)
		}
		if state := v.Health().State; state != "none" {
			t.Errorf("the state is %q", state)
		}
		w := s.service()
		if n := w.count(wafer.KindInsecure); n != 0 {
			t.Errorf("it was said of a service with a log")
		}
	})
}

func TestVerifierDocument(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		w := httptest.NewRecorder()
		s.Endpoints().ServeHTTP(w, httptest.NewRequest("GET", "/jwks.json", nil))
		document := w.Body.Bytes()
		v := s.service(func(c *wafer.VerifierConfig) { c.JWKSURL, c.Client, c.Document = "", nil, document })
		v.is("a token", s.orders("alice"), nil)
		token := s.orders("bob")
		s.revoke(wafer.Revocation{Subjects: []string{"bob"}})
		synctest.Wait()
		v.is("a revoked one", token, wafer.ErrNoSession)
		if err := s.ring.RevokeAll(t.Context(), time.Now(), "test"); err != nil {
			t.Fatal(err)
		}
		v.is("one of a key that is not in it", s.orders("alice"), wafer.ErrNoSession)
		if n := s.keys.count(); n != 0 || v.KeysAge() != 0 {
			t.Errorf("%d fetches; age %v", n, v.KeysAge())
		}
	})
}

func TestVerifierPrintsNoMore(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		for _, text := range []string{fmt.Sprintf("%v", v.Verifier), fmt.Sprintf("%#v", v.Verifier), v.Verifier.LogValue().String()} {
			if text != `wafer verifier of "https://shop.example" for ["https://orders.example"]` {
				t.Errorf("it prints %q", text)
			}
		}
		token := s.orders("alice")
		h := v.Bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%v %+v %#v", r.Context(), r.Context(), r.Context())
		}))
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || strings.Contains(w.Body.String(), "alice") || strings.Contains(w.Body.String(), token) {
			t.Errorf("a context prints %d %q", w.Code, w.Body)
		}
		for _, e := range v.events {
			if strings.Contains(fmt.Sprint(e), token) {
				t.Errorf("an event has the token: %v", e)
			}
		}
	})
}

func TestVerifierConfigMistakes(t *testing.T) {
	document := []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	good := func() wafer.VerifierConfig {
		return wafer.VerifierConfig{
			Issuer: shopIssuer, Audiences: []string{ordersAPI}, Document: document, InsecureWithoutRevocations: true,
			Observe: func(wafer.Event) {},
		}
	}
	v, err := wafer.NewVerifier(t.Context(), good())
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	at := func(url string) func(c *wafer.VerifierConfig) {
		return func(c *wafer.VerifierConfig) { c.Document, c.JWKSURL = nil, url }
	}
	for _, test := range []struct {
		field   string // named by the error
		mistake func(c *wafer.VerifierConfig)
	}{
		{"Issuer", func(c *wafer.VerifierConfig) { c.Issuer = "" }},
		{"Audiences", func(c *wafer.VerifierConfig) { c.Audiences = nil }},
		{"Audiences", func(c *wafer.VerifierConfig) { c.Audiences = []string{ordersAPI, ""} }},
		{"Algorithms", func(c *wafer.VerifierConfig) { c.Algorithms = algorithms("none") }},
		{"Algorithms", func(c *wafer.VerifierConfig) { c.Algorithms = algorithms() }},
		{"Document", func(c *wafer.VerifierConfig) { c.Document = nil }},
		{"Document", func(c *wafer.VerifierConfig) { c.Document = []byte{} }},
		{"Document", func(c *wafer.VerifierConfig) { c.Document = []byte(`{"keys":[]}`) }},
		{"Document", func(c *wafer.VerifierConfig) { c.Algorithms = algorithms("ES256") }},
		{"Document", func(c *wafer.VerifierConfig) {
			c.Document = []byte(strings.Replace(string(document), `"use"`, `"d":"AAAA","use"`, 1))
		}},
		{"JWKSURL", func(c *wafer.VerifierConfig) { c.JWKSURL = shopKeysURL }},
		{"JWKSURL", at("http://shop.example/jwks.json")},
		{"JWKSURL", at("http://localhost.example/jwks.json")},
		{"JWKSURL", at("http://10.0.0.1/jwks.json")},
		{"JWKSURL", at("http://0.0.0.0/jwks.json")},
		{"JWKSURL", at("file:///etc/jwks.json")},
		{"JWKSURL", at("shop.example/jwks.json")},
		{"JWKSURL", at("https:shop.example")},
		{"JWKSURL", at("https://user:password@shop.example/jwks.json")},
		{"JWKSURL", at("https://shop.example/jwks.json#keys")},
		{"JWKSURL", at("https://shop.example:port/")},
		{"Client", func(c *wafer.VerifierConfig) { c.Client = new(http.Client) }},
		{"Keep", func(c *wafer.VerifierConfig) { c.Keep = time.Hour + 1 }},
		{"Keep", func(c *wafer.VerifierConfig) { c.Keep = time.Second - 1 }},
		{"Keep", func(c *wafer.VerifierConfig) { c.Keep = -time.Second }},
		{"Refresh", func(c *wafer.VerifierConfig) { c.Refresh = 15*time.Minute + 1 }},
		{"Refresh", func(c *wafer.VerifierConfig) { c.Refresh = time.Second - 1 }},
		{"Log", func(c *wafer.VerifierConfig) { c.InsecureWithoutRevocations = false }},
		{"Log", func(c *wafer.VerifierConfig) { c.Log = new(readSide) }},
		{"MaxStaleness", func(c *wafer.VerifierConfig) { c.MaxStaleness = time.Second - 1 }},
		{"MaxRevocations", func(c *wafer.VerifierConfig) { c.MaxRevocations = 1023 }},
		{"StoreTimeout", func(c *wafer.VerifierConfig) { c.StoreTimeout = -1 }},
		{"Skew", func(c *wafer.VerifierConfig) { c.Skew = -1 }},
		{"Leeway", func(c *wafer.VerifierConfig) { c.Skew = time.Hour }},
		{"CachedTokens", func(c *wafer.VerifierConfig) { c.CachedTokens = -1 }},
	} {
		c := good()
		test.mistake(&c)
		ctx, cancel := withTimeout(t, time.Second) // it is an error before anything is fetched
		v, err := wafer.NewVerifier(ctx, c)
		cancel()
		if err == nil {
			v.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.field) || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "context ended") || strings.Contains(err.Error(), "password") {
			t.Errorf("a mistake in %s: %v", test.field, err)
		}
	}
	// Valid configurations.
	for _, url := range []string{"http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1/", "http://[::ffff:127.0.0.1]:1/"} {
		synctest.Test(t, func(t *testing.T) {
			c := good()
			c.Document, c.JWKSURL, c.Keep = nil, url, 2*time.Second
			c.Client = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errKeysDown })}
			ctx, cancel := withTimeout(t, time.Minute)
			defer cancel()
			if _, err := wafer.NewVerifier(ctx, c); !errors.Is(err, errKeysDown) {
				t.Errorf("%s: %v, want only that it does not answer", url, err)
			}
		})
	}
}
