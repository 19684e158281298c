package revocation

import "github.com/waferkit/wafer/store"

// Verdict is the decision about a token at its position.
type Verdict uint8

const (
	// Unconfirmed: the replica is unknown or stale. Ask the store.
	Unconfirmed Verdict = iota
	// Ahead: the token is ahead of the replica. Catch up.
	Ahead
	// Revoked: refuse the token. Only its family can decide otherwise, in a
	// refresh.
	Revoked
	// Expired: the token is out of date or below the floor. It must be
	// refreshed.
	Expired
	// Good: the session was not ended, and no other cutoff or floor that applies to
	// the token is above its position.
	Good
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"unconfirmed", "ahead", "revoked", "expired", "good"}[v]
}

// undecided reports whether the store has to be asked.
func (v Verdict) undecided() bool { return v == Unconfirmed || v == Ahead }

// WithActor completes the decision about a token of a session in which somebody acts
// for the subject. That actor is a second subject, and decide is the decision about
// the same token with the actor in the subject's place. The token is Good only if both
// are. What refuses it for one of them refuses it even if the other cannot be decided.
func WithActor(ofSubject Verdict, err error, decide func() (Verdict, error)) (Verdict, error) {
	if err == nil && ofSubject != Good {
		return ofSubject, nil
	}
	ofActor, actorErr := decide()
	if err == nil || actorErr == nil && ofActor != Good {
		return ofActor, actorErr
	}
	return ofSubject, err
}

// Judge returns the verdict for a token that was minted at the position at. An
// entry that ends the session covers every position: whoever has a leaked key
// chooses the position of a token, and a store that went back hands positions out
// again. No clock is involved. An entry may therefore be dropped at any time by
// raising the floor, and a node that seals late or a clock that jumps makes no
// difference.
func Judge(c store.Cutoffs, at store.Position) Verdict {
	return verdict(c.Ending != 0, max(c.Subject, c.Everyone), max(c.Floor, c.Superseding), c.Head, at)
}

// verdict judges a token that is revoked if its session was ended or its position
// is below revoked, and expired if it is below expired.
func verdict(ended bool, revoked, expired, head, at store.Position) Verdict {
	switch {
	case ended || revoked > at:
		return Revoked
	case expired > at:
		return Expired
	case at > head:
		return Ahead
	}
	return Good
}
