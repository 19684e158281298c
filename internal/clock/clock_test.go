package clock

import (
	"math"
	"testing"
	"time"
)

// wall returns a reading without its monotonic part.
func wall(t time.Time) time.Time { return t.Round(0) }

func TestElapsed(t *testing.T) {
	// Not in a bubble of synctest: its times have no monotonic part.
	early := time.Now()
	late := early.Add(time.Minute) // on both clocks
	forever := time.Duration(math.MaxInt64)
	for name, c := range map[string]struct {
		from, to time.Time
		want     time.Duration
	}{
		"forward":                         {early, late, time.Minute},
		"forward, by the wall alone":      {wall(early), wall(late), time.Minute},
		"the same moment":                 {early, early, 0},
		"read in the other order":         {late, early, 0},
		"just before, by the wall":        {wall(late), wall(late).Add(-time.Second + 1), 0},
		"the wall was set back":           {wall(late), wall(late).Add(-time.Second), forever},
		"set back by a minute":            {wall(late), wall(early), forever},
		"one reading without a monotonic": {late, wall(early), forever},
		"the other without a monotonic":   {wall(late), early, forever},
		"from the zero time":              {time.Time{}, late, forever}, // more than a Duration holds
		"the monotonic clock stood still": {early, wall(early.Add(time.Hour)), time.Hour},
	} {
		if got := Elapsed(c.from, c.to); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
