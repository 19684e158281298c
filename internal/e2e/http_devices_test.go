package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

type devicesResponse struct {
	Devices []struct {
		ID            store.ID  `json:"id"`
		Label         string    `json:"label"`
		Native        bool      `json:"native"`
		Started       time.Time `json:"started"`
		Authenticated time.Time `json:"authenticated"`
		Seen          time.Time `json:"seen"`
		Current       bool      `json:"current"`
	} `json:"devices"`
}

func (n *node) devices(t testing.TB, configure func(*http.Request)) devicesResponse {
	t.Helper()
	rec := n.api(http.MethodGet, "/devices", "", configure)
	if rec.Code != http.StatusOK || rec.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("devices: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	var list devicesResponse
	strict(t, rec, &list)
	return list
}

// The list contains the subject's own sessions, by cookie and by access token
// alike.
func TestDevicesEndpoint(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	phone := n.issue("alice", wafer.Label("phone <&>"))
	w.pass(time.Second)
	b := w.browser().login(n, "alice", "secret-of-alice", wafer.Label("laptop"))
	w.pass(time.Second)
	gone := w.browser().login(n, "alice", "a", wafer.Label("gone"))
	wants(t, "End", gone.do(n, end), nil)
	w.browser().login(n, "bob", "b", wafer.Label("of bob"))
	w.pass(time.Second)
	for current, configure := range map[string]func(*http.Request){"laptop": b.from, "phone <&>": bearing(phone.AccessToken())} {
		list := n.devices(t, configure).Devices
		if len(list) != 2 || list[0].Label != "laptop" || list[1].Label != "phone <&>" {
			t.Fatalf("alice's devices are %+v", list)
		}
		for _, d := range list {
			f := w.family(d.ID).Family
			if d.Current != (d.Label == current) || d.Native != (d.Label == "phone <&>") || !d.Started.Equal(f.Started) || !d.Authenticated.Equal(f.Authenticated) || !d.Seen.Equal(f.Issued) {
				t.Errorf("to %s: %+v, of %+v", current, d, f)
			}
		}
	}
	if rec := n.api(http.MethodGet, "/devices", "", b.from); strings.Contains(rec.Body.String(), "secret-of-alice") || !strings.Contains(rec.Body.String(), `Z"`) {
		t.Errorf("devices: %s", rec.Body)
	}
	if rec := n.api(http.MethodGet, "/devices", ""); rec.Code != http.StatusUnauthorized {
		t.Errorf("anonymous: %d", rec.Code)
	}
	n.store.fail("Families")
	if rec := n.api(http.MethodGet, "/devices", "", b.from); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("in an outage: %d", rec.Code)
	}
}

// The id of another subject's session gets the same answer, byte for byte, as
// an id that never existed.
func TestPromise6_DeleteDeviceTellsNothing(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(), func(c *wafer.Config[basket]) { c.Recent = time.Hour })
	bob, cut := n.issue("bob"), n.issue("cut")
	ended, idle := n.issue("alice"), n.issue("alice", wafer.Limits(testAccess+time.Second, 0))
	w.pass(testAccess + 2*time.Second)
	b := w.browser().login(n, "alice", "a")
	phone := n.issue("alice")
	n.revoke(wafer.Revocation{Sessions: []store.ID{ended.Session}, Subjects: []string{"cut"}})
	w.pass(0)
	for name, configure := range map[string]func(*http.Request){"a cookie": b.from, "an access token": bearing(phone.AccessToken())} {
		want := ""
		for what, id := range map[string]string{
			"another's": bob.Session.String(), "unknown": store.ID{1}.String(), "another's that was revoked": cut.Session.String(),
			"one's own that ended": ended.Session.String(), "one's own that idled": idle.Session.String(),
			"zero": store.ID{}.String(), "no id": "phone", "too short": bob.Session.String()[:31], "too long": bob.Session.String() + "0",
			"a dot": ".%2e", "escaped": "%00", "another's in capitals": strings.ToUpper(bob.Session.String()), "long": strings.Repeat("a", 4000),
		} {
			got := dump(n.api(http.MethodDelete, "/devices/"+id, "", configure))
			if want == "" {
				want = got
			}
			if !strings.HasPrefix(got, "404\n") || got != want {
				t.Errorf("with %s, %s looks like\n%s\nand not like\n%s", name, what, got, want)
			}
		}
	}
	if state := w.family(bob.Session).State; state != store.Alive {
		t.Errorf("another's session is %v", state)
	}
	n.wantBearer("another's", n.refreshed(bob.RefreshToken()).AccessToken, "bob")
}

