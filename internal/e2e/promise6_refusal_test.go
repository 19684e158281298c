package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
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

// Promise 6: clients learn nothing.

// refusals returns some fifty credentials that are refused, each for its own
// reason. Only operators may be able to distinguish them.
func refusals(t *testing.T) (w *world, n *node, jars map[string][]string) {
	w = newWorld(t)
	var closed bool
	n = w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) {
			if s.Subject == "closed" && closed {
				return basket{}, wafer.ErrEnded
			}
			return s.Data()
		}
	})
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	spent := w.browser().login(n, "spent", "a")
	old := spent.copy()
	superseded := w.browser().login(n, "superseded", "a")
	before := superseded.copy()
	account := w.browser().login(n, "closed", "a")
	w.pass(testAccess)
	spent.is(n, "spent: a")
	w.pass(testAccess)
	spent.is(n, "spent: a") // generation 3: presenting the token of generation 1 is a theft
	closed = true

	login := func(subject string) *browser { return w.browser().login(n, subject, "a") }
	alice, bob, ended, cut := login("alice"), login("bob"), login("ended"), login("cut")
	fresh := login("fresh")
	beforeCommit := fresh.copy()
	wants(t, "Commit", fresh.do(n, commit("b")), nil)
	n.revoke(wafer.Revocation{Sessions: []store.ID{store.ID(ended.cookie(w).ID)}})
	n.revoke(wafer.Revocation{Subjects: []string{"cut"}})
	w.pass(0)

	family := func(id byte, native bool, idle, absolute time.Duration) store.ID {
		_, err := w.mem.Create(ctx, store.Creation{ID: store.ID{id}, Subject: "direct", Native: native, Idle: idle, Absolute: absolute})
		must(err)
		return store.ID{id}
	}
	idle := family(1, false, time.Millisecond, time.Hour)
	absolute := family(2, false, time.Hour, time.Millisecond)
	native := family(3, true, time.Hour, time.Hour)
	w.pass(time.Second)

	cookie, token := alice.cookies[sessionCookie], alice.cookies[refreshCookie]
	now := w.clock.Now()
	edit := func(change func(c *codec.Session)) string {
		c := alice.cookie(w)
		change(&c)
		return w.seal(c)
	}
	raw, err := base64.RawURLEncoding.DecodeString(cookie)
	must(err)
	flip := func(i int) string {
		b := bytes.Clone(raw)
		b[(i+len(b))%len(b)] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	sealWith := func(ring *keyring.Ring, realm, name string) string {
		c, err := codec.NewCookies(ring, realm, name)
		must(err)
		s := alice.cookie(w)
		value, err := c.Seal(now, &s, nil)
		must(err)
		return value
	}
	mintWith := func(ring *keyring.Ring, instance codec.Instance) string {
		c, err := codec.NewRefreshTokens(ring, instance)
		must(err)
		value, err := c.Mint(now, alice.token(w))
		must(err)
		return value
	}
	values, err := codec.NewValues(w.ring, codec.ValuesConfig{Realm: testRealm, Lifetime: time.Hour})
	must(err)
	value, err := values.Seal(sessionCookie, []byte("state"))
	must(err)
	foreign := newStaticRing(t)
	s, r := func(v string) []string { return []string{sessionCookie + "=" + v} }, func(v string) []string { return []string{refreshCookie + "=" + v} }
	both := func(a, b string) []string { return []string{sessionCookie + "=" + a + "; " + refreshCookie + "=" + b} }

	return w, n, map[string][]string{
		"no cookie header":                nil,
		"an empty header":                 {""},
		"other cookies":                   {"theme=dark"},
		"3,000 other pairs":               {strings.Repeat("a=b; ", 3000)},
		"an empty cookie":                 s(""),
		"a name without a value":          {sessionCookie},
		"junk":                            s("junk"),
		"1 MB":                            s(strings.Repeat("A", 1<<20)),
		"1 MB token":                      r("wfr1_" + strings.Repeat("A", 1<<20)),
		"cut by one":                      s(cookie[:len(cookie)-1]),
		"cut to the head":                 s(cookie[:8]),
		"extended":                        s(cookie + "AAAA"),
		"unknown version":                 s(flip(0)),
		"unknown key":                     s(flip(1)),
		"another salt":                    s(flip(5)),
		"another nonce":                   s(flip(17)),
		"another ciphertext":              s(flip(40)),
		"another tag":                     s(flip(-1)),
		"padded":                          s(cookie + "="),
		"quoted":                          s(`"` + cookie + `"`),
		"in another alphabet":             s("+" + cookie[1:]),
		"another realm":                   s(sealWith(w.ring, "harness.example/prod", sessionCookie)),
		"another name":                    s(sealWith(w.ring, testRealm, "__Host-other")),
		"another ring":                    s(sealWith(foreign, testRealm, sessionCookie)),
		"a sealed value":                  s(value),
		"a refresh token as the cookie":   s(token),
		"a cookie as the refresh token":   r(cookie),
		"access over":                     s(edit(func(c *codec.Session) { c.Access = now })),
		"idle over":                       s(edit(func(c *codec.Session) { c.Idle = now })),
		"absolute over":                   s(edit(func(c *codec.Session) { c.Absolute = now })),
		"from the future":                 s(edit(func(c *codec.Session) { c.Issued = now.Add(time.Hour) })),
		"from long ago":                   s(edit(func(c *codec.Session) { c.Issued = now.Add(-time.Hour) })),
		"ahead of the log":                s(edit(func(c *codec.Session) { c.Position += 1 << 40 })),
		"before everyone was revoked":     s(edit(func(c *codec.Session) { c.Position = 1 })),
		"session ended":                   s(ended.cookies[sessionCookie]),
		"subject revoked":                 s(cut.cookies[sessionCookie]),
		"superseded":                      s(beforeCommit.cookies[sessionCookie]),
		"token of a session that ended":   r(ended.cookies[refreshCookie]),
		"both of a session that ended":    both(ended.cookies[sessionCookie], ended.cookies[refreshCookie]),
		"token of a revoked subject":      r(cut.cookies[refreshCookie]),
		"both of a revoked subject":       both(cut.cookies[sessionCookie], cut.cookies[refreshCookie]),
		"token cut":                       r(token[:len(token)-1]),
		"token without prefix":            r(token[5:]),
		"token of another prefix":         r("wfr2_" + token[5:]),
		"token forged":                    r(token[:len(token)-2] + map[bool]string{true: "AA", false: "QA"}[!strings.HasSuffix(token, "AA")]),
		"token of another realm":          r(mintWith(w.ring, codec.Instance{Realm: "harness.example/prod", SessionCookie: sessionCookie})),
		"token of another instance":       r(mintWith(w.ring, codec.Instance{Realm: testRealm, SessionCookie: "__Host-staff"})),
		"token of another ring":           r(mintWith(foreign, testInstance)),
		"token of no family":              r(w.mint(store.ID{9}, 1)),
		"token of an idle family":         r(w.mint(idle, 1)),
		"token of a family past its time": r(w.mint(absolute, 1)),
		"token of a native client":        r(w.mint(native, 1)),
		"token from the future":           r(w.mint(store.ID(bob.token(w).Family), 7)),
		"token replayed":                  r(old.cookies[refreshCookie]),
		"both replayed, again":            both(old.cookies[sessionCookie], old.cookies[refreshCookie]),
		"ended by Reload":                 both(account.cookies[sessionCookie], account.cookies[refreshCookie]),
		"mixed":                           both(cookie, bob.cookies[refreshCookie]),
		"mixed, the cookie expired":       both(before.cookies[sessionCookie], bob.cookies[refreshCookie]),
		"many of one name":                slices.Repeat(s("junk"), 3000),
		"the good one last of too many":   append(slices.Repeat(s("junk"), 100), s(cookie)...),
	}
}

