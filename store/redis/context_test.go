package redis_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// silentServer listens and never sends a byte.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return l.Addr().String()
}

// ownLimit is how long the engine itself waits for a silent server.
const ownLimit = 5 * time.Second

// TestOpenURLContext: the context bounds the first command, too, whether it has a
// deadline or is cancelled.
func TestOpenURLContext(t *testing.T) {
	t.Parallel()
	addr := silentServer(t)
	timeout, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cancelled, stop := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, stop)
	for _, ctx := range []context.Context{timeout, cancelled} {
		began := time.Now()
		_, err := redis.OpenURL(ctx, "redis://"+addr+"?read_timeout=1m", redis.Options{Logger: quiet})
		took := time.Since(began)
		<-ctx.Done() // it may end only now
		if !errors.Is(err, ctx.Err()) || took >= ownLimit {
			t.Errorf("with a context of 300ms: %v after %v", err, took)
		}
	}
}

// TestSilentTopology: a topology query that is not answered blocks no call for ever,
// nor beyond the end of its context.
func TestSilentTopology(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	hangs := goredis.NewClusterClient(&goredis.ClusterOptions{ClusterSlots: func(context.Context) ([]goredis.ClusterSlot, error) {
		<-never
		return []goredis.ClusterSlot{{Start: 0, End: 16383, Nodes: []goredis.ClusterNode{{Addr: server.Addr}}}}, nil
	}})
	defer hangs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := redis.Open(ctx, hangs, redis.Options{Logger: quiet}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) >= ownLimit {
		t.Errorf("with a context of 300ms: %v after %v", err, time.Since(began))
	}
	began = time.Now()
	if _, err := redis.Open(context.Background(), hangs, redis.Options{Logger: quiet}); err == nil || time.Since(began) > time.Minute {
		t.Errorf("without a limit: %v after %v", err, time.Since(began))
	}
}

// TestClusterByURLKeepsThePool: a URL's settings apply to the Cluster's client.
func TestClusterByURLKeepsThePool(t *testing.T) {
	nodes := sharedCluster(t)
	o := redis.DialedOptions(t.Context(), "redis://"+nodes[0].Addr+"?pool_size=3&conn_max_lifetime=7s&pool_timeout=9s&max_retries=2")
	if o == nil || o.PoolSize != 3 || o.ConnMaxLifetime != 7*time.Second || o.PoolTimeout != 9*time.Second || o.MaxRetries != 2 {
		t.Errorf("%+v", o)
	}
}

// TestCloseEndsTheListener: no goroutine of the engine runs after Close has returned.
func TestCloseEndsTheListener(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	for range rounds.Of(8, 20) {
		db, err := redis.Open(t.Context(), client, redis.Options{Logger: quiet})
		must(t, err)
		b, err := db.Since(t.Context(), store.Cursor{}, 1, 0)
		must(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = db.Since(context.Background(), cursorAtHead(b), 1, time.Minute)
		}()
		time.Sleep(30 * time.Millisecond)
		closed(t, db)
		if listening := db.Listening(); listening {
			t.Fatal("Close has returned, and the listener still runs")
		}
		<-done
	}
}
