package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// forge mints an access token as only a holder of the ring can.
func (w *world) forge(from string, change func(*codec.AccessToken)) string {
	w.t.Helper()
	return forgeWith(w.t, w.ring, testRealm, apiIssuer, w.clock.Now(), from, change)
}

func forgeWith(t testing.TB, ring *keyring.Ring, realm, issuer string, now time.Time, from string, change func(*codec.AccessToken)) string {
	t.Helper()
	access, err := codec.NewAccessTokens(ring, codec.AccessTokensConfig{Realm: realm, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	c := claimsOf(t, from)
	a := codec.AccessToken{
		Subject: codec.Hide(fmt.Sprint(c["sub"])), Audience: []string{apiAudience}, ClientID: "forger", Session: codec.ID(sessionID(t, from)),
		Position: uint64(c["pos"].(float64)), Issued: now, Expires: now.Add(testAccess), Authenticated: now,
	}
	if change != nil {
		change(&a)
	}
	minted := now
	if !a.Expires.After(now) {
		minted = a.Expires.Add(-time.Second)
	}
	token, err := access.Mint(minted, a)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A bearer token brings the same session as a cookie, without its data.
func TestBearerShowsTheSession(t *testing.T) {
	type roles struct{ Roles []string }
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(_ context.Context, s *wafer.Session[basket]) (wafer.TokenClaims, error) {
			return wafer.TokenClaims{Scope: "orders:read orders:write", Extra: roles{[]string{"clerk of " + s.Subject}}}, nil
		}
	}))
	b := w.browser().login(n, "alice", "a b")
	w.pass(2 * time.Minute)
	cookie := b.cookie(w)
	fromCookie := tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from))
	native := n.issue("alice")
	for what, token := range map[string]string{"a browser's": fromCookie.AccessToken, "a native client's": native.AccessToken()} {
		for name, middleware := range map[string]func(http.Handler) http.Handler{"Bearer": n.Bearer, "Require": n.Require, "Handler": n.Handler, "RequireRecent": n.RequireRecent(time.Hour)} {
			called := false
			through401(n, func(h http.Handler) http.Handler {
				return middleware(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					called = true
					s, err := n.Get(r.Context())
					if err != nil {
						t.Fatalf("%s token in %s: %v", what, name, err)
					}
					c := claimsOf(t, token)
					if s.Subject != "alice" || s.ID != sessionID(t, token) || s.Authenticated.Unix() != int64(c["auth_time"].(float64)) || s.Position() != store.Position(c["pos"].(float64)) {
						t.Errorf("%s token in %s: %q %v %v %v", what, name, s.Subject, s.ID, s.Authenticated, s.Position())
					}
					if s.Deadline().Unix() != int64(c["exp"].(float64)) || !s.Started.IsZero() {
						t.Errorf("%s token in %s: deadline %v, started %v", what, name, s.Deadline(), s.Started)
					}
					if data, err := s.Data(); err != nil || len(data.Items) != 0 {
						t.Errorf("%s token in %s: data %v, %v", what, name, data, err)
					}
					var got roles
					if err := s.Claims(&got); err != nil || !slices.Equal(got.Roles, []string{"clerk of alice"}) || s.Scope() != "orders:read orders:write" {
						t.Errorf("%s token in %s: claims %v, %v; scope %q", what, name, got, err, s.Scope())
					}
				}))
			}, bearing(token))
			if !called {
				t.Errorf("%s token does not pass %s", what, name)
			}
		}
	}
	if id := sessionID(t, fromCookie.AccessToken); id != store.ID(cookie.ID) {
		t.Errorf("the token is of session %v, the cookie of %v", id, cookie.ID)
	}
	// A session by cookie has neither scope nor claims.
	b.ask(n, func(v *visit) {
		got := roles{[]string{"kept"}}
		if err := v.s.Claims(&got); err != nil || got.Roles[0] != "kept" || v.s.Scope() != "" {
			t.Errorf("of a cookie: claims %v, %v; scope %q", got, err, v.s.Scope())
		}
	})
}

