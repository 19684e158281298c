//go:build unix

package main

import (
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
)

// Two demos on one server of each engine that has one.

func TestTwoProcessesOnRedis(t *testing.T) {
	t.Parallel()
	s := testserver.Redis(t)
	twoProcesses(t, "redis://"+s.Addr, 200*time.Millisecond, s)
}

func TestTwoProcessesOnRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := testserver.RedisCluster(t)
	twoProcesses(t, "redis://"+nodes[0].Addr, 200*time.Millisecond, nodes...)
}

func TestTwoProcessesOnPostgres(t *testing.T) {
	t.Parallel()
	s := testserver.Postgres(t)
	twoProcesses(t, s.PostgresURL("postgres", "postgres"), 500*time.Millisecond, s)
}

// twoProcesses holds what a user of a networked engine is promised: a logout on
// one node is in force on the other soon; while the server is down cookies that
// are valid go on for MaxStaleness, others get 503 and lose nothing; and all
// goes on by itself when it is back.
func twoProcesses(t *testing.T, name string, soon time.Duration, servers ...*testserver.Server) {
	const access, staleness = 8 * time.Second, 4 * time.Second
	binary := buildDemo(t)
	flags := []string{
		"-data", filepath.Join(t.TempDir(), "data"), "-store", name, "-access", access.String(), "-max-staleness", staleness.String(),
		"-grace", "1s", "-idle", "1m", "-absolute", "1h",
	}
	one := start(t, binary, flags...)
	two := start(t, binary, flags...)
	defer one.end(syscall.SIGTERM)
	defer two.end(syscall.SIGTERM)
	at := func(b *browser, p *process) *browser {
		c := b.copy()
		c.base = p.url
		return c
	}

	var took []time.Duration
	for range 5 {
		leaving := one.browser().login("alice")
		copied := at(leaving, two)
		copied.me()
		leaving.post("/logout").ok(t)
		acknowledged := time.Now()
		for copied.get("/me").status != http.StatusUnauthorized {
			if time.Since(acknowledged) > staleness {
				t.Fatalf("%v after the logout the other process still accepts the session", staleness)
			}
		}
		took = append(took, time.Since(acknowledged))
	}
	slices.Sort(took)
	t.Logf("a logout was in force on the other process after %v", took)
	if median := took[len(took)/2]; median > soon {
		t.Errorf("a logout is in force on the other process after %v: want %v", median, soon)
	}

	early := one.browser().login("bob")
	time.Sleep(access)
	late := one.browser().login("admin")
	early2, late2 := at(early, two), at(late, two)
	jars := []map[string]string{maps.Clone(early.jar), maps.Clone(late.jar)}
	for _, s := range servers {
		s.Kill()
	}
	down := time.Now()
	for time.Since(down) < staleness/2 {
		for _, b := range []*browser{late, late2} {
			if v := b.me(); v.Subject != "admin" {
				t.Errorf("%v into the outage: %+v", time.Since(down), v)
			}
		}
		for _, b := range []*browser{early, early2} {
			if a := b.get("/me"); a.status != http.StatusServiceUnavailable {
				t.Errorf("%v into the outage an expired cookie got %d", time.Since(down), a.status)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(staleness + time.Second - time.Since(down))
	for _, b := range []*browser{early, early2, late, late2} {
		if a := b.get("/me"); a.status != http.StatusServiceUnavailable {
			t.Errorf("%v into the outage: %d", time.Since(down), a.status)
		}
	}
	if !maps.Equal(early.jar, jars[0]) || !maps.Equal(late.jar, jars[1]) || !maps.Equal(early2.jar, jars[0]) || !maps.Equal(late2.jar, jars[1]) {
		t.Error("the outage changed cookies")
	}

	for _, s := range servers {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	back := time.Now()
	for _, c := range []struct {
		b       *browser
		subject string
	}{{early, "bob"}, {late, "admin"}, {late2, "admin"}} {
		for {
			a := c.b.get("/me")
			if a.status == http.StatusOK {
				break
			}
			if a.status != http.StatusServiceUnavailable {
				t.Fatalf("after the outage %s got %d: %s", c.subject, a.status, a.body)
			}
			if time.Since(back) > 20*time.Second {
				t.Fatalf("20 s after the outage %s still gets 503", c.subject)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if v := c.b.me(); v.Subject != c.subject {
			t.Errorf("after the outage: %+v", v)
		}
	}
	t.Logf("all went on %v after the servers were back", time.Since(back))
}
