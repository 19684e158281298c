package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/waferkit/wafer"
)

// The routes, and the answer of each to each kind of client.
func TestRoutes(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	const none, alice, admin = "", "alice", "admin"
	for _, c := range []struct {
		who, method, path string
		body              []string
		json, html        int
	}{
		{none, "GET", "/", nil, 200, 200},
		{none, "GET", "/login", nil, 405, 200},
		{none, "GET", "/welcome", nil, 404, 401},
		{alice, "GET", "/welcome", nil, 404, 303},
		{none, "GET", "/healthz", nil, 200, 200},
		{none, "POST", "/login", []string{"user", "alice", "password", "wafer"}, 200, 303},
		{none, "POST", "/login", []string{"user", "alice", "password", "guess"}, 401, 401},
		{none, "POST", "/login", []string{"user", "nobody", "password", "wafer"}, 401, 401},
		{none, "POST", "/logout", nil, 200, 303},
		{alice, "POST", "/logout", nil, 200, 303},
		{alice, "GET", "/", nil, 200, 200},
		{alice, "GET", "/me", nil, 200, 200},
		{alice, "GET", "/cart", nil, 200, 200},
		{alice, "POST", "/cart", []string{"item", "ink"}, 200, 303},
		{alice, "POST", "/coupon", []string{"code", "WAFER10"}, 200, 303},
		{alice, "GET", "/devices", nil, 200, 200},
		{alice, "POST", "/logout-others", nil, 200, 303},
		{alice, "GET", "/password", nil, 405, 200},
		{alice, "POST", "/password", []string{"old", "guess", "new", "waffle"}, 401, 401},
		{alice, "GET", "/elevate", nil, 405, 200},
		{alice, "POST", "/elevate", []string{"password", "wafer"}, 200, 303},
		{alice, "POST", "/elevate", []string{"password", "guess"}, 401, 401},
		{alice, "GET", "/transfer", nil, 405, 200},
		{alice, "POST", "/transfer", nil, 200, 303},
		{alice, "GET", "/admin", nil, 403, 403},
		{alice, "POST", "/admin/revoke", []string{"subject", "bob"}, 403, 403},
		{admin, "GET", "/admin", nil, 405, 200},
		{admin, "POST", "/admin/revoke", []string{"subject", "bob", "reason", "a test"}, 200, 303},
		{none, "GET", "/me", nil, 401, 401},
		{none, "GET", "/cart", nil, 401, 401},
		{none, "POST", "/cart", []string{"item", "ink"}, 401, 401},
		{none, "POST", "/coupon", []string{"code", "WAFER10"}, 401, 401},
		{none, "GET", "/devices", nil, 401, 401},
		{none, "POST", "/logout-others", nil, 401, 401},
		{none, "POST", "/password", []string{"old", "wafer", "new", "waffle"}, 401, 401},
		{none, "POST", "/elevate", []string{"password", "wafer"}, 401, 401},
		{none, "POST", "/transfer", nil, 401, 401},
		{none, "POST", "/admin/revoke", []string{"subject", "bob"}, 401, 401},
		{none, "GET", "/live", nil, 401, 401},
		{alice, "POST", "/live", nil, 405, 405},
		{none, "GET", "/nothing", nil, 404, 404},
		{none, "GET", "/me/", nil, 404, 404},
		{none, "GET", "//me", nil, 404, 404},
		{none, "GET", "/static/", nil, 404, 404},
		{none, "GET", "/static/nothing.css", nil, 404, 404},
		{none, "GET", "/static/../shop.go", nil, 404, 404},
		{none, "DELETE", "/me", nil, 405, 405},
		{none, "OPTIONS", "/cart", nil, 405, 405},
		{none, "GET", "/logout", nil, 405, 405},
		{none, "POST", "/", nil, 405, 405},
	} {
		for _, side := range []struct {
			json bool
			want int
		}{{true, c.json}, {false, c.html}} {
			t.Run(fmt.Sprintf("%s%s as %q json=%v want=%d", c.method, c.path, c.who, side.json, side.want), func(t *testing.T) {
				b := s.browser(t, side.json)
				if c.who != none {
					b.login(c.who)
				}
				a := b.post(c.path, c.body...)
				if c.method != "POST" {
					a = b.send(b.request(c.method, c.path, "", ""))
				}
				if a.status != side.want {
					t.Errorf("status %d, want %d: %s", a.status, side.want, a.body)
				}
				kind := a.header.Get("Content-Type")
				if side.json && kind != "application/json" {
					t.Errorf("the JSON side answered with %q: %s", kind, a.body)
				}
				if !side.json && a.status != http.StatusSeeOther && c.path != "/healthz" && !strings.HasPrefix(kind, "text/html") {
					t.Errorf("the HTML side answered with %q: %s", kind, a.body)
				}
				if side.json && a.status >= 400 && !strings.HasPrefix(a.body, `{"error":"`) {
					t.Errorf("an error of another shape: %s", a.body)
				}
				if a.status == 405 && a.header.Get("Allow") == "" && c.path != "/admin" {
					t.Error("no Allow")
				}
				if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
					t.Errorf("Content-Security-Policy %q", policy)
				}
			})
		}
	}
}

