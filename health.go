package wafer

import (
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Health describes the node's copy of the revocations, for a health page and
// metrics.
type Health struct {
	// State is "fresh"; "stale" if the store has not confirmed the list for longer
	// than [Config.MaxStaleness]; or "unknown" until the log was read as a whole.
	// While it is stale or unknown the store is asked about each request. With
	// [Config.NoReplica] State is about the store alone: "fresh" if it has answered
	// within MaxStaleness, "stale" if it has not or was not asked, "unknown" before
	// the first answer.
	State string
	// Position is the position up to which the node has applied the log. Head is
	// the highest position that the log is known to have reached. Cookies below
	// Floor are refreshed instead of looked up. With NoReplica, Position is the
	// highest position in any answer.
	Position, Head, Floor store.Position
	// Revocations is the number of sessions and subjects in the list or, with
	// NoReplica, the number of cached answers.
	Revocations int
	// Age is how long ago the store last confirmed the list or, with NoReplica,
	// last answered. It is 0 while State is "unknown", so alert on State too.
	Age time.Duration
}

// Health returns the node's state now. It makes no store call.
func (s *Sessions[T]) Health() Health { return healthOf(s.node, s.config.Now()) }

// healthOf returns the health of a node's revocations, or a Verifier's.
func healthOf(known interface {
	State(now time.Time) revocation.State
	Confirmed(now time.Time) (age time.Duration, ok bool)
	Head() store.Position
	Highest() store.Position
	Floor() store.Position
	Len() int
}, now time.Time) Health {
	age, _ := known.Confirmed(now)
	return Health{
		State:    known.State(now).String(),
		Position: known.Head(), Head: known.Highest(), Floor: known.Floor(),
		Revocations: known.Len(), Age: age,
	}
}
