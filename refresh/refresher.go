package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/flight"
	"github.com/waferkit/wafer/store"
)

// Store is the part of [store.Store] that a Refresher uses.
type Store interface {
	Advance(ctx context.Context, a store.Advance) (store.Snapshot, error)
	Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error)
	Family(ctx context.Context, id store.ID) (store.Snapshot, error)
	Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error)
}

// Refresher carries out verdicts on a store. It usually needs one store call.
// It is safe for concurrent use, owns no goroutine, and needs no closing.
type Refresher struct {
	// Revoke, unless nil, appends the entry that ends a replayed family, in place of
	// the store's Revoke. Set it before the first use.
	Revoke func(ctx context.Context, r store.Revocation) (store.Snapshot, error)
	// Verify, unless nil, returns an error if a family's seal does not verify. The
	// family is then refused, and nothing is written but an advance that was due.
	// An error that wraps ErrUnverifiable is an outage, as is any once ctx has
	// ended. Every snapshot that an answer is made of is verified. Verify is called
	// concurrently, and must not change the family. Set it before the first use.
	Verify func(ctx context.Context, f *store.Family) error

	store   Store
	policy  Policy
	timeout time.Duration
	flights flight.Group[Request, Result]
}

// ErrUnverifiable if a family's seal cannot be verified now, such as while its key
// is unknown and the ring cannot be read. [Refresher.Verify] wraps it.
var ErrUnverifiable = errors.New("refresh: the family's seal cannot be verified now")

// Result is the outcome of a request.
type Result struct {
	// Verdict is Issue if the family is served, as Snapshot shows it. Otherwise
	// it is Refuse, Replay (the family was ended), Ahead, or Behind (nothing
	// was written; start again from the family's committed value).
	Verdict  Verdict
	Reason   Reason
	Snapshot store.Snapshot
	// Advanced and Reissued report whether that was written.
	Advanced bool
	Reissued bool
	// Proven reports whether the client is a proven browser: see [Request].
	Proven bool
	// Entry is the position at which a replayed family was ended.
	Entry store.Position
}

// New returns a Refresher over a store, which stays the caller's. It returns an
// error if the policy fails [Policy.Check] or the timeout is not above 0. Store
// calls continue if the client hangs up, and timeout bounds those of one
// request together: an advance that has begun must not be lost because a tab
// was closed.
func New(s Store, p Policy, timeout time.Duration) (*Refresher, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if timeout <= 0 {
		return nil, errors.New("refresh: the timeout must be above 0")
	}
	return &Refresher{store: s, policy: p, timeout: timeout}, nil
}

// Do judges an authentic token and carries out the verdict. Equal requests at
// the same time share one flight. An error is an outage: nothing is known about
// the token.
func (r *Refresher) Do(ctx context.Context, q Request) (Result, error) {
	return r.flights.Do(ctx, q, func() (Result, error) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		res, err := r.do(ctx, q)
		if err == nil && (time.Since(began) > 2*r.timeout || time.Now().Round(0).Sub(began.Round(0)) > 2*r.timeout) {
			// The process was paused in between. The store's answer proves
			// nothing to callers that joined the flight since.
			return Result{}, errors.New("refresh: the store's answer has grown old")
		}
		return res, err
	})
}

// maxAttempts bounds how often a request is judged again because another
// request changed the family in between.
const maxAttempts = 8

func (r *Refresher) do(ctx context.Context, q Request) (Result, error) {
	var res Result
	snap, err := r.first(ctx, q)
	res.Advanced = err == nil && snap.Outcome == store.Written
	raised := false
	for range maxAttempts {
		if err != nil {
			return Result{}, err
		}
		if err := r.judge(ctx, q, snap, &res); err != nil {
			return Result{}, err
		}
		switch res.Verdict {
		case Advance:
			snap, err = r.advance(ctx, q.judgedAs(&snap.Family), lag)
			res.Advanced = err == nil && snap.Outcome == store.Written
		case Reissue:
			snap, err = r.store.Reissue(ctx, store.Reissue{
				ID: q.Family, Generation: q.Generation, Copy: q.Copy, Native: q.Native, Key: q.Key, Basis: q.Basis,
				Age: r.policy.Grace, Skew: r.policy.Skew,
			})
			res.Reissued = err == nil && snap.Outcome == store.Written
		case Raise:
			if raised {
				// The caller's floor is above the store's head: the store went
				// back. Until the log has caught up, a cookie issued now is
				// refreshed at each request, which is better than no session.
				res.Verdict = Issue
				return res, nil
			}
			raised = true
			snap, err = r.store.Advance(ctx, store.Advance{
				ID: q.Family, Generation: snap.Family.Generation, Native: q.Native, Key: q.Key, Basis: q.Basis, PositionOnly: true,
			})
		case Replay:
			res.Entry, err = r.end(ctx, q)
			return res, err
		default:
			return res, nil
		}
	}
	return Result{}, fmt.Errorf("refresh: no verdict held for %d turns; the last was %v", maxAttempts, res.Verdict)
}

