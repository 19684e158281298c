// Package clock measures the time between two readings of a clock. Neither part
// of a reading can be trusted alone: a wall clock may be set back, and a
// monotonic clock may stand still while a machine sleeps.
package clock

import (
	"math"
	"time"
)

// Elapsed returns the larger of the wall time and the monotonic time between
// two readings. It is for deciding whether something is too old, and is never
// negative:
//
//   - If both readings have a monotonic part and to is earlier on both clocks,
//     Elapsed returns 0.
//   - If a reading has no monotonic part and to is more than a second earlier,
//     the wall clock was set back and the time that passed is unknown. Elapsed
//     then returns the longest duration.
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
