package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// jwks fetches the key set as another service would.
func jwks(t testing.TB, n *node) *codec.JWKS {
	t.Helper()
	rec := n.api(http.MethodGet, "/jwks.json", "")
	set, err := codec.ParseJWKS(rec.Body.Bytes())
	if err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%v in %d %s", err, rec.Code, rec.Body)
	}
	return set
}

// RFC 7009: any token of a client ends its session. An invalid token gets the
// same answer (section 2.2).
func TestRevokeEndpoint(t *testing.T) {
	for what, pick := range map[string]func(*wafer.TokenPair) string{
		"the refresh token": func(p *wafer.TokenPair) string { return p.RefreshToken() },
		"the access token":  func(p *wafer.TokenPair) string { return p.AccessToken() },
	} {
		for _, hint := range []string{"", "access_token", "refresh_token", "nonsense"} {
			w := newWorld(t)
			n := w.node(withTokens())
			p, stays := n.issue("alice"), n.issue("alice")
			for range 2 {
				n.wantBearer("before", p.AccessToken(), "alice")
			}
			n.store.cutLog()
			rec := n.api(http.MethodPost, "/revoke", form("token", pick(p), "token_type_hint", hint))
			if rec.Code != http.StatusOK || rec.Body.Len() != 0 || rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v %s", what, rec.Code, rec.Header(), rec.Body)
			}
			n.wantBearer(what+" was revoked", p.AccessToken(), "401")
			wantOAuth(t, what+" was revoked", n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
			n.wantBearer("another session of the subject", stays.AccessToken(), "alice")
			if again := n.api(http.MethodPost, "/revoke", form("token", pick(p), "token_type_hint", hint)); dump(again) != dump(rec) {
				t.Errorf("again: %s", dump(again))
			}
			if state := w.family(p.Session).State; state != store.Ended {
				t.Errorf("%s was revoked, and the session is %v", what, state)
			}
			entries, err := n.Revocations(context.Background(), store.Cursor{})
			if err != nil || len(entries) != 2 || entries[1].Reason != "revoked by its client" {
				t.Errorf("the log has %v, %v", entries, err)
			}
		}
	}
	// A browser's session, by its refresh token or its access token.
	w := newWorld(t)
	n := w.node(withTokens())
	for _, pick := range []func(*browser) string{
		func(b *browser) string { return b.cookies[refreshCookie] },
		func(b *browser) string {
			return tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)).AccessToken
		},
	} {
		b := w.browser().login(n, "alice", "a")
		n.api(http.MethodPost, "/revoke", form("token", pick(b)))
		b.dead(n)
	}
}