func TestDeleteDevice(t *testing.T) {
	w := newWorld(t)
	n, there := w.node(withTokens()), w.node(withTokens())
	b := w.browser().login(n, "alice", "a")
	phone, tablet := n.issue("alice"), n.issue("alice")
	for range 2 {
		n.wantBearer("before", phone.AccessToken(), "alice")
	}
	n.store.cutLog()
	rec := n.api(http.MethodDelete, "/devices/"+strings.ToUpper(phone.Session.String()), "", b.from)
	if rec.Code != http.StatusNoContent || rec.Body.Len() != 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	n.wantBearer("the device that was ended", phone.AccessToken(), "401")
	wantOAuth(t, "the device that was ended", there.refreshWith(phone.RefreshToken()), 400, "invalid_grant")
	n.wantBearer("another device", tablet.AccessToken(), "alice")
	if rec := n.api(http.MethodDelete, "/devices/"+phone.Session.String(), "", b.from); rec.Code != http.StatusNotFound {
		t.Errorf("again: %d", rec.Code)
	}
	entries, err := n.Revocations(t.Context(), store.Cursor{})
	if err != nil || len(entries) != 2 || entries[1].Actor != "alice" || entries[1].Reason != "ended on the page of devices" {
		t.Errorf("the log has %v, %v", entries, err)
	}
	// A native client ends the browser's session, and then its own.
	if rec := n.api(http.MethodDelete, "/devices/"+store.ID(b.cookie(w).ID).String(), "", bearing(tablet.AccessToken())); rec.Code != http.StatusNoContent {
		t.Errorf("by an access token: %d", rec.Code)
	}
	b.dead(n)
	n.store.fail("Revoke")
	if rec := n.api(http.MethodDelete, "/devices/"+tablet.Session.String(), "", bearing(tablet.AccessToken())); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("in an outage: %d", rec.Code)
	}
	n.wantBearer("ended in an outage", tablet.AccessToken(), "401")
	n.store.heal()

	// An outage reveals no more, whoever the id belongs to.
	n, looks := w.node(withTokens()), []string{}
	last, other := n.issue("alice"), n.issue("bob")
	n.freshen()
	n.store.fail("Family")
	for _, id := range []store.ID{last.Session, other.Session, {1}} {
		looks = append(looks, dump(n.api(http.MethodDelete, "/devices/"+id.String(), "", bearing(last.AccessToken()))))
	}
	if looks = slices.Compact(looks); len(looks) != 1 || !strings.HasPrefix(looks[0], "503") {
		t.Errorf("in an outage: %q", looks)
	}
}

// A device past its limits is not listed, whether or not the store has swept
// it.
func TestDeleteDevicePastItsLimits(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(func(c *wafer.TokenConfig[basket]) { c.Lifetime = 20 * time.Minute }), func(c *wafer.Config[basket]) { c.Recent = time.Hour })
	old, phone := n.issue("alice", wafer.Limits(testAccess+time.Second, 0)), n.issue("alice")
	w.pass(testAccess + time.Second)
	if f := w.family(old.Session); f.State != store.Alive {
		t.Errorf("the family was swept; the test shows nothing: %v", f.State)
	}
	if rec := n.api(http.MethodDelete, "/devices/"+old.Session.String(), "", bearing(phone.AccessToken())); rec.Code != http.StatusNotFound {
		t.Errorf("%d", rec.Code)
	}
}

// Ending another device needs a recent authentication. A refresh does not count
// as one.
func TestDeleteDeviceNeedsRecentAuthentication(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens(), func(c *wafer.Config[basket]) { c.Recent = 10 * time.Minute })
	b := w.browser().login(n, "alice", "a")
	phone, other := n.issue("alice"), n.issue("bob")
	w.pass(10 * time.Minute)
	token := n.refreshed(phone.RefreshToken())
	path := "/devices/" + phone.Session.String()
	if rec := n.api(http.MethodDelete, "/devices/"+(store.ID{1}).String(), "", bearing(token.AccessToken)); rec.Code != http.StatusNotFound {
		t.Errorf("exactly as old as allowed: %d", rec.Code)
	}
	w.pass(time.Second)
	for what, configure := range map[string]func(*http.Request){"a cookie": b.from, "an access token": bearing(token.AccessToken)} {
		want := ""
		for _, path := range []string{path, "/devices/" + other.Session.String(), "/devices/" + (store.ID{1}).String(), "/devices/x"} {
			rec := n.api(http.MethodDelete, path, "", configure)
			if what == "a cookie" {
				rec.Header().Del("Set-Cookie") // the session was due
			}
			if rec.Code != http.StatusForbidden || want != "" && dump(rec) != want {
				t.Errorf("%s: %s", what, dump(rec))
			}
			want = dump(rec)
		}
	}
	if state := w.family(phone.Session).State; state != store.Alive {
		t.Errorf("without a recent authentication the device is %v", state)
	}
	b.see(n)
	wants(t, "Reauthenticate", b.do(n, func(v *visit) error { return n.Reauthenticate(v.w, v.r) }), nil)
	access := tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from))
	if rec := n.api(http.MethodDelete, path, "", bearing(access.AccessToken)); rec.Code != http.StatusNoContent {
		t.Errorf("by a token from after Reauthenticate: %d", rec.Code)
	}
	if rec := n.api(http.MethodDelete, path, ""); rec.Code != http.StatusUnauthorized {
		t.Errorf("anonymous: %d", rec.Code)
	}
}

