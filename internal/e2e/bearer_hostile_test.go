package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// forEachTokenRevocation runs a test for each way to revoke one session. Both
// nodes have verified and cached an access token of that session.
func forEachTokenRevocation(t *testing.T, test func(w *world, here, there *node, token string, r wafer.Revocation)) {
	for name, r := range map[string]func(id store.ID) wafer.Revocation{
		"session":  func(id store.ID) wafer.Revocation { return wafer.Revocation{Sessions: []store.ID{id}} },
		"subject":  func(store.ID) wafer.Revocation { return wafer.Revocation{Subjects: []string{"alice"}} },
		"everyone": func(store.ID) wafer.Revocation { return wafer.Revocation{Everyone: true} },
	} {
		for _, native := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, native %v", name, native), func(t *testing.T) {
				forEachKind(t, func(t *testing.T, w *world) {
					here, there := w.node(withTokens()), w.node(withTokens())
					var token string
					if native {
						token = here.issue("alice").AccessToken()
					} else {
						b := w.browser().login(here, "alice", "a")
						token = tokenAnswer(t, here.api(http.MethodPost, "/token", "", b.from)).AccessToken
					}
					w.pass(time.Second)
					for range 3 {
						here.wantBearer("before", token, "alice")
						there.wantBearer("before", token, "alice")
					}
					test(w, here, there, token, r(sessionID(t, token)))
				})
			})
		}
	}
}

// Promise 1 for access tokens: a token that was verified before is refused at
// once on this node, and MaxStaleness later on every node, even if no entries
// arrive.
func TestPromise1_AccessTokenIsRefusedAtOnce(t *testing.T) {
	forEachTokenRevocation(t, func(w *world, here, there *node, token string, r wafer.Revocation) {
		here.store.cutLog()
		there.store.cutLog()
		here.revoke(r)
		here.wantBearer("here, at once", token, "401")
		w.clock.Move(testStaleness + time.Millisecond)
		there.wantBearer("there, MaxStaleness later", token, "401")
		again := here.issue("alice").AccessToken()
		here.wantBearer("a new login", again, "alice") // a revocation is not a ban
	})
}

func TestPromise1_AccessTokenWhereTheStoreIsDown(t *testing.T) {
	forEachTokenRevocation(t, func(w *world, here, there *node, token string, r wafer.Revocation) {
		there.store.fail()
		here.revoke(r)
		w.clock.Move(testStaleness + time.Millisecond)
		if who := there.bearerOf(token); who != "503" && who != "401" {
			t.Errorf("on a node that is cut off, MaxStaleness after a revocation, the token is %q", who)
		}
		here.store.fail()
		if who := here.bearerOf(token); !w.refused(who) {
			t.Errorf("on the node that revoked it, the token is %q", who)
		}
	})
}

// A node that starts after the revocation.
func TestPromise1_AccessTokenAfterARestart(t *testing.T) {
	forEachTokenRevocation(t, func(w *world, here, there *node, token string, r wafer.Revocation) {
		here.revoke(r)
		here.stop()
		w.node(withTokens()).wantBearer("on a node that has just started", token, "401")
	})
}

// Everything that ends a session through its cookies ends its access tokens
// too.
func TestPromise1_AccessTokenEndsWithItsSession(t *testing.T) {
	for name, act := range map[string]func(*visit) error{
		"End": end, "Renew": renew,
		"Reauthenticate": func(v *visit) error { return v.n.Reauthenticate(v.w, v.r) },
		"Start":          func(v *visit) error { return v.n.Start(v.w, v.r, "alice", basket{}) },
		"EndOthers by another": func(v *visit) error {
			return v.n.world.browser().login(v.n, "alice", "b").do(v.n, endOthers)
		},
		"EndOthers by itself": endOthers, // the session is reborn at a later position
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node(withTokens())
			b := w.browser().login(n, "alice", "a")
			token := tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)).AccessToken
			for range 3 {
				n.wantBearer("before", token, "alice")
			}
			n.store.cutLog()
			wants(t, name, b.do(n, act), nil)
			n.wantBearer("after", token, "401")
			n.store.heal()
			if name == "End" || name == "EndOthers by another" {
				return
			}
			n.wantBearer("a new one", tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)).AccessToken, "alice")
		})
	}
}

