package redis_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// startSentinel starts a Sentinel that watches a master with one replica.
func startSentinel(t *testing.T, master *testserver.Server) (addr string, c *goredis.SentinelClient) {
	t.Helper()
	port, err := testserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	host, masterPort, _ := net.SplitHostPort(master.Addr)
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor m %s %s 1\nsentinel failover-timeout m 6000\n", port, dir, host, masterPort)
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", file, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	c = goredis.NewSentinelClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { c.Close() })
	eventually(t, "the Sentinel to see the replica", func() bool {
		list, err := c.Replicas(context.Background(), "m").Result()
		return err == nil && len(list) == 1 && list[0]["flags"] == "slave" && list[0]["master-link-status"] == "ok"
	})
	return addr, c
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for until := time.Now().Add(3 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestSentinelFailover: the engine's own connections find the master through the
// client's Sentinels, and follow a failover.
func TestSentinelFailover(t *testing.T) {
	t.Parallel() // it mostly waits for a Sentinel of its own
	old := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	next := testserver.RedisReplica(t, old)
	addr, sentinel := startSentinel(t, old)
	client := goredis.NewFailoverClient(&goredis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{addr}})
	defer client.Close()
	db := open(t, client, redis.Options{})
	began, err := db.Since(t.Context(), store.Cursor{}, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	there := clientOf(t, next)
	eventually(t, "the replica to have the log", func() bool {
		return there.XLen(context.Background(), "{wafer}:entries").Val() == 1
	})
	eventually(t, "the Sentinel to take the order", func() bool {
		return sentinel.Failover(context.Background(), "m").Err() == nil
	})
	eventually(t, "the failover", func() bool {
		a, err := sentinel.GetMasterAddrByName(context.Background(), "m").Result()
		return err == nil && net.JoinHostPort(a[0], a[1]) == next.Addr
	})
	// Writes that the old master still accepts are lost with it. The engine switches
	// to the new one as soon as the old one is demoted.
	eventually(t, "a revocation on the new master", func() bool {
		_, err := db.Revoke(context.Background(), store.Revocation{Subjects: []string{"alice"}})
		return err == nil && there.HExists(context.Background(), "{wafer}:subjects", "alice").Val()
	})
	b, err := db.Since(t.Context(), cursorAtHead(began), 10, 0)
	if err != nil || b.Log != began.Log || len(b.Entries) == 0 || b.Entries[0].Previous != began.Head {
		t.Errorf("%+v after %d, %v", b, began.Head, err)
	}
}