func TestPromise6_RevokeTellsNothing(t *testing.T) {
	w, n, tokens := badTokens(t)
	_, grants, moreTokens := badGrants(t)
	good := n.issue("zoe")
	want := dump(n.api(http.MethodPost, "/revoke", form("token", good.AccessToken())))
	try := func(n *node, name, token string) {
		t.Helper()
		if len(token) > 12<<10 {
			return // not read at all: see TestPromise8_Forms
		}
		if got := dump(n.api(http.MethodPost, "/revoke", form("token", token))); got != want {
			t.Errorf("%s looks like\n%s\nand not like\n%s", name, got, want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		try(n, name, tokens[name])
	}
	for _, name := range slices.Sorted(maps.Keys(moreTokens)) {
		try(grants, name, moreTokens[name])
	}
	// A token that was not ours has revoked nothing.
	if who := w.browser().login(n, "browser", "a").see(n); who != "browser: a" {
		t.Errorf("a new session is %q", who)
	}
	// An outage is reported (RFC 7009 section 2.2.1) and loses no logout.
	alive := n.issue("alive")
	n.freshen()
	n.store.fail()
	for _, token := range []string{alive.RefreshToken(), alive.AccessToken()} {
		rec := n.api(http.MethodPost, "/revoke", form("token", token))
		if token == alive.RefreshToken() {
			wantOAuth(t, "in an outage", rec, http.StatusServiceUnavailable, "temporarily_unavailable")
		}
	}
	n.wantBearer("revoked in an outage", alive.AccessToken(), "401")
	try(n, "a forged one in an outage", "wfr1_"+strings.Repeat("A", 54))
	n.store.heal()
	deadline := time.Now().Add(2 * time.Minute)
	for w.family(alive.Session).State != store.Ended && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if state := w.family(alive.Session).State; state != store.Ended {
		t.Errorf("after the outage the session is %v", state)
	}
	for what, body := range map[string]string{
		"no token": "x=y", "an empty token": "token=", "two tokens": form("token", good.AccessToken(), "token", good.AccessToken()), "no body": "",
	} {
		wantOAuth(t, what, n.api(http.MethodPost, "/revoke", body), 400, "invalid_request")
	}
	kept := n.issue("kept")
	wantOAuth(t, "in the address", n.api(http.MethodPost, "/revoke", "x=y", func(r *http.Request) { r.URL.RawQuery = form("token", kept.RefreshToken()) }), 400, "invalid_request")
	wantOAuth(t, "JSON", n.api(http.MethodPost, "/revoke", `{"token":"`+kept.RefreshToken()+`"}`, header("Content-Type", "application/json")), 400, "invalid_request")
	n.wantBearer("what was not revoked", kept.AccessToken(), "kept")
}

// RFC 7662 section 2.2.
func TestIntrospectEndpoint(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(withHook(true), func(c *wafer.TokenConfig[basket]) { c.ClientID = "shop-app" }))
	p := n.issue("alice")
	b := w.browser().login(n, "bob", "a")
	w.pass(time.Minute)
	asks := func(token string) map[string]any { return n.introspected(t, token) }
	c := claimsOf(t, p.AccessToken())
	got := asks(p.AccessToken())
	for name, want := range map[string]any{
		"active": true, "token_type": "Bearer", "client_id": "shop-app", "sub": "alice", "sid": p.Session.String(), "iss": apiIssuer,
		"jti": c["jti"], "exp": c["exp"], "iat": c["iat"], "auth_time": c["auth_time"], "scope": "hooked",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if aud := fmt.Sprint(got["aud"]); aud != apiAudience && aud != "["+apiAudience+"]" || len(got) != 12 {
		t.Errorf("the answer is %v", got)
	}
	for what, token := range map[string]string{"alice": p.RefreshToken(), "bob": b.cookies[refreshCookie]} {
		got := asks(token)
		id, err := store.ParseID(fmt.Sprint(got["sid"]))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		f := w.family(id).Family
		if got["active"] != true || got["sub"] != what || got["exp"] != float64(f.IdleDeadline().Unix()) || got["iat"] != float64(f.Issued.Unix()) || len(got) != 6 {
			t.Errorf("of %s's refresh token: %v", what, got)
		}
	}
	// Introspection changes nothing, even for an old token.
	stolen := p.RefreshToken()
	token := stolen
	for range 2 {
		w.pass(testAccess)
		token = n.refreshed(token).RefreshToken
	}
	before := w.family(p.Session)
	for range 3 {
		if got := asks(stolen); got["active"] != false {
			t.Errorf("a token of two generations ago: %v", got)
		}
		if got := asks(token); got["active"] != true {
			t.Errorf("the newest token: %v", got)
		}
	}
	if after := w.family(p.Session); after.State != store.Alive || after.Family.Generation != before.Family.Generation || after.Family.Issued != before.Family.Issued || after.Head != before.Head {
		t.Errorf("asking changed the family from %v to %v", before.Family, after.Family)
	}
	if n.count(wafer.KindReplayed, "") != 0 {
		t.Error("asking was taken for a replay")
	}
	// The expiry is the earlier of the session's deadlines. Past that the token
	// is inactive, whether or not the store has swept the family.
	for _, absolute := range []time.Duration{testAccess + time.Minute, time.Hour} {
		short := n.issue("carol", wafer.Limits(testAccess+2*time.Minute, absolute))
		deadline := w.clock.Now().Add(min(testAccess+2*time.Minute, absolute))
		if got := asks(short.RefreshToken()); got["exp"] != float64(deadline.Unix()) {
			t.Errorf("exp is %v, want %d", got["exp"], deadline.Unix())
		}
		w.clock.Move(deadline.Sub(w.clock.Now()))
		if f := w.family(short.Session); f.State != store.Alive {
			t.Errorf("the family was swept; the test shows nothing: %v", f.State)
		}
		if got := asks(short.RefreshToken()); got["active"] != false || len(got) != 1 {
			t.Errorf("at its deadline: %v", got)
		}
	}
	w.pass(0)
	// Revoked here, at once.
	fresh := n.refreshed(token)
	asks(fresh.AccessToken)
	n.store.cutLog()
	n.revoke(wafer.Revocation{Subjects: []string{"alice"}})
	for _, token := range []string{fresh.AccessToken, fresh.RefreshToken} {
		if got := asks(token); got["active"] != false || len(got) != 1 {
			t.Errorf("after a revocation: %v", got)
		}
	}
}

// An inactive token's answer contains nothing more (RFC 7662 section 2.2), and
// an unauthorized caller learns nothing at all (section 2.3).
func TestPromise6_IntrospectTellsNothing(t *testing.T) {
	_, n, tokens := badTokens(t)
	_, grants, more := badGrants(t)
	const want = `{"active":false}`
	try := func(n *node, name, token string) {
		t.Helper()
		if len(token) > 12<<10 {
			return
		}
		rec := n.api(http.MethodPost, "/introspect", form("token", token), authorized)
		if rec.Code != http.StatusOK || strings.TrimSpace(rec.Body.String()) != want || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", name, rec.Code, rec.Header(), rec.Body)
		}
	}
	// A refresh token is not used up by introspection, so either kind is
	// active.
	delete(more, "a browser's token")
	for name, token := range more {
		if strings.HasPrefix(name, "two generations old: ") || name == "of an account that Claims ends" || name == "an access token" {
			delete(more, name) // active until they are presented
		} else {
			try(grants, name, token)
		}
	}
	for _, name := range []string{"for another of Audiences", "for two audiences"} {
		delete(tokens, name) // active: the endpoint answers for every audience
	}
	delete(tokens, "a browser's refresh token")
	delete(tokens, "a refresh token")
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		if name != "a refresh token of before" {
			try(n, name, tokens[name])
		}
	}
	good := n.issue("zoe").AccessToken()
	unauthorized := ""
	for what, configure := range map[string]func(*http.Request){
		"nobody": func(*http.Request) {}, "another secret": header("Authorization", "Basic YTpi"), "the token itself": bearing(good),
	} {
		for _, body := range []string{form("token", good), form("token", "junk"), "", "token=&token="} {
			rec := n.api(http.MethodPost, "/introspect", body, configure)
			if rec.Code != http.StatusUnauthorized || unauthorized != "" && dump(rec) != unauthorized {
				t.Errorf("%s asks about %.10q: %s", what, body, dump(rec))
			}
			unauthorized = dump(rec)
		}
	}
	for what, body := range map[string]string{"no token": "x=y", "two": form("token", good, "token", good), "no body": ""} {
		wantOAuth(t, what, n.api(http.MethodPost, "/introspect", body, authorized), 400, "invalid_request")
	}
	// An outage is not "inactive".
	refresh := n.issue("yan")
	n.store.fail()
	n.world.clock.Move(testStaleness + time.Millisecond)
	for _, token := range []string{refresh.AccessToken(), refresh.RefreshToken()} {
		wantOAuth(t, "in an outage", n.api(http.MethodPost, "/introspect", form("token", token), authorized), 503, "temporarily_unavailable")
	}
	off := n.world.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.Introspect = nil }))
	if rec := off.api(http.MethodPost, "/introspect", form("token", good), authorized); rec.Code != http.StatusNotFound {
		t.Errorf("without Introspect: %d", rec.Code)
	}
}

