package main

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// A newcomer logs in, fills a cart, is refreshed unnoticed, and logs out. A
// copy of the old cookie is dead.
func TestNewcomer(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	first := b.me()
	if first.Subject != "alice" || first.Data.Cart == nil || !first.Started.Equal(first.Authenticated) {
		t.Errorf("after the login: %+v", first)
	}
	b.post("/cart", "item", "ink")
	b.post("/cart", "item", "ink")
	b.post("/cart", "item", "a blotter, in green")
	b.post("/coupon", "code", " wafer10 ")
	for range 5 {
		before := b.jar["__Host-refresh"]
		s.clock.Move(20 * time.Minute)
		v := b.me()
		if b.jar["__Host-refresh"] == before {
			t.Error("nothing was refreshed")
		}
		if v.ID != first.ID || v.Data.Cart["ink"] != 2 || v.Data.Cart["a blotter, in green"] != 1 || v.Data.Coupon != "WAFER10" {
			t.Fatalf("the session is now %+v", v)
		}
	}
	thief := b.copy()
	b.post("/logout").decode(t, 200, &struct{}{})
	if len(b.jar) != 0 {
		t.Errorf("cookies after the logout: %v", b.jar)
	}
	b.dead("logged out")
	thief.dead("a copy of the cookies after the logout")
}

func TestCart(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	b.post("/cart", "item", "wax", "quantity", "5").decode(t, 200, new(me))
	b.post("/cart", "item", "wax").decode(t, 200, new(me))
	if v := b.me(); v.Data.Cart["wax"] != 6 {
		t.Errorf("the cart is %v", v.Data.Cart)
	}
	b.post("/cart", "item", "wax", "quantity", "0").decode(t, 200, new(me))
	if v := b.me(); len(v.Data.Cart) != 0 {
		t.Errorf("the emptied cart is %v", v.Data.Cart)
	}
	var got basket
	b.get("/cart").decode(t, 200, &got)
	if got.Cart == nil {
		t.Error("an empty cart is null")
	}
	// A cookie holds 4096 bytes. Larger data is refused, and nothing is lost.
	for i := range 100 {
		a := b.post("/cart", "item", strings.Repeat("x", maxItem-1)+string(rune(' '+1+i)))
		if a.status == http.StatusRequestEntityTooLarge {
			a.is(t, http.StatusRequestEntityTooLarge, "too large")
			if n := len(b.me().Data.Cart); n != i {
				t.Errorf("after %d items and one too many the cart has %d", i, n)
			}
			return
		}
		if i > 50 {
			t.Fatalf("%d long items fit into a cookie?", i)
		}
	}
}

// A cookie from before a coupon, put back, continues with the coupon.
func TestCouponCannotBePutBack(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	old := b.copy()
	b.post("/coupon", "code", "ONCE")
	old.post("/coupon", "code", "TWICE") // refreshed first, by the committed value
	if v := old.me(); v.Data.Coupon != "TWICE" {
		t.Errorf("the coupon is %q", v.Data.Coupon)
	}
	b.jar["__Host-session"] = old.jar["__Host-session"]
	if v := b.me(); v.Data.Coupon != "TWICE" {
		t.Errorf("the coupon is %q", v.Data.Coupon)
	}
}

// 64 requests with one expired cookie all succeed, and the session lives on.
func TestParallelRequests(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	b.post("/cart", "item", "pen")
	for range 3 {
		s.clock.Move(6 * time.Minute)
		var wg sync.WaitGroup
		for i := range 64 {
			c := b.copy()
			wg.Go(func() {
				switch i % 4 {
				case 0:
					if a := c.post("/cart", "item", "pen"); a.status != 200 {
						t.Error(a)
					}
				case 1:
					if a := c.get("/devices"); a.status != 200 {
						t.Error(a)
					}
				default:
					if v := c.me(); v.Subject != "alice" || v.Data.Cart["pen"] < 1 {
						t.Errorf("%+v", v)
					}
				}
			})
		}
		wg.Wait()
		b.me()
	}
}

