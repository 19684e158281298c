package main

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
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
	snap, err := s.db.Family(t.Context(), store.ID(h.ID))
	if err != nil {
		t.Fatal(err)
	}
	if !native.Native || native.ID != pair.Session.String() || native.Label != "phone\x1b[31m\tred\n" || browser.Native ||
		browser.ID != fmt.Sprintf("%x", h.ID) || browser.Label != "Anna's laptop" || browser.Generation != 1 ||
		!browser.Started.Equal(h.Started) || !browser.Authenticated.Equal(h.Started) || !browser.Seen.Equal(snap.Family.Issued) ||
		!browser.Deadline.Equal(snap.Family.Issued.Add(30*time.Minute)) {
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

// fill makes n sessions of a subject in the store.
func (s *shop) fill(n int, subject string) {
	s.t.Helper()
	var workers sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range 64 {
		workers.Go(func() {
			for range next {
				c := store.Creation{Subject: subject, Idle: time.Hour, Absolute: time.Hour}
				rand.Read(c.ID[:])
				if snap, err := s.db.Create(s.t.Context(), c); err != nil || snap.Outcome != store.Written {
					s.t.Errorf("%v, %v", snap.Outcome, err)
				}
			}
		})
	}
	workers.Wait()
}

// A list that is longer than a page of the store is read page by page, to the end
// or to what was asked for. It says if there may be more.
func TestSessionsListReadsPages(t *testing.T) {
	s := openShop(t, 0)
	const n = store.MaxLooked + 150
	s.fill(n, "anna")
	s.fill(40, "bob")
	for name, c := range map[string]struct {
		args []string
		want int
		more bool
	}{
		"everybody":             {[]string{"--everybody", "--most", "5000"}, n + 40, false},
		"a subject":             {[]string{"--subject", "anna", "--most", "5000"}, n, false},
		"a subject of one page": {[]string{"--subject", "bob"}, 40, false},
		"by default":            {[]string{"--everybody"}, 1000, true},
		"beyond a page":         {[]string{"--everybody", "--most", "1100"}, 1100, true},
		"one":                   {[]string{"--subject", "bob", "--most", "1"}, 1, true},
	} {
		args := with([]string{"sessions", "list"}, with(s.store(), c.args...)...)
		r := s.command(exitDone, "", with(args, "--json")...)
		got := parse[sessionsJSON](t, r)
		ids := make(map[string]bool)
		for _, v := range got.Sessions {
			ids[v.ID] = true
		}
		if len(got.Sessions) != c.want || len(ids) != c.want || got.More != c.more {
			t.Errorf("%s: %d sessions, %d of them different, more %v; want %d and %v", name, len(got.Sessions), len(ids), got.More, c.want, c.more)
		}
		if plain := s.command(exitDone, "", args...); strings.Contains(plain.err, "--most") != c.more || strings.Count(plain.out, "\n") != c.want+1 {
			t.Errorf("%s: %d lines, and %q", name, strings.Count(plain.out, "\n"), plain.err)
		}
	}
	for _, wrong := range [][]string{{"--everybody", "--subject", "anna"}, {}, {"--everybody", "--most", "0"}, {"--everybody", "--most", "-1"}} {
		s.command(exitUsage, "", with([]string{"sessions", "list"}, with(s.store(), wrong...)...)...)
	}
}

// The list says who acts in a session, and whether it is bound to a device's key.
func TestSessionsListShowsActorAndKey(t *testing.T) {
	s := openShop(t, 0)
	acting := s.login("anna", wafer.Actor("support:carol\x1b[2J"))
	bound := s.login("bob")
	s.bind(bound, store.Key{7}, true)
	args := with([]string{"sessions", "list", "--everybody"}, s.store()...)
	got := parse[sessionsJSON](t, s.command(exitDone, "", with(args, "--json")...))
	byID := make(map[string]sessionView)
	for _, v := range got.Sessions {
		byID[v.ID] = v
	}
	if v := byID[s.id(acting).String()]; v.Actor != "support:carol\x1b[2J" || v.Bound {
		t.Errorf("anna's by carol: %+v", v)
	}
	if v := byID[s.id(bound).String()]; v.Actor != "" || !v.Bound {
		t.Errorf("bob's, bound: %+v", v)
	}
	r := s.command(exitDone, "", args...)
	contains(t, r.out, "anna by support:carol\uFFFD[2J", "browser, bound")
	if strings.Count(r.out, ", bound") != 1 || strings.Count(r.out, " by ") != 1 {
		t.Errorf("%s", r.out)
	}
}

// The deadline is the earlier of two.
func TestDeadline(t *testing.T) {
	now := time.Now()
	for idle, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, time.Hour: 10 * time.Minute} {
		f := &store.Family{Started: now, Issued: now, Idle: idle, Absolute: 10 * time.Minute}
		if got := deadline(f).Sub(now); got != want {
			t.Errorf("%v: want %v", got, want)
		}
	}
}
