// Package pairs compares the times of two pieces of work by running them in
// turns, so that other load on the machine slows both alike.
package pairs

import (
	"slices"
	"time"
)

// Turn is the length of one turn for [Ratios]. It is thousands of times longer than
// reading the clock takes, and shorter than the time slice that a scheduler gives
// to another process.
const Turn = 300 * time.Microsecond

// Ratios runs a and b in turns, in the order a b b a, for as long as more returns
// true. It returns the ratios of their times, a over b, in ascending order: two
// for each call of more. Work that takes longer than a turn runs once per turn.
func Ratios(turn time.Duration, a, b func(), more func() bool) []float64 {
	nA, nB := times(turn, a), times(turn, b)
	var ratios []float64
	for more() {
		a1, b1 := spent(nA, a), spent(nB, b)
		b2, a2 := spent(nB, b), spent(nA, a)
		ratios = append(ratios, a1/b1, a2/b2)
	}
	slices.Sort(ratios)
	return ratios
}

// At returns the element at a fraction (0 to 1) of a sorted list, which must not
// be empty.
func At(sorted []float64, fraction float64) float64 {
	return sorted[int(fraction*float64(len(sorted)-1)+0.5)]
}

// times returns how often do runs in one turn.
func times(turn time.Duration, do func()) int {
	for n := 1; ; n *= 2 {
		if all := spent(n, do) * float64(n); all > float64(4*turn) {
			return max(1, int(float64(n)*float64(turn)/all))
		}
	}
}

// spent runs do n times and returns the time of one run, in nanoseconds.
func spent(n int, do func()) float64 {
	began := time.Now()
	for range n {
		do()
	}
	return float64(time.Since(began)) / float64(n)
}
