package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/clock"
	"github.com/waferkit/wafer/internal/flight"
	"github.com/waferkit/wafer/store"
)

// maxQueries bounds the queries to the store that are in flight at once.
const maxQueries = 64

// querier asks the store about single sessions. Concurrent callers with the
// same query share one call.
type querier struct {
	source  Source
	timeout time.Duration
	maxAge  time.Duration // a result that took longer is an error
	now     func() time.Time
	lastSeq atomic.Uint64
	accept  func(context.Context, query, result) error // called with a result before any caller gets it; may be nil
	// writeBack restores what the store has lost. It is nil if that is not done
	// here.
	writeBack func(ctx context.Context, q query, local, res store.Cutoffs) error
	flights   flight.Group[query, result]
	slots     chan struct{}
}

// query identifies a call of Cutoffs.
type query struct {
	session store.ID
	subject string
}

// result is the store's answer to a query, as of the time the query was sent.
type result struct {
	store.Cutoffs
	sent time.Time
	seq  uint64 // numbers the queries in the order in which they are sent, from 1
}

func newQuerier(source Source, c Config) *querier {
	return &querier{
		source: source, timeout: c.Timeout, maxAge: c.MaxStaleness, now: c.Now,
		slots: make(chan struct{}, maxQueries),
	}
}

// ask returns the store's answer. began is false if the query had been sent
// before the call.
func (qr *querier) ask(ctx context.Context, q query) (res result, began bool, err error) {
	res, err = qr.flights.Do(ctx, q, func() (result, error) {
		began = true
		return qr.send(ctx, q)
	})
	return res, began, err
}

func (qr *querier) send(ctx context.Context, q query) (result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), qr.timeout)
	defer cancel()
	select {
	case qr.slots <- struct{}{}:
		defer func() { <-qr.slots }()
	case <-ctx.Done():
		return result{}, fmt.Errorf("revocation: %d questions to the store are under way already: %w", maxQueries, ctx.Err())
	}
	res := result{sent: qr.now(), seq: qr.lastSeq.Add(1)}
	var err error
	res.Cutoffs, err = qr.source.Cutoffs(ctx, q.session, q.subject)
	if err == nil && qr.accept != nil {
		err = qr.accept(ctx, q, res)
	}
	if err == nil && clock.Elapsed(res.sent, qr.now()) > qr.maxAge {
		err = errors.New("revocation: the store's answer is older than MaxStaleness; was the process paused?")
	}
	return res, err
}

// judge asks the store and judges a token by the result and by what this node
// holds. Results of queries numbered up to voidUpTo are ignored. Ahead means
// that the store itself does not have the token's position.
func (qr *querier) judge(ctx context.Context, q query, at store.Position, voidUpTo uint64, held func() store.Cutoffs) (Verdict, error) {
	for attempt := 0; ; attempt++ {
		res, began, err := qr.ask(ctx, q)
		if err != nil {
			return Unconfirmed, err
		}
		if res.seq <= voidUpTo {
			continue // that query was already in flight; the next one is not
		}
		local := held()
		if storeLost(local, res.Cutoffs) {
			if attempt == 0 && qr.writeBack != nil && qr.writeBack(ctx, q, local, res.Cutoffs) == nil {
				continue
			}
			return Revoked, nil
		}
		// A query that was already in flight may have been answered before the
		// token was minted. Only a query sent after seeing the token can show
		// that the store does not have its position.
		if v := Judge(join(local, res.Cutoffs), at); v != Ahead || began || attempt == 1 {
			return v, nil
		}
	}
}

// join returns the higher of each pair of cutoffs, and the head of the second.
func join(local, res store.Cutoffs) store.Cutoffs {
	res.Ending = max(res.Ending, local.Ending)
	res.Superseding = max(res.Superseding, local.Superseding)
	res.Subject = max(res.Subject, local.Subject)
	res.Everyone = max(res.Everyone, local.Everyone)
	res.Floor = max(res.Floor, local.Floor)
	return res
}

// storeLost reports whether the store's result lacks a cutoff that this node
// holds, although its log reaches that far and has not dropped it: the store
// has lost it. The store's data on that session may then predate the
// revocation, so the cutoff applies to every position.
func storeLost(local, res store.Cutoffs) bool {
	return cutoffLost(local.Everyone, 0, local, res) || cutoffLost(local.Subject, res.Subject, local, res) || endingLost(local, res)
}

// endingLost is storeLost for the end of the session. Any entry that ends it covers
// every position, so it is lost only if the store has none.
func endingLost(local, res store.Cutoffs) bool {
	return res.Ending == 0 && cutoffLost(local.Ending, 0, local, res)
}

// cutoffLost is storeLost for the cutoff of a subject or of everyone: held is this
// node's, has is the store's.
func cutoffLost(held, has store.Position, local, res store.Cutoffs) bool {
	return held > max(local.Floor, res.Floor) && held <= res.Head && held > max(has, res.Everyone)
}
