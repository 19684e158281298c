package redis_test

import (
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// The fault tests check from outside that wafer's promises hold while the engine's
// server fails: with the real nodes, browsers, operator and thief of package faulttest.

var kills = flag.Int("kills", rounds.Of(4, 10), "how often TestFaultKill kills the server")

// faults allows one test at a time to disturb a server under load: each of them needs
// its requests answered in time. They may run beside tests that wait.
var faults sync.Mutex

func fault(t *testing.T) {
	t.Helper()
	t.Parallel()
	if allParallel {
		suites.Wait()
	}
	faults.Lock()
	t.Cleanup(faults.Unlock)
}

// inMemory starts a server without a file. A test that kills no server needs none, and
// the disk then does not determine how long a call takes.
func inMemory(t *testing.T, args ...string) *testserver.Server {
	t.Helper()
	return testserver.Redis(t, append([]string{"--appendonly", "no"}, args...)...)
}

// world starts nodes that each reach a server by an address of their own.
func world(t *testing.T, c faulttest.Config, address func(node int) string) *faulttest.World {
	t.Helper()
	if c.Recovery == 0 {
		c.Recovery = 30 * time.Second
	}
	if c.Residents == 0 {
		c.Residents = rounds.Of(4, 8)
	}
	c.Open = func(node int) (store.Store, io.Closer, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		db, err := redis.OpenURL(ctx, "redis://"+address(node), redis.Options{Logger: quiet})
		if err != nil {
			return nil, nil, err
		}
		return db, db, nil
	}
	w := faulttest.New(t, c)
	if w == nil {
		t.FailNow()
	}
	return w
}

// proxied starts nodes that each reach the server through a proxy of their own.
func proxied(t *testing.T, c faulttest.Config, s *testserver.Server) (*faulttest.World, []*testserver.Proxy) {
	t.Helper()
	var ways []*testserver.Proxy
	for range 3 {
		ways = append(ways, testserver.NewProxy(t, s.Addr))
	}
	c.Nodes = len(ways)
	return world(t, c, func(node int) string { return ways[node].Addr }), ways
}

// The server is killed again and again under load, and started at once. Nothing
// that it has acknowledged is forgotten, and nobody is logged out.
func TestFaultKill(t *testing.T) {
	fault(t)
	s := testserver.Redis(t)
	w := world(t, faulttest.Config{}, func(int) string { return s.Addr })
	w.Run(func() {
		for i := range *kills {
			time.Sleep(80*time.Millisecond + rand.N(120*time.Millisecond))
			s.Kill()
			w.Note("the server is killed, %d", i)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			if i%10 == 2 {
				w.Restart(i / 10 % 3)
			}
		}
	})
	w.NoneExcused(t)
}

// Connections are cut in mid-command: the request is lost or half of it, the
// answer is lost or half of it. A write whose answer was lost has happened once.
func TestFaultCut(t *testing.T) {
	fault(t)
	w, ways := proxied(t, faulttest.Config{}, inMemory(t))
	kinds := []testserver.Fault{testserver.LoseRequest, testserver.HalfRequest, testserver.LoseAnswer, testserver.HalfAnswer}
	w.Run(func() {
		for i := range rounds.Of(28, 100) {
			way := ways[rand.N(len(ways))]
			before := way.Cuts()
			way.Once(kinds[i%len(kinds)])
			eventually(t, "a connection to be cut", func() bool { return way.Cuts() > before })
			time.Sleep(rand.N(20 * time.Millisecond))
		}
		for i, way := range ways {
			w.Note("node %d is cut off", i)
			way.Set(testserver.Refuse)
			time.Sleep(150 * time.Millisecond)
			way.Set(testserver.Pass)
		}
	})
	w.NoneExcused(t)
}

// The server stands still for longer than MaxStaleness: valid cookies go on
// until their node's list is stale, then all is 503, and afterwards all is well
// again by itself, with the same sessions.
func TestFaultPause(t *testing.T) {
	fault(t)
	s := inMemory(t)
	w := world(t, faulttest.Config{}, func(int) string { return s.Addr })
	alice := w.Browser("alice")
	alice.Expect(t, "start", 200, 0)
	alice.Expect(t, "read", 200, 1, 2)
	paused := w.ExpectServedWhilePaused(t, alice, s.Pause, s.Resume)
	time.Sleep(1500*time.Millisecond - time.Since(paused))
	for node := range 3 {
		if got := alice.Do(node, "read"); got != 503 {
			t.Errorf("node %d, whose list is stale, answers %d", node, got)
		}
	}
	s.Resume()
	w.Settle()
	w.Run(func() {
		time.Sleep(400 * time.Millisecond)
		s.Pause()
		w.Note("the server stands still")
		eventually(t, "every node's list to be stale", func() bool {
			return alice.Do(0, "read") == 503 && alice.Do(1, "read") == 503 && alice.Do(2, "read") == 503
		})
		s.Resume()
		w.Note("the server goes on")
	})
	w.NoneExcused(t)
}

// One node's connection to the server is silent for longer than MaxStaleness, while
// the others go on. The node accepts nothing that they have revoked meanwhile. What it
// had sent before arrives in the end.
func TestFaultHang(t *testing.T) {
	const late = 3 * time.Second
	fault(t)
	w, ways := proxied(t, faulttest.Config{Late: late}, inMemory(t))
	w.Run(func() {
		for i, way := range ways[:rounds.Of(1, 2)] {
			dora := w.Browser("dora")
			dora.Expect(t, "start", 200, 2)
			dora.Expect(t, "read", 200, 0, 1, 2)
			time.Sleep(300 * time.Millisecond)
			way.Set(testserver.Hang)
			w.Note("the way of node %d is silent", i)
			w.ExpectRevoke(t, 2, wafer.Revocation{Subjects: []string{"dora"}})
			time.Sleep(1100 * time.Millisecond)
			dora.Expect(t, "read", 503, i) // its list is stale, and the store does not answer
			time.Sleep(900 * time.Millisecond)
			way.Set(testserver.Pass)
			w.Note("the way of node %d is open", i)
			w.Settle()
		}
	})
	w.NoneExcused(t)
}
