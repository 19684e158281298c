package main

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// stream is an open answer of server-sent events.
type stream struct {
	events chan string // closed when the answer ends
	cancel context.CancelFunc
}

func (b *browser) listen(t testing.TB) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", b.base+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.addCookies(r)
	var resp *http.Response
	b.insist(func() answer {
		if resp, err = http.DefaultClient.Do(r); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
		}
		return answer{status: resp.StatusCode}
	})
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d, %q, %v", resp.StatusCode, kind, resp.Header)
	}
	s := &stream{make(chan string, 100), cancel}
	go func() {
		defer close(s.events)
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if event, found := strings.CutPrefix(lines.Text(), "event: "); found {
				s.events <- event
			}
		}
	}()
	return s
}

// next returns the next event, or "" at the end.
func (s *stream) next(t testing.TB) string {
	t.Helper()
	select {
	case event := <-s.events:
		return event
	case <-time.After(time.Minute):
		t.Fatal("no event in a minute")
		return ""
	}
}

// ends checks that the answer ends with one of these events, after any number of
// ticks. The event "" is an end without one.
func (s *stream) ends(t testing.TB, last ...string) {
	t.Helper()
	event := s.next(t)
	for event == "tick" {
		event = s.next(t)
	}
	if !slices.Contains(last, event) {
		t.Fatalf("after ticks came %q, want one of %q", event, last)
	}
	if event == "" {
		return
	}
	if more := s.next(t); more != "" {
		t.Errorf("after %q came %q", event, more)
	}
}

// ok checks that a request succeeded.
func (a answer) ok(t testing.TB) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Errorf("%d: %s", a.status, a.body)
	}
}

func TestLive(t *testing.T) {
	t.Parallel() // it mostly waits
	s := openShop(t, wafer.Config[basket]{})
	alice := s.browser(t, true).login("alice")
	other := s.browser(t, true).login("alice")
	bob := s.browser(t, true).login("bob")
	admin := s.browser(t, true).login("admin")
	began := time.Now()
	mine, others, bobs := alice.listen(t), other.listen(t), bob.listen(t)
	for range 3 {
		if event := mine.next(t); event != "tick" {
			t.Fatalf("event %q", event)
		}
	}
	if took := time.Since(began); took < 2*tickEvery {
		t.Errorf("three ticks took %v", took)
	}
	alice.post("/logout-others").ok(t)
	others.ends(t, "revoked")
	if event := mine.next(t); event != "tick" {
		t.Errorf("the session that logged the others out got %q", event)
	}
	alice.post("/logout").ok(t)
	mine.ends(t, "revoked")
	admin.post("/admin/revoke", "subject", "bob", "reason", "a test").ok(t)
	bobs.ends(t, "revoked")

	bob.login("bob")
	bobs = bob.listen(t)
	s.clock.Move(31 * time.Minute) // past the idle limit
	bobs.ends(t, "expired")

	admin.login("admin")
	admins := admin.listen(t)
	s.leave() // the process is told to stop
	admins.ends(t, "")
}
