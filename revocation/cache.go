package revocation

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/clock"
	"github.com/waferkit/wafer/store"
)

// DefaultAnswers is the default of [Config.Limit] for a [Cache].
const DefaultAnswers = 1 << 15

// Cache judges tokens on a node that holds no replica, such as a function that
// is frozen between two requests, or a very small machine. It queries the store
// about each session and caches the resulting positions, not the verdict, for
// at most MaxStaleness from the time the query was sent. A revocation on
// another node is therefore in force here within MaxStaleness of its commit. A
// revocation by this node is in force at once. A token newer than the cached
// positions causes another query.
//
// A cache entry that was never stored, or was evicted, costs one more query and
// nothing else. What must not be lost is held in a [List] beside the cache:
// this node's own revocations, and the cutoff of everyone and the floor from
// any query.
//
// A Cache does not follow the log; it queries the store only when it is called.
// It is safe for concurrent use.
type Cache struct {
	config  Config
	querier *querier
	results *resultCache
	held    *List // its head is the highest that the store's log is known to have

	// voidUpTo is the number of the last query whose result must not be used:
	// queries up to it may have been sent before something that must be in
	// force here.
	voidUpTo atomic.Uint64

	confirmed confirmation

	mu         sync.Mutex // held while a result is accepted
	log        store.ID
	provenUpTo uint64         // queries up to this number may be older than log and head
	prepared   store.Position // the cutoff of everyone that BeforeEveryone was last called for
}

// NewCache returns an empty cache over a source, of which it uses only Cutoffs.
// It sends no query yet. The caller closes it.
//
// Config.Limit is the number of results that it caches, by default 32,768. A
// result takes some 400 bytes, or 650 if its subject is as long as it can be,
// beside 60 bytes that NewCache allocates for each. A few more may be waiting to
// be stored. The Cache also holds as many revoked names of its own: see
// [NewList]. If the store has lost one of these, it is written back when its
// session is next queried.
func NewCache(source Source, c Config) (*Cache, error) {
	c, err := c.withDefaults(DefaultAnswers)
	if err != nil {
		return nil, err
	}
	results, err := newResultCache(c.Limit, c.MaxStaleness)
	if err != nil {
		return nil, fmt.Errorf("revocation: Config.Limit is %d: %w", c.Limit, err)
	}
	cache := &Cache{config: c, querier: newQuerier(source, c), results: results, held: NewList(c.Limit)}
	cache.querier.accept = cache.accept
	if c.Restore != nil {
		cache.querier.writeBack = cache.writeBack
	}
	cache.confirmed.maxAge = c.MaxStaleness
	return cache, nil
}

// Close empties the cache and ends its goroutines. From then on Check returns
// Unconfirmed, except for what this node holds itself.
func (c *Cache) Close() { c.results.close() }

// Check judges a token by the cached result for its session and subject, and by
// what this node holds. It does not query the store. It returns Unconfirmed if
// there is no valid cached result, and Ahead if the result predates the token.
func (c *Cache) Check(now time.Time, session store.ID, subject string, at store.Position) Verdict {
	local := c.held.Cutoffs(session, subject)
	res, found := c.results.get(query{session, subject})
	if found && res.seq > c.voidUpTo.Load() && clock.Elapsed(res.sent, now) <= c.config.MaxStaleness {
		if storeLost(local, res.Cutoffs) {
			return Revoked
		}
		return Judge(join(local, res.Cutoffs), at)
	}
	if v := Judge(local, at); v == Revoked || v == Expired {
		return v
	}
	return Unconfirmed
}

// Confirm judges a token for which Check returned Ahead or Unconfirmed, by
// querying the store about this one session. Callers share queries, and the
// number in flight is bounded. An error is an outage. Ahead means here that the
// store itself does not have the position: it went back in time.
func (c *Cache) Confirm(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	if v := c.Check(c.config.Now(), session, subject, at); !v.undecided() {
		return v, nil
	}
	return c.Ask(ctx, session, subject, at)
}

// Decide judges a token as of now: by the cached result if there is a valid
// one, else by Confirm. See [Replica.Decide].
func (c *Cache) Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (Verdict, error) {
	if v := c.Check(now, session, subject, at); !v.undecided() {
		return v, nil
	}
	return c.Confirm(ctx, session, subject, at)
}