// A revoked key invalidates the cached tokens that it signed, at once on a node
// that has read the revocation. Together with a revocation of everyone it also
// invalidates whatever its holder signs.
func TestPromise1_AccessTokenOfARevokedKey(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		keeper, err := keyring.NewKeeper(newStaticSecret())
		if err != nil {
			t.Fatal(err)
		}
		operators, err := keyring.Create(ctx, w.mem, keeper, w.clock.Now(), keyring.Schedule{})
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Move(time.Second)
		open := func() *keyring.Ring {
			ring, err := keyring.Open(ctx, w.mem, keeper)
			if err != nil {
				t.Fatal(err)
			}
			return ring
		}
		ring := open()
		w.ring = ring
		here := w.node(withTokens())
		w.ring = open()
		there := w.node(withTokens())
		w.ring = open() // the thief's handle on the old ring
		p := here.issue("alice")
		for range 3 {
			here.wantBearer("before", p.AccessToken(), "alice")
			there.wantBearer("before", p.AccessToken(), "alice")
		}
		key, err := operators.Primary(w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operators.Revoke(ctx, w.clock.Now(), key.ID(), "leaked"); err != nil {
			t.Fatal(err)
		}
		if err := ring.Reload(ctx); err != nil {
			t.Fatal(err)
		}
		here.wantBearer("a token in the cache, its key revoked", p.AccessToken(), "401")
		wantOAuth(t, "a refresh token, its key revoked", here.refreshWith(p.RefreshToken()), 400, "invalid_grant")
		at := here.revoke(wafer.Revocation{Everyone: true, Reason: "leaked"})
		forged := w.forge(p.AccessToken(), func(a *codec.AccessToken) { a.Position = uint64(at) })
		if who := there.bearerOf(forged); who != "401" {
			t.Errorf("a forged token causes the read itself, and is %q", who)
		}
		here.wantBearer("a forged token", forged, "401")
		there.freshen()
		there.wantBearer("what it had verified", p.AccessToken(), "401")
		there.wantBearer("of the next key", here.issue("alice").AccessToken(), "alice")
	})
}

// A request that began before a revocation and ends after it gets a token that
// is refused.
func TestPromise1_NativeRefreshAcrossARevocation(t *testing.T) {
	for name, r := range map[string]wafer.Revocation{"subject": {Subjects: []string{"alice"}}, "everyone": {Everyone: true}} {
		for _, method := range []string{"Advance", "Create"} {
			for _, when := range []string{"before", "after"} {
				t.Run(name+" "+when+" "+method, func(t *testing.T) {
					w := newWorld(t)
					n := w.node(withTokens())
					p := n.issue("alice")
					w.pass(testAccess)
					act := func() { n.revoke(r) }
					if when == "before" {
						n.store.before(method, act)
					} else {
						n.store.after(method, act)
					}
					switch method {
					case "Advance":
						rec := n.refreshWith(p.RefreshToken())
						if rec.Code == http.StatusOK {
							n.wantBearer("minted across it", tokenAnswer(t, rec).AccessToken, "401")
						}
						wantOAuth(t, "after it", n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
					case "Create":
						got, err := n.Issue(t.Context(), "alice")
						if err == nil {
							want := "alice" // the revocation came first
							if when == "after" {
								want = "401"
							}
							n.wantBearer("issued across it", got.AccessToken(), want)
						}
					}
				})
			}
		}
	}
}

// Changes during a slow hook.
func TestPromise1_RevokedWhileClaimsIsAsked(t *testing.T) {
	w := newWorld(t)
	var during func()
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error) {
			if during != nil {
				during()
			}
			return wafer.TokenClaims{}, nil
		}
	}))
	for name, r := range map[string]func(store.ID) wafer.Revocation{
		"session": func(id store.ID) wafer.Revocation { return wafer.Revocation{Sessions: []store.ID{id}} },
		"subject": func(store.ID) wafer.Revocation { return wafer.Revocation{Subjects: []string{"alice"}} },
	} {
		during = nil
		p := n.issue("alice")
		b := w.browser().login(n, "alice", "a")
		w.pass(testAccess / 2)
		during = func() { n.revoke(r(p.Session)) }
		wantOAuth(t, name, n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
		during = func() { n.revoke(r(store.ID(b.cookie(w).ID))) }
		if rec := n.api(http.MethodPost, "/token", "", b.from); rec.Code == http.StatusOK {
			n.wantBearer("minted across it", tokenAnswer(t, rec).AccessToken, "401")
		}
	}
}

