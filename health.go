package wafer

import (
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Health is what this node knows of the revocations, for a health page and
// metrics.
type Health struct {
	// State is "fresh"; "stale" if the store has not confirmed the list for
	// longer than [Config.MaxStaleness]; or "unknown" while it is read anew.
	// In the last two each request is judged by asking the store. With
	// [Config.NoReplica] it tells of the store alone: "fresh" if it has answered
	// within MaxStaleness, "stale" if not (or if nobody asked), "unknown" before
	// the first answer.
	State string
	// Position is up to where the node has applied the log. Head is the highest
	// position that it knows the log to have reached. Floor is the position
	// below which cookies are refreshed instead of looked up. With NoReplica
	// Position is the highest that an answer told.
	Position, Head, Floor store.Position
	// Revocations is how many sessions and subjects the list names; with
	// NoReplica, for how many sessions an answer is kept.
	Revocations int
	// Age is how long ago the store last confirmed the list, or with NoReplica
	// last answered; 0 while State is "unknown", so alert on the state too.
	Age time.Duration
}

// Health returns the node's state now. It makes no store call.
func (s *Sessions[T]) Health() Health { return healthOf(s.node, s.config.Now()) }

// healthOf returns the health of what a node, or a Verifier, knows to be revoked.
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