// RFC 7517: a key is published before it signs and until everything it signed
// has expired. A revoked key disappears at once. Another service with a copy of
// the set verifies the tokens minted here, and the set contains no secret of
// the ring.
func TestJWKSEndpoint(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	ring, _ := dynamicRing(t, w)
	w.ring = ring
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.Algorithms = []codec.Algorithm{codec.EdDSA, codec.ES256} }))
	rec := n.api(http.MethodGet, "/jwks.json", "")
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/jwk-set+json" || rec.Header().Get("Cache-Control") != "public, max-age=300" || len(rec.Header()["Vary"]) != 0 {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	if head := n.api(http.MethodHead, "/jwks.json", ""); head.Code != http.StatusOK {
		t.Errorf("HEAD: %d", head.Code)
	}
	for _, secret := range []string{`"d"`, `"k"`, `"p"`, `"q"`} {
		if strings.Contains(rec.Body.String(), secret) {
			t.Errorf("the set has a member %s: %s", secret, rec.Body)
		}
	}
	if got := jwks(t, n).KeyIDs(); len(got) != 4 {
		t.Errorf("of a primary and a next key, for two algorithms, there are %q", got)
	}
	primary := func() *keyring.Key {
		key, err := ring.Primary(w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	rotate := func() {
		if _, err := ring.Rotate(ctx, w.clock.Now(), 0); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := func(set *codec.JWKS, token string) error {
		verifier, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: set, Algorithms: []codec.Algorithm{codec.EdDSA}, Issuer: apiIssuer, Audiences: []string{apiAudience}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = verifier.Verify(ctx, w.clock.Now(), token)
		return err
	}
	// At every moment around a rotation, the oldest allowed copy verifies the
	// tokens minted now.
	copies := []*codec.JWKS{jwks(t, n)}
	first := primary().ID()
	rotate()
	handedOver := false
	for range 30 {
		w.pass(5 * time.Minute)
		p := n.issue("alice")
		if err := elsewhere(copies[len(copies)-1], p.AccessToken()); err != nil {
			t.Fatalf("a copy of five minutes ago does not verify: %v", err)
		}
		copies = append(copies, jwks(t, n))
		handedOver = handedOver || primary().ID() != first
	}
	if !handedOver {
		t.Fatal("the ring did not rotate; the test shows nothing")
	}
	if !slices.Contains(jwks(t, n).KeyIDs(), first.String()+"-EdDSA") {
		t.Error("a key is gone before what it signed has expired")
	}
	p := n.issue("alice")
	for range 2 {
		n.wantBearer("before its key is revoked", p.AccessToken(), "alice")
	}
	gone := primary().ID()
	if _, err := ring.Revoke(ctx, w.clock.Now(), gone, "leaked"); err != nil {
		t.Fatal(err)
	}
	n.wantBearer("its key was revoked", p.AccessToken(), "401")
	set := jwks(t, n)
	if slices.ContainsFunc(set.KeyIDs(), func(kid string) bool { return strings.HasPrefix(kid, gone.String()) }) {
		t.Errorf("the revoked key %v is published: %q", gone, set.KeyIDs())
	}
	if err := elsewhere(set, p.AccessToken()); err == nil {
		t.Error("a token of a revoked key verifies under a new copy")
	}
	n.wantBearer("signed by the next key", n.issue("alice").AccessToken(), "alice")
	// Past the longest life of anything it signed, the first key is gone.
	w.pass(ring.Life() + 2*time.Hour)
	if slices.Contains(jwks(t, n).KeyIDs(), first.String()+"-EdDSA") {
		t.Error("an expired key is published")
	}
}

// The endpoint of a browser's access tokens.
func TestTokenEndpoint(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	b := w.browser().login(n, "alice", "a")
	post := func(body string, configure ...func(*http.Request)) (code int, aud, text string) {
		rec := n.api(http.MethodPost, "/token", body, append(configure, b.from)...)
		if rec.Code != http.StatusOK {
			return rec.Code, "", strings.TrimSpace(rec.Body.String())
		}
		p := tokenAnswer(t, rec)
		if p.RefreshToken != "" || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %v", rec.Body, rec.Header())
		}
		return rec.Code, strings.Trim(fmt.Sprint(claimsOf(t, p.AccessToken)["aud"]), "[]"), ""
	}
	for asked, want := range map[string]string{"": apiAudience, "audience=": apiAudience, form("audience", apiAudience): apiAudience, form("audience", apiBilling): apiBilling, "x=y": apiAudience} {
		if code, aud, text := post(asked); code != http.StatusOK || aud != want {
			t.Errorf("%q: %d, a token for %q %s", asked, code, aud, text)
		}
	}
	if _, aud, _ := post("", func(r *http.Request) { r.URL.RawQuery = form("audience", apiBilling) }); aud != apiAudience {
		t.Errorf("the address counts: a token for %q", aud)
	}
	for what, c := range map[string]struct{ body, code string }{
		"one that is not for browsers": {form("audience", apiReports), "invalid_target"},
		"another":                      {form("audience", "https://evil.example"), "invalid_target"},
		"two":                          {form("audience", apiAudience, "audience", apiBilling), "invalid_request"},
		"16 KB":                        {"x=" + strings.Repeat("A", 16<<10), "invalid_request"},
	} {
		wantOAuth(t, what, n.api(http.MethodPost, "/token", c.body, b.from), 400, c.code)
	}
	wantOAuth(t, "JSON", n.api(http.MethodPost, "/token", `{"audience":"x"}`, header("Content-Type", "application/json"), b.from), 400, "invalid_request")
	// A request without a session is refused before anything of the form is
	// considered.
	refused := ""
	for _, body := range []string{"", form("audience", apiReports), "x=" + strings.Repeat("A", 16<<10)} {
		rec := n.api(http.MethodPost, "/token", body)
		if rec.Code != http.StatusUnauthorized || refused != "" && dump(rec) != refused {
			t.Errorf("anonymous, %.10q: %s", body, dump(rec))
		}
		refused = dump(rec)
	}
	// A session that is due is refreshed, and its cookies are in the answer.
	w.pass(testAccess)
	rec := n.api(http.MethodPost, "/token", "", b.from)
	n.wantBearer("of a session that was due", tokenAnswer(t, rec).AccessToken, "alice")
	if len(rec.Header()["Set-Cookie"]) != 2 {
		t.Errorf("%d cookies", len(rec.Header()["Set-Cookie"]))
	}
	// The endpoint is off until it is configured.
	off := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.BrowserAudiences = nil }))
	if rec := off.api(http.MethodPost, "/token", "", b.from); rec.Code != http.StatusNotFound {
		t.Errorf("without BrowserAudiences: %d", rec.Code)
	}
	// Outage.
	w.pass(testAccess)
	n.store.fail()
	if rec := n.api(http.MethodPost, "/token", "", b.from); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || len(rec.Header()["Set-Cookie"]) != 0 {
		t.Errorf("in an outage: %d %v", rec.Code, rec.Header())
	}
}

