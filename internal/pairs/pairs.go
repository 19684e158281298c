// Package pairs compares two pieces of work by turns, so that a machine that is
// busy with something else slows both alike.
package pairs

import (
	"slices"
	"time"
)

// Turn is how long one of the two works at a time: thousands of times what
// reading the clock takes, and less than what a scheduler gives to another
// process at once.
const Turn = 300 * time.Microsecond

// Ratios has a and b work by turns, a b b a, while more says so, and returns
// the ratios of their times, a over b, in rising order. Work that takes longer
// than a turn has turns of one run each.
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

// At returns the figure at a part (0 to 1) of a sorted list that is not empty.
func At(sorted []float64, part float64) float64 {
	return sorted[int(part*float64(len(sorted)-1)+0.5)]
}

// times is how often do runs in one turn.
func times(turn time.Duration, do func()) int {
	for n := 1; ; n *= 2 {
		if all := spent(n, do) * float64(n); all > float64(4*turn) {
			return max(1, int(float64(n)*float64(turn)/all))
		}
	}
}

// spent is the time in ns that one of n runs takes.
func spent(n int, do func()) float64 {
	began := time.Now()
	for range n {
		do()
	}
	return float64(time.Since(began)) / float64(n)
}
