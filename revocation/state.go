package revocation

import (
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/clock"
)

// State is how current a replica is.
type State uint8

const (
	// Unknown: the replica has not read the whole log, or is reloading it.
	Unknown State = iota
	// Stale: the replica was not confirmed for longer than MaxStaleness.
	Stale
	// Fresh: the replica holds everything that was committed MaxStaleness ago.
	Fresh
)

// String returns the state in lower case.
func (s State) String() string { return [...]string{"unknown", "stale", "fresh"}[s] }

// confirmation is the state machine of a replica. The initial state is Unknown.
// A confirmation makes it Fresh, time alone makes it Stale, and a rollback of
// the log makes it Unknown again. It reads no clock: the caller passes the
// time.
type confirmation struct {
	maxAge time.Duration // of the last confirmation, for Fresh
	last   atomic.Pointer[time.Time]
}

// state returns the state at the time now.
func (c *confirmation) state(now time.Time) State {
	switch age, known := c.age(now); {
	case !known:
		return Unknown
	case age > c.maxAge:
		return Stale
	}
	return Fresh
}

// age returns the age of the last confirmation at the time now. known is false
// if there was none since forget.
func (c *confirmation) age(now time.Time) (age time.Duration, known bool) {
	last := c.last.Load()
	if last == nil {
		return 0, false
	}
	return clock.Elapsed(*last, now), true
}

// confirm records an answer to a query that was sent at the time sent. The
// answer confirms as of that time: one that sat in a socket while the process
// was paused proves nothing about the time since. A later confirmation is kept,
// unless the clock was set back behind it. Calls must not overlap.
func (c *confirmation) confirm(sent, now time.Time) {
	if last := c.last.Load(); last == nil || sent.After(*last) || last.After(now) {
		c.last.Store(&sent)
	}
}

// forget makes the state Unknown.
func (c *confirmation) forget() { c.last.Store(nil) }