// The hook of a browser's token gets its session, with its data.
func TestTokenEndpointClaims(t *testing.T) {
	w := newWorld(t)
	var fault error
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Claims = func(_ context.Context, s *wafer.Session[basket]) (wafer.TokenClaims, error) {
			data, err := s.Data()
			if err != nil {
				return wafer.TokenClaims{}, err
			}
			return wafer.TokenClaims{Scope: strings.Join(data.Items, " ")}, fault
		}
	}))
	b := w.browser().login(n, "alice", "read write")
	if p := tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)); p.Scope != "read write" {
		t.Errorf("the scope is %q", p.Scope)
	}
	fault = errStore
	if rec := n.api(http.MethodPost, "/token", "", b.from); rec.Code != http.StatusServiceUnavailable || strings.Contains(rec.Body.String(), "harness") {
		t.Errorf("a hook that fails: %d %s", rec.Code, rec.Body)
	}
	b.is(n, "alice: read write")
	fault = fmt.Errorf("closed: %w", wafer.ErrEnded)
	if rec := n.api(http.MethodPost, "/token", "", b.from); rec.Code != http.StatusUnauthorized {
		t.Errorf("ended by Claims: %d %s", rec.Code, rec.Body)
	}
	b.dead(n)
}

// An endpoint that changes something refuses GET, and refuses other sites unless
// they are trusted.
func TestEndpointsMethodsAndOrigins(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(), func(c *wafer.Config[basket]) { c.TrustedOrigins = []string{"https://admin.example"} })
	b := w.browser().login(n, "alice", "a")
	p := n.issue("alice")
	id := p.Session.String()
	changes := map[string]struct{ method, body string }{
		"/logout":        {http.MethodPost, ""},
		"/token":         {http.MethodPost, ""},
		"/refresh":       {http.MethodPost, form("grant_type", "refresh_token", "refresh_token", p.RefreshToken())},
		"/revoke":        {http.MethodPost, form("token", p.RefreshToken())},
		"/introspect":    {http.MethodPost, form("token", p.RefreshToken())},
		"/devices/" + id: {http.MethodDelete, ""},
	}
	w.pass(testAccess / 2)
	for path, c := range changes {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodOptions, http.MethodDelete, http.MethodPost, "get", "QUERY"} {
			if method == c.method {
				continue
			}
			rec := n.api(method, path, "", b.from, authorized, func(r *http.Request) { r.URL.RawQuery = c.body })
			if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") == "" {
				t.Errorf("%s %s: %d, Allow %q", method, path, rec.Code, rec.Header().Get("Allow"))
			}
		}
		for what, configure := range map[string]func(*http.Request){
			"Sec-Fetch-Site cross-site": header("Sec-Fetch-Site", "cross-site"),
			"Sec-Fetch-Site same-site":  header("Sec-Fetch-Site", "same-site"),
			"another Origin":            header("Origin", "https://evil.example"),
			"the Origin null":           header("Origin", "null"),
			"another port":              header("Origin", "https://harness.example:8443"),
			"one that begins so": func(r *http.Request) {
				r.Header.Set("Origin", "https://admin.example.evil.example")
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			},
		} {
			if rec := n.api(c.method, path, c.body, b.from, configure); rec.Code != http.StatusForbidden {
				t.Errorf("%s %s with %s: %d", c.method, path, what, rec.Code)
			}
		}
	}
	if f := w.family(p.Session); f.State != store.Alive || f.Family.Generation != 1 {
		t.Errorf("all of that left the native session %v at generation %d", f.State, f.Family.Generation)
	}
	b.is(n, "alice: a")
	for what, configure := range map[string]func(*http.Request){
		"no Origin": func(*http.Request) {}, "our own": header("Origin", "https://harness.example"), "same-origin": header("Sec-Fetch-Site", "same-origin"),
		"by hand": header("Sec-Fetch-Site", "none"),
		"trusted": func(r *http.Request) {
			r.Header.Set("Origin", "https://admin.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		},
	} {
		if rec := n.api(http.MethodPost, "/token", "", b.from, configure); rec.Code != http.StatusOK {
			t.Errorf("POST token with %s: %d", what, rec.Code)
		}
	}
	for _, origin := range []string{"admin.example", "https://admin.example/", "https://", "*"} {
		c := wafer.Config[basket]{Realm: testRealm, TrustedOrigins: []string{origin}}
		if s, err := wafer.New(context.Background(), w.ring, w.mem, c); err == nil {
			s.Close()
			t.Errorf("New takes the trusted origin %q", origin)
		}
	}
}

// A token for any of the audiences can be revoked and introspected, also by its
// service. It is still no token for another service.
func TestOAuthKnowsEveryAudience(t *testing.T) {
	for _, audience := range []string{apiAudience, apiBilling, apiReports} {
		w := newWorld(t)
		n := w.node(withTokens())
		p := n.refreshed(n.issue("alice").RefreshToken(), "audience", audience)
		for range 3 {
			if got := n.introspected(t, p.AccessToken); got["active"] != true || !strings.Contains(fmt.Sprint(got["aud"]), audience) {
				t.Errorf("a good token for %s: %v", audience, got)
			}
			if who := n.bearerOf(p.AccessToken); (who == "alice") != (audience == apiAudience) {
				t.Errorf("a token for %s that was asked about is %s to the API", audience, who)
			}
		}
		n.store.cutLog()
		if rec := n.api(http.MethodPost, "/revoke", form("token", p.AccessToken)); rec.Code != http.StatusOK {
			t.Errorf("revoke: %d", rec.Code)
		}
		if got := n.introspected(t, p.AccessToken); got["active"] != false {
			t.Errorf("a revoked token for %s: %v", audience, got)
		}
		if state := w.family(sessionID(t, p.AccessToken)).State; state != store.Ended {
			t.Errorf("a token for %s was revoked, and the session is %v", audience, state)
		}
	}
}

// A hook that reads the form reads at most a bounded amount.
func TestIntrospectHookReadsABoundedForm(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) {
		c.Introspect = func(r *http.Request) bool { return r.PostFormValue("client_secret") == "s" }
	}))
	token := n.issue("alice").AccessToken()
	if rec := n.api(http.MethodPost, "/introspect", form("client_secret", "s", "token", token)); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "alice") {
		t.Errorf("a secret in the form: %d %s", rec.Code, rec.Body)
	}
	if rec := n.api(http.MethodPost, "/introspect", form("client_secret", "s", "token", token, "x", strings.Repeat("A", 1<<20))); rec.Code == http.StatusOK {
		t.Error("a form of 1 MB was read whole")
	}
}
