//go:build unix

package main

import (
	"maps"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
)

// Two demos on one server of each networked engine.

func TestTwoProcessesOnRedis(t *testing.T) {
	t.Parallel()
	s := testserver.Redis(t)
	twoProcesses(t, "redis://"+s.Addr, s)
}

func TestTwoProcessesOnRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := testserver.RedisCluster(t)
	twoProcesses(t, "redis://"+nodes[0].Addr, nodes...)
}

func TestTwoProcessesOnPostgres(t *testing.T) {
	t.Parallel()
	s := testserver.Postgres(t)
	twoProcesses(t, s.PostgresURL("postgres", "postgres"), s)
}

// twoProcesses checks what a networked engine promises. A logout on one node is
// soon in force on the other. While the server is down, valid cookies are
// accepted for MaxStaleness, and other requests get 503 and lose nothing. When
// the server is back, everything recovers by itself.
func twoProcesses(t *testing.T, name string, servers ...*testserver.Server) {
	data := filepath.Join(t.TempDir(), "data")
	logoutIsSoonKnown(t, data, name)
	const access, staleness = 8 * time.Second, 4 * time.Second
	flags := []string{
		"-data", data, "-store", name, "-access", access.String(), "-max-staleness", staleness.String(),
		"-grace", "1s", "-remember", "24h",
	}
	one := start(t, flags...)
	two := start(t, flags...)
	defer one.end(syscall.SIGTERM)
	defer two.end(syscall.SIGTERM)
	early := one.browser().login("bob")
	time.Sleep(access)
	goodUntil := time.Now().Add(access / 2) // access lifetimes are spread a little
	late := one.browser().login("admin")
	early2, late2 := early.at(two), late.at(two)
	jars := []map[string]string{maps.Clone(early.jar), maps.Clone(late.jar)}
	for _, p := range []*process{one, two} {
		if t := p.freshUntil(staleness); t.Before(goodUntil) {
			goodUntil = t
		}
	}
	for _, s := range servers {
		s.Kill()
	}
	down := time.Now()
	for judged := 0; ; judged++ {
		answers := []answer{late.get("/me"), late2.get("/me")}
		if !time.Now().Before(goodUntil) { // a node may be stale by now
			t.Logf("%d times both nodes accepted a good cookie in the outage", judged)
			break
		}
		for _, a := range answers {
			var v me
			if a.decode(t, http.StatusOK, &v); v.Subject != "admin" {
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
			if time.Since(back) > 2*time.Minute {
				t.Fatalf("2 min after the outage %s still gets 503", c.subject)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if v := c.b.me(); v.Subject != c.subject {
			t.Errorf("after the outage: %+v", v)
		}
	}
	t.Logf("all went on %v after the servers were back", time.Since(back))
}

// freshUntil returns a time before which the process is fresh without a further
// answer of the store.
func (p *process) freshUntil(staleness time.Duration) time.Time {
	p.t.Helper()
	began := time.Now()
	var h health
	p.browser().get("/healthz").decode(p.t, http.StatusOK, &h)
	if h.Lag == nil {
		return began
	}
	return began.Add(staleness - time.Duration(*h.Lag+1)*time.Millisecond)
}

// logoutIsSoonKnown checks that a logout on one process is in force on another
// far sooner than after a quarter of an hour, the interval of its own queries.
func logoutIsSoonKnown(t *testing.T, data, name string) {
	const staleness, soon = 2 * time.Hour, time.Minute
	flags := []string{"-data", data, "-store", name, "-max-staleness", staleness.String()}
	one, two := start(t, flags...), start(t, flags...)
	defer one.end(syscall.SIGTERM)
	defer two.end(syscall.SIGTERM)
	var took []time.Duration
	for range 5 {
		leaving := one.browser().login("alice")
		copied := leaving.at(two)
		copied.me()
		leaving.insist(func() answer { return leaving.post("/logout") }).ok(t)
		acknowledged := time.Now()
		for copied.get("/me").status != http.StatusUnauthorized {
			if time.Since(acknowledged) > soon {
				t.Fatalf("%v after the logout the other process still accepts the session", soon)
			}
		}
		took = append(took, time.Since(acknowledged))
	}
	t.Logf("a logout was in force on the other process after %v", took)
}

// at returns a browser with the same cookies that uses another process.
func (b *browser) at(p *process) *browser {
	c := b.copy()
	c.base = p.url
	return c
}
