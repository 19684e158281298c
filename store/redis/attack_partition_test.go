package redis_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestPromise1_OldMasterIsLeft: another server was made the master, and the old
// one, which nobody could tell, goes on as one: Sentinels that cannot reach it
// promote another so, and a name that points elsewhere. Connections to it end,
// busy or not, so what it alone acknowledges has a bound in time.
func TestPromise1_OldMasterIsLeft(t *testing.T) {
	if redis.MaxLifetime > 15*time.Second {
		t.Errorf("connections live for %v: half of the default MaxStaleness, 15 s, is the bound", redis.MaxLifetime)
	}
	for name, client := range map[string]func(master *atomic.Value) goredis.UniversalClient{
		"dialer": func(master *atomic.Value) goredis.UniversalClient {
			return goredis.NewClient(&goredis.Options{Addr: "master:6379", Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, master.Load().(string))
			}})
		},
		"topology": func(master *atomic.Value) goredis.UniversalClient {
			return goredis.NewClusterClient(&goredis.ClusterOptions{ClusterSlots: func(context.Context) ([]goredis.ClusterSlot, error) {
				return []goredis.ClusterSlot{{Start: 0, End: 16383, Nodes: []goredis.ClusterNode{{Addr: master.Load().(string)}}}}, nil
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(redis.ShortLives(300 * time.Millisecond))
			a := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
			b := testserver.RedisReplica(t, a)
			var master atomic.Value
			master.Store(a.Addr)
			c := client(&master)
			defer c.Close()
			db, err := redis.Open(t.Context(), c, redis.Options{Logger: quiet})
			must(t, err)
			defer closed(t, db)
			there := clientOf(t, b)
			eventually(t, "the replica to have the log", func() bool { return there.XLen(t.Context(), "{wafer}:entries").Val() == 1 })
			must(t, there.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
			master.Store(b.Addr)
			// Without a pause, so that no connection ends for being idle.
			for until := time.Now().Add(10 * time.Second); ; {
				r, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}})
				must(t, err)
				if r.Outcome != store.Written {
					t.Fatal(r.Outcome)
				}
				if there.HExists(t.Context(), "{wafer}:subjects", "alice").Val() {
					break
				}
				if time.Now().After(until) {
					t.Fatal("10 s later the old master still acknowledges revocations")
				}
			}
			if batch, err := db.Since(t.Context(), 0, 10, 0); err != nil || len(batch.Entries) != 2 {
				t.Errorf("the new master's log: %d entries, %v", len(batch.Entries), err)
			}
		})
	}
}
