package revocation

import "github.com/waferkit/wafer/store"

// Verdict is what is known of a token at its position.
type Verdict uint8

const (
	// Unconfirmed: the replica is unknown or stale. Ask the store.
	Unconfirmed Verdict = iota
	// Ahead: the token is ahead of the replica. Catch up.
	Ahead
	// Revoked: refuse it. Only its family may still know better.
	Revoked
	// Expired: out of date or below the floor. It must be refreshed.
	Expired
	// Good: nothing that names it is above its position.
	Good
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"unconfirmed", "ahead", "revoked", "expired", "good"}[v]
}

// undecided reports whether only the store can tell.
func (v Verdict) undecided() bool { return v == Unconfirmed || v == Ahead }

// Judge decides what a token minted at position at is worth. No clock takes
// part: that is why an entry may be dropped at any time by raising the floor,
// and why a node that seals late or a clock that jumps changes nothing.
func Judge(c store.Cutoffs, at store.Position) Verdict {
	return verdict(max(c.Ending, c.Subject, c.Everyone), max(c.Floor, c.Superseding), c.Head, at)
}

// verdict judges a token that is revoked below one position and expired below
// another.
func verdict(revoked, expired, head, at store.Position) Verdict {
	switch {
	case revoked > at:
		return Revoked
	case expired > at:
		return Expired
	case at > head:
		return Ahead
	}
	return Good
}
