package e2e_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// A failover lost the newest entry. The new primary's clock is 3 s behind,
// which is within the skew. A revocation that is acknowledged after the
// failover must cover every older cookie.
func TestAttack_RevokeAfterFailoverIsBelowTheCookie(t *testing.T) {
	w := newWorld(t)
	d := &pairedStore{Store: w.mem, b: memory.New(memory.Options{Now: func() time.Time { return w.clock.Now().Add(-3 * time.Second) }})}
	s, err := wafer.New(context.Background(), w.ring, store.Store(d), wafer.Config[basket]{Realm: testRealm, Now: w.clock.Now, Observe: func(wafer.Event) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	jar := map[string]string{}
	ask := func() string {
		r := httptest.NewRequest("GET", "/", nil)
		for k, v := range jar {
			r.Header.Add("Cookie", k+"="+v)
		}
		rec := httptest.NewRecorder()
		r, err := s.Attach(rec, r)
		for _, c := range rec.Result().Cookies() {
			jar[c.Name] = c.Value
		}
		if err != nil {
			return err.Error()
		}
		got, _ := s.Get(r.Context())
		return got.Subject
	}
	rec := httptest.NewRecorder()
	if err := s.Start(rec, httptest.NewRequest("POST", "/", nil), "alice", basket{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range rec.Result().Cookies() {
		jar[c.Name] = c.Value
	}
	w.clock.Move(testAccess)
	s.WaitFor(ctx, 0)
	d.only.Store(true)
	s.Revoke(ctx, wafer.Revocation{Subjects: []string{"somebody"}}) // the entry that will be lost
	t.Log("refreshed:", ask())                                      // at the position of that entry
	w.clock.Move(time.Second)
	d.restored.Store(true) // the failover
	time.Sleep(300 * time.Millisecond)
	at, err := s.Revoke(ctx, wafer.Revocation{Subjects: []string{"alice"}})
	t.Log("revoked at", at, err)
	t.Log("right after:", ask())
	w.clock.Move(10 * time.Second)
	s.Revoke(ctx, wafer.Revocation{Subjects: []string{"other"}})
	if got := ask(); got != wafer.ErrNoSession.Error() {
		t.Errorf("10 s after the acknowledged revocation: %q", got)
	}
}

// A node's clock is an hour ahead. It must not take the browser's cookies away.
func TestAttack_ClockAheadDropsCookies(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	bad, jump := w.nodeOnItsOwnClock()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	jump(time.Hour)
	a := b.ask(bad, nil)
	t.Log(a.who)
	for _, c := range a.setCookies() {
		if c.MaxAge < int((20*time.Minute)/time.Second) {
			t.Errorf("%s: Max-Age=%d, for a family that has 30 min", c.Name, c.MaxAge)
		}
	}
}

// Cookies of two living sessions are refused and reported.
func TestAttack_TwoLivingSessionsReportedByDefault(t *testing.T) {
	var buf bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
	defer slog.SetDefault(old)
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := wafer.New(ctx, w.ring, w.mem, wafer.Config[basket]{Realm: testRealm, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	jar := map[string]string{}
	for _, u := range []string{"alice", "mallory"} {
		rec := httptest.NewRecorder()
		s.Start(rec, httptest.NewRequest("POST", "/", nil), u, basket{})
		for _, c := range rec.Result().Cookies() {
			if u == "alice" || c.Name == refreshCookie {
				jar[c.Name] = c.Value
			}
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	for k, v := range jar {
		r.Header.Add("Cookie", k+"="+v)
	}
	_, err = s.Attach(httptest.NewRecorder(), r)
	t.Log(err)
	if !strings.Contains(buf.String(), "two living") {
		t.Errorf("the default log says nothing: %q", buf.String())
	}
}

// The fields of a Session are exported. EndOthers must not trust them.
func TestAttack_SubjectOfTheView(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	bob := w.browser().login(n, "bob", "b")
	alice := w.browser().login(n, "alice", "a")
	alice.do(n, func(v *visit) error {
		v.s.Subject = "bob" // a handler that normalises or displays
		return n.EndOthers(v.w, v.r)
	})
	bob.is(n, "bob: b")
}
