// Package enginebench holds what the benchmarks and scale tests of the engines
// share: many clients at once, and rates of several ways to do the same work.
package enginebench

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// Way is one way to do the work of a benchmark. Do does the operation of a number;
// clients call it at the same time, each number once.
type Way struct {
	Name string
	Do   func(i int) error
}

// Compare runs rounds of ops operations by each way in turn, with that many
// clients at once. The order changes with each round, so that no way always pays
// for what another has left to the disk. Compare reports the median rate of each
// way ("store/s") and the median of its ratio to the first ("%store-of-bare").
func Compare(b *testing.B, clients, ops int, ways ...Way) {
	rates, ratios := make([][]float64, len(ways)), make([][]float64, len(ways))
	for round := 0; b.Loop(); round++ {
		now := make([]float64, len(ways))
		for turn := range ways {
			i := (turn + round) % len(ways)
			now[i] = Rate(b, clients, round*ops, ops, ways[i].Do)
		}
		for i, r := range now {
			rates[i], ratios[i] = append(rates[i], r), append(ratios[i], r/now[0])
		}
	}
	for i, way := range ways {
		b.ReportMetric(Median(rates[i]), way.Name+"/s")
		if i > 0 {
			b.ReportMetric(100*Median(ratios[i]), "%"+way.Name+"-of-"+ways[0].Name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// Rate has clients do the operations from up to from+ops, and returns how many
// they did a second.
func Rate(tb testing.TB, clients, from, ops int, do func(i int) error) float64 {
	tb.Helper()
	began := time.Now()
	Parallel(tb, clients, ops, func(i int) error { return do(from + i) })
	return float64(ops) / time.Since(began).Seconds()
}

// Parallel calls do with 0 to n-1 from several goroutines. An error ends the test.
func Parallel(tb testing.TB, workers, n int, do func(i int) error) {
	tb.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				if err := do(i); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
}

// ID returns the id of a number. The ids of near numbers are far apart.
func ID(i int) (id store.ID) {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	return id
}

// Generations returns the generations of n new families.
func Generations(n int) []uint32 { return slices.Repeat([]uint32{1}, n) }

// Median returns the middle value of a list, the upper one of two.
func Median[T cmp.Ordered](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
