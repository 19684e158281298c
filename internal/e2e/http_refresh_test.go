package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// A native client's refresh (RFC 6749 sections 6 and 5.1).
func TestRefreshAnswers(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error) {
			return wafer.TokenClaims{Scope: "a b"}, nil
		}
	}), func(c *wafer.Config[basket]) {
		c.Reload = func(context.Context, *wafer.Session[basket]) (basket, error) {
			t.Error("Reload was called for a native client")
			return basket{}, nil
		}
	})
	first := n.issue("alice", wafer.Label("phone"))
	w.pass(testAccess)
	rec := n.refreshWith(first.RefreshToken())
	p := tokenAnswer(t, rec)
	if rec.Header().Get("Cache-Control") != "no-store" || len(rec.Header()["Set-Cookie"]) != 0 {
		t.Errorf("the header is %v", rec.Header())
	}
	if *p.ExpiresIn != int64(testAccess.Seconds()) || p.Scope != "a b" || p.RefreshToken == "" || p.RefreshToken == first.RefreshToken() {
		t.Errorf("the answer is %s", rec.Body)
	}
	n.wantBearer("a refreshed token", p.AccessToken, "alice")
	n.wantBearer("the token before, expired", first.AccessToken(), "401")
	if id := sessionID(t, p.AccessToken); id != first.Session {
		t.Errorf("the refreshed token is of session %v, the first of %v", id, first.Session)
	}
	if claimsOf(t, p.AccessToken)["auth_time"] != claimsOf(t, first.AccessToken())["auth_time"] {
		t.Error("a refresh is no authentication")
	}
	if f := w.family(first.Session).Family; !f.Native || f.Generation != 2 || f.Label != "phone" {
		t.Errorf("the family is %+v", f)
	}
	// The pair that Issue returns is written as the endpoint's answer.
	rec = httptest.NewRecorder()
	first.WriteResponse(rec)
	if rec.Code != http.StatusOK || rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Content-Type") != "application/json" {
		t.Errorf("WriteResponse answers %d with %v", rec.Code, rec.Header())
	}
	var names map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &names); err != nil {
		t.Fatal(err)
	}
	if names["access_token"] != first.AccessToken() || names["refresh_token"] != first.RefreshToken() || names["scope"] != first.Scope() {
		t.Error("WriteResponse answers with other tokens")
	}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, []string{"access_token", "expires_in", "refresh_token", "scope", "token_type"}) || names["expires_in"] != testAccess.Seconds() {
		t.Errorf("Issue's answer has %v", names)
	}
}