// A session's pages contain no script and no style of their own: the policy
// would block them silently.
func TestPagesKeepToTheirPolicy(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, false).login("admin")
	b.post("/cart", "item", `<script>alert("x")</script>`)
	for _, path := range []string{"/", "/cart", "/me", "/devices", "/password", "/elevate", "/transfer", "/admin", "/nothing"} {
		body := b.get(path).body
		for _, bad := range []string{"<script", "<style", " style=", " onclick=", "javascript:", "http://", "https://"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		if n := strings.Count(body, "<h1"); n != 1 {
			t.Errorf("%s has %d headings of the first level", path, n)
		}
	}
}

func TestStatic(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, false).login("alice")
	for _, i := range catalogue {
		if a := b.get("/static/" + i.ID + ".svg"); a.status != 200 || a.header.Get("Content-Type") != "image/svg+xml" {
			t.Errorf("%s: %d %s", i.ID, a.status, a.header.Get("Content-Type"))
		}
	}
	a := b.get("/static/shop.css")
	if a.status != 200 || len(a.header["Set-Cookie"]) != 0 || a.header.Get("Cache-Control") == "no-store" {
		t.Errorf("the style: %d, %v", a.status, a.header)
	}
	r := b.request("GET", "/static/shop.css", "", "")
	r.Header.Set("If-None-Match", a.header.Get("ETag"))
	if a := b.send(r); a.status != http.StatusNotModified {
		t.Errorf("asked again: %d", a.status)
	}
}

func TestWrongForms(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	admin := s.browser(t, true).login("admin")
	const jsonType = "application/json"
	for _, c := range []struct{ path, kind, body string }{
		{"/login", formType, ""},
		{"/login", formType, "user=alice"},
		{"/login", formType, "user=&password=wafer"},
		{"/login", formType, "user=alice&password=wafer&remember=yes"},
		{"/login", formType, "user=alice&user=bob&password=wafer"},
		{"/login", formType, "user=%zz&password=wafer"},
		{"/login", formType, "user=a;b&password=wafer"},
		{"/login", formType, "user=%00&password=wafer"},
		{"/login", formType, "user=%ff&password=wafer"},
		{"/login", formType, "user=" + strings.Repeat("a", maxField+1) + "&password=wafer"},
		{"/login", "", "user=alice&password=wafer"},
		{"/login", "text/plain", "user=alice&password=wafer"},
		{"/login", "multipart/form-data; boundary=x", "--x--"},
		{"/login", "a/b; c", "user=alice&password=wafer"},
		{"/login", jsonType, ""},
		{"/login", jsonType, "{"},
		{"/login", jsonType, "[]"},
		{"/login", jsonType, "null"},
		{"/login", jsonType, `"alice"`},
		{"/login", jsonType, `{"user":"alice","password":null}`},
		{"/login", jsonType, `{"user":["alice"],"password":"wafer"}`},
		{"/login", jsonType, `{"user":{"a":"b"},"password":"wafer"}`},
		{"/login", jsonType, `{"user":"alice","password":"wafer"`},
		{"/login", jsonType, `{"user":"alice","password":"wafer"}{}`},
		{"/login", jsonType, `{"user":"alice","user":"bob","password":"wafer"}`},
		{"/login", jsonType, strings.Repeat(`{"a":`, 10000)},
		{"/cart", formType, ""},
		{"/cart", formType, "item=+"},
		{"/cart", formType, "item=" + strings.Repeat("a", maxItem+1)},
		{"/cart", formType, "item=ink&quantity="},
		{"/cart", formType, "item=ink&quantity=-1"},
		{"/cart", formType, "item=ink&quantity=1e3"},
		{"/cart", formType, "item=ink&quantity=99999999999999999999"},
		{"/coupon", formType, "code="},
		{"/coupon", formType, "code=" + strings.Repeat("A", maxCode+1)},
		{"/password", formType, "old=wafer"},
		{"/password", formType, "new=waffle"},
		{"/elevate", formType, ""},
		{"/transfer", formType, "amount=0"},
		{"/transfer", formType, "amount=all"},
		{"/admin/revoke", formType, ""},
		{"/admin/revoke", formType, "everyone=0"},
		{"/admin/revoke", formType, "everyone=all"},
		{"/admin/revoke", formType, "session=abc"},
		{"/admin/revoke", formType, "session=" + strings.Repeat("0", 32)},
		{"/admin/revoke", formType, "session=" + strings.Repeat("A", 32)},
		{"/admin/revoke", formType, "subject=bob&everyone=1"},
		{"/admin/revoke", formType, "subject=" + strings.Repeat("b", 256)},
		{"/admin/revoke", formType, "subject=bob&reason=" + strings.Repeat("r", 256)},
	} {
		t.Run(c.path+" "+c.kind+" "+c.body[:min(len(c.body), 40)], func(t *testing.T) {
			b := admin.copy()
			b.t = t
			b.send(b.request("POST", c.path, c.kind, c.body)).bad(t)
		})
	}
	large := strings.Repeat("a", maxBody+1)
	admin.send(admin.request("POST", "/login", formType, "user="+large)).is(t, http.StatusRequestEntityTooLarge, "too large")
	admin.send(admin.request("POST", "/login", "application/json", `{"user":"`+large+`"}`)).is(t, http.StatusRequestEntityTooLarge, "too large")
	admin.me() // and none of it has cost the session
}

