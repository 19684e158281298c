package revocation

import (
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/clock"
)

// State is what a replica can say.
type State uint8

const (
	// Unknown: it has not read the whole log, or is reading it anew.
	Unknown State = iota
	// Stale: it was not confirmed for longer than MaxStaleness.
	Stale
	// Fresh: it holds everything that was committed MaxStaleness ago.
	Fresh
)

// String returns the state in lower case.
func (s State) String() string { return [...]string{"unknown", "stale", "fresh"}[s] }

// confirmation is the state machine of a replica. It begins as unknown; to be
// confirmed makes it fresh; time alone makes it stale; a log that went back
// makes it unknown again. It reads no clock, so nothing happens between two
// readings that it would have to be told of.
type confirmation struct {
	most time.Duration // how old the last confirmation may be
	last atomic.Pointer[time.Time]
}

// state returns the state at time now.
func (c *confirmation) state(now time.Time) State {
	switch age, known := c.age(now); {
	case !known:
		return Unknown
	case age > c.most:
		return Stale
	}
	return Fresh
}

// age returns how long ago, at time now, the last confirmation was; known is
// false if there was none since the log was last forgotten.
func (c *confirmation) age(now time.Time) (age time.Duration, known bool) {
	last := c.last.Load()
	if last == nil {
		return 0, false
	}
	return clock.Elapsed(*last, now), true
}

// confirm takes an answer whose question was sent at a time. It confirms as of
// that moment: an answer that sat in a socket while the process was paused
// proves nothing about the time since. A later confirmation stands, unless the
// clock was set back behind it. Calls must not overlap.
func (c *confirmation) confirm(sent, now time.Time) {
	if last := c.last.Load(); last == nil || sent.After(*last) || last.After(now) {
		c.last.Store(&sent)
	}
}

// forget makes the state unknown.
func (c *confirmation) forget() { c.last.Store(nil) }
