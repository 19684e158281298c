package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

type sessionsJSON struct {
	Subject  string        `json:"subject"`
	Sessions []sessionView `json:"sessions"`
	More     bool          `json:"more"`
}

func TestSessionsList(t *testing.T) {
	s := openShop(t, 0)
	first := s.login("anna")
	s.login("bob")
	pair, err := s.sessions.Issue(t.Context(), "anna", wafer.Label("phone\x1b[31m\tred\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.secret(pair.AccessToken(), pair.RefreshToken())
	args := with([]string{"sessions", "list"}, with(s.store(), "--subject", "anna")...)
	got := parse[sessionsJSON](t, s.command(exitDone, "", with(args, "--json")...))
	if len(got.Sessions) != 2 || got.Subject != "anna" || got.More {
		t.Fatalf("%+v", got)
	}
	native, browser := got.Sessions[0], got.Sessions[1]
	if browser.Native {
		native, browser = browser, native
	}
	h := s.open(first)
	if !native.Native || native.ID != pair.Session.String() || native.Label != "phone\x1b[31m\tred\n" || browser.Native ||
		browser.ID != fmt.Sprintf("%x", h.ID) || browser.Label != "Anna's laptop" || browser.Generation != 1 ||
		!browser.Started.Equal(h.Started) || !browser.Authenticated.Equal(h.Started) || !browser.Seen.Equal(h.Started) ||
		!browser.Deadline.Equal(h.Started.Add(30*time.Minute)) {
		t.Errorf("%+v\n%+v", browser, native)
	}
	r := s.command(exitDone, "", args...)
	contains(t, r.out, native.ID, browser.ID, "native", "browser", "Anna's laptop", stamp(browser.Deadline))
	if strings.Count(r.out, "\n") != 3 || strings.Contains(r.out, "\x1b") {
		t.Errorf("not a header and two plain lines: %q", r.out)
	}
	s.command(exitDone, "", with([]string{"revoke"}, with(s.store(), "--session", browser.ID, "--reason", "x")...)...)
	if got := parse[sessionsJSON](t, s.command(exitDone, "", with(args, "--json")...)); len(got.Sessions) != 1 {
		t.Errorf("an ended one is listed: %+v", got)
	}
	if r := s.command(exitDone, "", with(args, "--json", "--subject", "nobody")...); parse[sessionsJSON](t, r).Sessions == nil {
		t.Errorf("no list where there is none: %s", r.out)
	}
	s.command(exitUsage, "", with([]string{"sessions", "list"}, s.store()...)...)
	s.command(exitUsage, "", with(args, "--subject", strings.Repeat("a", 256))...)
	s.command(exitUsage, "", "sessions", "list", "--subject", "anna")
	s.command(exitError, "", "sessions", "list", "--subject", "anna", "--store", "sqlite:"+s.ringPath)
}

// The deadline is the earlier of two.
func TestDeadline(t *testing.T) {
	now := time.Now()
	for idle, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, time.Hour: 10 * time.Minute} {
		f := &store.Family{Issued: now, Idle: idle, Absolute: now.Add(10 * time.Minute)}
		if got := deadline(f).Sub(now); got != want {
			t.Errorf("%v: want %v", got, want)
		}
	}
}