// The claims are those of RFC 9068 section 2.2 and those of the session.
func TestBearerTokenClaims(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.ClientID = "shop-app" }))
	a, b := n.issue("alice"), n.issue("alice")
	c := claimsOf(t, a.AccessToken())
	now := float64(w.clock.Now().Unix())
	for name, want := range map[string]any{"iss": apiIssuer, "sub": "alice", "client_id": "shop-app", "iat": now, "auth_time": now, "exp": now + testAccess.Seconds(), "sid": a.Session.String()} {
		if c[name] != want {
			t.Errorf("%s is %v, want %v", name, c[name], want)
		}
	}
	if aud := fmt.Sprint(c["aud"]); aud != apiAudience && aud != "["+apiAudience+"]" {
		t.Errorf("aud is %v", aud)
	}
	if c["jti"] == claimsOf(t, b.AccessToken())["jti"] || c["jti"] == "" || a.Session == b.Session {
		t.Error("two logins share a jti or a session")
	}
}

// RFC 6750 section 3 defines the challenge. Section 3.1 asks for no error code
// if no token was presented.
func TestBearerChallenges(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	good := n.issue("alice").AccessToken()
	for what, c := range map[string]struct {
		lines     []string
		challenge string
	}{
		"no header":                  {nil, "Bearer"},
		"another scheme":             {[]string{"Basic YTpi"}, "Bearer"},
		"an empty header":            {[]string{""}, "Bearer"},
		"no scheme":                  {[]string{good}, "Bearer"},
		"a scheme that begins so":    {[]string{"Bearers " + good}, "Bearer"},
		"another scheme, then ours":  {[]string{"Basic YTpi", "Bearer " + good}, "Bearer"},
		"no token":                   {[]string{"Bearer"}, `Bearer error="invalid_token"`},
		"an empty token":             {[]string{"Bearer "}, `Bearer error="invalid_token"`},
		"spaces":                     {[]string{"Bearer    "}, `Bearer error="invalid_token"`},
		"junk":                       {[]string{"Bearer junk"}, `Bearer error="invalid_token"`},
		"two tokens":                 {[]string{"Bearer " + good + " " + good}, `Bearer error="invalid_token"`},
		"two tokens, comma":          {[]string{"Bearer " + good + ", Bearer " + good}, `Bearer error="invalid_token"`},
		"a space behind":             {[]string{"Bearer " + good + " "}, `Bearer error="invalid_token"`},
		"quoted":                     {[]string{`Bearer "` + good + `"`}, `Bearer error="invalid_token"`},
		"a parameter":                {[]string{"Bearer token=" + good}, `Bearer error="invalid_token"`},
		"two headers":                {[]string{"Bearer " + good, "Bearer " + good}, `Bearer error="invalid_token"`},
		"two headers, the last junk": {[]string{"Bearer " + good, "Basic YTpi"}, `Bearer error="invalid_token"`},
		"two headers, the last none": {[]string{"Bearer " + good, ""}, `Bearer error="invalid_token"`},
		"a thousand headers":         {slices.Repeat([]string{"Bearer " + good}, 1000), `Bearer error="invalid_token"`},
		"a line break":               {[]string{"Bearer " + good + "\r\nX-Admin: 1"}, `Bearer error="invalid_token"`},
		"a tab for the space":        {[]string{"Bearer\t" + good}, "Bearer"},
	} {
		who, rec := n.bearer(func(r *http.Request) { r.Header["Authorization"] = c.lines })
		if who != "401" || !slices.Equal(rec.Header()["Www-Authenticate"], []string{c.challenge}) {
			t.Errorf("%s: %s, challenge %q, want 401 and %q", what, who, rec.Header()["Www-Authenticate"], c.challenge)
		}
		if rec.Header().Get("Cache-Control") != "no-store" || !slices.Contains(rec.Header()["Vary"], "Authorization") {
			t.Errorf("%s: header %v", what, rec.Header())
		}
	}
	// Schemes are compared without case (RFC 9110 section 11.1) and followed by
	// one or more spaces (section 11.4).
	for _, line := range []string{"Bearer " + good, "bearer " + good, "BEARER " + good, "bEaReR   " + good} {
		if who, rec := n.bearer(header("Authorization", line)); who != "alice" || rec.Header().Get("Cache-Control") != "no-store" || !slices.Contains(rec.Header()["Vary"], "Authorization") {
			t.Errorf("%.10q: %s, %v", line, who, rec.Header())
		}
	}
	// Sections 2.2 and 2.3: a token is not accepted in a form, and never in the
	// address.
	for what, configure := range map[string]func(*http.Request){
		"in the address": func(r *http.Request) { r.URL.RawQuery = "access_token=" + good },
		"in a form": func(r *http.Request) {
			*r = *httptest.NewRequest(http.MethodPost, "https://harness.example/api", strings.NewReader("access_token="+good))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		},
		"in a cookie":             header("Cookie", "access_token="+good),
		"in the proxy's header":   header("Proxy-Authorization", "Bearer "+good),
		"as the session's cookie": header("Cookie", sessionCookie+"="+good),
	} {
		if who, rec := n.bearer(configure); who != "401" || rec.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("a token %s: %s %v", what, who, rec.Header())
		}
	}
	// An outage is not a challenge.
	n.store.fail()
	w.clock.Move(testStaleness + time.Millisecond)
	if who, rec := n.bearer(bearing(good)); who != "503" || rec.Header().Get("WWW-Authenticate") != "" || rec.Header().Get("Retry-After") == "" {
		t.Errorf("in an outage: %s %v", who, rec.Header())
	}
	if who, _ := n.bearer(bearing("junk")); who != "401" {
		t.Errorf("junk in an outage: %s", who)
	}
}