// Revocations, requests and refreshes run at once. Whatever was revoked is
// refused from then on.
func TestPromise1_AccessTokensUnderRace(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			subject := fmt.Sprint("user", i)
			for range 10 {
				p, err := n.Issue(context.Background(), subject)
				if err != nil {
					t.Error(err)
					return
				}
				var gone atomic.Bool
				var readers sync.WaitGroup
				for range 2 {
					readers.Go(func() {
						for range 40 {
							was := gone.Load()
							if who := n.bearerOf(p.AccessToken()); was && who != "401" || who != "401" && who != subject {
								t.Errorf("the token of %s is %q after its revocation returned: %v", subject, who, was)
							}
						}
					})
				}
				if _, err := n.Revoke(context.Background(), wafer.Revocation{Subjects: []string{subject}}); err != nil {
					t.Error(err)
				}
				gone.Store(true)
				readers.Wait()
			}
		})
	}
	wg.Wait()
}

// Promise 5: a token that cannot be judged is a 503, not a 401.
func TestPromise5_BearerInAnOutage(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		n := w.node(withTokens())
		p := n.issue("alice")
		w.pass(time.Second)
		n.wantBearer("before", p.AccessToken(), "alice")
		n.store.fail()
		if !w.noReplica { // a node without one may need the store after all: its cache may lose an answer
			n.wantBearer("within MaxStaleness", p.AccessToken(), "alice")
		}
		w.clock.Move(testStaleness + time.Millisecond)
		for name, middleware := range map[string]func(http.Handler) http.Handler{"Bearer": n.Bearer, "Require": n.Require, "Handler": n.Handler} {
			who, rec := through401(n, middleware, bearing(p.AccessToken()))
			if who != "503" || rec.Header().Get("Retry-After") == "" || len(rec.Header()["Set-Cookie"]) != 0 {
				t.Errorf("%s in an outage: %s %v", name, who, rec.Header())
			}
		}
		public := false
		n.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { public = true })).ServeHTTP(httptest.NewRecorder(), func() *http.Request {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			bearing(p.AccessToken())(r)
			return r
		}())
		if !public {
			t.Error("a public page is down")
		}
		n.store.heal()
		w.pass(0)
		n.wantBearer("after the outage", p.AccessToken(), "alice")
	})
}