// Malformed requests (RFC 6749 sections 5.2 and 3.2).
func TestRefreshRequests(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	p := n.issue("alice")
	good := form("grant_type", "refresh_token", "refresh_token", p.RefreshToken())
	media := func(values ...string) func(*http.Request) { return header("Content-Type", values...) }
	for what, c := range map[string]struct {
		body      string
		configure func(*http.Request)
		code      string // "" if a token is returned
	}{
		"good":                            {good, nil, ""},
		"a charset":                       {good, media("application/x-www-form-urlencoded; charset=UTF-8"), ""},
		"the media type in capitals":      {good, media("Application/X-WWW-Form-URLEncoded"), ""},
		"an unknown parameter":            {good + "&x=y", nil, ""},
		"empty parameters":                {good + "&scope=&audience=", nil, ""},
		"junk in the address":             {good, func(r *http.Request) { r.URL.RawQuery = "refresh_token=junk&grant_type=junk&audience=junk" }, ""},
		"an access token in the header":   {good, bearing(p.AccessToken()), ""},
		"no body":                         {"", nil, "invalid_request"},
		"no grant_type":                   {form("refresh_token", p.RefreshToken()), nil, "invalid_request"},
		"an empty grant_type":             {form("refresh_token", p.RefreshToken(), "grant_type", ""), nil, "invalid_request"},
		"no refresh_token":                {form("grant_type", "refresh_token"), nil, "invalid_request"},
		"an empty refresh_token":          {form("grant_type", "refresh_token", "refresh_token", ""), nil, "invalid_request"},
		"grant_type twice":                {good + "&grant_type=refresh_token", nil, "invalid_request"},
		"refresh_token twice":             {good + "&refresh_token=" + url1(p.RefreshToken()), nil, "invalid_request"},
		"refresh_token twice, once empty": {good + "&refresh_token=", nil, "invalid_request"},
		"an unknown parameter twice":      {good + "&x=1&x=2", nil, "invalid_request"},
		"all in the address":              {"x=y", func(r *http.Request) { r.URL.RawQuery = good }, "invalid_request"},
		"half in the address":             {form("grant_type", "refresh_token"), func(r *http.Request) { r.URL.RawQuery = form("refresh_token", p.RefreshToken()) }, "invalid_request"},
		"a broken escape":                 {good + "&x=%zz", nil, "invalid_request"},
		"semicolons":                      {strings.ReplaceAll(good, "&", ";"), nil, "invalid_request"},
		"no media type":                   {good, func(r *http.Request) { r.Header.Del("Content-Type") }, "invalid_request"},
		"JSON":                            {`{"grant_type":"refresh_token","refresh_token":"` + p.RefreshToken() + `"}`, media("application/json"), "invalid_request"},
		"a form said to be JSON":          {good, media("application/json"), "invalid_request"},
		"text":                            {good, media("text/plain"), "invalid_request"},
		"multipart":                       {"--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nrefresh_token\r\n--x--\r\n", media("multipart/form-data; boundary=x"), "invalid_request"},
		"two media types":                 {good, media("application/x-www-form-urlencoded, text/plain"), "invalid_request"},
		"two media type headers":          {good, media("text/plain", "application/x-www-form-urlencoded"), "invalid_request"},
		"a broken media type":             {good, media("application/x-www-form-urlencoded; ="), "invalid_request"},
		"another grant":                   {form("grant_type", "password", "username", "alice", "password", "x"), nil, "unsupported_grant_type"},
		"another grant, with a token":     {form("grant_type", "client_credentials", "refresh_token", p.RefreshToken()), nil, "unsupported_grant_type"},
		"the grant in capitals":           {form("grant_type", "REFRESH_TOKEN", "refresh_token", p.RefreshToken()), nil, "unsupported_grant_type"},
		"16 KB":                           {good + "&x=" + strings.Repeat("A", 16<<10), nil, "invalid_request"},
		"1 MB":                            {good + "&x=" + strings.Repeat("A", 1<<20), nil, "invalid_request"},
		"a token of 1 MB":                 {form("grant_type", "refresh_token", "refresh_token", "wfr1_"+strings.Repeat("A", 1<<20)), nil, "invalid_request"},
		"5,000 parameters":                {good + numbered(5000), nil, "invalid_request"},
		"500 parameters":                  {good + numbered(500), nil, ""},
		"an audience of ours":             {good + "&audience=" + url1(apiReports), nil, ""},
		"another audience":                {good + "&audience=" + url1("https://evil.example"), nil, "invalid_target"},
		"two audiences":                   {good + "&audience=" + url1(apiBilling) + "&audience=" + url1(apiReports), nil, "invalid_request"},
		"an audience that begins so":      {good + "&audience=" + url1(apiBilling+"/"), nil, "invalid_target"},
		"two audiences in one":            {good + "&audience=" + url1(apiBilling+" "+apiReports), nil, "invalid_target"},
	} {
		var configure []func(*http.Request)
		if c.configure != nil {
			configure = append(configure, c.configure)
		}
		rec := n.api(http.MethodPost, "/refresh", c.body, configure...)
		if c.code != "" {
			wantOAuth(t, what, rec, http.StatusBadRequest, c.code)
		} else if rec.Code != http.StatusOK {
			t.Errorf("%s: %d %s", what, rec.Code, rec.Body)
		}
	}
	if f := w.family(p.Session).Family; f.Generation != 1 {
		t.Errorf("requests within half an access lifetime advanced the family to %d", f.Generation)
	}
}

func url1(s string) string { return strings.TrimPrefix(form("", s), "=") }

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&%x=1", i)
	}
	return b.String()
}