// If several requests with one cookie commit at once, one wins and the others get
// a conflict.
func TestParallelCoupons(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		c := b.copy()
		wg.Go(func() {
			switch a := c.post("/coupon", "code", "RACE"); a.status {
			case 200:
				won.Add(1)
			case 409:
				a.is(t, 409, "conflict")
				lost.Add(1)
			default:
				t.Error(a)
			}
		})
	}
	wg.Wait()
	// Requests that came after the first one's entry were refreshed first, and
	// committed on top of it.
	if won.Load() < 1 || won.Load()+lost.Load() != 16 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
	if v := b.me(); v.Data.Coupon != "RACE" {
		t.Errorf("the coupon is %q", v.Data.Coupon)
	}
}

func TestMaxSessions(t *testing.T) {
	t.Run("refuse", func(t *testing.T) {
		s := openShop(t, wafer.Config[basket]{MaxSessions: 2})
		a, b := s.browser(t, true).login("alice"), s.browser(t, true).login("alice")
		c := s.browser(t, true)
		c.post("/login", "user", "alice", "password", "wafer").is(t, 409, "conflict")
		c.post("/login", "user", "alice", "password", "guess").is(t, 401, "credentials")
		if p := s.browser(t, false).post("/login", "user", "alice", "password", "wafer"); p.status != 409 || !strings.Contains(p.body, "as many devices") {
			t.Error(p)
		}
		a.login("alice") // replaces its own
		a.me()
		b.me()
		b.post("/logout")
		c.login("alice").me()
		s.browser(t, true).login("bob").me()
	})
	t.Run("end the oldest", func(t *testing.T) {
		s := openShop(t, wafer.Config[basket]{MaxSessions: 2, EndOldest: true})
		a := s.browser(t, true).login("alice")
		s.clock.Move(time.Second)
		b := s.browser(t, true).login("alice")
		s.clock.Move(time.Second)
		c := s.browser(t, true).login("alice")
		a.dead("the oldest")
		b.me()
		c.me()
	})
	t.Run("at once", func(t *testing.T) {
		s := openShop(t, wafer.Config[basket]{MaxSessions: 3})
		var in atomic.Int32
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if s.browser(t, true).post("/login", "user", "alice", "password", "wafer").status == 200 {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 3 {
			t.Errorf("%d of 12 came in, want 3", in.Load())
		}
	})
}

func TestRemember(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	short, long := s.browser(t, true).login("alice"), s.browser(t, true).login("alice", "remember", "1")
	s.clock.Move(29 * 24 * time.Hour)
	short.dead("not remembered")
	long.me()
	s.clock.Move(2 * 24 * time.Hour)
	long.dead("past 30 days")
}

func TestDevicesAndLogoutOthers(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	a, b, other := s.browser(t, true).login("alice"), s.browser(t, true).login("alice"), s.browser(t, true).login("bob")
	b.post("/cart", "item", "twine")
	thief := a.copy()
	var list []device
	b.get("/devices").decode(t, 200, &list)
	current := 0
	for _, d := range list {
		if d.Current {
			current++
			if d.ID != b.me().ID {
				t.Errorf("the current device is %v", d.ID)
			}
		}
		if d.Label != "a Go program" || d.Started.IsZero() || d.Seen.IsZero() {
			t.Errorf("%+v", d)
		}
	}
	if len(list) != 2 || current != 1 {
		t.Errorf("%d devices, %d current", len(list), current)
	}
	b.post("/logout-others").decode(t, 200, &me{})
	a.dead("the other device")
	thief.dead("a copy of its cookies")
	other.me()
	if v := b.me(); v.Data.Cart["twine"] != 1 {
		t.Errorf("this device has %v", v.Data.Cart)
	}
	b.get("/devices").decode(t, 200, &list)
	if len(list) != 1 {
		t.Errorf("%d devices are left", len(list))
	}
}

func TestPasswordChange(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	a, b := s.browser(t, true).login("alice"), s.browser(t, true).login("alice")
	b.post("/cart", "item", "seal")
	before, thief := b.me(), b.copy()
	b.post("/password", "old", "guess", "new", "waffle").is(t, 401, "credentials")
	a.me()
	var after me
	b.post("/password", "old", "wafer", "new", "waffle").decode(t, 200, &after)
	if after.ID == before.ID || !after.Started.Equal(before.Started) || after.Data.Cart["seal"] != 1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if v := b.me(); v.ID != after.ID {
		t.Errorf("the next request has %v", v)
	}
	a.dead("the other device")
	thief.dead("a copy of this session from before")
	c := s.browser(t, true)
	c.post("/login", "user", "alice", "password", "wafer").is(t, 401, "credentials")
	c.post("/login", "user", "alice", "password", "waffle").decode(t, 200, &me{})
}

// If two requests change a password at once, one wins.
func TestPasswordChangesAtOnce(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	var won atomic.Int32
	var wg sync.WaitGroup
	devices := map[string]*browser{}
	for _, text := range []string{"one", "two", "three", "four"} {
		devices[text] = s.browser(t, true).login("alice")
	}
	for text, b := range devices {
		wg.Go(func() {
			if b.post("/password", "old", "wafer", "new", text).status == 200 {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() > 1 {
		t.Errorf("%d changes won", won.Load())
	}
	b := s.browser(t, true)
	b.post("/login", "user", "alice", "password", "wafer").is(t, 401, "credentials")
}

// A login with the old password that races the change never lives on.
func TestOldPasswordRacesItsChange(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	passwords := [2]string{"wafer", "waffle"}
	for round := range 8 {
		b := s.browser(t, true)
		b.post("/login", "user", "alice", "password", passwords[round%2]).decode(t, 200, &me{})
		racers := make([]*browser, 4)
		var wg sync.WaitGroup
		for i := range racers {
			racers[i] = s.browser(t, true)
			wg.Go(func() { racers[i].post("/login", "user", "alice", "password", passwords[round%2]) })
		}
		b.post("/password", "old", passwords[round%2], "new", passwords[1-round%2]).decode(t, 200, &me{})
		wg.Wait()
		for _, r := range racers {
			r.dead("a login with the old password")
		}
		b.me()
	}
}

// The password is changed, but the store does not accept the revocation. The
// answer is an outage, and the revocation is retried.
func TestPasswordChangeInAnOutage(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	a, b := s.browser(t, true).login("alice"), s.browser(t, true).login("alice")
	s.store.noRevoke.Store(true)
	b.post("/password", "old", "wafer", "new", "waffle").is(t, 503, "unavailable")
	s.store.noRevoke.Store(false)
	for deadline := time.Now().Add(time.Minute); a.get("/me").status != 401; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the other device lives on")
		}
	}
	b.dead("the session that changed it")
	b.post("/login", "user", "alice", "password", "waffle").decode(t, 200, &me{})
	b.me()
}

func TestElevateAndTransfer(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	b.post("/transfer", "to", "bob", "amount", "20").decode(t, 200, &map[string]any{})
	s.clock.Move(6 * time.Minute)
	b.post("/transfer").is(t, 403, "reauthenticate")
	before, thief := b.me(), b.copy()
	b.post("/elevate", "password", "guess").is(t, 401, "credentials")
	b.post("/transfer").is(t, 403, "reauthenticate")
	var after me
	b.post("/elevate", "password", "wafer").decode(t, 200, &after)
	if after.ID == before.ID || !after.Started.Equal(before.Started) || !after.Authenticated.After(before.Authenticated) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	b.post("/transfer").decode(t, 200, &map[string]any{})
	thief.dead("a copy from before the elevation")

	h := s.browser(t, false).login("bob")
	s.clock.Move(6 * time.Minute)
	if a := h.post("/transfer", "to", "alice", "amount", "1"); a.status != 403 || !strings.Contains(a.body, `action="/elevate"`) || !strings.Contains(a.body, `value="/transfer"`) {
		t.Error(a)
	}
	if a := h.post("/elevate", "password", "wafer", "next", "/transfer"); a.header.Get("Location") != "/transfer?note=elevated" {
		t.Error(a, a.header)
	}
}

func TestAdminRevokes(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	admin := s.browser(t, true).login("admin")
	alice, bob, bob2 := s.browser(t, true).login("alice"), s.browser(t, true).login("bob"), s.browser(t, true).login("bob")
	alice.post("/admin/revoke", "subject", "bob").is(t, 403, "forbidden")
	s.browser(t, true).post("/admin/revoke", "subject", "bob").is(t, 401, "unauthenticated")

	var v struct{ Position store.Position }
	admin.post("/admin/revoke", "session", bob.me().ID.String(), "reason", "lost phone").decode(t, 200, &v)
	if v.Position == 0 {
		t.Error("no position")
	}
	bob.dead("the revoked session")
	bob2.me()
	admin.post("/admin/revoke", "subject", "bob").decode(t, 200, &v)
	bob2.dead("the revoked user")
	alice.me()
	bob.login("bob").me() // a new login is another session
	admin.post("/admin/revoke", "everyone", "1", "reason", "a drill").decode(t, 200, &v)
	for _, b := range []*browser{admin, alice, bob} {
		b.dead("everyone")
	}
	// It is in force here at once. The replica may read the entry a moment
	// later.
	var h health
	for deadline := time.Now().Add(time.Minute); h.Position < v.Position && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		admin.get("/healthz").decode(t, 200, &h)
	}
	if h.State != "fresh" || h.Position < v.Position || h.Revocations < 1 || len(h.Key) != 8 {
		t.Errorf("%+v after position %d", h, v.Position)
	}
}

func TestCookieDidNotComeBack(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, false).login("alice", "next", "/cart")
	if a := b.get("/welcome?next=/cart"); a.status != 303 || a.header.Get("Location") != "/cart" {
		t.Errorf("with cookies: %v %v", a.status, a.header)
	}
	if a := b.get("/welcome?next=https://elsewhere.example/"); a.header.Get("Location") != "/" {
		t.Errorf("led to %q", a.header.Get("Location"))
	}
	clear(b.jar)
	if a := b.get("/welcome?next=/cart"); a.status != 401 || !strings.Contains(a.body, "-tls") || !strings.Contains(a.body, "did not come back") {
		t.Error(a)
	}
}

func TestLoginReplaces(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	old := b.copy()
	if v := b.login("bob").me(); v.Subject != "bob" {
		t.Errorf("%+v", v)
	}
	old.dead("the session that the login replaced")
}

// In an outage public pages stay up, nobody is logged out, and a request that
// needs the store gets 503.
func TestOutage(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, true).login("alice")
	b.post("/cart", "item", "ink")
	s.store.down.Store(true)
	b.me() // the replica is fresh, so the store is not queried
	b.post("/cart", "item", "ink").decode(t, 200, &me{})
	b.post("/coupon", "code", "X").is(t, 503, "unavailable")
	b.get("/devices").is(t, 503, "unavailable")
	b.post("/logout-others").is(t, 503, "unavailable")
	b.post("/elevate", "password", "wafer").is(t, 503, "unavailable")
	s.browser(t, true).post("/login", "user", "bob", "password", "wafer").is(t, 503, "unavailable")
	s.clock.Move(10 * time.Minute)
	a := b.get("/me")
	a.is(t, 503, "unavailable")
	if a.header.Get("Retry-After") == "" || len(a.header["Set-Cookie"]) != 0 {
		t.Errorf("%v", a.header)
	}
	h := b.copy()
	h.json = false
	if a := h.get("/"); a.status != 200 || !strings.Contains(a.body, "cannot check your session") {
		t.Error(a)
	}
	if a := h.get("/cart"); a.status != 503 || !strings.Contains(a.body, "still logged in") {
		t.Error(a)
	}
	s.store.down.Store(false)
	if v := b.me(); v.Data.Cart["ink"] != 2 {
		t.Errorf("after the outage: %+v", v)
	}
	s.store.down.Store(true)
	thief := b.copy()
	b.post("/logout").is(t, 503, "unavailable")
	if len(b.jar) != 0 {
		t.Error("the cookies are still there")
	}
	s.store.down.Store(false)
	for deadline := time.Now().Add(time.Minute); thief.get("/me").status != 401; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a logout that the store did not take at once was never made up for")
		}
	}
}

// A visitor who only reads is sent no cookie.
func TestReadingSetsNoCookie(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	b := s.browser(t, false).login("alice")
	for _, path := range []string{"/", "/me", "/cart", "/password", "/transfer"} {
		if a := b.get(path); len(a.header["Set-Cookie"]) != 0 || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}