// Promise 6: every refused access token looks the same at each endpoint.
func TestPromise6_EveryBearerRefusedLooksTheSame(t *testing.T) {
	_, n, tokens := badTokens(t)
	delete(tokens, "for another of Audiences") // introspection and revocation may accept it
	for name, door := range map[string]func(token string) *httptest.ResponseRecorder{
		"Bearer": func(token string) *httptest.ResponseRecorder { _, w := n.bearer(bearing(token)); return w },
		"Require": func(token string) *httptest.ResponseRecorder {
			_, w := through401(n, n.Require, bearing(token))
			return w
		},
		"Handler": func(token string) *httptest.ResponseRecorder {
			_, w := through401(n, n.Handler, bearing(token))
			return w
		},
		"devices": func(token string) *httptest.ResponseRecorder {
			return n.api(http.MethodGet, "/devices", "", bearing(token))
		},
		"a device": func(token string) *httptest.ResponseRecorder {
			return n.api(http.MethodDelete, "/devices/"+(store.ID{1}).String(), "", bearing(token))
		},
		"token": func(token string) *httptest.ResponseRecorder {
			return n.api(http.MethodPost, "/token", "", bearing(token))
		},
	} {
		want := ""
		for what, token := range tokens {
			got := dump(door(token))
			if want == "" {
				want = got
			}
			if got != want || !strings.HasPrefix(got, "401\n") || !strings.Contains(got, `Bearer error=\"invalid_token\"`) {
				t.Errorf("%s: %s looks like\n%s\nand not like\n%s", name, what, got, want)
			}
		}
	}
}

// Promise 7: no token appears in a log line, event, error or %v.
func TestPromise7_TokensStayIn(t *testing.T) {
	const claim, subject = "MARKER-of-the-claims", "MARKER-of-the-subject"
	var logged bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	w := newWorld(t)
	var fault error
	n := w.node(func(c *wafer.Config[basket]) { c.Observe = nil }, withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error) {
			return wafer.TokenClaims{Scope: "scope", Extra: map[string]string{"role": claim}}, fault
		}
	}))
	secrets, outputs := map[string]string{"the claims": claim, "the subject": subject}, map[string]string{}
	show := func(what string, v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			outputs[what+" by "+verb] = fmt.Sprintf(verb, v)
		}
		slog.Info("shown", what, v)
	}
	keep := func(what, token string) {
		secrets[what] = token
		if parts := strings.Split(token, "."); len(parts) == 3 {
			secrets[what+", its payload"], secrets[what+", its signature"] = parts[1][:40], parts[2]
		}
	}
	p := n.issue(subject)
	keep("the first access token", p.AccessToken())
	keep("the first refresh token", p.RefreshToken())
	show("TokenPair", p)
	show("TokenPair by value", *p)
	show("a struct with both", struct {
		P *wafer.TokenPair
		V wafer.TokenPair
	}{p, *p})
	show("a slice", []wafer.TokenPair{*p})
	show("a map", map[string]*wafer.TokenPair{"p": p})
	show("an error", fmt.Errorf("failed: %v", p))
	w.pass(testAccess)
	next := n.refreshed(p.RefreshToken())
	keep("the second access token", next.AccessToken)
	keep("the second refresh token", next.RefreshToken)
	through401(n, func(h http.Handler) http.Handler {
		return n.Bearer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			s, err := n.Get(r.Context())
			if err != nil {
				t.Fatal(err)
			}
			show("Session", s)
			show("Session by value", *s)
			show("the context", r.Context())
			show("Live", n.Live(r))
			outputs["the error of Claims"] = fmt.Sprint(s.Claims(new([]int)))
			outputs["the error of Save"] = fmt.Sprint(n.Save(rw, r, basket{}))
		}))
	}, bearing(next.AccessToken))
	show("Config", n.config)
	show("TokenConfig", n.config.Tokens)
	for _, bad := range []string{next.AccessToken + "A", next.AccessToken[:len(next.AccessToken)-2], p.AccessToken(), next.RefreshToken, next.AccessToken + " x", w.forge(next.AccessToken, func(a *codec.AccessToken) { a.Audience = []string{"elsewhere"} })} {
		if !strings.Contains(bad, " ") {
			keep("a bad one "+bad[len(bad)-5:], bad)
		}
		for _, rec := range []*httptest.ResponseRecorder{
			n.api(http.MethodGet, "/devices", "", bearing(bad)), n.refreshWith(bad[:len(bad)-1]), n.api(http.MethodPost, "/revoke", form("token", bad+"A")),
			n.api(http.MethodPost, "/introspect", form("token", bad+"A"), authorized), n.api(http.MethodPost, "/refresh", form("grant_type", bad, "refresh_token", bad)),
			n.api(http.MethodPost, "/refresh", form(bad, "1", bad, "2")), n.refreshWith(next.RefreshToken, "audience", bad), n.api(http.MethodDelete, "/devices/"+url.PathEscape(bad), "", bearing(next.AccessToken)),
		} {
			outputs[fmt.Sprint("answer ", len(outputs))] = dump(rec)
		}
	}
	var failures []error
	fault = errors.New("the directory is down")
	n.refreshWith(next.RefreshToken)
	_, err := n.Issue(context.Background(), subject)
	failures = append(failures, err)
	fault = nil
	n.store.fail()
	n.refreshWith(next.RefreshToken)
	_, err = n.Issue(context.Background(), subject)
	failures = append(failures, err)
	n.api(http.MethodPost, "/revoke", form("token", next.RefreshToken))
	w.clock.Move(testAccess)
	_, err = n.Attach(httptest.NewRecorder(), func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		bearing(next.AccessToken)(r)
		return r
	}())
	failures = append(failures, err)
	n.store.heal()
	n.stop()
	for i, err := range failures {
		if err == nil {
			t.Errorf("failure %d did not fail", i)
			continue
		}
		outputs[fmt.Sprint("error ", i)] = fmt.Sprintf("%v %+v %#v", err, err, err)
	}
	outputs["the log"] = logged.String()
	if !strings.Contains(outputs["the log"], "session refreshed") || !strings.Contains(outputs["the log"], "access token not valid") {
		t.Errorf("the log has too little: %s", outputs["the log"])
	}
	for what, out := range outputs {
		for name, secret := range secrets {
			for _, form := range secretForms([]byte(secret)) {
				if strings.Contains(out, form) {
					t.Errorf("%s shows %s as %.40q…", what, name, form)
					break
				}
			}
		}
	}
}