// Each configured audience, and each token for it alone.
func TestRefreshAudiences(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	p := n.issue("alice")
	for asked, want := range map[string]string{"": apiAudience, apiAudience: apiAudience, apiBilling: apiBilling, apiReports: apiReports} {
		access := n.refreshed(p.RefreshToken(), "audience", asked).AccessToken
		verifier, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{
			Keys: jwks(t, n), Algorithms: []codec.Algorithm{codec.EdDSA}, Issuer: apiIssuer, Audiences: []string{want},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := verifier.Verify(t.Context(), w.clock.Now(), access); err != nil || got.Subject.Text() != "alice" {
			t.Errorf("asked for %q: the service %s says %v", asked, want, err)
		}
		if who := n.bearerOf(access); (who == "alice") != (want == apiAudience) {
			t.Errorf("a token for %s is %s to %s", want, who, apiAudience)
		}
	}
}

// badGrants returns refresh tokens that are refused, each for its own reason.
func badGrants(t *testing.T) (w *world, n *node, tokens map[string]string) {
	w = newWorld(t)
	closed := false
	n = w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(_ context.Context, s *wafer.Session[basket]) (wafer.TokenClaims, error) {
			if closed && s.Subject == "closed" {
				return wafer.TokenClaims{}, fmt.Errorf("the account is closed: %w", wafer.ErrEnded)
			}
			return wafer.TokenClaims{}, nil
		}
	}))
	replayed, spent, account := n.issue("replayed"), n.issue("spent"), n.issue("closed")
	second := spent.RefreshToken()
	for range 2 {
		w.pass(testAccess)
		second = n.refreshed(second).RefreshToken
	}
	next := replayed.RefreshToken()
	for range 2 {
		next = n.refreshed(next).RefreshToken
		w.pass(testAccess)
	}
	n.refreshWith(replayed.RefreshToken()) // this one is detected as theft
	closed = true
	alice, ended, cut, everyone := n.issue("alice"), n.issue("ended"), n.issue("cut"), n.issue("bob")
	idle, absolute := n.issue("idle", wafer.Limits(testAccess+time.Second, 0)), n.issue("absolute", wafer.Limits(testAccess+2*time.Second, testAccess+2*time.Second))
	w.pass(testAccess)
	next2 := n.refreshed(absolute.RefreshToken()).RefreshToken
	alive := n.refreshed(alice.RefreshToken())
	w.pass(3 * time.Second)
	b := w.browser().login(n, "browser", "a")
	n.revoke(wafer.Revocation{Sessions: []store.ID{ended.Session}, Subjects: []string{"cut"}})
	w.pass(0)
	token := alive.RefreshToken
	mintWith := func(ring *keyring.Ring, instance codec.Instance) string {
		c, err := codec.NewRefreshTokens(ring, instance)
		if err != nil {
			t.Fatal(err)
		}
		text, err := c.Mint(w.clock.Now(), codec.RefreshToken{Family: codec.ID(alice.Session), Generation: 2})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	raw, err := base64.RawURLEncoding.DecodeString(token[len("wfr1_"):])
	if err != nil {
		t.Fatal(err)
	}
	bit := func(i int) string {
		c := slices.Clone(raw)
		c[i] ^= 1
		return "wfr1_" + base64.RawURLEncoding.EncodeToString(c)
	}
	if w.mint(alice.Session, 2) != token {
		t.Fatal("the attacks do not start from a good token")
	}
	return w, n, map[string]string{
		"junk":                            "junk",
		"cut by one":                      token[:len(token)-1],
		"extended":                        token + "AAAA",
		"without prefix":                  token[5:],
		"another prefix":                  "wfr2_" + token[5:],
		"the prefix in capitals":          "WFR1_" + token[5:],
		"a space in front":                " " + token,
		"a line break behind":             token + "\n",
		"two":                             token + " " + token,
		"padded":                          token + "=",
		"10 KB":                           "wfr1_" + strings.Repeat("A", 10<<10),
		"an unknown key":                  bit(0),
		"another family":                  bit(4),
		"another generation":              bit(23),
		"another tag":                     bit(39),
		"an access token":                 alive.AccessToken,
		"a session cookie":                b.cookies[sessionCookie],
		"a browser's token":               b.cookies[refreshCookie],
		"of another realm":                mintWith(w.ring, codec.Instance{Realm: "harness.example/prod", SessionCookie: sessionCookie}),
		"of another instance":             mintWith(w.ring, codec.Instance{Realm: testRealm, SessionCookie: "__Host-staff"}),
		"of another ring":                 mintWith(newStaticRing(t), testInstance),
		"of no family":                    w.mint(store.ID{9}, 1),
		"a generation that is to come":    w.mint(alice.Session, 7),
		"the last generation and copy":    w.mintCopy(everyone.Session, codec.MaxGeneration, codec.MaxCopy),
		"of a session that ended":         ended.RefreshToken(),
		"of a subject that was revoked":   cut.RefreshToken(),
		"past the idle limit":             idle.RefreshToken(),
		"past the absolute limit":         next2,
		"two generations old":             spent.RefreshToken(),
		"two generations old, again":      spent.RefreshToken(),
		"two generations old: the newest": second,
		"of a family ended by a replay":   next,
		"of an account that Claims ends":  account.RefreshToken(),
	}
}

// Promise 6 for native clients: every refused refresh token looks the same, and
// events report why.
func TestPromise6_EveryGrantRefusedLooksTheSame(t *testing.T) {
	_, n, tokens := badGrants(t)
	want := ""
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		seen := len(n.observed())
		rec := n.refreshWith(tokens[name])
		wantOAuth(t, name, rec, http.StatusBadRequest, "invalid_grant")
		if want == "" {
			want = dump(rec)
		}
		if got := dump(rec); got != want {
			t.Errorf("%s looks like\n%s\nand not like\n%s", name, got, want)
		}
		if len(n.observed()) == seen {
			t.Errorf("%s: no event", name)
		}
		for _, e := range n.observed()[seen:] {
			if e.Reason == "" && e.Err == nil {
				t.Errorf("%s: the event %v does not say why", name, e)
			}
		}
	}
	n.wantEvent(wafer.KindReplayed, "")
	n.wantEvent(wafer.KindEnded, "ended by Claims")
}

