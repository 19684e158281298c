package engine

import (
	"context"
	"math/rand/v2"
	"time"
)

// SweepEvery is the usual interval between two steps of housekeeping.
const SweepEvery = time.Second

// Sweep calls step about once per interval until ctx ends. If a step reports that
// there is more to do, the next one follows as soon as writers have had as long as
// the step took. The interval is spread at random, so that the nodes of a fleet do
// not sweep all at once.
func Sweep(ctx context.Context, every time.Duration, step func(context.Context) (more bool, err error)) {
	timer := time.NewTimer(rand.N(every))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		pause, began := every/2+rand.N(every), time.Now()
		if more, err := step(ctx); err == nil && more {
			pause = max(time.Millisecond, time.Since(began))
		}
		timer.Reset(pause)
	}
}
