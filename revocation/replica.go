package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/flight"
	"github.com/waferkit/wafer/store"
)

// Source is the read-only part of a [store.Store] that a Replica follows. A
// Cache uses its Cutoffs alone.
type Source interface {
	Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error)
	Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error)
}

// Defaults of a [Config].
const (
	DefaultMaxStaleness = 30 * time.Second
	DefaultLimit        = 1 << 20
	DefaultTimeout      = 2 * time.Second
)

// Config configures [Follow] and [NewCache]. The zero value is ready.
type Config struct {
	// MaxStaleness is how old the last confirmation may be for the replica to
	// be fresh. Default 30 s; at least 1 s. It is the longest that a revocation
	// on another node may take to be in force on this one.
	MaxStaleness time.Duration
	// Limit is how many entries the list holds before it drops the oldest, at
	// some 50 bytes each: see [NewList]. Default 1,048,576. Of a Cache it is how many answers
	// it keeps: see [NewCache]. At least 1,024.
	Limit int
	// Timeout bounds one question to the store. Default 2 s.
	Timeout time.Duration
	// Now is the clock. Default [time.Now]. Where its times carry a monotonic
	// reading, the larger of wall and monotonic time elapsed counts.
	Now func() time.Time
	// BeforeEveryone is called before an entry that revokes everyone is
	// applied: the ring is reloaded there, since such an entry may follow the
	// revocation of a key. An error keeps the entry, and all after it, from
	// being applied; it is tried again.
	BeforeEveryone func(ctx context.Context) error
	// Applied is told what the list has just taken, from the log or from
	// Apply. Nil says that anything may have been revoked: entries were dropped
	// before this node read them, or the log went back. Calls come one after
	// another for the log and beside those for Apply. It must not block.
	Applied func(entries []store.Entry)
	// Restore writes back what the store's log has lost: [store.Store.Restore].
	// Nil, of a node that may not write, waits until others have done so.
	Restore func(ctx context.Context, r store.Restoration) (store.Snapshot, error)
	// Observe is told of changes of state and of faults. It must not block.
	Observe func(Event)
}

// Event tells an operator what happened to the replica.
type Event struct {
	State State
	Head  store.Position // up to which everything is applied
	Floor store.Position
	// Applied is how many entries the log brought. 0: the event is about
	// something else.
	Applied int
	// Lost is how many revocations this node holds that the log has lost, as
	// it is known once a log that went back was read anew. Restored is how many
	// of them the log has again.
	Lost, Restored int
	// Err is a fault of the store, or [ErrRollback].
	Err error
}

// ErrRollback says that the store's log is not the continuation of the one
// that the replica holds: a restored backup, a failover or a flush lost
// entries.
var ErrRollback = errors.New("revocation: the log went back: the store has lost entries")

// Replica is a node's copy of the log above the floor. It follows the store by
// one goroutine until Close. It is safe for concurrent use.
type Replica struct {
	source Source
	config Config
	list   *List

	confirmed confirmation
	lost      atomic.Pointer[lost]
	own       atomic.Uint64 // counts the calls of Apply

	acknowledged acknowledged
	prepared     atomic.Uint64 // the cutoff of everyone that BeforeEveryone was called for by take
	asker        *asker
	catchUps     flight.Group[struct{}, struct{}]
	stop         context.CancelFunc
	stopped      chan struct{}
	interrupt    atomic.Pointer[context.CancelFunc] // of the question that waits for news

	mu     sync.Mutex // of applying answers
	cursor store.Position
	log    store.ID
	epoch  int   // counts the reloads: an answer to a question from before one is void
	again  *List // what the log has that is read anew; nil: none is
	ends   int   // how often that one's end was reached
}

// Close stops following and waits until it has stopped. The replica then grows
// stale; it does not go on saying what it last knew.
func (r *Replica) Close() {
	r.stop()
	<-r.stopped
}

// State returns the state at time now.
func (r *Replica) State(now time.Time) State { return r.confirmed.state(now) }

// Check judges a token by the replica alone; it takes no lock and asks nobody.
// What is revoked or expired is so in every state.
func (r *Replica) Check(now time.Time, session store.ID, subject string, at store.Position) Verdict {
	// The state is read before the list: a list that is caught up between the
	// two must not be read in its old form and trusted in its new state.
	state := r.State(now)
	// So is what is lost: it is forgotten only after the list has it again.
	lost := r.lost.Load()
	v := r.list.judge(session, subject, at)
	if v != Revoked && lost.names(session, subject) {
		return Revoked
	}
	if state != Fresh && v != Revoked && v != Expired {
		return Unconfirmed
	}
	return v
}

// Confirm judges a token where Check says Ahead or Unconfirmed: it catches up
// with the token's position, or asks the store about this one session. Callers
// share questions, and a bounded number are under way at once. An error is an
// outage. Ahead means here that the store itself does not know the position:
// it went back in time.
func (r *Replica) Confirm(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	v := r.Check(r.config.Now(), session, subject, at)
	if v == Ahead {
		if r.CatchUp(ctx) != nil {
			v = Unconfirmed
		} else {
			v = r.Check(r.config.Now(), session, subject, at)
		}
	}
	if v != Unconfirmed {
		return v, nil
	}
	return r.Ask(ctx, session, subject, at)
}