func TestPromise6_EveryRefusalLooksTheSame(t *testing.T) {
	_, n, jars := refusals(t)
	app := n.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "inside") }))
	dump := func(lines []string) string {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Cookie"] = lines
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, r)
		var b bytes.Buffer
		fmt.Fprintln(&b, rec.Code)
		if err := rec.Header().WriteSubset(&b, nil); err != nil {
			t.Fatal(err)
		}
		b.Write(rec.Body.Bytes())
		return b.String()
	}
	want := dump(nil)
	if !strings.HasPrefix(want, "401\n") {
		t.Fatalf("an anonymous request gets %q", want)
	}
	if len(jars) < 40 {
		t.Fatalf("only %d kinds", len(jars))
	}
	for _, name := range slices.Sorted(maps.Keys(jars)) {
		seen := len(n.observed())
		if got := dump(jars[name]); got != want {
			t.Errorf("%s looks like\n%s\nand not like\n%s", name, got, want)
		}
		events := n.observed()[seen:]
		carries := strings.Contains(strings.Join(jars[name], ""), sessionCookie+"=") || strings.Contains(strings.Join(jars[name], ""), refreshCookie+"=")
		if carries && len(events) == 0 {
			t.Errorf("%s: no event", name)
		}
		for _, e := range events {
			if e.Reason == "" && e.Err == nil {
				t.Errorf("%s: the event %v does not say why", name, e)
			}
		}
	}
}

// An outage does not reveal what is down either.
func TestPromise6_EveryOutageLooksTheSame(t *testing.T) {
	w := newWorld(t)
	fault := fmt.Errorf("the directory ldap://internal does not answer")
	n := w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(context.Context, *wafer.Session[basket]) (basket, error) { return basket{}, fault }
	})
	b := w.browser().login(n, "alice", "a")
	mixed := b.copy()
	mixed.cookies[refreshCookie] = w.browser().login(n, "bob", "b").cookies[refreshCookie]
	w.pass(time.Second)
	dump := func(b *browser) string {
		rec := httptest.NewRecorder()
		n.Require(http.NotFoundHandler()).ServeHTTP(rec, b.request())
		return fmt.Sprint(rec.Code, rec.Header(), rec.Body)
	}
	n.store.fail()
	looks := map[string]string{"mixed cookies": dump(mixed)}
	w.clock.Move(testStaleness + 1)
	looks["a stale list"] = dump(b)
	n.store.heal()
	w.pass(testAccess)
	looks["a Reload that fails"] = dump(b)
	fault = nil
	n.store.fail("Advance")
	looks["a refresh"] = dump(b)
	for what, got := range looks {
		if !strings.HasPrefix(got, "503") || got != looks["a stale list"] {
			t.Errorf("an outage at %s looks like %s, on a stale list like %s", what, got, looks["a stale list"])
		}
	}
}