// A family belongs to the browser or to a native client for life. It is refused
// at the other's endpoint, whatever its generation, and that ends nothing.
func TestRefreshDoors(t *testing.T) {
	for name, claims := range map[string]func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error){
		"no Claims": nil,
		"Claims": func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error) {
			return wafer.TokenClaims{}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.Claims = claims }), func(c *wafer.Config[basket]) {
				c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) { return s.Data() }
			})
			p := n.issue("native")
			b := w.browser().login(n, "browser", "a")
			browsers, natives := []string{b.cookies[refreshCookie]}, []string{p.RefreshToken()}
			for range 3 { // old ones would be replays at their own endpoints
				w.pass(testAccess)
				b.is(n, "browser: a")
				browsers = append(browsers, b.cookies[refreshCookie])
				natives = append(natives, n.refreshed(natives[len(natives)-1]).RefreshToken)
			}
			for i := range natives {
				wantOAuth(t, fmt.Sprint("the browser's token of generation ", i+1), n.refreshWith(browsers[i]), 400, "invalid_grant")
				for what, jar := range map[string]map[string]string{
					"alone": {refreshCookie: natives[i]}, "beside junk": {refreshCookie: natives[i], sessionCookie: "junk"},
					"as both": {refreshCookie: natives[i], sessionCookie: natives[i]},
				} {
					if got := (&browser{t, jar}).peek(n); got != "401" {
						t.Errorf("the native token of generation %d in a cookie, %s, is %q", i+1, what, got)
					}
				}
			}
			n.wantEvent(wafer.KindRefused, "family of the other kind of client")
			if c := n.count(wafer.KindReplayed, ""); c != 0 {
				t.Errorf("%d were taken for replays", c)
			}
			b.is(n, "browser: a")
			last := n.refreshed(natives[len(natives)-1])
			n.wantBearer("after all that", last.AccessToken, "native")
			// The endpoint POST token is the browser's.
			for what, configure := range map[string]func(*http.Request){
				"an access token": bearing(last.AccessToken), "a native refresh token": header("Cookie", refreshCookie+"="+last.RefreshToken),
				"a native refresh token as bearer": bearing(last.RefreshToken), "nothing": func(*http.Request) {},
			} {
				if rec := n.api(http.MethodPost, "/token", "", configure); rec.Code != http.StatusUnauthorized {
					t.Errorf("POST token with %s: %d %s", what, rec.Code, rec.Body)
				}
			}
			if state := w.family(p.Session).State; state != store.Alive {
				t.Errorf("the native session is %v", state)
			}
		})
	}
}

// Promise 3 for native clients.
func TestPromise3_NativeClientsAtOnceGetOneGeneration(t *testing.T) {
	const many = 64
	w := newWorld(t)
	nodes := []*node{w.node(withTokens()), w.node(withTokens())}
	p := nodes[0].issue("alice")
	token := p.RefreshToken()
	for want := uint32(2); want < 5; want++ {
		w.pass(testAccess)
		answers := make([]tokenResponse, many)
		var done sync.WaitGroup
		start := make(chan struct{})
		for i := range many {
			done.Go(func() {
				<-start
				rec := nodes[i%2].refreshWith(token, "audience", []string{apiAudience, apiBilling}[i/2%2])
				if rec.Code == http.StatusOK {
					_ = json.Unmarshal(rec.Body.Bytes(), &answers[i])
				}
			})
		}
		close(start)
		done.Wait()
		for _, a := range answers {
			if a.RefreshToken != w.mint(p.Session, want) {
				t.Fatalf("one of them got another successor than generation %d: %q", want, a.RefreshToken)
			}
		}
		if f := w.family(p.Session).Family; f.Generation != want || f.Copy != 0 {
			t.Fatalf("the family is at generation %d, copy %d", f.Generation, f.Copy)
		}
		token = answers[0].RefreshToken
	}
	for _, n := range nodes {
		if n.count(wafer.KindReplayed, "") != 0 {
			t.Error("an honest client was taken for a thief")
		}
	}
}

// A native client that loses answers gets a copy for each, one after another or
// several in a row. With StrictRotation the first one that is lost for longer than the
// grace ends its session.
func TestPromise3_NativeLostAnswers(t *testing.T) {
	for _, strict := range []bool{false, true} {
		for _, hook := range []bool{false, true} {
			t.Run(fmt.Sprintf("strict %v, Claims %v", strict, hook), func(t *testing.T) {
				w := newWorld(t)
				n := w.node(withTokens(withHook(hook)), func(c *wafer.Config[basket]) { c.StrictRotation = strict })
				p := n.issue("alice")
				w.pass(testAccess)
				n.refreshed(p.RefreshToken()) // the answer is lost
				w.pass(testGrace - time.Millisecond)
				second := n.refreshed(p.RefreshToken())
				if f := w.family(p.Session).Family; f.Generation != 2 || f.Copy != 0 || second.RefreshToken != w.mint(p.Session, 2) {
					t.Errorf("within the grace: generation %d, copy %d", f.Generation, f.Copy)
				}
				w.pass(time.Millisecond)
				if strict {
					wantOAuth(t, "after the grace", n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
					n.wantEvent(wafer.KindReplayed, "")
					return
				}
				for lost := uint16(1); lost < 6; lost++ {
					if got := n.refreshed(p.RefreshToken()).RefreshToken; got != w.mintCopy(p.Session, 2, lost) {
						t.Errorf("lost answer number %d is not replaced by a copy of its own", lost)
					}
					w.pass(testGrace)
				}
				// An older copy leads to itself. With the newest one it would catch up
				// with whoever holds that.
				if older := w.mintCopy(p.Session, 2, 4); n.refreshed(older).RefreshToken != older {
					t.Error("an older copy is exchanged for another")
				}
				w.pass(testAccess)
				third := n.refreshed(w.mintCopy(p.Session, 2, 4))
				if third.RefreshToken != w.mint(p.Session, 3) {
					t.Error("the copy that was used has no successor")
				}
				wantOAuth(t, "another copy", n.refreshWith(w.mintCopy(p.Session, 2, 5)), 400, "invalid_grant")
				n.wantEvent(wafer.KindReplayed, "")
			})
		}
	}
}

func withHook(hook bool) func(*wafer.TokenConfig[basket]) {
	return func(c *wafer.TokenConfig[basket]) {
		if hook {
			c.Claims = func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error) {
				return wafer.TokenClaims{Scope: "hooked"}, nil
			}
		}
	}
}