// Promise 8: whatever a client sends has a bounded cost.
func TestPromise8_Forms(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	p := n.issue("alice")
	n.freshen()
	n.store.reset()
	h := n.Endpoints()
	for what, c := range map[string]struct{ path, body string }{
		"1 MB to refresh":          {"/refresh", form("grant_type", "refresh_token", "refresh_token", strings.Repeat("A", 1<<20))},
		"1 MB to revoke":           {"/revoke", form("token", strings.Repeat("A", 1<<20))},
		"1 MB to introspect":       {"/introspect", form("token", strings.Repeat("A", 1<<20))},
		"1 MB of parameters":       {"/revoke", form("token", p.RefreshToken()) + strings.Repeat("&a=1", 1<<18)},
		"1 MB of separators":       {"/refresh", strings.Repeat("&", 1<<20)},
		"1 MB of escapes":          {"/refresh", "grant_type=" + strings.Repeat("%41", 1<<18)},
		"16 KB of parameters":      {"/refresh", numbered(3500)[1:]},
		"a JWT of 15 KB":           {"/revoke", form("token", strings.Repeat("A", 5000)+"."+strings.Repeat("A", 5000)+"."+strings.Repeat("A", 5000))},
		"a refresh token of 15 KB": {"/introspect", form("token", "wfr1_"+strings.Repeat("A", 15000))},
	} {
		const rounds = 10
		var before, after runtime.MemStats
		requests := make([]*http.Request, rounds)
		for i := range requests {
			requests[i] = httptest.NewRequest(http.MethodPost, "https://harness.example"+c.path, strings.NewReader(c.body))
			requests[i].Header.Set("Content-Type", "application/x-www-form-urlencoded")
			authorized(requests[i])
		}
		runtime.ReadMemStats(&before)
		took := time.Hour // the fastest: others may have waited for the processor
		for _, r := range requests {
			started := time.Now()
			h.ServeHTTP(httptest.NewRecorder(), r)
			took = min(took, time.Since(started))
		}
		runtime.ReadMemStats(&after)
		if bytes := (after.TotalAlloc - before.TotalAlloc) / rounds; bytes > 2<<20 {
			t.Errorf("%s: %d bytes allocated for one request", what, bytes)
		}
		if took > 200*time.Millisecond {
			t.Errorf("%s: %v for one request", what, took)
		}
	}
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("the store was called: %v", calls)
	}
	n.wantBearer("after all that", p.AccessToken(), "alice")
}