// Decide judges a token as of now: by the replica alone if that can tell, which
// is the rule, else by Confirm. The verdict is Good, Revoked, Expired, or Ahead
// if the store itself does not have the token's position. An error is an outage.
func (r *Replica) Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (Verdict, error) {
	if v := r.Check(now, session, subject, at); !v.undecided() {
		return v, nil
	}
	return r.Confirm(ctx, session, subject, at)
}

// Ask judges a token by the store, whatever the state, and by what this node
// holds.
func (r *Replica) Ask(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	lost := r.lost.Load() // before the list, as in Check
	v, err := r.asker.judge(ctx, question{session, subject}, at, 0, func() store.Cutoffs {
		return r.list.Cutoffs(session, subject)
	})
	if err == nil && lost.names(session, subject) {
		v = Revoked
	}
	return v, err
}

// take sees an answer about one session before it is used: one that revokes
// everyone anew may follow the revocation of a key, which the log has not yet
// told here.
func (r *Replica) take(ctx context.Context, _ question, said answer) error {
	if said.Everyone <= max(r.list.Cutoffs(store.ID{}, "").Everyone, store.Position(r.prepared.Load())) {
		return nil
	}
	if err := r.config.BeforeEveryone(ctx); err != nil {
		return fmt.Errorf("revocation: before everyone is revoked: %w", err)
	}
	r.prepared.Store(uint64(said.Everyone))
	return nil
}

// CatchUp asks the store for news by a request that is sent after the call,
// and applies the answer. It is what to do where Check says Ahead.
func (r *Replica) CatchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	// A flight that was under way already may have asked before this call:
	// its answer is no use, so the next one is joined or begun.
	for turn := 0; ; turn++ {
		began := false
		_, err := r.catchUps.Do(ctx, struct{}{}, func() (struct{}, error) {
			began = true
			detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Timeout)
			defer cancel()
			return struct{}{}, r.readOn(detached)
		})
		if began || turn == 1 || ctx.Err() != nil {
			return err
		}
	}
}

// WaitFor returns when the replica is fresh and has applied everything up to
// position p, or with the error that kept it from that when ctx ends.
func (r *Replica) WaitFor(ctx context.Context, p store.Position) error {
	for attempt := 0; ; attempt++ {
		if r.State(r.config.Now()) == Fresh && r.list.Head() >= p {
			return nil
		}
		err := r.CatchUp(ctx)
		switch {
		case err != nil:
		case r.list.Head() < p:
			err = fmt.Errorf("the log ends at %d, before %d", r.list.Head(), p)
		case r.State(r.config.Now()) == Fresh:
			return nil
		default:
			err = errors.New("the store answers later than MaxStaleness")
		}
		if !pause(ctx, attempt, r.config.MaxStaleness) {
			return fmt.Errorf("revocation: position %d was not reached: %w: %w", p, ctx.Err(), err)
		}
	}
}

// Apply adds entries that this node knows of before the log has brought them:
// those of a revocation that it made, or that the store has not yet taken.
func (r *Replica) Apply(entries ...store.Entry) {
	r.own.Add(1) // first: a question that is sent after this has them in its answer
	r.list.Apply(entries...)
	r.config.Applied(entries)
}

// Ended reports whether this node knows that a session was ended. That is
// final; false means nothing, since old entries are dropped.
func (r *Replica) Ended(session store.ID) bool { return r.list.Cutoffs(session, "").Ending != 0 }

// Dead reports whether this node knows a family to be dead, whatever the store
// says: it was ended, or born below a cutoff of its subject or of everyone. A
// store that lets it live has lost that. False means nothing: old entries are
// dropped.
func (r *Replica) Dead(f *store.Family) bool {
	return r.lost.Load().names(f.ID, f.Subject) || deadBy(r.list, f) // in that order, as in Check
}

func deadBy(l *List, f *store.Family) bool {
	c := l.Cutoffs(f.ID, f.Subject)
	return c.Ending != 0 || f.Birth < max(c.Subject, c.Everyone)
}

// ExpiredBelow returns the position below which the tokens of a session are out
// of date here: the floor, or its last superseding entry.
func (r *Replica) ExpiredBelow(session store.ID) store.Position {
	c := r.list.Cutoffs(session, "")
	return max(c.Floor, c.Superseding)
}

// Head returns the position up to which the replica has applied everything.
func (r *Replica) Head() store.Position { return r.list.Head() }

// Learn says that the store's log has reached p, as an answer to a write tells.
func (r *Replica) Learn(p store.Position) {
	r.list.Learn(p)
	if p > r.list.Head() {
		r.acknowledged.add(p)
	}
}

// Highest returns the highest position that this node knows the log to have
// reached, before or after it went back.
func (r *Replica) Highest() store.Position { return r.list.Highest() }

// Floor returns the position below which tokens count as expired.
func (r *Replica) Floor() store.Position { return r.list.Floor() }

// Len returns how many sessions and subjects the list holds. It reads the whole
// list; it is for metrics.
func (r *Replica) Len() int { return r.list.Len() }

// Confirmed returns how long ago, at time now, the replica was last confirmed;
// ok is false while it is unknown.
func (r *Replica) Confirmed(now time.Time) (age time.Duration, ok bool) {
	return r.confirmed.age(now)
}

// event is what there is to tell now.
func (r *Replica) event(err error) Event {
	return Event{State: r.State(r.config.Now()), Head: r.list.Head(), Floor: r.list.Floor(), Err: err}
}
