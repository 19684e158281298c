package refresh

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/waferkit/wafer/store"
)

// Policy decides which refresh tokens are served. Every node must use the same
// Policy.
type Policy struct {
	// Access is the access lifetime of session cookies. A family advances at
	// most once in half of it, unless a token lags behind its copies.
	Access time.Duration
	// Grace is the time after an advance or a copy during which the token that
	// led to it gets the same successor again: for tabs that refresh at once and
	// for retries. A lost answer is replaced by a copy of its own only later. It
	// is at most a quarter of Access.
	Grace time.Duration
	// Skew is the clock skew that nodes may have. The last advance or copy of a
	// family counts as long ago if it is further than that ahead of the engine's
	// clock.
	Skew time.Duration
	// Strict replaces no lost answer: after the grace, the token that led to the
	// last advance ends the family.
	Strict bool
}

// lag is how many copies newer than the presented one there must be for an
// advance that is not due by time. Every such copy stands for an answer that was
// lost, and the client that holds the older one has come back: the advance ends
// the fork.
const lag = 3

// Check returns an error if the policy would refuse honest clients, or if a
// duration is out of range.
func (p Policy) Check() error {
	if p.Grace <= 0 || p.Access <= 0 || p.Skew < 0 {
		return errors.New("refresh: Access and Grace must be above 0, and Skew at least 0")
	}
	if p.Access/2 < 2*p.Grace {
		return fmt.Errorf("refresh: half the access lifetime (%v) must be at least twice the grace (%v), or a client with two slow answers is taken for a thief; shorten the grace", p.Access/2, p.Grace)
	}
	return nil
}

// LongestAbsolute returns the longest absolute limit that the generations of one
// family last for: no family advances more often than once in twice the grace, and
// the highest generation has no successor.
func (p Policy) LongestAbsolute() time.Duration {
	if p.Grace > math.MaxInt64/(2*(store.MaxGeneration-1)) {
		return math.MaxInt64
	}
	return (store.MaxGeneration - 1) * 2 * p.Grace
}

// half returns the age at which a family is due to be advanced.
func (p Policy) half() time.Duration { return p.Access / 2 }

// longAgo reports whether the family's last advance or copy is at least age ago.
// One that is further ahead of the engine's clock than the skew counts as long
// ago.
func (p Policy) longAgo(s store.Snapshot, age time.Duration) bool {
	since := s.Now.Sub(s.Family.Issued)
	return since >= age || since < -p.Skew
}

// Verdict is the decision about a presented token.
type Verdict uint8

const (
	// Refuse: the family is absent, ended, cut off, past a limit or of another
	// kind, or it has lost more answers than there are copies.
	Refuse Verdict = iota
	// Replay: a successor of the token was used, or another successor in its
	// place. End the family.
	Replay
	// Ahead: the store does not have the generation or the copy yet. It went
	// back in time.
	Ahead
	// Behind: the family may be served, but only with data no older than its
	// last Commit.
	Behind
	// Issue: issue what the token leads to as it stands, and write nothing. A
	// token of the current generation leads to itself, the one before it to the
	// newest copy.
	Issue
	// Raise: raise the family's position to the head, then issue.
	Raise
	// Reissue: make a copy in place of a lost answer, then issue it.
	Reissue
	// Advance: make the next generation, then issue it.
	Advance
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"refuse", "replay", "ahead", "behind", "issue", "raise", "reissue", "advance"}[v]
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
	ReasonBroken   Reason = "more answers lost than a working client loses"
)

// Request identifies what a client presented. Its token must already be
// authenticated. Equal Requests at the same time share one flight.
type Request struct {
	Family     store.ID
	Generation uint32
	Copy       uint16
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
	verdict := Issue
	switch g, n := r.Generation, f.Generation; {
	case g == 0:
		return Refuse, ReasonZero
	case g > n, g == n && r.Copy > f.Copy:
		return Ahead, ReasonAhead
	case g == n:
		if p.longAgo(s, p.half()) || f.Copy-r.Copy >= lag {
			verdict = Advance
		}
	case g < n-1, r.Copy != f.Used:
		return Replay, ReasonReplay
	case !p.longAgo(s, p.Grace):
		// Concurrent tabs and retries get the same successor.
	case p.Strict:
		return Replay, ReasonReplay
	case f.Copy >= store.MaxCopy:
		return Refuse, ReasonBroken
	default:
		verdict = Reissue
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
