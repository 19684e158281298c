package wafertest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/wafertest"
)

// fatalT is a test that a helper may stop. fatal returns its message.
type fatalT struct {
	testing.TB
	message string
}

func (f *fatalT) Helper()           {}
func (f *fatalT) Fatal(args ...any) { f.message = fmt.Sprint(args...); runtime.Goexit() }
func (f *fatalT) Fatalf(format string, args ...any) {
	f.Fatal(fmt.Sprintf(format, args...))
}

func fatal(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	fake := &fatalT{TB: t}
	done := make(chan struct{})
	go func() { defer close(done); f(fake) }()
	<-done
	return fake.message
}

// whoServer answers with the session's subject and data.
func whoServer(t *testing.T, h *wafertest.Harness[string]) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(h.Sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := h.Sessions.Get(r.Context())
		if err != nil {
			h.Sessions.Error(w, r, err)
			return
		}
		data, err := s.Data()
		fmt.Fprint(w, s.Subject, " ", data, " ", err)
	})))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(b)))
}

func TestNew(t *testing.T) {
	var observed []wafer.Kind
	h := wafertest.New(t, wafer.Config[string]{Observe: func(e wafer.Event) { observed = append(observed, e.Kind) }})
	client := &http.Client{}
	h.Login(t, client, "alice", "data")
	var recorded []wafer.Kind
	for _, e := range h.Events() {
		recorded = append(recorded, e.Kind)
	}
	if fmt.Sprint(recorded) != fmt.Sprint(observed) || len(recorded) == 0 || recorded[len(recorded)-1] != wafer.KindStarted {
		t.Errorf("recorded %q, passed on %q", recorded, observed)
	}
	h.Events()[0].Kind = "changed"
	if h.Events()[0].Kind == "changed" {
		t.Error("Events is not a copy")
	}
	if _, err := h.Ring.Primary(h.Clock.Now()); err != nil {
		t.Error(err)
	}
	if devices, err := h.Sessions.Devices(t.Context(), "alice"); err != nil || len(devices) != 1 || !devices[0].Started.Equal(h.Clock.Now()) {
		t.Errorf("the store is on another clock: %+v, %v", devices, err)
	}
}

func TestNewFailsTheTest(t *testing.T) {
	for name, config := range map[string]wafer.Config[string]{
		"its own clock":  {Now: time.Now},
		"a wrong config": {Idle: time.Second},
	} {
		message := fatal(t, func(fake testing.TB) { wafertest.New(fake, config) })
		if message == "" {
			t.Errorf("%s did not fail the test", name)
		}
	}
}

// Two harnesses have nothing in common.
func TestHarnessesAreApart(t *testing.T) {
	a, b := wafertest.New(t, wafer.Config[string]{}), wafertest.New(t, wafer.Config[string]{})
	server := whoServer(t, b)
	client := server.Client()
	a.Login(t, client, "alice", "data")
	if got := get(t, client, server.URL); got != "401 Unauthorized" {
		t.Errorf("another harness's session: %q", got)
	}
	b.Clock.Move(time.Hour)
	if a.Clock.Now().Equal(b.Clock.Now()) {
		t.Error("one clock for both")
	}
}

func TestLogin(t *testing.T) {
	h := wafertest.New(t, wafer.Config[string]{MaxIdle: 24 * time.Hour, MaxAbsolute: 48 * time.Hour})
	server := whoServer(t, h)
	client := server.Client()
	if got := get(t, client, server.URL); got != "401 Unauthorized" {
		t.Errorf("before: %q", got)
	}
	h.Login(t, client, "alice", "data", wafer.Label("phone"), wafer.Limits(24*time.Hour, 48*time.Hour))
	if client.Jar == nil {
		t.Fatal("the client has no jar")
	}
	if got := get(t, client, server.URL); got != "200 alice data <nil>" {
		t.Errorf("after: %q", got)
	}
	if devices, err := h.Sessions.Devices(t.Context(), "alice"); err != nil || len(devices) != 1 || devices[0].Label != "phone" {
		t.Errorf("the options were dropped: %+v, %v", devices, err)
	}
	h.Advance(t, 20*time.Hour)
	if got := get(t, client, server.URL); got != "200 alice data <nil>" {
		t.Errorf("20 hours later: %q", got)
	}

	// An existing jar is kept, and another login replaces the first.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Jar = jar
	h.Login(t, client, "bob", "his")
	if client.Jar != http.CookieJar(jar) {
		t.Error("the client's jar was replaced")
	}
	if got := get(t, client, server.URL); got != "200 bob his <nil>" {
		t.Errorf("bob: %q", got)
	}
	h.Login(t, client, "carol", "hers")
	if got := get(t, client, server.URL); got != "200 carol hers <nil>" {
		t.Errorf("carol: %q", got)
	}

	message := fatal(t, func(fake testing.TB) { h.Login(fake, &http.Client{}, "", "") })
	if !strings.Contains(message, "login") {
		t.Errorf("a login of nobody says %q", message)
	}
}

// However far the clock is moved, the revocation list is fresh afterwards.
func TestAdvance(t *testing.T) {
	h := wafertest.New(t, wafer.Config[string]{MaxIdle: 24 * time.Hour, MaxAbsolute: 30 * 24 * time.Hour})
	before := h.Clock.Now()
	for _, d := range []time.Duration{time.Millisecond, time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour} {
		h.Advance(t, d)
		before = before.Add(d)
		if !h.Clock.Now().Equal(before) {
			t.Errorf("advanced by %v to %v, want %v", d, h.Clock.Now(), before)
		}
		if got := h.Sessions.Health().State; got != "fresh" {
			t.Errorf("%v later the revocations are %s", d, got)
		}
	}
}

// Refusals of the harness's sessions are recorded with their reason.
func TestEventsSayWhy(t *testing.T) {
	h := wafertest.New(t, wafer.Config[string]{})
	server := whoServer(t, h)
	client := server.Client()
	h.Login(t, client, "alice", "data")
	if _, err := h.Sessions.Revoke(context.Background(), wafer.Revocation{Subjects: []string{"alice"}, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, client, server.URL); got != "401 Unauthorized" {
		t.Errorf("revoked: %q", got)
	}
	var reasons []string
	for _, e := range h.Events() {
		if e.Kind == wafer.KindRefused {
			reasons = append(reasons, e.Reason)
		}
	}
	if want := []string{"revoked", "subject or everyone revoked"}; fmt.Sprint(reasons) != fmt.Sprint(want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
}

func TestClock(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := wafertest.NewClock(start)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				c.Move(time.Second)
				c.Now()
			}
		})
	}
	all.Wait()
	if want := start.Add(800 * time.Second); !c.Now().Equal(want) {
		t.Errorf("%v, want %v", c.Now(), want)
	}
	c.Move(-time.Hour)
	if want := start.Add(800*time.Second - time.Hour); !c.Now().Equal(want) {
		t.Errorf("moved back to %v, want %v", c.Now(), want)
	}
}

// Sessions are closed when the test ends: they stop following the log.
func TestHarnessEndsWithTheTest(t *testing.T) {
	var h *wafertest.Harness[string]
	t.Run("inner", func(t *testing.T) { h = wafertest.New(t, wafer.Config[string]{MaxStaleness: time.Second}) })
	h.Clock.Move(time.Hour)
	// A follower would query again within a third of MaxStaleness.
	for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if h.Sessions.Health().State == "fresh" {
			t.Fatal("the log of a test that is over is still followed")
		}
	}
}