// A token of two generations ago ends the family: its access tokens are refused
// at once here, and MaxStaleness later everywhere.
func TestPromise3_NativeReplayEndsTheFamily(t *testing.T) {
	for _, hook := range []bool{false, true} {
		forEachKind(t, func(t *testing.T, w *world) {
			here, there := w.node(withTokens(withHook(hook))), w.node(withTokens(withHook(hook)))
			p := here.issue("alice")
			stolen, last := p.RefreshToken(), tokenResponse{RefreshToken: p.RefreshToken()}
			for range 2 {
				w.pass(testAccess)
				last = here.refreshed(last.RefreshToken)
			}
			for _, n := range []*node{here, there} {
				for range 3 { // both nodes have cached it
					n.wantBearer("before", last.AccessToken, "alice")
				}
			}
			here.store.cutLog()
			there.store.cutLog()
			wantOAuth(t, "a token of two generations ago", here.refreshWith(stolen), 400, "invalid_grant")
			here.wantEvent(wafer.KindReplayed, "")
			here.wantBearer("at once, here", last.AccessToken, "401")
			for _, n := range []*node{here, there} {
				wantOAuth(t, "the newest token", n.refreshWith(last.RefreshToken), 400, "invalid_grant")
			}
			w.clock.Move(testStaleness + time.Millisecond)
			there.wantBearer("MaxStaleness later, there", last.AccessToken, "401")
			if state := w.family(p.Session).State; state != store.Ended {
				t.Errorf("the family is %v", state)
			}
		})
	}
}

// Everything to be minted is decided before anything is advanced, so an advance
// can always be answered.
func TestPromise3_NothingIsAdvancedThatCannotBeAnswered(t *testing.T) {
	w := newWorld(t)
	var answer func(s *wafer.Session[basket]) (wafer.TokenClaims, error)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(_ context.Context, s *wafer.Session[basket]) (wafer.TokenClaims, error) { return answer(s) }
	}))
	good := func(*wafer.Session[basket]) (wafer.TokenClaims, error) { return wafer.TokenClaims{}, nil }
	answer = good
	p := n.issue("alice")
	w.pass(testAccess)
	for what, bad := range map[string]func(*wafer.Session[basket]) (wafer.TokenClaims, error){
		"an error": func(*wafer.Session[basket]) (wafer.TokenClaims, error) { return wafer.TokenClaims{}, errStore },
		"an error called no session": func(*wafer.Session[basket]) (wafer.TokenClaims, error) {
			return wafer.TokenClaims{}, wafer.ErrNoSession
		},
		"a registered claim": extra(map[string]any{"sub": "root"}),
		"another's case":     extra(map[string]any{"Sub": "root"}),
		"no object":          extra([]string{"clerk"}),
		"not JSON":           extra(func() {}),
		"too long":           extra(map[string]any{"roles": strings.Repeat("x", 9000)}),
		"a scope that is too long": func(*wafer.Session[basket]) (wafer.TokenClaims, error) {
			return wafer.TokenClaims{Scope: strings.Repeat("x", 2000)}, nil
		},
	} {
		answer = bad
		before := w.family(p.Session)
		wantOAuth(t, what, n.refreshWith(p.RefreshToken()), http.StatusServiceUnavailable, "temporarily_unavailable")
		if after := w.family(p.Session); after.Family.Generation != before.Family.Generation || after.State != store.Alive || after.Head != before.Head {
			t.Errorf("%s: the family went from %v to %v", what, before.Family, after.Family)
		}
		if pair, err := n.Issue(context.Background(), "mallory"); err == nil || pair != nil {
			t.Errorf("%s: Issue returned %v, %v", what, pair, err)
		}
	}
	n.wantEvent(wafer.KindUnavailable, "")
	if left, err := n.Devices(context.Background(), "mallory"); err != nil || len(left) != 0 {
		t.Errorf("logins that failed left %v, %v", left, err)
	}
	// The hook sees the session, and runs before the advance.
	asked := 0
	answer = func(s *wafer.Session[basket]) (wafer.TokenClaims, error) {
		asked++
		if g := w.family(p.Session).Family.Generation; g != 1 {
			t.Errorf("Claims was asked after the family had advanced to %d", g)
		}
		if s.Subject != "alice" || s.ID != p.Session || s.Started.IsZero() || s.Authenticated.IsZero() {
			t.Errorf("Claims sees %q %v %v", s.Subject, s.ID, s.Started)
		}
		if data, err := s.Data(); err != nil || len(data.Items) != 0 {
			t.Errorf("Claims sees data %v, %v", data, err)
		}
		return wafer.TokenClaims{}, nil
	}
	n.refreshed(p.RefreshToken())
	if asked != 1 {
		t.Errorf("Claims was asked %d times", asked)
	}
	// The hook is not called for a token that is refused.
	answer = func(s *wafer.Session[basket]) (wafer.TokenClaims, error) {
		t.Errorf("Claims was asked about %v", s)
		return wafer.TokenClaims{}, nil
	}
	for _, token := range []string{"junk", w.mint(p.Session, 9), w.mint(store.ID{9}, 1)} {
		n.refreshWith(token)
	}
	// ErrEnded from the hook ends the session.
	answer = func(*wafer.Session[basket]) (wafer.TokenClaims, error) { return wafer.TokenClaims{}, wafer.ErrEnded }
	w.pass(testAccess)
	wantOAuth(t, "ended by Claims", n.refreshWith(w.mint(p.Session, 2)), 400, "invalid_grant")
	if state := w.family(p.Session).State; state != store.Ended {
		t.Errorf("ended by Claims, and %v", state)
	}
}

