package redis_test

import (
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// What the engine keeps of wafer's promises while its server fails, seen from
// outside: real nodes, browsers, an operator and a thief, of package faulttest.

var kills = flag.Int("kills", 10, "how often TestFaultKill kills the server")

// world is nodes that reach a server each by an address of its own.
func world(t *testing.T, c faulttest.Config, address func(node int) string) *faulttest.World {
	t.Helper()
	c.Open = func(node int) (store.Store, io.Closer, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
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

// proxied is the same, each node by a proxy.
func proxied(t *testing.T, c faulttest.Config, s *testserver.Server) (*faulttest.World, []*testserver.Proxy) {
	t.Helper()
	var ways []*testserver.Proxy
	for range 3 {
		ways = append(ways, testserver.NewProxy(t, s.Addr))
	}
	c.Nodes = len(ways)
	return world(t, c, func(node int) string { return ways[node].Addr }), ways
}

// noneExcused fails where somebody had to log in again for a second lost answer:
// these faults are shorter than the grace.
func noneExcused(t *testing.T, w *faulttest.World) {
	t.Helper()
	if n := w.Excused(); n != 0 {
		t.Errorf("%d browsers had to be excused", n)
	}
}

// The server is killed again and again under load, and started at once. Nothing
// that it has acknowledged is forgotten, and nobody is logged out.
func TestFaultKill(t *testing.T) {
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
			if i%10 == 5 {
				w.Restart(i / 10 % 3)
			}
		}
	})
	noneExcused(t, w)
}

// Connections are cut in mid-command: the request is lost or half of it, the
// answer is lost or half of it. A write whose answer was lost has happened once.
func TestFaultCut(t *testing.T) {
	w, ways := proxied(t, faulttest.Config{}, testserver.Redis(t))
	faults := []testserver.Fault{testserver.LoseRequest, testserver.HalfRequest, testserver.LoseAnswer, testserver.HalfAnswer}
	w.Run(func() {
		for i := range 120 {
			ways[rand.N(len(ways))].Once(faults[i%len(faults)])
			time.Sleep(rand.N(40 * time.Millisecond))
		}
		for i, way := range ways {
			w.Note("node %d is cut off", i)
			way.Set(testserver.Refuse)
			time.Sleep(150 * time.Millisecond)
			way.Set(testserver.Pass)
		}
	})
	cuts := 0
	for _, way := range ways {
		cuts += way.Cuts()
	}
	if t.Logf("%d connections were cut", cuts); cuts < 100 {
		t.Errorf("%d connections were cut, want 100 and more", cuts)
	}
	noneExcused(t, w)
}

// The server stands still for longer than MaxStaleness: valid cookies go on
// until their node's list is stale, then all is 503, and afterwards all is well
// again by itself, with the same sessions.
func TestFaultPause(t *testing.T) {
	s := testserver.Redis(t)
	w := world(t, faulttest.Config{}, func(int) string { return s.Addr })
	alice := w.Browser("alice")
	for node := range 3 {
		act := "read"
		if node == 0 {
			act = "start"
		}
		if got := alice.Do(node, act); got != 200 {
			t.Fatalf("%s: %d", act, got)
		}
	}
	s.Pause()
	paused := time.Now()
	for node := range 3 {
		if got := alice.Do(node, "read"); got != 200 {
			t.Errorf("node %d answers %d to a valid cookie %v after the server stood still", node, got, time.Since(paused))
		}
	}
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
		time.Sleep(1800 * time.Millisecond)
		s.Resume()
		w.Note("the server goes on")
	})
	noneExcused(t, w)
}

// One node's way to the server is silent for longer than MaxStaleness, while the
// others go on: it accepts nothing that they have revoked meanwhile. What it had
// sent before arrives in the end.
func TestFaultHang(t *testing.T) {
	const late = 3 * time.Second
	w, ways := proxied(t, faulttest.Config{Late: late}, testserver.Redis(t))
	w.Run(func() {
		for i, way := range ways[:2] {
			dora := w.Browser("dora")
			do(t, dora, "start", 200, 2)
			do(t, dora, "read", 200, 0, 1, 2)
			time.Sleep(300 * time.Millisecond)
			way.Set(testserver.Hang)
			w.Note("the way of node %d is silent", i)
			if _, err := w.Revoke(2, wafer.Revocation{Subjects: []string{"dora"}}); err != nil {
				t.Error(err)
			}
			time.Sleep(1100 * time.Millisecond)
			do(t, dora, "read", 503, i) // its list is stale, and nobody to ask
			time.Sleep(900 * time.Millisecond)
			way.Set(testserver.Pass)
			w.Note("the way of node %d is open", i)
			w.Settle()
		}
	})
	noneExcused(t, w)
}
