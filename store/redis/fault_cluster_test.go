package redis_test

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
)

// In a Cluster of three masters the one that holds the store is killed under
// load, and started again, and then the others; a master that was away waits for
// two seconds before it serves.
func TestFaultCluster(t *testing.T) {
	fault(t)
	masters := testserver.RedisCluster(t)
	w := world(t, faulttest.Config{}, func(node int) string { return masters[node].Addr })
	w.Run(func() {
		time.Sleep(300 * time.Millisecond)
		for i, s := range slices.SortedFunc(slices.Values(masters), func(a, b *testserver.Server) int {
			return cmp.Compare(holds(t, b), holds(t, a))
		})[:rounds.Of(2, 3)] {
			s.Kill()
			w.Note("master %d is killed", i)
			time.Sleep(100 * time.Millisecond)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the master to come back", func() bool {
				return strings.Contains(s.RedisCommand(t, "CLUSTER", "INFO"), "cluster_state:ok")
			})
			w.Note("master %d serves again", i)
			time.Sleep(300 * time.Millisecond)
		}
	})
	w.NoneExcused(t)
	all := w.Latency(10)
	t.Logf("in force on another node after %v (median), %v (99%%)", faulttest.Percentile(all, 50), faulttest.Percentile(all, 99))
}

// holds returns the number of a master's keys: those of the store, or 0.
func holds(t *testing.T, s *testserver.Server) int {
	t.Helper()
	n, err := strconv.Atoi(s.RedisCommand(t, "DBSIZE"))
	must(t, err)
	return n
}
