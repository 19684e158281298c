package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/testserver"
)

// In a Cluster of three masters each is killed once under load, and started
// again; a master that was away waits for two seconds before it serves.
func TestFaultCluster(t *testing.T) {
	masters := testserver.RedisCluster(t)
	w := world(t, faulttest.Config{Recovery: 15 * time.Second}, func(node int) string { return masters[node].Addr })
	w.Run(func() {
		time.Sleep(300 * time.Millisecond)
		for i, s := range masters {
			s.Kill()
			w.Note("master %d is killed", i)
			time.Sleep(100 * time.Millisecond)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			until := time.Now().Add(20 * time.Second)
			for !strings.Contains(s.RedisCommand(t, "CLUSTER", "INFO"), "cluster_state:ok") {
				if time.Now().After(until) {
					t.Fatalf("master %d does not come back", i)
				}
				time.Sleep(20 * time.Millisecond)
			}
			w.Note("master %d serves again", i)
			time.Sleep(300 * time.Millisecond)
		}
	})
	noneExcused(t, w)
	all := w.Latency(20)
	t.Logf("in force on another node after %v (median), %v (99%%)", faulttest.Percentile(all, 50), faulttest.Percentile(all, 99))
}
