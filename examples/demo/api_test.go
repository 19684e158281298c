package main

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// grant is the token response of RFC 6749 section 5.1.
type grant struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Refresh string `json:"refresh_token"`
	Scope   string `json:"scope"`
}

type who struct {
	Subject string `json:"subject"`
	ID      string `json:"id"`
	Scope   string `json:"scope"`
}

// bearer makes a request as a native client does: with a token and without
// cookies.
func (b *browser) bearer(method, path, token string) answer {
	b.t.Helper()
	r := b.request(method, path, "", "")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return b.send(r)
}

func (b *browser) refresh(token string) answer {
	b.t.Helper()
	return b.post("/session/refresh", "grant_type", "refresh_token", "refresh_token", token)
}

func TestAPI(t *testing.T) {
	f := flags{tokenAudience: audience, introspectSecret: "a secret"}
	s := openShop(t, wafer.Config[basket]{Tokens: tokens(&f)})
	phone := s.browser(t, false) // the API answers in JSON all the same
	var g grant
	a := phone.post("/api/login", "user", "admin", "password", "wafer")
	a.decode(t, 200, &g)
	if g.Type != "Bearer" || g.Expires != 300 || g.Scope != "shop admin" || !strings.HasPrefix(g.Refresh, "wfr1_") || a.header.Get("Cache-Control") != "no-store" || len(phone.jar) != 0 {
		t.Errorf("%+v, %v", g, a.header)
	}
	phone.post("/api/login", "user", "admin", "password", "guess").is(t, 401, "credentials")
	phone.get("/api/login").is(t, 405, "method not allowed")
	phone.get("/api/nothing").is(t, 404, "not found")

	var v who
	phone.bearer("GET", "/api/whoami", g.Access).decode(t, 200, &v)
	if v.Subject != "admin" || v.Scope != "shop admin" || len(v.ID) != 32 {
		t.Errorf("%+v", v)
	}
	for token, challenge := range map[string]string{
		"": "Bearer", "x": `Bearer error="invalid_token"`, g.Refresh: `Bearer error="invalid_token"`, g.Access + "A": `Bearer error="invalid_token"`,
	} {
		a := phone.bearer("GET", "/api/whoami", token)
		a.is(t, 401, "unauthenticated")
		if got := a.header.Get("WWW-Authenticate"); got != challenge {
			t.Errorf("challenge %q, want %q", got, challenge)
		}
	}
	// A browser's cookie does not open the API, nor a token the pages.
	alice := s.browser(t, true).login("alice")
	alice.get("/api/whoami").is(t, 401, "unauthenticated")
	phone.refresh(alice.jar["__Host-refresh"]).is(t, 400, "invalid_grant")
	if alice.me().Subject != "alice" {
		t.Error("a refresh token at the wrong door ended the session")
	}
	thief := s.browser(t, true)
	thief.jar["__Host-refresh"] = g.Refresh
	thief.dead("a native client's token as a cookie")

	// A lost answer: the same token again gets the same successor.
	s.clock.Move(4 * time.Minute)
	var first, second grant
	phone.refresh(g.Refresh).decode(t, 200, &first)
	phone.refresh(g.Refresh).decode(t, 200, &second)
	if first.Refresh == g.Refresh || first.Refresh != second.Refresh {
		t.Error("no successor, or two")
	}
	phone.bearer("GET", "/api/whoami", second.Access).decode(t, 200, &v)

	// A page's script, and a service that introspects.
	var script grant
	alice.post("/session/token").decode(t, 200, &script)
	if script.Refresh != "" || script.Scope != "shop" {
		t.Errorf("%+v", script)
	}
	phone.bearer("GET", "/api/whoami", script.Access).decode(t, 200, &v)
	introspect := func(secret, token string) (active bool) {
		r := phone.request("POST", "/session/introspect", formType, "token="+token)
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("service:"+secret)))
		a := phone.send(r)
		if secret != "a secret" {
			if a.status != 401 {
				t.Errorf("introspection with a wrong secret: %d", a.status)
			}
			return false
		}
		var v map[string]any
		a.decode(t, 200, &v)
		active, _ = v["active"].(bool)
		return active
	}
	if introspect("guess", script.Access) || !introspect("a secret", script.Access) || !introspect("a secret", second.Refresh) || introspect("a secret", "x") {
		t.Error("introspection")
	}
	if a := phone.get("/session/jwks.json"); a.status != 200 || !strings.Contains(a.body, `"kty":"OKP"`) || !strings.HasPrefix(a.header.Get("Cache-Control"), "public") {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}

	alice.post("/logout").ok(t)
	phone.bearer("GET", "/api/whoami", script.Access).is(t, 401, "unauthenticated")
	if introspect("a secret", script.Access) {
		t.Error("active after the logout")
	}

	// A token of two generations ago ends the family.
	s.clock.Move(4 * time.Minute)
	phone.refresh(second.Refresh).decode(t, 200, &first)
	s.clock.Move(time.Minute)
	phone.refresh(g.Refresh).is(t, 400, "invalid_grant")
	phone.bearer("GET", "/api/whoami", first.Access).is(t, 401, "unauthenticated")
	phone.refresh(first.Refresh).is(t, 400, "invalid_grant")
}

// Without the flags, scripts get no token and nobody can introspect.
func TestAPI_OffByDefault(t *testing.T) {
	f, err := parseFlags(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := openShop(t, f.config)
	alice := s.browser(t, true).login("alice")
	for _, path := range []string{"/session/token", "/session/introspect"} {
		if a := alice.post(path, "token", "x"); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

func TestEndADevice(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	alice, lost, bob := s.browser(t, true).login("alice"), s.browser(t, true).login("alice"), s.browser(t, true).login("bob")
	alice.post("/devices/end", "id", bob.me().ID.String()).is(t, 404, "not found")
	alice.post("/devices/end", "id", strings.Repeat("0", 32)).bad(t)
	if bob.me().Subject != "bob" {
		t.Error("another user's session was ended")
	}
	page := s.browser(t, false)
	page.jar = alice.jar
	if a := page.get("/devices"); !strings.Contains(a.body, lost.me().ID.String()) || strings.Count(a.body, `action="/devices/end"`) != 1 {
		t.Errorf("the page: %s", a.body)
	}
	alice.post("/devices/end", "id", lost.me().ID.String()).ok(t)
	lost.dead("the device that was ended")
	s.clock.Move(6 * time.Minute)
	alice.post("/devices/end", "id", alice.me().ID.String()).is(t, 403, "reauthenticate")
	alice.post("/elevate", "password", "wafer").ok(t)
	alice.post("/devices/end", "id", alice.me().ID.String()).ok(t)
	if len(alice.jar) != 0 {
		t.Error("its own cookies are still there")
	}

	// The endpoint does the same for programs.
	alice.login("alice")
	lost.login("alice")
	if a := alice.send(alice.request("DELETE", "/session/devices/"+lost.me().ID.String(), "", "")); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	lost.dead("the device that was deleted")
}
