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

// DefaultAnswers is the default of [Config.Limit] of a [Cache].
const DefaultAnswers = 1 << 15

// Cache judges tokens on a node that holds no replica: a function that is
// frozen between two requests, or a very small machine. It asks the store about
// each session, and keeps the answer for at most MaxStaleness as of the moment
// the question was sent: positions, not verdicts. So a revocation on another
// node is in force here MaxStaleness after its commit, one that this node makes
// at once, and a token newer than the answer is asked about again.
//
// An answer that was not kept, or was dropped to make room, costs one more
// question and nothing else. What must not be lost is held beside the answers
// in a [List]: this node's own revocations, and what any answer has said of
// everyone and of the floor.
//
// It follows nothing and asks only when it is asked. It is safe for concurrent
// use.
type Cache struct {
	config  Config
	asker   *asker
	answers *answers
	held    *List // its head is the highest that the store's log is known to have

	// void is the turn up to which answers are not used: their questions may
	// have been sent before something that must be in force here.
	void atomic.Uint64

	confirmed confirmation

	mu       sync.Mutex // of taking answers
	log      store.ID
	proven   uint64         // the turn up to which questions may be older than log and head
	prepared store.Position // the cutoff of everyone that BeforeEveryone was called for
}

// NewCache returns an empty cache over a source, of which it uses Cutoffs
// alone. It asks nothing yet.
//
// Config.Limit is how many answers it keeps: default 32,768, at some 400 bytes
// each (650 where subjects are as long as can be), and 60 that are taken at
// once; some more may wait to be kept. Beside them it holds at most as many
// revocations of its own: see [NewList]. What of these the
// store has lost is written back when it is asked about.
func NewCache(source Source, c Config) (*Cache, error) {
	c, err := c.withDefaults(DefaultAnswers)
	if err != nil {
		return nil, err
	}
	kept, err := newAnswers(c.Limit, c.MaxStaleness)
	if err != nil {
		return nil, fmt.Errorf("revocation: Config.Limit is %d: %w", c.Limit, err)
	}
	cache := &Cache{config: c, asker: newAsker(source, c), answers: kept, held: NewList(c.Limit)}
	cache.asker.take = cache.take
	if c.Restore != nil {
		cache.asker.writeBack = cache.writeBack
	}
	cache.confirmed.most = c.MaxStaleness
	return cache, nil
}

// Close drops the answers and ends the goroutines that keep them in order. What
// was not asked about since is Unconfirmed from then on.
func (c *Cache) Close() { c.answers.close() }

// Check judges a token by the answer that is kept for its session and subject,
// and by what this node holds; it asks nobody. It says Unconfirmed where there
// is no answer that counts any more, and Ahead where the answer is from before
// the token was minted.
func (c *Cache) Check(now time.Time, session store.ID, subject string, at store.Position) Verdict {
	own := c.held.Cutoffs(session, subject)
	said, found := c.answers.get(question{session, subject})
	if found && said.turn > c.void.Load() && clock.Elapsed(said.sent, now) <= c.config.MaxStaleness {
		if lostOf(own, said.Cutoffs) {
			return Revoked
		}
		return Judge(join(own, said.Cutoffs), at)
	}
	if v := Judge(own, at); v == Revoked || v == Expired {
		return v
	}
	return Unconfirmed
}

// Confirm judges a token where Check says Ahead or Unconfirmed, by asking the
// store about this one session. Callers share questions, and a bounded number
// are under way at once. An error is an outage. Ahead means here that the
// store itself does not know the position: it went back in time.
func (c *Cache) Confirm(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	if v := c.Check(c.config.Now(), session, subject, at); !v.undecided() {
		return v, nil
	}
	return c.Ask(ctx, session, subject, at)
}

// Decide judges a token as of now: by the answer that is kept if there is one,
// else by Confirm. See [Replica.Decide].
func (c *Cache) Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (Verdict, error) {
	if v := c.Check(now, session, subject, at); !v.undecided() {
		return v, nil
	}
	return c.Confirm(ctx, session, subject, at)
}

// Ask judges a token by the store, whatever is kept, and by what this node
// holds.
func (c *Cache) Ask(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	return c.asker.judge(ctx, question{session, subject}, at, c.void.Load(), func() store.Cutoffs {
		return c.held.Cutoffs(session, subject)
	})
}

// CatchUp puts everything in force here that was committed before the call:
// what was asked until now counts no more, and each session is asked about
// again. It asks nobody, and returns nil.
func (c *Cache) CatchUp(context.Context) error {
	c.mu.Lock()
	c.forget()
	c.mu.Unlock()
	c.config.Applied(nil)
	return nil
}

// forget makes the answers void to all questions that have been sent.
func (c *Cache) forget() { c.void.Store(c.asker.turns.Load()) }

// WaitFor returns when everything up to position p is in force here, or with
// the error that kept it from that when ctx ends.
func (c *Cache) WaitFor(ctx context.Context, p store.Position) error {
	for attempt := 0; ; attempt++ {
		said, _, err := c.asker.ask(ctx, question{})
		if err == nil && said.Head >= p {
			return c.CatchUp(ctx)
		}
		if err == nil {
			err = fmt.Errorf("the log ends at %d, before %d", said.Head, p)
		}
		if !pause(ctx, attempt, c.config.MaxStaleness) {
			return fmt.Errorf("revocation: position %d was not reached: %w: %w", p, ctx.Err(), err)
		}
	}
}

// Apply adds revocations that this node made, or that the store has not yet
// taken. They count at once, whatever any answer says.
func (c *Cache) Apply(entries ...store.Entry) {
	c.held.Apply(entries...)
	c.config.Applied(entries)
}

// Ended reports whether this node itself has ended a session. That is final;
// false means nothing.
func (c *Cache) Ended(session store.ID) bool { return c.held.Cutoffs(session, "").Ending != 0 }

// Dead reports whether this node knows a family to be dead, whatever the store
// says: see [Replica.Dead].
func (c *Cache) Dead(f *store.Family) bool { return deadBy(c.held, f) }

// ExpiredBelow returns the position below which the tokens of a session are out
// of date, as far as this node itself holds that: the floor, or its last
// superseding entry from here.
func (c *Cache) ExpiredBelow(session store.ID) store.Position {
	own := c.held.Cutoffs(session, "")
	return max(own.Floor, own.Superseding)
}

// Head returns the highest position that the store's log, as it is now, is
// known to have reached. Each answer counts up to its own.
func (c *Cache) Head() store.Position { return c.held.Head() }

// Learn says that the store's log has reached p, as an answer to a write tells.
func (c *Cache) Learn(p store.Position) { c.held.Learn(p) }

// Highest returns the highest position that this node knows the log to have
// reached, before or after it went back.
func (c *Cache) Highest() store.Position { return c.held.Highest() }

// Floor returns the position below which tokens count as expired.
func (c *Cache) Floor() store.Position { return c.held.Floor() }

// Len returns how many answers are kept. It is for metrics.
func (c *Cache) Len() int { return c.answers.len() }

// State returns Fresh if the store has answered a question that was sent at
// most MaxStaleness before now, Stale if the last one is older, and Unknown
// before the first. It tells of the store: each answer has an age of its own.
func (c *Cache) State(now time.Time) State { return c.confirmed.state(now) }

// Confirmed returns how long ago, at time now, the last question was sent that
// the store has answered; ok is false before the first.
func (c *Cache) Confirmed(now time.Time) (age time.Duration, ok bool) { return c.confirmed.age(now) }
