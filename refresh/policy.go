package refresh

import (
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/store"
)

// Policy says when a generation is served. Every node must use the same one.
type Policy struct {
	// Access is the access lifetime of session cookies. A family advances at
	// most once in half of it.
	Access time.Duration
	// Grace is for how long after an advance the generation before it is
	// still served: for tabs that refresh at once, and for lost answers. At
	// most a quarter of Access, so that a client whose answers arrive within
	// half of it is never more than one generation behind.
	Grace time.Duration
	// Strict forgives no lost answer: a token of the generation before, after
	// the grace, ends the family.
	Strict bool
}

// Check reports whether the policy keeps honest clients out of trouble.
func (p Policy) Check() error {
	if p.Grace <= 0 || p.Access <= 0 {
		return errors.New("refresh: Access and Grace must be above 0")
	}
	if p.Access/2 < 2*p.Grace {
		return fmt.Errorf("refresh: half the access lifetime (%v) must be at least twice the grace (%v), or a client with two slow answers is taken for a thief; shorten the grace", p.Access/2, p.Grace)
	}
	return nil
}

// half is the age from which a generation is advanced.
func (p Policy) half() time.Duration { return p.Access / 2 }

// Verdict is what the rules say of a presented generation.
type Verdict uint8

const (
	// Refuse: the family is gone, dead, past a limit or of another kind.
	Refuse Verdict = iota
	// Replay: the generation was used up long ago: end the family.
	Replay
	// Ahead: the store does not know the generation yet; it went back in time.
	Ahead
	// Behind: the family is to be served, but from data no older than its last
	// Commit.
	Behind
	// Issue: issue the family's generation as it stands, writing nothing.
	Issue
	// Raise: raise the family's position to the head, then issue.
	Raise
	// Forgive: record the generation as forgiven, then issue.
	Forgive
	// Advance: make the next generation, then issue it.
	Advance
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"refuse", "replay", "ahead", "behind", "issue", "raise", "forgive", "advance"}[v]
}

// Reason says why a token is refused. It is for operators.
type Reason string

// The reasons of a refusal.
const (
	ReasonAbsent   Reason = "no such family"
	ReasonEnded    Reason = "family ended"
	ReasonCutOff   Reason = "subject or everyone revoked"
	ReasonIdle     Reason = "past the idle limit"
	ReasonAbsolute Reason = "past the absolute limit"
	ReasonKind     Reason = "family of the other kind of client"
	ReasonZero     Reason = "generations start at 1"
	ReasonReplay   Reason = "refresh token replayed"
	ReasonAhead    Reason = "store went back in time"
	ReasonUpgrade  Reason = "refresh is due, and an upgrade cannot carry it"
)

// Request is what a client presented, after its token proved authentic. It is
// comparable: equal requests at one time share one flight.
type Request struct {
	Family     store.ID
	Generation uint32
	Native     bool // presented at the door of native clients
	// Basis is the position of the session data that the answer goes on from,
	// 0 for none.
	Basis store.Position
	// Floor is the floor below which the caller takes cookies for expired, if
	// that is above the store's own.
	Floor store.Position
}

// Judge is the table of rules. It reads no clock but the snapshot's.
func (p Policy) Judge(r Request, s store.Snapshot) (Verdict, Reason) {
	if reason := dead(r, s); reason != "" {
		return Refuse, reason
	}
	f := &s.Family
	age := s.Now.Sub(f.Issued)
	verdict := Issue
	switch g, n := r.Generation, f.Generation; {
	case g == 0:
		return Refuse, ReasonZero
	case g > n:
		return Ahead, ReasonAhead
	case g == n:
		if age >= p.half() {
			verdict = Advance
		}
	case g == n-1 && (age < p.Grace || f.Forgiven == g):
		// Within the grace, or forgiven before: the second tab that presents
		// a forgiven generation is as honest as the first.
	case g == n-1 && f.Forgiven == 0 && !p.Strict:
		verdict = Forgive
	default:
		return Replay, ReasonReplay
	}
	if r.Basis < f.LastCommit {
		return Behind, ""
	}
	if verdict == Issue && f.Position < max(s.Floor, r.Floor) {
		verdict = Raise // or what is issued would be expired at once
	}
	return verdict, ""
}

// dead says why the family serves nobody at this door, or "".
func dead(r Request, s store.Snapshot) Reason {
	f := &s.Family
	switch {
	case s.State == store.Absent:
		return ReasonAbsent
	case s.State == store.Ended:
		return ReasonEnded
	case s.State == store.CutOff:
		return ReasonCutOff
	case !s.Now.Before(f.Absolute):
		return ReasonAbsolute
	case !s.Now.Before(f.IdleDeadline()):
		return ReasonIdle
	case f.Native != r.Native:
		return ReasonKind
	}
	return ""
}