// first makes the only call that the common case needs: an advance from the token
// presented. Its snapshot is judged whether or not it advanced the family: a
// generation that was advanced just now is served as one within the grace.
func (r *Refresher) first(ctx context.Context, q Request) (store.Snapshot, error) {
	switch {
	case q.Generation == 0 || q.Carried != 0 && !carries(q.Carried, q.Generation):
		// There is nothing to advance from, or no data for the answer.
		return r.store.Family(ctx, q.Family)
	case !q.Key.IsZero():
		return r.advance(ctx, q, 0) // the copy of a proven browser does not lag
	}
	return r.advance(ctx, q, lag)
}

func (r *Refresher) advance(ctx context.Context, q Request, lag uint16) (store.Snapshot, error) {
	return r.store.Advance(ctx, store.Advance{
		ID: q.Family, Generation: q.Generation, Copy: q.Copy, Native: q.Native, Key: q.Key, Basis: q.Basis,
		Age: r.policy.half(), Lag: lag, Skew: r.policy.Skew,
	})
}

// judge sets the verdict on a request. The seal comes before the token: a row that
// somebody has changed gives no reason to end the family, nor to ask for a proof by
// the key in it.
func (r *Refresher) judge(ctx context.Context, q Request, snap store.Snapshot, res *Result) error {
	res.Snapshot, res.Proven = snap, q.provenBy(&snap.Family)
	if r.Verify != nil && lifeless(snap) == "" {
		switch err := r.Verify(ctx, &snap.Family); {
		case err != nil && ctx.Err() != nil, errors.Is(err, ErrUnverifiable):
			return err
		case err != nil:
			res.Verdict, res.Reason = Refuse, ReasonSeal
			return nil
		}
	}
	res.Verdict, res.Reason = r.policy.Judge(q, snap)
	return nil
}

func (r *Refresher) end(ctx context.Context, q Request) (store.Position, error) {
	revoke := r.store.Revoke
	if r.Revoke != nil {
		revoke = r.Revoke
	}
	snap, err := revoke(ctx, store.Revocation{
		Sessions: []store.ID{q.Family}, Above: q.Floor, Reason: string(ReasonReplay),
	})
	return snap.Entry, err
}

// Look judges an authentic token for a request whose response cannot carry
// cookies (an upgrade). It serves the family as it stands if Do would serve it,
// and writes nothing, except that a replay ends the family.
func (r *Refresher) Look(ctx context.Context, q Request) (Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()
	snap, err := r.store.Family(ctx, q.Family)
	if err != nil {
		return Result{}, err
	}
	var res Result
	if err := r.judge(ctx, q, snap, &res); err != nil {
		return Result{}, err
	}
	switch res.Verdict {
	case Advance, Raise, Reissue:
		res.Verdict = Issue
	case Replay:
		res.Entry, err = r.end(ctx, q)
		return res, err
	}
	return res, nil
}

// Newest returns the token of the newest copy of a family's generation.
func Newest(f *store.Family) codec.RefreshToken {
	return codec.RefreshToken{Family: codec.ID(f.ID), Generation: f.Generation, Copy: f.Copy}
}

// Answer returns the token that a served request leads to: the presented one
// while its generation is the family's, else the newest. A proven browser gets the
// newest in any case.
func (r *Result) Answer(presented codec.RefreshToken) codec.RefreshToken {
	if !r.Proven && presented.Generation == r.Snapshot.Family.Generation {
		return presented
	}
	return Newest(&r.Snapshot.Family)
}

// Carries reports whether a session may continue with the data of a session
// cookie when it is refreshed by a token: both belong to the same family, and the
// cookie is at most one generation older than the token. The store decides by
// the Request's Basis whether the family has committed newer data.
func Carries(cookie codec.Session, token codec.RefreshToken) bool {
	return cookie.ID == token.Family && carries(cookie.Generation, token.Generation)
}

func carries(cookie, token uint32) bool { return uint64(cookie)+1 >= uint64(token) }
