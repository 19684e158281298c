package redis_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestPromise1_DemotedServerConfirmsNothing: a server that is demoted after Open
// (REPLICAOF keeps the connections) and cannot reach its master answers with its old
// data. The engine accepts none of its replies.
func TestPromise1_DemotedServerConfirmsNothing(t *testing.T) {
	old := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	next := testserver.RedisReplica(t, old)
	db := open(t, clientOf(t, old), redis.Options{})
	id := create(t, db, "alice")
	announce(t, db, store.Announcement{Access: time.Minute, Absolute: time.Hour})
	other := clientOf(t, next)
	eventually(t, "the replica to have it", func() bool {
		return other.HGet(t.Context(), "{wafer}:log", "access").Val() == "60000"
	})
	must(t, other.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	must(t, clientOf(t, old).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
	// A node with the new master revokes.
	db2 := open(t, other, redis.Options{})
	r, err := db2.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{id}})
	if err != nil || r.Outcome != store.Written {
		t.Fatal(r.Outcome, err)
	}
	if b, err := db.Since(t.Context(), store.Cursor{}, 1000, 0); err == nil {
		t.Errorf("Since of a demoted server confirms head %d, and the log is at %d", b.Head, r.Entry)
	}
	if c, err := db.Cutoffs(t.Context(), id, "alice"); err == nil {
		t.Errorf("Cutoffs of a demoted server: %+v", c)
	}
	if s, err := db.Family(t.Context(), id); err == nil {
		t.Errorf("Family of a demoted server: it is %v", s.State)
	}
	if page, err := db.Families(t.Context(), store.Query{Subject: "alice", Limit: 10}); err == nil {
		t.Errorf("Families of a demoted server: %d", len(page.Families))
	}
	// Writes that find nothing to write are reads.
	if s, err := db.Advance(t.Context(), store.Advance{ID: newID(), Generation: 1}); err == nil {
		t.Errorf("Advance of a demoted server: it is %v", s.State)
	}
}

// TestDemotedServerIsDialedAnew: with the client of a single server, new connections
// go to the server that its dialer now finds, as with Sentinels or a DNS name.
func TestDemotedServerIsDialedAnew(t *testing.T) {
	a := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	b := testserver.RedisReplica(t, a)
	var master atomic.Value
	master.Store(a.Addr)
	client := goredis.NewClient(&goredis.Options{Addr: "master:6379", Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, master.Load().(string))
	}})
	defer client.Close()
	db := open(t, client, redis.Options{})
	first, err := db.Since(t.Context(), store.Cursor{}, 10, 0)
	must(t, err)
	there := clientOf(t, b)
	eventually(t, "the replica to have the log", func() bool { return there.XLen(t.Context(), "{wafer}:entries").Val() == 1 })
	must(t, there.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	must(t, clientOf(t, a).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
	master.Store(b.Addr)
	if _, err := db.Since(t.Context(), store.Cursor{}, 10, 0); err == nil {
		t.Error("a replica was believed")
	}
	if again, err := db.Since(t.Context(), store.Cursor{}, 10, 0); err != nil || again.Log != first.Log {
		t.Errorf("the next call: %v", err)
	}
	if s, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}}); err != nil || s.Outcome != store.Written {
		t.Errorf("%v, %v", s.Outcome, err)
	}
}

// TestDemotedServerIsLeft: if the client has a topology (ClusterSlots, as with
// NewFailoverClusterClient), the reply READONLY makes the engine query it for the
// master.
func TestDemotedServerIsLeft(t *testing.T) {
	a := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	b := testserver.RedisReplica(t, a)
	var master atomic.Value
	master.Store(a.Addr)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{ClusterSlots: func(context.Context) ([]goredis.ClusterSlot, error) {
		return []goredis.ClusterSlot{{Start: 0, End: 16383, Nodes: []goredis.ClusterNode{{Addr: master.Load().(string)}}}}, nil
	}})
	defer client.Close()
	db := open(t, client, redis.Options{})
	create(t, db, "alice")
	must(t, clientOf(t, b).Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
	host, port, _ := net.SplitHostPort(b.Addr)
	master.Store(b.Addr)
	must(t, clientOf(t, a).Do(t.Context(), "REPLICAOF", host, port).Err())
	eventually(t, "the engine to go to the new master", func() bool {
		client.ReloadState(t.Context())
		_, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}})
		return err == nil
	})
}

// TestNotServing: the errors, as different releases word them, that show whether a
// server no longer serves the store.
func TestNotServing(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	for text, want := range map[string]bool{
		"READONLY You can't write against a read only replica. script: 1, on @user_script:1.":                            true,
		"ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only replica.": true,
		"CLUSTERDOWN The cluster is down":                                                  true,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": true,
		"OOM command not allowed when used memory > 'maxmemory'.":                          false,
		"NOREPLICAS Not enough good replicas to write.":                                    false,
	} {
		err := client.Eval(t.Context(), "return redis.error_reply(ARGV[1])", nil, text).Err()
		if err == nil || redis.NotServing(err) != want {
			t.Errorf("%v: want %v", err, want)
		}
	}
	if redis.NotServing(errors.New("READONLY: not the server's words")) || redis.NotServing(nil) {
		t.Error("what no server has said")
	}
}

// TestReadOnlyClusterFailover: a ClusterClient that reads from replicas makes its
// connections READONLY. The engine's connections are not, and follow a failover.
func TestReadOnlyClusterFailover(t *testing.T) {
	t.Parallel() // it mostly waits for a Cluster of its own
	nodes := testserver.RedisCluster(t)
	spare := testserver.Redis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr, nodes[1].Addr}, ReadOnly: true})
	defer client.Close()
	db := open(t, client, redis.Options{})
	create(t, db, "alice")
	master, err := client.MasterForKey(t.Context(), "{wafer}:log")
	must(t, err)
	sc := clientOf(t, spare)
	mc := goredis.NewClient(&goredis.Options{Addr: master.Options().Addr})
	defer mc.Close()
	host, port, _ := net.SplitHostPort(master.Options().Addr)
	must(t, sc.Do(t.Context(), "CLUSTER", "MEET", host, port).Err())
	id, err := mc.ClusterMyID(t.Context()).Result()
	must(t, err)
	eventually(t, "CLUSTER REPLICATE", func() bool { return sc.Do(context.Background(), "CLUSTER", "REPLICATE", id).Err() == nil })
	eventually(t, "the link", func() bool {
		return strings.Contains(sc.Info(context.Background(), "replication").Val(), "master_link_status:up")
	})
	var ordered time.Time
	eventually(t, "the promotion", func() bool {
		// The order lapses after five seconds, which may be too few on a busy machine.
		if time.Since(ordered) > 6*time.Second && sc.Do(context.Background(), "CLUSTER", "FAILOVER").Err() == nil {
			ordered = time.Now()
		}
		return strings.Contains(sc.Info(context.Background(), "replication").Val(), "role:master")
	})
	eventually(t, "the demotion", func() bool { return strings.Contains(mc.Info(context.Background(), "replication").Val(), "role:slave") })
	// Even the first call succeeds: the replica replies MOVED on a connection that is
	// not READONLY.
	if c, err := db.Cutoffs(t.Context(), newID(), "alice"); err != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if s, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}}); err != nil || s.Outcome != store.Written {
		t.Errorf("%v, %v", s.Outcome, err)
	}
}