// No forged token causes a store call at any endpoint.
func TestPromise8_ForgedTokensReachNoStore(t *testing.T) {
	w, n, tokens := badGrants(t)
	w.pass(0)
	n.store.reset()
	for _, name := range []string{"junk", "cut by one", "another family", "another generation", "another tag", "of another realm", "of another ring", "an access token", "a session cookie", "10 KB"} {
		token, found := tokens[name]
		if !found {
			t.Fatalf("there is no %q", name)
		}
		n.refreshWith(token)
		if name != "an access token" {
			n.api(http.MethodPost, "/revoke", form("token", token))
			n.api(http.MethodPost, "/introspect", form("token", token), authorized)
			n.bearerOf(token)
		}
	}
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("forged tokens made the store work: %v", calls)
	}
}

// 1 MB in the header costs no hash and no copy.
func TestPromise8_OversizedTokenIsCheap(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	big := strings.Repeat("A", 1<<20)
	for what, lines := range map[string][]string{
		"1 MB": {"Bearer " + big}, "1 MB of spaces": {"Bearer " + strings.Repeat(" ", 1<<20)}, "1 MB of a scheme": {big},
		"1 MB of dots": {"Bearer " + strings.Repeat(".", 1<<20)}, "100,000 headers": slices.Repeat([]string{"Bearer A"}, 100000),
	} {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Authorization"] = lines
		const rounds = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			_, _ = n.Attach(httptest.NewRecorder(), r)
		}
		runtime.ReadMemStats(&after)
		if bytes := (after.TotalAlloc - before.TotalAlloc) / rounds; bytes > 32<<10 {
			t.Errorf("%s: %d bytes allocated for one request", what, bytes)
		}
	}
}

// However busy the log is, a token is good until it expires: an entry is
// dropped from the log only when it is older than the position of any good
// token.
func TestAccessTokensOutliveABusyLog(t *testing.T) {
	const step = 5 * time.Second
	for _, kind := range []string{"native", "browser", "browser reissued"} {
		for _, lifetime := range []time.Duration{testAccess, 20 * time.Minute} {
			w := newWorld(t)
			n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.Lifetime = lifetime }), func(c *wafer.Config[basket]) {
				c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) { return s.Data() }
			})
			busy := func(d time.Duration) {
				for range d / step {
					n.revoke(wafer.Revocation{Subjects: []string{"somebody else"}})
					w.pass(step)
				}
			}
			b, refresh := w.browser().login(n, "alice", "a"), n.issue("alice").RefreshToken()
			busy(testAccess/2 - step)
			var p tokenResponse
			switch kind {
			case "native":
				p = n.refreshed(refresh) // the same generation again, at its old position
			case "browser":
				busy(testAccess*4/10 - step)
				p = tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from))
			case "browser reissued":
				delete(b.cookies, sessionCookie)
				b.see(n) // the same generation again, for a full lifetime
				busy(testAccess*9/10 - step)
				p = tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from))
			}
			for left := time.Duration(*p.ExpiresIn) * time.Second; left > step; left -= step {
				busy(step)
				if who := n.bearerOf(p.AccessToken); who != "alice" {
					t.Errorf("%s, for %v: %v before its expiry it is %q: %v", kind, lifetime, left-step, who, n.observed()[len(n.observed())-1])
					break
				}
			}
		}
	}
}

