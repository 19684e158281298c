package refresh

import (
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/store"
)

// Policy holds the times that decide whether a generation is served. Every node
// must use the same Policy.
type Policy struct {
	// Access is the access lifetime of session cookies. A family advances at
	// most once in half of it.
	Access time.Duration
	// Grace is the time after an advance during which the previous generation
	// is still served, for tabs that refresh at once and for lost answers. It
	// is at most a quarter of Access. A client whose answers arrive within half
	// the grace is then never more than one generation behind.
	Grace time.Duration
	// Strict forgives no lost answer: after the grace, a token of the previous
	// generation ends the family.
	Strict bool
}

// Check returns an error if the policy would refuse honest clients, or if a
// duration is not above 0.
func (p Policy) Check() error {
	if p.Grace <= 0 || p.Access <= 0 {
		return errors.New("refresh: Access and Grace must be above 0")
	}
	if p.Access/2 < 2*p.Grace {
		return fmt.Errorf("refresh: half the access lifetime (%v) must be at least twice the grace (%v), or a client with two slow answers is taken for a thief; shorten the grace", p.Access/2, p.Grace)
	}
	return nil
}

// half returns the age at which a generation is due to be advanced.
func (p Policy) half() time.Duration { return p.Access / 2 }

// Verdict is the decision about a presented generation.
type Verdict uint8

const (
	// Refuse: the family is absent, ended, cut off, past a limit or of another
	// kind.
	Refuse Verdict = iota
	// Replay: the generation was used up before. End the family.
	Replay
	// Ahead: the store does not have the generation yet. It went back in time.
	Ahead
	// Behind: the family may be served, but only with data no older than its
	// last Commit.
	Behind
	// Issue: issue the family's generation as it stands, and write nothing.
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

// Reason is the reason for which a token is refused. It is for operators.
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

// Request identifies what a client presented. Its token must already be
// authenticated. Equal Requests at the same time share one flight.
type Request struct {
	Family     store.ID
	Generation uint32
	Native     bool // presented to the endpoint for native clients
	// Basis is the position of the session data that the answer continues from,
	// or 0 if there is none.
	Basis store.Position
	// Floor is the floor below which the caller treats cookies as expired. It
	// counts if it is above the store's own.
	Floor store.Position
}

// Judge returns the verdict on a request and, if the token is refused, the
// reason. The only clock it uses is the snapshot's.
func (p Policy) Judge(r Request, s store.Snapshot) (Verdict, Reason) {
	if reason := refusal(r, s); reason != "" {
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
		// Within the grace, or forgiven before: the second tab that presents a
		// forgiven generation is as honest as the first.
	case g == n-1 && f.Forgiven == 0 && !p.Strict:
		verdict = Forgive
	default:
		return Replay, ReasonReplay
	}
	if r.Basis < f.LastCommit {
		return Behind, ""
	}
	if verdict == Issue && f.Position < max(s.Floor, r.Floor) {
		verdict = Raise // otherwise the cookie issued would be expired at once
	}
	return verdict, ""
}

// refusal returns the reason why the family is not served at this endpoint, or
// "".
func refusal(r Request, s store.Snapshot) Reason {
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