func extra(v any) func(*wafer.Session[basket]) (wafer.TokenClaims, error) {
	return func(*wafer.Session[basket]) (wafer.TokenClaims, error) { return wafer.TokenClaims{Extra: v}, nil }
}

// Promise 5: an outage is a 503 with Retry-After, and loses nothing.
func TestPromise5_NativeRefreshInAnOutage(t *testing.T) {
	for _, hook := range []bool{false, true} {
		for _, method := range []string{"", "Advance", "lost Advance", "Family"} {
			if method == "Family" && !hook {
				continue // nothing reads the family
			}
			t.Run(fmt.Sprintf("%s, Claims %v", method, hook), func(t *testing.T) {
				w := newWorld(t)
				n := w.node(withTokens(withHook(hook)), func(c *wafer.Config[basket]) { c.StrictRotation = true })
				p := n.issue("alice")
				w.pass(testAccess)
				if method == "lost Advance" {
					n.store.lose("Advance")
				} else {
					n.store.fail(method)
				}
				rec := n.refreshWith(p.RefreshToken())
				wantOAuth(t, "in an outage", rec, http.StatusServiceUnavailable, "temporarily_unavailable")
				after, err := time.ParseDuration(rec.Header().Get("Retry-After") + "s")
				if err != nil || after <= 0 || after >= testGrace {
					t.Errorf("Retry-After %v, %v: want less than the grace", after, err)
				}
				n.wantEvent(wafer.KindUnavailable, "")
				n.store.heal()
				w.pass(after)
				next := n.refreshed(p.RefreshToken())
				n.wantBearer("after the outage", next.AccessToken, "alice")
				if f := w.family(p.Session).Family; f.Generation != 2 || f.Copy != 0 {
					t.Errorf("generation %d, copy %d", f.Generation, f.Copy)
				}
			})
		}
	}
}

// Limits of a login hold for native clients, and no token outlives its session.
func TestRefreshLimits(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.Lifetime = time.Hour }))
	within := func(what string, token string, idle, absolute time.Time) {
		t.Helper()
		exp := time.Unix(int64(claimsOf(t, token)["exp"].(float64)), 0)
		if exp.After(idle) || exp.After(absolute) {
			t.Errorf("%s: the token expires at %v, the session at %v and %v", what, exp, idle, absolute)
		}
	}
	check := func(what string, p tokenResponse) {
		t.Helper()
		f := w.family(sessionID(t, p.AccessToken)).Family
		within(what, p.AccessToken, f.IdleDeadline(), f.Deadline())
		if left := time.Unix(int64(claimsOf(t, p.AccessToken)["exp"].(float64)), 0).Sub(w.clock.Now()); time.Duration(*p.ExpiresIn)*time.Second-left >= time.Second || left > time.Duration(*p.ExpiresIn)*time.Second {
			t.Errorf("%s: expires_in is %d, exp is %v away", what, *p.ExpiresIn, left)
		}
	}
	p := n.issue("alice", wafer.Limits(10*time.Minute, 25*time.Minute))
	started := w.clock.Now()
	if p.ExpiresIn != 10*time.Minute {
		t.Errorf("Issue: ExpiresIn is %v", p.ExpiresIn)
	}
	token := p.RefreshToken()
	for elapsed := time.Duration(0); elapsed < 25*time.Minute-8*time.Minute; {
		w.pass(7*time.Minute + 300*time.Millisecond)
		elapsed = w.clock.Now().Sub(started)
		answer := n.refreshed(token)
		check(fmt.Sprint("after ", elapsed), answer)
		token = answer.RefreshToken
	}
	w.pass(started.Add(25 * time.Minute).Sub(w.clock.Now()))
	wantOAuth(t, "at the absolute limit", n.refreshWith(token), 400, "invalid_grant")

	// A browser's token is capped by its cookie's limits.
	b := w.browser().login(n, "browser", "a", wafer.Limits(10*time.Minute, 12*time.Minute))
	check("a browser's", tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)))
	w.pass(9 * time.Minute)
	b.is(n, "browser: a")
	check("near the absolute limit", tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)))
	w.pass(3*time.Minute - 999*time.Millisecond)
	if rec := n.api(http.MethodPost, "/token", "", b.from); rec.Code == http.StatusOK {
		check("in the last second", tokenAnswer(t, rec))
	}
	for what, options := range map[string][]wafer.StartOption{
		"idle too long": {wafer.Limits(testIdle+time.Second, 0)}, "absolute too long": {wafer.Limits(0, 13*time.Hour)}, "too short": {wafer.Limits(testAccess, 0)},
		"position 0": {wafer.NotBefore(0)},
	} {
		if _, err := n.Issue(context.Background(), "alice", options...); err == nil {
			t.Errorf("Issue with limits: %s: no error", what)
		}
	}
	for _, subject := range []string{"", "a\x00b", "\xff", strings.Repeat("x", 256)} {
		if _, err := n.Issue(context.Background(), subject); err == nil {
			t.Errorf("Issue of %.10q: no error", subject)
		}
	}
}