// If a request has both, Bearer considers only the token; Require and Handler
// consider only the cookies.
func TestBearerBesideCookies(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	token := n.issue("native").AccessToken()
	b := w.browser().login(n, "browser", "a")
	w.pass(0)
	for _, c := range []struct {
		what          string
		jar           *browser
		token         string
		bearer, other string
	}{
		{"both good", b, token, "native", "browser"},
		{"a bad token", b, "junk", "401", "browser"},
		{"no token", b, "", "401", "browser"},
		{"no cookies", w.browser(), token, "native", "native"},
		{"neither", w.browser(), "", "401", "401"},
		{"junk cookies", &browser{t, map[string]string{sessionCookie: "junk"}}, token, "native", "401"},
		{"an empty cookie", &browser{t, map[string]string{refreshCookie: ""}}, token, "native", "401"},
		{"another's cookie", &browser{t, map[string]string{"theme": "dark"}}, token, "native", "native"},
	} {
		configure := func(r *http.Request) {
			for name, value := range c.jar.cookies {
				r.Header.Add("Cookie", name+"="+value)
			}
			if c.token != "" {
				bearing(c.token)(r)
			}
		}
		for name, m := range map[string]struct {
			middleware func(http.Handler) http.Handler
			want       string
		}{
			"Bearer":            {n.Bearer, c.bearer},
			"Require":           {n.Require, c.other},
			"Handler":           {n.Handler, c.other},
			"Bearer in Handler": {func(h http.Handler) http.Handler { return n.Handler(n.Bearer(h)) }, c.bearer},
			"Require in Bearer": {func(h http.Handler) http.Handler { return n.Bearer(n.Require(h)) }, c.bearer},
			"Bearer in Bearer":  {func(h http.Handler) http.Handler { return n.Bearer(n.Bearer(h)) }, c.bearer},
			"Bearer in Require": {func(h http.Handler) http.Handler { return n.Require(n.Bearer(h)) }, map[bool]string{true: "401", false: c.bearer}[c.other == "401"]},
		} {
			who, rec := through401(n, m.middleware, configure)
			if who != m.want {
				t.Errorf("%s: %s says %s, want %s", c.what, name, who, m.want)
			}
			if len(rec.Header()["Set-Cookie"]) != 0 {
				t.Errorf("%s: %s wrote cookies", c.what, name)
			}
		}
	}
	// Handler refreshes a session by cookie that is due, and Bearer inside it
	// still uses the token's session.
	w.pass(testAccess)
	fresh := n.issue("native").AccessToken()
	who, rec := through401(n, func(h http.Handler) http.Handler { return n.Handler(n.Bearer(h)) }, b.from, bearing(fresh))
	if who != "native" || len(rec.Header()["Set-Cookie"]) != 2 {
		t.Errorf("with a cookie that is due: %s, %d cookies", who, len(rec.Header()["Set-Cookie"]))
	}
	// Bearer alone refreshes nothing, whatever cookies come.
	before := rec.Result().Cookies()
	who, rec = n.bearer(b.from, bearing(fresh))
	if who != "native" || len(rec.Header()["Set-Cookie"]) != 0 || len(before) != 2 {
		t.Errorf("Bearer with a cookie that is due: %s, cookies %q", who, rec.Header()["Set-Cookie"])
	}
}

