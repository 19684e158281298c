//go:build unix

package postgres_test

import (
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// The tests below check wafer's promises from outside while the server fails, with
// the real nodes, browsers, operator and thieves of package faulttest.

var kills = flag.Int("kills", rounds.Of(4, 10), "how often TestFault/Kill kills the server")

// notified makes revocations reach the other nodes at once.
var notified = postgres.Options{Notify: true}

// TestFault makes one server fail in many ways. The server's own settings are bad
// for the engine: a crash loses transactions that are committed under them.
func TestFault(t *testing.T) {
	t.Parallel()
	settings := []string{"synchronous_commit=off", "wal_writer_delay=10s"}
	if runtime.GOOS == "linux" {
		// By default the server synchronises every file, one by one, before it
		// recovers from a crash: seconds in place of a quarter of one.
		settings = append(settings, "recovery_init_sync_method=syncfs")
	}
	s := serverOf(t, settings...)
	for _, fault := range []struct {
		name string
		test func(t *testing.T, s *testserver.Server, o postgres.Options)
	}{
		{"Kill", faultKill}, {"Cut", faultCut}, {"Pause", faultPause}, {"Hang", faultHang},
		{"RestoredFiles", faultRestoredFiles}, {"DroppedSchema", faultDroppedSchema}, {"Latency", faultLatency},
	} {
		t.Run(fault.name, func(t *testing.T) {
			o := notified
			o.Schema = "fault_" + fault.name
			fault.test(t, s, o)
		})
	}
}

// world makes nodes that reach the server each by an address of its own.
func world(t *testing.T, c faulttest.Config, o postgres.Options, address func(node int) string) *faulttest.World {
	t.Helper()
	c.Open = func(node int) (store.Store, io.Closer, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		url := (&testserver.Server{Addr: address(node)}).PostgresURL("postgres", "postgres")
		db, err := postgres.OpenURL(ctx, url+"&connect_timeout=2", o)
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

// proxied is world with a proxy for each node.
func proxied(t *testing.T, c faulttest.Config, o postgres.Options, s *testserver.Server) (*faulttest.World, []*testserver.Proxy) {
	t.Helper()
	var ways []*testserver.Proxy
	for range 3 {
		ways = append(ways, testserver.NewProxy(t, s.Addr))
	}
	c.Nodes = len(ways)
	return world(t, c, o, func(node int) string { return ways[node].Addr }), ways
}

// The server is killed again and again under load, and restarted at once. It must
// lose no acknowledged write, and nobody may be logged out.
func faultKill(t *testing.T, s *testserver.Server, o postgres.Options) {
	w := world(t, faulttest.Config{}, o, func(int) string { return s.Addr })
	w.Run(func() {
		for i := range *kills {
			time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
			s.Kill()
			w.Note("the server is killed, %d", i)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			if i%10 == 3 {
				w.Restart(i / 10 % 3)
			}
		}
	})
	w.NoneExcused(t)
}

// Connections are cut in mid-statement: a request or half of it is lost, or an
// answer or half of it. A write whose answer was lost must have happened once.
func faultCut(t *testing.T, s *testserver.Server, o postgres.Options) {
	w, ways := proxied(t, faulttest.Config{}, o, s)
	faults := []testserver.Fault{testserver.LoseRequest, testserver.HalfRequest, testserver.LoseAnswer, testserver.HalfAnswer}
	each := rounds.Of(8, 34) // cuts of each kind
	w.Run(func() {
		var cutters sync.WaitGroup
		for node, way := range ways {
			cutters.Go(func() {
				for i := range each {
					before := way.Cuts()
					way.Once(faults[(node+i)%len(faults)])
					waitFor(t, "a connection is cut", func() bool { return way.Cuts() > before || w.Broken() > 0 })
					time.Sleep(rand.N(80 * time.Millisecond))
				}
			})
		}
		cutters.Wait()
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
	if want := each * len(ways); cuts != want {
		t.Errorf("%d connections were cut, want %d", cuts, want)
	}
	w.NoneExcused(t)
}

// The server is paused for longer than MaxStaleness. Nodes must accept valid
// cookies until their list is stale, then answer 503, and afterwards recover by
// themselves, with the same sessions.
func faultPause(t *testing.T, s *testserver.Server, o postgres.Options) {
	w := world(t, faulttest.Config{}, o, func(int) string { return s.Addr })
	alice := w.Browser("alice")
	alice.Expect(t, "start", 200, 0)
	alice.Expect(t, "read", 200, 0, 1, 2)
	paused := w.ExpectServedWhilePaused(t, alice, s.Pause, s.Resume)
	time.Sleep(1500*time.Millisecond - time.Since(paused))
	alice.Expect(t, "read", 503, 0, 1, 2)
	s.Resume()
	w.Settle()
	alice.Expect(t, "read", 200, 0, 1, 2)
	w.Run(func() {
		time.Sleep(400 * time.Millisecond)
		s.Pause()
		w.Note("the server stands still")
		time.Sleep(1800 * time.Millisecond)
		s.Resume()
		w.Note("the server goes on")
	})
	w.NoneExcused(t)
}

// One node's connection to the server hangs for longer than MaxStaleness, while the
// others go on. The node must accept nothing that they have revoked meanwhile. Its
// earlier requests arrive in the end.
func faultHang(t *testing.T, s *testserver.Server, o postgres.Options) {
	const late = 3 * time.Second
	w, ways := proxied(t, faulttest.Config{Late: late}, o, s)
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
			dora.Expect(t, "read", 503, i) // its list is stale, and it cannot query the store
			time.Sleep(900 * time.Millisecond)
			way.Set(testserver.Pass)
			w.Note("the way of node %d is open", i)
			w.Settle()
		}
	})
	w.NoneExcused(t)
}