func TestIssueNotBefore(t *testing.T) {
	ctx := context.Background()
	for _, r := range []wafer.Revocation{{Subjects: []string{"alice"}}, {Everyone: true}} {
		w := newWorld(t)
		n := w.node(withTokens())
		at, err := n.Position(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n.issue("alice", wafer.NotBefore(at))
		n.revoke(r)
		if _, err := n.Issue(ctx, "alice", wafer.NotBefore(at)); !errors.Is(err, wafer.ErrNotBefore) {
			t.Errorf("a login that began before the revocation: %v", err)
		}
		if devices, err := n.Devices(ctx, "alice"); err != nil || len(devices) != 0 {
			t.Errorf("it left %v, %v", devices, err)
		}
		n.wantBearer("a later login", n.issue("alice").AccessToken(), "alice")
		n.store.fail("Create")
		if _, err := n.Issue(ctx, "alice"); !errors.Is(err, wafer.ErrUnavailable) {
			t.Errorf("a login in an outage: %v", err)
		}
	}
}

// Native and browser sessions are counted together.
func TestIssueMaxSessions(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(), func(c *wafer.Config[basket]) { c.MaxSessions = 2 })
	first := n.issue("alice")
	w.browser().login(n, "alice", "a")
	if _, err := n.Issue(context.Background(), "alice"); !errors.Is(err, wafer.ErrLimit) {
		t.Errorf("one more: %v", err)
	}
	n.issue("bob")
	n.api(http.MethodPost, "/revoke", form("token", first.RefreshToken()))
	n.issue("alice")

	w = newWorld(t)
	n = w.node(withTokens(), func(c *wafer.Config[basket]) { c.MaxSessions, c.EndOldest = 2, true })
	oldest := n.issue("alice")
	w.pass(time.Second)
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	n.wantBearer("before", oldest.AccessToken(), "alice")
	n.store.cutLog()
	last := n.issue("alice")
	n.wantBearer("the oldest", oldest.AccessToken(), "401")
	wantOAuth(t, "the oldest", n.refreshWith(oldest.RefreshToken()), 400, "invalid_grant")
	n.wantBearer("the newest", last.AccessToken(), "alice")
	b.is(n, "alice: a")
}

// Without Config.Tokens nothing is issued, and the endpoint does not exist.
func TestRefreshIsOffWithoutTokens(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	if p, err := n.Issue(context.Background(), "alice"); err == nil || p != nil || errors.Is(err, wafer.ErrUnavailable) {
		t.Errorf("Issue: %v, %v", p, err)
	}
	for _, path := range []string{"/token", "/refresh", "/revoke", "/introspect"} {
		if rec := n.api(http.MethodPost, path, "token=x", authorized); rec.Code != http.StatusNotFound {
			t.Errorf("POST %s: %d", path, rec.Code)
		}
	}
	if rec := n.api(http.MethodGet, "/jwks.json", ""); rec.Code != http.StatusNotFound {
		t.Errorf("GET /jwks.json: %d", rec.Code)
	}
	b := w.browser().login(n, "alice", "a")
	if rec := n.api(http.MethodGet, "/devices", "", b.from); rec.Code != http.StatusOK {
		t.Errorf("GET /devices: %d", rec.Code)
	}
	if who, rec := n.bearer(bearing("junk")); who != "500" || strings.Contains(rec.Body.String(), "Config") {
		t.Errorf("Bearer without Config.Tokens, a programmer's mistake: %s %s", who, rec.Body)
	}
	if who, _ := through401(n, n.Require, bearing("junk")); who != "401" {
		t.Errorf("Require without Config.Tokens: %s", who)
	}
}

