package redis_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestPromise1_OldMasterIsLeft: another server has become the master, and the old one
// cannot be reached to demote it, so it goes on as a master. This happens if Sentinels
// that cannot reach a master promote another, or if a DNS name changes. Connections
// to the old one end, busy or not, so the time in which it alone acknowledges writes
// is bounded.
func TestPromise1_OldMasterIsLeft(t *testing.T) {
	if redis.MaxLifetime > 15*time.Second {
		t.Errorf("connections live for %v: half of the default MaxStaleness, 15 s, is the bound", redis.MaxLifetime)
	}
	const lifetime = 300 * time.Millisecond // of a connection, here
	t.Cleanup(redis.ShortLives(lifetime))
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
			t.Parallel() // with the other case only
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
			// All connections that the engine can need are open, so that none of them
			// dials the new master by chance.
			enginebench.Parallel(t, 16, 400, func(int) error { _, err := db.Cutoffs(t.Context(), newID(), ""); return err })
			must(t, there.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
			master.Store(b.Addr)
			// Without a pause, so that no connection ends for being idle. Only the time
			// in which the engine was at work counts, and little of a stretch in which
			// this process stood still.
			const bound = 5 * lifetime
			var spent time.Duration
			last := time.Now()
			for n, after := 0, 0; after < 50; n++ {
				now := time.Now()
				spent += min(now.Sub(last), lifetime/10)
				last = now
				subject := fmt.Sprint("subject-", n)
				r, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{subject}})
				if err != nil || r.Outcome != store.Written {
					t.Fatal(r.Outcome, err)
				}
				if spent < bound {
					continue
				}
				if after++; !there.HExists(t.Context(), "{wafer}:subjects", subject).Val() {
					t.Fatalf("%v later, five lifetimes, the old master alone acknowledges a revocation", spent)
				}
			}
		})
	}
}
