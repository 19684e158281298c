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
	// kind, its seal does not verify, it is bound and there is no live proof by
	// its key, or it has lost more answers than there are copies.
	Refuse Verdict = iota
	// Replay: a successor of the token was used, or another successor in its
	// place. End the family.
	Replay
	// Ahead: the store does not have the generation or the copy yet. It went
	// back in time.
	Ahead
	// Behind: the family may be served, but only with data no older than its
	// last Commit, or, for a proven browser, than the refresh before the last.
	Behind
	// Issue: issue what the token leads to as it stands, and write nothing. A
	// token of the current generation leads to itself, the one before it to the
	// newest copy.
	Issue
	// Raise: raise the family's position to the head, and make its key count if
	// that was proven. Then issue.
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
	ReasonSeal     Reason = "the family's seal does not verify"
	ReasonUnproven Reason = "bound, and no live proof by its key"
	ReasonZero     Reason = "generations start at 1"
	ReasonReplay   Reason = "refresh token replayed"
	ReasonAhead    Reason = "store went back in time"
	ReasonBroken   Reason = "more answers lost than a working client loses"
)

// Request identifies what a client presented. Its token must already be
// authenticated. Equal Requests at the same time share one flight.
type Request struct {
	Family store.ID
	// Generation and Copy are the token's. A generation of 0 stands for no token.
	// Only a proven browser is served without one.
	Generation uint32
	Copy       uint16
	Native     bool // presented to the endpoint for native clients
	// Key is the key of the client's live proof, or zero if there was none. A
	// family whose key counts is served only with a proof by that key. A browser
	// with a proof by its family's key, whether that counts or not, is a proven
	// one: it is judged as if it had presented the newest token.
	Key store.Key
	// Basis is the position of the session data that the answer continues from,
	// or 0 if there is none.
	Basis store.Position
	// Carried is the generation of the session cookie whose data the answer
	// continues from, or 0 if the data is not a cookie's. Only the data of a proven
	// browser is judged by it. The token of any other bounds it: see [Carries].
	Carried uint32
	// Floor is the floor below which the caller treats cookies as expired. It
	// counts if it is above the store's own.
	Floor store.Position
}

// Judge returns the verdict on a request and, if the token is refused, the
// reason. The only clock it uses is the snapshot's. It does not judge the family's
// seal.
func (p Policy) Judge(r Request, s store.Snapshot) (Verdict, Reason) {
	if reason := lifeless(s); reason != "" {
		return Refuse, reason
	}
	f := &s.Family
	switch {
	case f.Native != r.Native:
		return Refuse, ReasonKind
	case f.Counts && f.Key != r.Key:
		return Refuse, ReasonUnproven
	}
	r = r.judgedAs(f)
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
	if r.Basis < f.LastCommit || r.carriesTooOld(f, verdict) {
		return Behind, ""
	}
	below := f.Position < max(s.Floor, r.Floor) // the cookie issued would be expired at once
	if verdict == Issue && (below || r.provenBy(f) && !f.Counts) {
		verdict = Raise
	}
	return verdict, ""
}

// provenBy reports whether a browser's request has a proof by its family's key. For
// a native client the proof takes no token's place: its key lies in a file beside
// the token, and is copied with it.
func (r *Request) provenBy(f *store.Family) bool {
	return !f.Native && !r.Key.IsZero() && r.Key == f.Key
}

// judgedAs returns the request that a request is judged as. A proven browser is no
// thief, whatever its jar fell back to.
func (r Request) judgedAs(f *store.Family) Request {
	if r.provenBy(f) {
		r.Generation, r.Copy = f.Generation, f.Copy
	}
	return r
}

// carriesTooOld reports whether a proven browser's data is older than a token
// could bring: the answer's generation continues at most that of the refresh before
// the last.
func (r *Request) carriesTooOld(f *store.Family, v Verdict) bool {
	answer := uint64(f.Generation)
	if v == Advance {
		answer++
	}
	return r.provenBy(f) && r.Carried != 0 && uint64(r.Carried)+2 < answer
}

// lifeless returns the reason why the family is not served, whoever asks, or "".
func lifeless(s store.Snapshot) Reason {
	f := &s.Family
	switch {
	case s.State == store.Absent:
		return ReasonAbsent
	case s.State == store.Ended:
		return ReasonEnded
	case s.State == store.CutOff:
		return ReasonCutOff
	case !s.Now.Before(f.Deadline()):
		return ReasonAbsolute
	case !s.Now.Before(f.IdleDeadline()):
		return ReasonIdle
	}
	return ""
}