// Logout at its endpoint, by cookies and by access token.
func TestLogoutEndpoint(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	b := w.browser().login(n, "alice", "a")
	phone := n.issue("alice")
	access := tokenAnswer(t, n.api(http.MethodPost, "/token", "", b.from)).AccessToken
	before := b.copy()
	for range 2 {
		n.wantBearer("before", access, "alice")
	}
	// Cookies win if a request has both.
	rec := n.api(http.MethodPost, "/logout", "", b.from, bearing(phone.AccessToken()))
	cookies := rec.Result().Cookies()
	if rec.Code != http.StatusNoContent || len(cookies) != 2 || cookies[0].MaxAge >= 0 || cookies[1].MaxAge >= 0 {
		t.Errorf("%d %v", rec.Code, cookies)
	}
	before.dead(n)
	n.wantBearer("the browser's access token", access, "401")
	n.wantBearer("the phone's access token", phone.AccessToken(), "alice")
	rec = n.api(http.MethodPost, "/logout", "", bearing(phone.AccessToken()))
	if rec.Code != http.StatusNoContent || len(rec.Header()["Set-Cookie"]) != 0 {
		t.Errorf("by access token: %d %v", rec.Code, rec.Header())
	}
	n.wantBearer("after its logout", phone.AccessToken(), "401")
	wantOAuth(t, "after its logout", n.refreshWith(phone.RefreshToken()), 400, "invalid_grant")
	if rec := n.api(http.MethodPost, "/logout", ""); rec.Code != http.StatusNoContent {
		t.Errorf("anonymous: %d", rec.Code)
	}
	// The store is down: the answer is 503, and the logout is in force here and
	// is retried.
	phone = n.issue("alice")
	n.freshen()
	n.store.fail()
	if rec := n.api(http.MethodPost, "/logout", "", bearing(phone.AccessToken())); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("in an outage: %d", rec.Code)
	}
	n.wantBearer("after a logout in an outage", phone.AccessToken(), "401")
	n.store.heal()
	wantOAuth(t, "after a logout in an outage", n.refreshWith(phone.RefreshToken()), 400, "invalid_grant")
	deadline := time.Now().Add(2 * time.Minute)
	for w.family(phone.Session).State != store.Ended && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if state := w.family(phone.Session).State; state != store.Ended {
		t.Errorf("after the outage the session is %v", state)
	}
}

// A logout by an access token answers 204 only if it ended something.
func TestPromise5_LogoutByAccessTokenIsNeverLost(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	p := n.issue("alice")
	w.pass(testAccess)
	for what, token := range map[string]string{"junk": "junk", "expired": p.AccessToken()} {
		if rec := n.api(http.MethodPost, "/logout", "", bearing(token)); rec.Code != http.StatusUnauthorized {
			t.Errorf("by a token that is no good (%s): %d", what, rec.Code)
		}
	}
	n.refreshed(p.RefreshToken())
	for _, bearer := range []bool{false, true} {
		p := n.issue("alice")
		n.freshen()
		n.store.fail() // and the list is stale
		w.clock.Move(testStaleness + time.Millisecond)
		logout := func() *httptest.ResponseRecorder {
			return n.api(http.MethodPost, "/logout", "", bearing(p.AccessToken()))
		}
		if bearer { // revoke does the same
			logout = func() *httptest.ResponseRecorder {
				return n.api(http.MethodPost, "/revoke", form("token", p.AccessToken()))
			}
		}
		if rec := logout(); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
			t.Errorf("in an outage: %d", rec.Code)
		}
		n.store.heal()
		w.pass(0)
		n.wantBearer("after a logout in an outage", p.AccessToken(), "401")
		wantOAuth(t, "after a logout in an outage", n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
	}
}