// A Claims hook does not change how long a client is served:
// near the idle deadline, the engine's clock decides.
func TestRefreshNearTheIdleDeadline(t *testing.T) {
	for _, hook := range []bool{false, true} {
		for _, ahead := range []time.Duration{-4 * time.Second, 0, 4 * time.Second} {
			w := newWorld(t)
			n := w.node(withTokens(withHook(hook)), func(c *wafer.Config[basket]) {
				c.Now = func() time.Time { return w.clock.Now().Add(ahead) }
			})
			p := n.issue("alice")
			w.pass(testIdle - time.Second/2)
			rec := n.refreshWith(p.RefreshToken())
			if rec.Code != http.StatusOK {
				t.Errorf("Claims %v, a clock %v ahead: %d %s", hook, ahead, rec.Code, rec.Body)
				continue
			}
			if got := tokenAnswer(t, rec); *got.ExpiresIn != int64(testAccess.Seconds()) {
				t.Errorf("Claims %v, a clock %v ahead: expires_in %d", hook, ahead, *got.ExpiresIn)
			}
			w.pass(testIdle)
			wantOAuth(t, "at the idle deadline", n.refreshWith(w.mint(p.Session, 2)), 400, "invalid_grant")
		}
	}
}

// A login that Claims refuses leaves nothing behind.
func TestIssueRefusedByClaims(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error) {
			return wafer.TokenClaims{}, fmt.Errorf("closed: %w", wafer.ErrEnded)
		}
	}))
	if p, err := n.Issue(t.Context(), "alice"); !errors.Is(err, wafer.ErrEnded) || p != nil {
		t.Errorf("%v, %v", p, err)
	}
	entries, err := n.Revocations(t.Context(), store.Cursor{})
	if err != nil || len(entries) != 1 || n.count(wafer.KindEnded, "") != 0 {
		t.Errorf("it left %v, %v, %v", entries, err, n.observed())
	}
	if devices, err := n.Devices(t.Context(), "alice"); err != nil || len(devices) != 0 {
		t.Errorf("it left %v, %v", devices, err)
	}
}

// Tokens can be minted under every configuration that New accepts.
func TestTokenConfigIsChecked(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", codec.MaxClaim+1)
	try := func(what string, good bool, configure func(*wafer.TokenConfig[basket])) {
		t.Helper()
		c := wafer.Config[basket]{Realm: testRealm, Now: w.clock.Now, Observe: func(wafer.Event) {}}
		withTokens(configure)(&c)
		s, err := wafer.New(t.Context(), w.ring, w.mem, c)
		if (err == nil) != good {
			t.Errorf("%s: New says %v", what, err)
		}
		if err == nil {
			if _, err := s.Issue(t.Context(), "alice"); err != nil {
				t.Errorf("%s: New takes it, and then: %v", what, err)
			}
			s.Close()
		}
	}
	try("the tests' own", true, func(*wafer.TokenConfig[basket]) {})
	for _, bad := range []string{"", long, "a\x00", "\xff"} {
		what := fmt.Sprintf("%.5q of %d", bad, len(bad))
		try("Issuer "+what, false, func(c *wafer.TokenConfig[basket]) { c.Issuer = bad })
		try("Audience "+what, false, func(c *wafer.TokenConfig[basket]) { c.Audience = bad })
		try("Audiences "+what, false, func(c *wafer.TokenConfig[basket]) { c.Audiences = []string{apiBilling, bad} })
		try("BrowserAudiences "+what, false, func(c *wafer.TokenConfig[basket]) { c.BrowserAudiences = []string{bad} })
		try("ClientID "+what, bad == "", func(c *wafer.TokenConfig[basket]) { c.ClientID = bad })
	}
	try("BrowserAudiences of another", false, func(c *wafer.TokenConfig[basket]) { c.BrowserAudiences = []string{"https://other.example"} })
	for lifetime, good := range map[time.Duration]bool{-1: false, time.Second - 1: false, time.Second: true, time.Hour: true, time.Hour + 1: false} {
		try(fmt.Sprint("Lifetime ", lifetime), good, func(c *wafer.TokenConfig[basket]) { c.Lifetime = lifetime })
	}
	for cached, good := range map[int]bool{-1: false, 1: true, 1 << 20: true} {
		try(fmt.Sprint("CachedTokens ", cached), good, func(c *wafer.TokenConfig[basket]) { c.CachedTokens = cached })
	}
	for what, c := range map[string]struct {
		algorithms []codec.Algorithm
		good       bool
	}{"none": {[]codec.Algorithm{}, false}, "twice": {[]codec.Algorithm{"EdDSA", "EdDSA"}, false}, "unknown": {[]codec.Algorithm{"none"}, false}, "ES256": {[]codec.Algorithm{codec.ES256}, true}} {
		try("Algorithms "+what, c.good, func(config *wafer.TokenConfig[basket]) { config.Algorithms = c.algorithms })
	}
}
