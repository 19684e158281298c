package pairs_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/pairs"
)

// On the fake clock, work that sleeps takes exactly as long as it sleeps.
func TestRatiosTellsWhoTakesLonger(t *testing.T) { synctest.Test(t, testRatios) }

func testRatios(t *testing.T) {
	left := 5
	short, long := func() { time.Sleep(4 * time.Millisecond) }, func() { time.Sleep(12 * time.Millisecond) }
	ratios := pairs.Ratios(pairs.Turn, long, short, func() bool { left--; return left >= 0 })
	if len(ratios) != 10 || !slices.IsSorted(ratios) {
		t.Fatalf("5 rounds gave %v: want 10 ratios in order", ratios)
	}
	if m := pairs.At(ratios, 0.5); m != 3 {
		t.Errorf("the ratio of 12 ms to 4 ms is %v", m)
	}
}

func TestAt(t *testing.T) {
	for part, want := range map[float64]float64{0: 1, 0.5: 3, 1: 5, 0.99: 5} {
		if got := pairs.At([]float64{1, 2, 3, 4, 5}, part); got != want {
			t.Errorf("At(%v) is %v, want %v", part, got, want)
		}
	}
}