// Ask judges a token by querying the store, whatever is cached, and by what
// this node holds.
func (c *Cache) Ask(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	return c.querier.judge(ctx, query{session, subject}, at, c.voidUpTo.Load(), func() store.Cutoffs {
		return c.held.Cutoffs(session, subject)
	})
}

// CatchUp makes everything that was committed before the call take effect here:
// earlier results are no longer used, and each session is queried again.
// CatchUp itself sends no query and returns nil.
func (c *Cache) CatchUp(context.Context) error {
	c.mu.Lock()
	c.voidAll()
	c.mu.Unlock()
	c.config.Applied(nil)
	return nil
}

// voidAll makes the results of all queries sent so far unusable.
func (c *Cache) voidAll() { c.voidUpTo.Store(c.querier.lastSeq.Load()) }

// WaitFor returns nil once everything up to position p is in force here. If ctx
// ends first, the error wraps ctx.Err() and the last obstacle.
func (c *Cache) WaitFor(ctx context.Context, p store.Position) error {
	for attempt := 0; ; attempt++ {
		res, _, err := c.querier.ask(ctx, query{})
		if err == nil && res.Head >= p {
			return c.CatchUp(ctx)
		}
		if err == nil {
			err = fmt.Errorf("the log ends at %d, before %d", res.Head, p)
		}
		if !backOff(ctx, attempt, c.config.MaxStaleness) {
			return fmt.Errorf("revocation: position %d was not reached: %w: %w", p, ctx.Err(), err)
		}
	}
}

// Apply adds revocations that this node made, or that the store has not
// accepted yet. They count at once, whatever any query returns.
func (c *Cache) Apply(entries ...store.Entry) {
	c.held.Apply(entries...)
	c.config.Applied(entries)
}

// Ended reports whether this node itself has ended a session. True is final;
// false proves nothing.
func (c *Cache) Ended(session store.ID) bool { return c.held.Cutoffs(session, "").Ending != 0 }

// Dead reports whether this node knows a family to be dead, whatever the store
// returns. See [Replica.Dead].
func (c *Cache) Dead(f *store.Family) bool { return deadBy(c.held, f) }

// ExpiredBelow returns the position below which the tokens of a session are out
// of date, as far as this node holds that itself: the floor, or the last
// superseding entry from this node.
func (c *Cache) ExpiredBelow(session store.ID) store.Position {
	local := c.held.Cutoffs(session, "")
	return max(local.Floor, local.Superseding)
}

// Head returns the highest position that the store's current log is known to
// have reached. Each cached result counts up to its own head.
func (c *Cache) Head() store.Position { return c.held.Head() }

// Learn records that the store's log has reached p, as the answer to a write
// shows.
func (c *Cache) Learn(p store.Position) { c.held.Learn(p) }

// Highest returns the highest position that this node knows the log to have
// reached, before or after a rollback.
func (c *Cache) Highest() store.Position { return c.held.Highest() }

// WentBack takes the log for gone back to the given head, because the store refused
// what this node took for its highest position: see [store.ErrAbove]. No result of
// an earlier query is used from then on, and nothing that this node holds is above
// the head.
func (c *Cache) WentBack(head store.Position) {
	err := fmt.Errorf("%w: its head is %d, and it takes no entry above %d", ErrRollback, head, c.held.Highest())
	c.mu.Lock()
	c.voidAll()
	c.held.Lower(head)
	c.mu.Unlock()
	c.config.Applied(nil)
	c.config.Observe(Event{State: Unknown, Head: c.held.Head(), Floor: c.held.Floor(), Err: err})
}

// Floor returns the position below which tokens count as expired.
func (c *Cache) Floor() store.Position { return c.held.Floor() }

// Len returns the number of cached results. It is for metrics.
func (c *Cache) Len() int { return c.results.len() }

// State returns Fresh if the store has answered a query that was sent at most
// MaxStaleness before now, Stale if the last such query is older, and Unknown
// if there was none. It describes the store; each cached result has an age of
// its own.
func (c *Cache) State(now time.Time) State { return c.confirmed.state(now) }

// Confirmed returns the time between now and the sending of the last query that
// the store has answered. ok is false if there was none.
func (c *Cache) Confirmed(now time.Time) (age time.Duration, ok bool) { return c.confirmed.age(now) }