// A bearer's session can be ended, but not saved.
func TestBearerCanBeEndedAndNotSavedTo(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	b := w.browser().login(n, "browser", "a")
	p := n.issue("alice")
	w.pass(0)
	through401(n, func(h http.Handler) http.Handler {
		return n.Bearer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			for what, err := range map[string]error{
				"Save": n.Save(rw, r, basket{}), "Commit": n.Commit(rw, r, basket{}), "Renew": n.Renew(rw, r),
				"Reauthenticate": n.Reauthenticate(rw, r), "EndOthers": n.EndOthers(rw, r),
			} {
				if !errors.Is(err, wafer.ErrExpired) {
					t.Errorf("%s: %v", what, err)
				}
			}
			wants(t, "End", n.End(rw, r), nil)
			if _, err := n.Get(r.Context()); !errors.Is(err, wafer.ErrNoSession) {
				t.Errorf("after End: %v", err)
			}
			wants(t, "End again", n.End(rw, r), nil)
			if len(rw.Header()["Set-Cookie"]) != 0 {
				t.Errorf("cookies were written: %q", rw.Header()["Set-Cookie"])
			}
		}))
	}, b.from, bearing(p.AccessToken()))
	n.wantBearer("after End", p.AccessToken(), "401")
	wantOAuth(t, "after End", n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
	if state := w.family(p.Session).State; state != store.Ended {
		t.Errorf("the session is %v", state)
	}
	b.is(n, "browser: a") // the cookies in the same request belong to another session
}

// Promise 4 for access tokens: with a fresh replica the store is not called,
// whether the token is new or cached.
func TestPromise4_BearerReadsWithoutStore(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	tokens := []string{n.issue("alice").AccessToken(), n.issue("bob").AccessToken()}
	n.freshen()
	n.store.reset()
	for range 3 {
		for _, token := range tokens {
			if who := n.bearerOf(token); who == "401" {
				t.Errorf("a good token is %s", who)
			}
		}
	}
	n.bearerOf("junk")
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("the store was called: %v", calls)
	}
}

func TestPromise2_BearerTokensThatAreNoGood(t *testing.T) {
	_, n, tokens := badTokens(t)
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		seen := len(n.observed())
		for range 2 { // the second time it might be cached
			if who := n.bearerOf(tokens[name]); who != "401" {
				t.Errorf("%s: %q", name, who)
			}
		}
		reported := false
		for _, e := range n.observed()[seen:] {
			reported = reported || (e.Kind == wafer.KindRefused || e.Kind == wafer.KindAlarm) && (e.Reason != "" || e.Err != nil)
		}
		if !reported {
			t.Errorf("%s: no event says why", name)
		}
	}
}

