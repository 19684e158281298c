package redis_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestReadsDoNotWaitForReplicas: while every sender of writes waits for replicas
// that do not confirm, reads go on.
func TestReadsDoNotWaitForReplicas(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	open(t, client, redis.Options{})
	db := open(t, client, redis.Options{Replicas: 1, ReplicaTimeout: 3 * time.Second})
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			if _, err := db.Revoke(context.Background(), store.Revocation{Subjects: []string{"alice"}}); !errors.Is(err, redis.ErrReplicas) {
				t.Errorf("%v; want ErrReplicas", err)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	for name, read := range map[string]func() error{
		"cutoffs":  func() error { _, err := db.Cutoffs(t.Context(), newID(), "alice"); return err },
		"family":   func() error { _, err := db.Family(t.Context(), newID()); return err },
		"families": func() error { _, err := db.Families(t.Context(), "alice", 1); return err },
		"since":    func() error { _, err := db.Since(t.Context(), 0, 1, 0); return err },
		"keys":     func() error { _, _, err := db.LoadKeys(t.Context()); return err },
	} {
		began := time.Now()
		err := read()
		if took := time.Since(began); err != nil || took > time.Second {
			t.Errorf("%s took %v, %v: no replica is asked for it", name, took, err)
		}
	}
	wait.Wait()
}