func TestJSONBodies(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true)
	post := func(path, body string) answer {
		t.Helper()
		return b.send(b.request("POST", path, "application/json; charset=utf-8", body))
	}
	var v me
	post("/login", `{"user":"alice","password":"wafer","remember":true}`).decode(t, 200, &v)
	post("/cart", `{"item":"ink","quantity":3}`).decode(t, 200, &v)
	if v.Data.Cart["ink"] != 3 {
		t.Errorf("the cart is %v", v.Data.Cart)
	}
	post("/logout", ``).decode(t, 200, &struct{}{})
}

// A request from another site changes nothing.
func TestCrossOrigin(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	for _, path := range []string{"/login", "/logout", "/cart", "/coupon", "/logout-others", "/password", "/elevate", "/transfer", "/admin/revoke"} {
		r := b.request("POST", path, formType, "item=ink&user=bob&password=wafer")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		b.send(r).is(t, http.StatusForbidden, "cross-origin")
		r = b.request("POST", path, formType, "item=ink&user=bob&password=wafer")
		r.Header.Set("Origin", "https://elsewhere.example")
		b.send(r).is(t, http.StatusForbidden, "cross-origin")
	}
	if v := b.me(); v.Subject != "alice" || len(v.Data.Cart) != 0 {
		t.Errorf("now it is %v", v)
	}
}

// A client is anonymous at worst, whatever cookies it sends.
func TestBadCookies(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	good := s.browser(t, true).login("alice")
	for name, cookie := range map[string]string{
		"junk":        "__Host-session=junk; __Host-refresh=junk",
		"empty":       "__Host-session=; __Host-refresh=",
		"long":        "__Host-session=" + strings.Repeat("A", 900_000),
		"3000 pairs":  strings.Repeat("a=b; ", 3000) + "__Host-session=x",
		"cut":         "__Host-session=" + good.jar["__Host-session"][:50],
		"swapped":     "__Host-session=" + good.jar["__Host-refresh"] + "; __Host-refresh=" + good.jar["__Host-session"],
		"other names": "session=" + good.jar["__Host-session"],
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser(t, true)
			r := b.request("GET", "/me", "", "")
			r.Header.Set("Cookie", cookie)
			b.send(r).is(t, http.StatusUnauthorized, "unauthenticated")
			b = s.browser(t, false)
			r = b.request("GET", "/", "", "")
			r.Header.Set("Cookie", cookie)
			if a := b.send(r); a.status != 200 {
				t.Errorf("the front page: %d", a.status)
			}
		})
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	h := secure(s.recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a mistake") })))
	s.server.Config.Handler = h
	s.browser(t, true).get("/").is(t, http.StatusInternalServerError, "internal")
	if a := s.browser(t, false).get("/"); a.status != 500 || !strings.Contains(a.body, "Something broke") || strings.Contains(a.body, "a mistake") {
		t.Error(a)
	}
}

func TestAccept(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                  false,
		"*/*":                               false,
		"application/json":                  true,
		"Application/JSON; charset=utf-8":   true,
		"application/json, text/plain, */*": true,
		"text/html, application/json;q=0.9": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
	} {
		r := &http.Request{Header: http.Header{"Accept": {accept}}}
		if got := wantsJSON(r); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

func TestDeviceLabel(t *testing.T) {
	for agent, want := range map[string]string{
		"": "Unknown device",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":                                   "Chrome on Linux",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                   "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                        "Firefox on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                         "Chrome on Android",
		"curl/8.5.0":              "curl",
		"mybot/1.0 (+contact)":    "mybot/1.0",
		strings.Repeat("x", 5000): "Unknown device",
	} {
		if got := deviceLabel(agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}