// badTokens returns access tokens that are refused, each for its own reason.
// The token "control" is accepted.
func badTokens(t *testing.T) (w *world, n *node, tokens map[string]string) {
	w = newWorld(t)
	n = w.node(withTokens())
	elsewhere := newWorld(t) // a store belongs to one realm
	elsewhere.clock, elsewhere.ring = w.clock, w.ring
	other := elsewhere.node(withTokens(), func(c *wafer.Config[basket]) { c.Realm = "harness.example/prod" })
	old, past := n.issue("old"), n.issue("past").AccessToken()
	cut, ended, pair := n.issue("cut"), n.issue("ended"), n.issue("alice")
	b := w.browser().login(n, "browser", "a")
	w.pass(testAccess)
	n.revoke(wafer.Revocation{Sessions: []store.ID{ended.Session}, Subjects: []string{"cut"}})
	cutNow, endedNow := w.forge(cut.AccessToken(), nil), w.forge(ended.AccessToken(), nil)
	w.pass(0)
	now := w.clock.Now()
	alice := n.refreshed(pair.RefreshToken())
	good := alice.AccessToken
	parts := strings.Split(good, ".")
	mallory := strings.Split(n.issue("mallory").AccessToken(), ".")
	n.wantBearer("control", good, "alice")
	n.wantBearer("control: forged as the attacks are", w.forge(good, nil), "alice")
	n.wantBearer("control: expires in a second", w.forge(good, func(a *codec.AccessToken) { a.Expires = now.Add(time.Second) }), "alice")
	n.wantBearer("control: issued by a clock that is ahead", w.forge(good, func(a *codec.AccessToken) { a.Issued = now.Add(10 * time.Second) }), "alice")
	flip := map[bool]string{true: "B", false: "A"}
	return w, n, map[string]string{
		"junk":                           "junk",
		"dots":                           "..",
		"1 MB":                           strings.Repeat("A", 1<<20),
		"1 MB behind a good one":         good + strings.Repeat("A", 1<<20),
		"a refresh token":                alice.RefreshToken,
		"a refresh token of before":      old.RefreshToken(),
		"a browser's refresh token":      b.cookies[refreshCookie],
		"a session cookie":               b.cookies[sessionCookie],
		"past its expiry":                past,
		"expired this very second":       w.forge(good, func(a *codec.AccessToken) { a.Issued, a.Expires = now.Add(-testAccess), now }),
		"expired a second ago":           w.forge(good, func(a *codec.AccessToken) { a.Issued, a.Expires = now.Add(-testAccess), now.Add(-time.Second) }),
		"issued in the future":           w.forge(good, func(a *codec.AccessToken) { a.Issued = now.Add(11 * time.Second) }),
		"for another audience":           w.forge(good, func(a *codec.AccessToken) { a.Audience = []string{"https://other.example"} }),
		"for another of Audiences":       n.refreshed(alice.RefreshToken, "audience", apiBilling).AccessToken,
		"for two audiences":              w.forge(good, func(a *codec.AccessToken) { a.Audience = []string{apiAudience, apiBilling} }),
		"for the issuer":                 w.forge(good, func(a *codec.AccessToken) { a.Audience = []string{apiIssuer} }),
		"of another realm":               other.issue("alice").AccessToken(),
		"of another realm, forged":       forgeWith(t, w.ring, "harness.example/prod", apiIssuer, now, good, nil),
		"of another issuer":              forgeWith(t, w.ring, testRealm, "https://evil.example", now, good, nil),
		"of another ring":                forgeWith(t, newStaticRing(t), testRealm, apiIssuer, now, good, nil),
		"a session that ended":           ended.AccessToken(),
		"a session that ended, forged":   endedNow,
		"a subject that was revoked":     cut.AccessToken(),
		"a subject revoked, forged":      cutNow,
		"from before everyone":           w.forge(good, func(a *codec.AccessToken) { a.Position = 1 }),
		"ahead of the log":               w.forge(good, func(a *codec.AccessToken) { a.Position += 1 << 40 }),
		"another's payload":              parts[0] + "." + mallory[1] + "." + parts[2],
		"another's signature":            parts[0] + "." + parts[1] + "." + mallory[2],
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"a signature with one bit other": parts[0] + "." + parts[1] + "." + flip[parts[2][0] == 'A'] + parts[2][1:],
		"a line break":                   good[:20] + "\n" + good[20:],
		"a byte behind":                  good + "A",
		"a NUL behind":                   good + "\x00",
		"twice":                          good + "." + good,
	}
}

