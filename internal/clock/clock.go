// Package clock measures the time between two readings of a clock that cannot be
// trusted alone: a wall clock may be set back, and a monotonic clock may stand
// still while a machine sleeps.
package clock

import (
	"math"
	"time"
)

// Elapsed returns the larger of the wall and the monotonic time between two
// readings, for deciding whether something is too old. It is never negative:
//
//   - If both readings have a monotonic part and both clocks say that to is the
//     earlier one, it is: Elapsed returns 0.
//   - If a reading has none and to is more than a second earlier, the wall clock
//     was set back, and nobody knows how much time has passed: Elapsed returns the
//     longest duration.
func Elapsed(from, to time.Time) time.Duration {
	d := max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
	switch {
	case d >= 0:
		return d
	case d > -time.Second, from != from.Round(0) && to != to.Round(0):
		return 0
	}
	return math.MaxInt64
}