// A list at its limit raises its own floor. A native client that refreshes gets
// a token above it.
func TestNativeRefreshAboveTheFloorOfAFullList(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(), func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
	p := n.issue("alice")
	w.pass(time.Second)
	for i := range 1500 {
		n.revoke(wafer.Revocation{Subjects: []string{fmt.Sprint("other ", i)}})
	}
	n.wantBearer("below the floor", p.AccessToken(), "401")
	next := n.refreshed(p.RefreshToken())
	n.wantBearer("refreshed", next.AccessToken, "alice")
	if g := w.family(p.Session).Family.Generation; g != 1 {
		t.Errorf("the family advanced to %d", g)
	}
}

// A logout that the store did not accept is in force on this node, and nothing
// is advanced.
func TestNativeRefreshAfterALogoutThatTheStoreHasNotTaken(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	p := n.issue("alice")
	w.pass(testAccess)
	n.store.fail("Revoke")
	wantOAuth(t, "revoke", n.api(http.MethodPost, "/revoke", form("token", p.RefreshToken())), 503, "temporarily_unavailable")
	if got := n.introspected(t, p.RefreshToken()); got["active"] != false {
		t.Errorf("introspect: %v", got)
	}
	n.store.reset()
	wantOAuth(t, "refresh", n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
	if calls := n.store.calls(); calls["Advance"]+calls["Family"] != 0 {
		t.Errorf("the store was called: %v", calls)
	}
	if f := w.family(p.Session); f.State != store.Alive || f.Family.Generation != 1 {
		t.Errorf("the family is %v at generation %d; the test shows nothing", f.State, f.Family.Generation)
	}
}

// In the last second of a session no token is issued, and there is no outage
// either.
func TestTokensInTheLastSecondOfASession(t *testing.T) {
	for _, hook := range []bool{false, true} {
		w := newWorld(t)
		n := w.node(withTokens(withHook(hook)))
		limit := wafer.Limits(testAccess+time.Minute, testAccess+time.Minute)
		p, b := n.issue("alice", limit), w.browser().login(n, "bob", "b", limit)
		w.pass(testAccess + 30*time.Second)
		b.is(n, "bob: b")
		next := n.refreshed(p.RefreshToken())
		w.clock.Move(30*time.Second - time.Millisecond)
		if rec := n.api(http.MethodPost, "/token", "", b.from); rec.Code != http.StatusOK && rec.Code != http.StatusUnauthorized {
			t.Errorf("a browser's: %d %s", rec.Code, rec.Body)
		}
		if rec := n.refreshWith(next.RefreshToken); rec.Code != http.StatusOK {
			wantOAuth(t, "a native client's", rec, 400, "invalid_grant")
		}
		// The clock is slightly behind the deadline's fraction of a second.
		if who := n.bearerOf(next.AccessToken); who != "alice" && who != "401" {
			t.Errorf("the last token is %s", who)
		}
	}
	// The session began in the middle of a second, so its last token would have
	// to expire before it was issued.
	w := newWorld(t)
	w.clock.Move(500 * time.Millisecond)
	n := w.node(withTokens())
	limit := wafer.Limits(testAccess+time.Minute, testAccess+time.Minute)
	p, b := n.issue("alice", limit), w.browser().login(n, "bob", "b", limit)
	w.pass(testAccess + 30*time.Second)
	b.is(n, "bob: b")
	next := n.refreshed(p.RefreshToken())
	w.clock.Move(30*time.Second - 200*time.Millisecond)
	if rec := n.api(http.MethodPost, "/token", "", b.from); rec.Code != http.StatusUnauthorized {
		t.Errorf("a browser's, with 200 ms left: %d %s", rec.Code, rec.Body)
	}
	wantOAuth(t, "a native client's, with 200 ms left", n.refreshWith(next.RefreshToken), 400, "invalid_grant")
}