// The response of an event stream that a native client opened ends at once with
// its session. It outlives the access token that opened it, for as long as the
// session lives.
func TestPromise1_LiveByBearerEndsWithItsSession(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		here, there := w.node(realTime, withTokens()), w.node(realTime, withTokens())
		open := func(n *node, token string) (ctx context.Context) {
			through401(n, func(h http.Handler) http.Handler {
				return n.Bearer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { ctx = n.Live(r) }))
			}, bearing(token))
			return ctx
		}
		pairs, streams := map[string]*wafer.TokenPair{}, map[string]context.Context{}
		for _, name := range []string{"logout", "revoke", "session", "subject", "replay", "stays", "idles"} {
			pairs[name] = here.issue(name)
			streams[name] = open(here, pairs[name].AccessToken())
			goesOn(t, name, streams[name])
		}
		browserToken := func(b *browser) string {
			return tokenAnswer(t, here.api(http.MethodPost, "/token", "", b.from)).AccessToken
		}
		b := w.browser().login(here, "browser", "a")
		streams["browser"] = open(here, browserToken(b))
		here.api(http.MethodPost, "/logout", "", bearing(pairs["logout"].AccessToken()))
		hasEnded(t, "logout", streams["logout"], wafer.ErrEnded)
		there.api(http.MethodPost, "/revoke", form("token", pairs["revoke"].RefreshToken()))
		hasEnded(t, "revoke elsewhere", streams["revoke"], wafer.ErrEnded)
		there.revoke(wafer.Revocation{Sessions: []store.ID{pairs["session"].Session}})
		hasEnded(t, "session", streams["session"], wafer.ErrEnded)
		there.revoke(wafer.Revocation{Subjects: []string{"subject"}})
		hasEnded(t, "subject", streams["subject"], wafer.ErrEnded)
		wants(t, "End", b.do(there, end), nil)
		hasEnded(t, "the browser's logout", streams["browser"], wafer.ErrEnded)
		goesOn(t, "another", streams["stays"])

		refresh, replay := pairs["stays"].RefreshToken(), pairs["replay"].RefreshToken()
		stolen := replay
		for range 6 {
			time.Sleep(testAccess)
			refresh = here.refreshed(refresh).RefreshToken
			replay = there.refreshed(replay).RefreshToken
		}
		goesOn(t, "past its token and the first idle deadline", streams["stays"])
		hasEnded(t, "past the idle limit", streams["idles"], wafer.ErrExpired)
		goesOn(t, "before the replay", streams["replay"])
		wantOAuth(t, "replay", there.refreshWith(stolen), 400, "invalid_grant")
		hasEnded(t, "after a replay", streams["replay"], wafer.ErrEnded)
		if ended := open(here, "junk"); ended != nil {
			t.Error("junk opened a stream")
		}
	})
}

// A browser's login in a request with an access token, as when an app opens a
// web view. The token's session stays, and the new one belongs to the cookies.
func TestStartInARequestWithABearer(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	p := n.issue("alice")
	for _, then := range []string{"", "Save", "End"} {
		b := w.browser()
		_, rec := through401(n, func(h http.Handler) http.Handler {
			return n.Bearer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				wants(t, "Start", n.Start(rw, r, "alice", basket{[]string{"web"}}), nil)
				if s, err := n.Get(r.Context()); err != nil || s.ID == p.Session {
					t.Errorf("after Start: %v, %v", s, err)
				}
				switch then {
				case "Save":
					wants(t, "Save", n.Save(rw, r, basket{[]string{"saved"}}), nil)
				case "End":
					wants(t, "End", n.End(rw, r), nil)
				}
			}))
		}, bearing(p.AccessToken()))
		(&answer{b: b, n: n, rec: rec}).arrive()
		if left := len(b.cookies); (left == 0) != (then == "End") {
			t.Errorf("after Start and %q the browser has %d cookies", then, left)
		}
		b.is(n, map[string]string{"": "alice: web", "Save": "alice: saved", "End": "401"}[then])
		n.wantBearer("after Start and "+then, p.AccessToken(), "alice")
	}
}

// A Commit outdates tokens that were minted before it. The next token is good.
func TestCommitAndAccessTokens(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	b := w.browser().login(n, "alice", "a")
	before := tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)).AccessToken
	n.wantBearer("before", before, "alice")
	wants(t, "Save", b.do(n, save("x")), nil)
	n.wantBearer("after a Save", before, "alice")
	wants(t, "Commit", b.do(n, commit("x")), nil)
	n.wantBearer("after a Commit", before, "401")
	n.wantBearer("minted since", tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)).AccessToken, "alice")
}
