package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// Promise 2: accepted means proven.

func TestPromise2_AuthenticForThisRingRealmNameAndPurpose(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(0)
	good := b.cookie(w)
	data, err := codec.MarshalData(basket{})
	if err != nil {
		t.Fatal(err)
	}
	seal := func(ring *keyring.Ring, realm, name string) string {
		c, err := codec.NewCookies(ring, realm, name)
		if err != nil {
			t.Fatal(err)
		}
		value, err := c.Seal(w.clock.Now(), &good, data)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	jar := w.browser()
	try := func(what, value, want string) {
		t.Helper()
		jar.cookies = map[string]string{sessionCookie: value}
		if got := jar.peek(n); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	try("the very same", seal(w.ring, testRealm, sessionCookie), "alice: ")
	try("another ring", seal(newStaticRing(t), testRealm, sessionCookie), "401")
	try("another realm", seal(w.ring, "harness.example/prod", sessionCookie), "401")
	try("a realm that begins so", seal(w.ring, testRealm+"2", sessionCookie), "401")
	try("another cookie name", seal(w.ring, testRealm, "__Host-other"), "401")
	try("the name of the refresh cookie", seal(w.ring, testRealm, refreshCookie), "401")

	values, err := codec.NewValues(w.ring, codec.ValuesConfig{Realm: testRealm, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	value, err := values.Seal(sessionCookie, data)
	if err != nil {
		t.Fatal(err)
	}
	try("a sealed value", value, "401")
	commits, err := codec.NewCommits(w.ring, testInstance)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := commits.Seal(w.clock.Now(), good.ID, data)
	if err != nil {
		t.Fatal(err)
	}
	try("a committed value", base64.RawURLEncoding.EncodeToString(sealed), "401")
	try("a refresh token", b.cookies[refreshCookie], "401")

	// And the tokens.
	tryToken := func(what, value, want string) {
		t.Helper()
		jar = w.browser()
		jar.cookies[refreshCookie] = value
		n.store.reset()
		try := jar.copy()
		if got := try.peek(n); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		if calls := n.store.calls(); want == "401" && len(calls) != 0 {
			t.Errorf("%s reached the store: %v", what, calls)
		}
	}
	token := func(ring *keyring.Ring, instance codec.Instance) string {
		c, err := codec.NewRefreshTokens(ring, instance)
		if err != nil {
			t.Fatal(err)
		}
		value, err := c.Mint(w.clock.Now(), codec.RefreshToken{Family: good.ID, Generation: 1})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	tryToken("another ring's token", token(newStaticRing(t), testInstance), "401")
	tryToken("another instance's token", token(w.ring, codec.Instance{Realm: testRealm, SessionCookie: "__Host-other"}), "401")
	tryToken("another realm's token", token(w.ring, codec.Instance{Realm: "harness.example/prod", SessionCookie: sessionCookie}), "401")
	tryToken("a session cookie as the token", b.cookies[sessionCookie], "401")
}

// Every single bit of both cookies is authenticated.
func TestPromise2_EverySingleBit(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess) // so that the token counts
	for _, name := range []string{sessionCookie, refreshCookie} {
		value := []byte(b.cookies[name])
		for i := range value {
			for bit := range 8 {
				flipped := bytes.Clone(value)
				flipped[i] ^= 1 << bit
				if strings.ContainsRune("; \t,\r\n", rune(flipped[i])) {
					continue // then it is another, shorter header
				}
				jar := w.browser()
				jar.cookies[name] = string(flipped)
				if got := jar.peek(n); got != "401" {
					t.Fatalf("%s with bit %d of byte %d flipped is %q", name, bit, i, got)
				}
			}
		}
	}
	b.is(n, "alice: a")
}

func TestPromise2_LimitsOfTime(t *testing.T) { forEachKind(t, testLimitsOfTime) }

func testLimitsOfTime(t *testing.T, w *world) {
	n := w.node()
	w.pass(time.Hour)
	jar := w.browser().login(n, "alice", "a")
	w.pass(0)
	good, now := jar.cookie(w), w.clock.Now()
	const leeway = 10 * time.Second
	for _, test := range []struct {
		name string
		edit func(c *codec.Session)
		good bool
	}{
		{"as it is", func(*codec.Session) {}, true},
		{"one millisecond of access left", func(c *codec.Session) { c.Access = now.Add(time.Millisecond) }, true},
		{"access just over", func(c *codec.Session) { c.Access = now }, false},
		{"one millisecond of idle left", func(c *codec.Session) { c.Idle = now.Add(time.Millisecond) }, true},
		{"idle just over", func(c *codec.Session) { c.Idle = now }, false},
		{"one millisecond of absolute left", func(c *codec.Session) { c.Absolute = now.Add(time.Millisecond) }, true},
		{"absolute just over", func(c *codec.Session) { c.Absolute = now }, false},
		{"access over, by less than the leeway", func(c *codec.Session) { c.Access = now.Add(-time.Second) }, false},
		{"issued in the future, within the leeway", func(c *codec.Session) { c.Issued = now.Add(leeway) }, true},
		{"issued in the future, beyond it", func(c *codec.Session) { c.Issued = now.Add(leeway + time.Millisecond) }, false},
		{"issued an access lifetime ago", func(c *codec.Session) { c.Issued, c.Access = now.Add(-testAccess), now.Add(time.Hour) }, false},
		{"issued just less than that ago", func(c *codec.Session) {
			c.Issued, c.Access = now.Add(-testAccess+time.Millisecond), now.Add(time.Hour)
		}, true},
	} {
		c := good
		test.edit(&c)
		b := w.browser()
		b.cookies[sessionCookie] = w.seal(c)
		if got, want := b.peek(n), map[bool]string{true: "alice: sealed", false: "401"}[test.good]; got != want {
			t.Errorf("%s: %q, want %q", test.name, got, want)
		}
	}
}

// A family's limits hold whatever its cookies say.
func TestPromise2_LimitsOfTheFamily(t *testing.T) { forEachKind(t, testLimitsOfTheFamily) }

func testLimitsOfTheFamily(t *testing.T, w *world) {
	n := w.node()
	idle := w.browser().login(n, "alice", "a")
	w.pass(testIdle)
	idle.dead(n)

	busy := w.browser().login(n, "alice", "b")
	for range 12*3 - 1 { // neither refreshing nor Renew extends the absolute limit
		w.pass(20 * time.Minute)
		busy.is(n, "alice: b")
		wants(t, "Renew", busy.do(n, renew), nil)
	}
	w.pass(20*time.Minute - time.Millisecond)
	busy.is(n, "alice: b")
	w.clock.Move(time.Millisecond)
	busy.dead(n)

	short := w.browser().login(n, "alice", "c", wafer.Limits(10*time.Minute, 15*time.Minute))
	w.pass(9 * time.Minute)
	short.is(n, "alice: c")
	w.pass(6 * time.Minute)
	short.dead(n)
}

// A session never outlives its idle limit, as it could by its cookie alone if
// that were good for a full access lifetime after the last refresh.
func TestPromise2_CookieEndsWithTheIdleLimit(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.Access, c.Idle = 20*time.Minute, 30*time.Minute })
	b := w.browser().login(n, "alice", "a")
	w.pass(20 * time.Minute)
	b.is(n, "alice: a") // advanced: idle until 50 minutes from the login
	w.pass(9 * time.Minute)
	b.is(n, "alice: a") // the same generation
	w.pass(9 * time.Minute)
	b.is(n, "alice: a")
	f := b.family(w).Family
	if idle := f.IdleDeadline(); b.cookie(w).Access.After(idle) && b.cookie(w).Idle.After(idle) {
		t.Errorf("the cookie says more than the family, which ends at %v", idle)
	}
	w.pass(30 * time.Minute)
	b.dead(n)
}

// A credential is accepted only if a fresh list or the store itself confirms
// it.
func TestPromise2_ConfirmedByAFreshListOrTheStore(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(0)
	n.store.reset()
	b.is(n, "alice: a")
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("a fresh list called the store: %v", calls)
	}
	n.store.fail("Since")
	w.clock.Move(testStaleness + time.Millisecond)
	b.is(n, "alice: a")
	if calls := n.store.calls(); calls["Cutoffs"] != 1 {
		t.Errorf("a stale list called the store %v, want one Cutoffs", calls)
	}
	n.store.fail()
	b.is(n, "503")

	// A cookie from above the store's own head: the store was rolled back.
	n.store.heal()
	w.pass(0)
	ahead := b.cookie(w)
	ahead.Position += 1 << 40
	b.cookies[sessionCookie] = w.seal(ahead)
	if got := b.without(refreshCookie).peek(n); got != "401" {
		t.Errorf("a cookie ahead of the log is %q", got)
	}
	n.wantEvent(wafer.KindAlarm, "ahead")
	b.is(n, "alice: sealed") // it is refreshed, since the family decides
}

// A native client's family is refused at the browser's endpoint.
func TestPromise2_FamilyOfTheOtherKind(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	id := store.ID{1}
	_, err := w.mem.Create(context.Background(), store.Creation{ID: id, Subject: "alice", Native: true, Idle: time.Hour, Absolute: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.cookies[refreshCookie] = w.mint(id, 1)
	b.is(n, "401")
	if w.family(id).State != store.Alive {
		t.Errorf("the wrong door ended the family")
	}
}
