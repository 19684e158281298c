package node

import (
	"sync/atomic"
	"time"
)

// engineClock is the engine's clock as this node last saw it: the times in a seal
// are by that clock, and the engine refuses others.
type engineClock struct{ ahead atomic.Int64 } // of this node's clock

func (c *engineClock) learn(engine, now time.Time) { c.ahead.Store(int64(engine.Sub(now))) }

// now returns the engine's time in whole milliseconds, as families have it.
func (c *engineClock) now(now time.Time) time.Time {
	return time.UnixMilli(now.Add(time.Duration(c.ahead.Load())).UnixMilli())
}
