package redis_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestPromise1_DemotedServerConfirmsNothing: a server that is demoted after Open
// (REPLICAOF keeps the connections) and cannot reach its master answers from
// what it had. Nothing that it says is taken for the log.
func TestPromise1_DemotedServerConfirmsNothing(t *testing.T) {
	old := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	next := testserver.RedisReplica(t, old)
	db := open(t, clientOf(t, old), redis.Options{})
	id := create(t, db, "alice")
	must(t, db.Announce(t.Context(), store.Announcement{Access: time.Minute, Absolute: time.Hour}))
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
	if b, err := db.Since(t.Context(), 0, 1000, 0); err == nil {
		t.Errorf("Since of a demoted server confirms head %d, and the log is at %d", b.Head, r.Entry)
	}
	if c, err := db.Cutoffs(t.Context(), id, "alice"); err == nil {
		t.Errorf("Cutoffs of a demoted server: %+v", c)
	}
	if s, err := db.Family(t.Context(), id); err == nil {
		t.Errorf("Family of a demoted server: it is %v", s.State)
	}
	if list, err := db.Families(t.Context(), "alice", 10); err == nil {
		t.Errorf("Families of a demoted server: %d", len(list))
	}
	// Writes that find nothing to write are reads.
	if s, err := db.Advance(t.Context(), store.Advance{ID: newID(), Generation: 1}); err == nil {
		t.Errorf("Advance of a demoted server: it is %v", s.State)
	}
}
