package redis_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestReadsDoNotWaitForReplicas: while all groups of writes wait for replicas that do
// not confirm, reads go on.
func TestReadsDoNotWaitForReplicas(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	open(t, client, redis.Options{})
	db := open(t, client, redis.Options{Replicas: 1, ReplicaTimeout: time.Minute})
	var wait sync.WaitGroup
	var returned atomic.Int64
	for i := range 4 {
		// The first two are being sent when the others arrive and queue behind them.
		eventually(t, "the senders to wait", func() bool { return blocked(t, client) == min(i, 2) })
		wait.Go(func() {
			defer returned.Add(1)
			if _, err := db.Revoke(context.Background(), store.Revocation{Subjects: []string{"alice"}}); !errors.Is(err, redis.ErrReplicas) {
				t.Errorf("%v; want ErrReplicas", err)
			}
		})
	}
	for name, read := range map[string]func() error{
		"cutoffs":  func() error { _, err := db.Cutoffs(t.Context(), newID(), "alice"); return err },
		"family":   func() error { _, err := db.Family(t.Context(), newID()); return err },
		"families": func() error { _, err := db.Families(t.Context(), store.Query{Subject: "alice", Limit: 1}); return err },
		"since":    func() error { _, err := db.Since(t.Context(), store.Cursor{}, 1, 0); return err },
		"keys":     func() error { _, _, err := db.LoadKeys(t.Context()); return err },
	} {
		if err := read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := returned.Load(); n != 0 {
		t.Errorf("%d writes have returned before the reads: no replica is asked for those", n)
	}
	// The server ends their wait.
	eventually(t, "the writes to return", func() bool {
		for _, line := range strings.Split(client.ClientList(t.Context()).Val(), "\n") {
			if strings.Contains(line, " cmd=wait") {
				_, id, _ := strings.Cut(line, "id=")
				id, _, _ = strings.Cut(id, " ")
				must(t, client.Do(t.Context(), "CLIENT", "UNBLOCK", id).Err())
			}
		}
		return returned.Load() == 4
	})
	wait.Wait()
}

// blocked returns the number of connections that the server keeps waiting.
func blocked(t *testing.T, client *goredis.Client) int {
	t.Helper()
	info, err := client.InfoMap(t.Context(), "clients").Result()
	must(t, err)
	n, err := strconv.Atoi(info["Clients"]["blocked_clients"])
	must(t, err)
	return n
}
