package enginebench

import (
	"sync/atomic"
	"testing"
)

// Each number is done once, whatever the number of workers.
func TestParallel(t *testing.T) {
	for _, workers := range []int{1, 3, 64} {
		done := make([]atomic.Int64, 40)
		Parallel(t, workers, len(done), func(i int) error { done[i].Add(1); return nil })
		for i := range done {
			if n := done[i].Load(); n != 1 {
				t.Errorf("%d workers: number %d was done %d times", workers, i, n)
			}
		}
	}
}

// Ways get the same numbers, and nobody gets a number twice.
func BenchmarkCompare(b *testing.B) {
	var one, other atomic.Int64
	Compare(b, 4, 10, Way{"one", func(i int) error { one.Add(int64(i)); return nil }}, Way{"other", func(i int) error { other.Add(int64(i)); return nil }})
	if one.Load() != other.Load() {
		b.Errorf("sums of the numbers: %d and %d", one.Load(), other.Load())
	}
}

func TestID(t *testing.T) {
	seen := map[byte]int{}
	for i := range 256 {
		id := ID(i)
		if id != ID(i) || id.IsZero() {
			t.Fatalf("the id of %d", i)
		}
		seen[id[0]]++
	}
	if len(seen) < 100 {
		t.Errorf("the ids of 256 numbers begin with %d bytes", len(seen))
	}
}

func TestMedian(t *testing.T) {
	if Median([]int{3, 1, 2}) != 2 || Median([]int{4, 1, 3, 2}) != 3 || Median([]int{7}) != 7 {
		t.Error("the middle value")
	}
}
