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
// Cache uses only Cutoffs.
type Source interface {
	Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error)
	Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error)
}

// Defaults of a [Config].
const (
	DefaultMaxStaleness = 30 * time.Second
	DefaultLimit        = 1 << 20
	DefaultTimeout      = 2 * time.Second
)

// Config configures [Follow] and [NewCache]. The zero value is ready to use.
type Config struct {
	// MaxStaleness is the maximum age of the last confirmation for the replica
	// to be fresh, and so the longest time until a revocation on another node
	// is in force on this one. Default 30 s; at least 1 s.
	MaxStaleness time.Duration
	// Limit is the number of names that the list holds before it drops the
	// oldest, at some 50 bytes each: see [NewList]. Default 1,048,576; at least
	// 1,024. For a Cache it is the number of results that are cached: see
	// [NewCache].
	Limit int
	// Timeout bounds one query to the store, beyond the time that the store was
	// asked to wait. Default 2 s.
	Timeout time.Duration
	// Now is the clock. Default [time.Now]. If its times have a monotonic
	// reading, ages are the larger of the wall and the monotonic time elapsed.
	Now func() time.Time
	// BeforeEveryone is called before an entry that revokes everyone is
	// applied. The ring is reloaded there, since such an entry may follow the
	// revocation of a key. After an error the entry and all that follow it are
	// not applied, and the call is tried again. Default: no call.
	BeforeEveryone func(ctx context.Context) error
	// Applied is called with the entries that the list has just applied, from
	// the log or from Apply. Nil means that anything may have been revoked:
	// entries were dropped before this node read them, or the log went back.
	// Calls for the log come one after another; calls for Apply may run at the
	// same time. It must not block.
	Applied func(entries []store.Entry)
	// Restore writes back what the store's log has lost: see
	// [store.Store.Restore]. If it is nil, because the node may not write, the
	// replica waits until other nodes have done so.
	Restore func(ctx context.Context, r store.Restoration) (store.Snapshot, error)
	// Observe is called with changes of state and faults. It must not block.
	Observe func(Event)
}

// Event reports to operators what happened to the replica.
type Event struct {
	State State
	Head  store.Position // the position up to which everything is applied
	Floor store.Position
	// Applied is the number of entries that were read from the log. It is 0 if
	// the event is about something else.
	Applied int
	// Lost is the number of revocations that this node holds and the log has
	// lost. It is set once a log that went back has been reloaded. Restored is
	// the number of them that the log has again.
	Lost, Restored int
	// Err is a fault of the store, or wraps [ErrRollback].
	Err error
}

// ErrRollback if the store's log does not continue the one that the replica
// holds: a restored backup, a failover or a flush lost entries. It is reported
// to [Config.Observe], and returned by calls that read the log meanwhile.
var ErrRollback = errors.New("revocation: the log went back: the store has lost entries")

// Replica is a node's copy of the log above the floor. One goroutine follows
// the store until Close. A Replica is safe for concurrent use.
type Replica struct {
	source Source
	config Config
	list   *List

	confirmed  confirmation
	lost       atomic.Pointer[lost]
	applyCalls atomic.Uint64 // counts the calls of Apply

	acknowledged acknowledged
	prepared     atomic.Uint64 // the cutoff of everyone that accept last called BeforeEveryone for
	querier      *querier
	catchUps     flight.Group[struct{}, struct{}]
	stop         context.CancelFunc
	stopped      chan struct{}
	interrupt    atomic.Pointer[context.CancelFunc] // cancels the query that waits for entries

	mu         sync.Mutex // held while an answer is applied
	cursor     store.Cursor
	log        store.ID
	epoch      int   // counts the reloads: an answer to a query from before a reload is void
	reload     *List // what a reload has read so far; nil if there is none in progress
	reloadEnds int   // how often the reload has reached the log's end
}

// Close stops following the log and waits until the goroutine has ended. The
// replica then grows stale, so it does not keep confirming what it last held.
func (r *Replica) Close() {
	r.stop()
	<-r.stopped
}

// State returns the state at the time now.
func (r *Replica) State(now time.Time) State { return r.confirmed.state(now) }

// Check judges a token by the replica alone. It takes no lock and does not
// query the store. Revoked and Expired are returned in every state.
func (r *Replica) Check(now time.Time, session store.ID, subject string, at store.Position) Verdict {
	// The state is read before the list. Otherwise a list that catches up
	// between the two reads could be read in its old form and trusted in its
	// new state.
	state := r.State(now)
	// The losses too are read before the list: they are cleared only after the
	// list has the entries again.
	lost := r.lost.Load()
	v := r.list.judge(session, subject, at)
	if v != Revoked && lost.covers(session, subject) {
		return Revoked
	}
	if state != Fresh && v != Revoked && v != Expired {
		return Unconfirmed
	}
	return v
}

// Confirm judges a token for which Check returned Ahead or Unconfirmed. It
// catches up with the token's position, or queries the store about this one
// session. Callers share queries, and the number in flight is bounded. An error
// is an outage. Ahead means here that the store itself does not have the
// position: it went back in time.
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

// Decide judges a token as of now: by the replica alone if that suffices, as it
// usually does, else by Confirm. The verdict is Good, Revoked, Expired, or
// Ahead if the store itself does not have the token's position. An error is an
// outage.
func (r *Replica) Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (Verdict, error) {
	if v := r.Check(now, session, subject, at); !v.undecided() {
		return v, nil
	}
	return r.Confirm(ctx, session, subject, at)
}

// Ask judges a token by querying the store, whatever the state, and by what
// this node holds.
func (r *Replica) Ask(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	lost := r.lost.Load() // before the list, as in Check
	v, err := r.querier.judge(ctx, query{session, subject}, at, 0, func() store.Cutoffs {
		return r.list.Cutoffs(session, subject)
	})
	if err == nil && lost.covers(session, subject) {
		v = Revoked
	}
	return v, err
}

// accept handles a result for one session before any caller gets it. A new
// cutoff of everyone may follow the revocation of a key, and the log may not
// have brought it here yet.
func (r *Replica) accept(ctx context.Context, _ query, res result) error {
	r.list.Learn(res.Head)
	if res.Everyone <= max(r.list.Cutoffs(store.ID{}, "").Everyone, store.Position(r.prepared.Load())) {
		return nil
	}
	if err := r.config.BeforeEveryone(ctx); err != nil {
		return fmt.Errorf("revocation: before everyone is revoked: %w", err)
	}
	r.prepared.Store(uint64(res.Everyone))
	return nil
}

// CatchUp queries the log by a request that is sent after the call, and applies
// the answer. Call it if Check returns Ahead.
func (r *Replica) CatchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	// A flight that was already under way may have sent its query before this
	// call. Its answer is of no use, so the next flight is joined or begun.
	for attempt := 0; ; attempt++ {
		began := false
		_, err := r.catchUps.Do(ctx, struct{}{}, func() (struct{}, error) {
			began = true
			detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Timeout)
			defer cancel()
			return struct{}{}, r.readToEnd(detached)
		})
		if began || attempt == 1 || ctx.Err() != nil {
			return err
		}
	}
}

// WaitFor returns nil once the replica is fresh and has applied everything up
// to position p. If ctx ends first, the error wraps ctx.Err() and the last
// obstacle.
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
		if !backOff(ctx, attempt, r.config.MaxStaleness) {
			return fmt.Errorf("revocation: position %d was not reached: %w: %w", p, ctx.Err(), err)
		}
	}
}

// Apply adds entries before the log has brought them: those of a revocation
// that this node made, or that the store has not accepted yet.
func (r *Replica) Apply(entries ...store.Entry) {
	r.applyCalls.Add(1) // first: a query sent after this has the entries in its answer
	r.list.Apply(entries...)
	r.config.Applied(entries)
}

// Ended reports whether this node knows that a session was ended. True is
// final; false proves nothing, since old entries are dropped.
func (r *Replica) Ended(session store.ID) bool { return r.list.Cutoffs(session, "").Ending != 0 }

// Dead reports whether this node knows a family to be dead, whatever the store
// returns. A family is dead if it was ended, or was born below a cutoff of its
// subject, of its actor or of everyone. A store that returns such a family as alive has lost
// the revocation. False proves nothing, since old entries are dropped.
func (r *Replica) Dead(f *store.Family) bool {
	lost := r.lost.Load() // before the list, as in Check
	return lost.covers(f.ID, f.Subject) || f.Actor != "" && lost.covers(f.ID, f.Actor) || deadBy(r.list, f)
}

func deadBy(l *List, f *store.Family) bool {
	c := l.Cutoffs(f.ID, f.Subject)
	if f.Actor != "" {
		c.Subject = max(c.Subject, l.Cutoffs(f.ID, f.Actor).Subject)
	}
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

// Learn records that the store's log has reached p, as the answer to a write
// shows.
func (r *Replica) Learn(p store.Position) {
	r.list.Learn(p)
	if p > r.list.Head() {
		r.acknowledged.add(p)
	}
}

// Highest returns the highest position that this node knows the log to have
// reached, before or after a rollback.
func (r *Replica) Highest() store.Position { return r.list.Highest() }

// WentBack takes the log for gone back to the given head, because the store refused
// what this node took for its highest position: see [store.ErrAbove]. The highest
// position is head from then on, nothing that this node holds is above it, and the
// log is read from its start.
func (r *Replica) WentBack(head store.Position) {
	err := fmt.Errorf("%w: its head is %d, and it takes no entry above %d", ErrRollback, head, r.list.Highest())
	r.mu.Lock()
	r.startReload(r.log) // first, so that no reader trusts the lowered list
	r.list.Lower(head)
	r.mu.Unlock()
	r.config.Observe(r.newEvent(err))
}

// Floor returns the position below which tokens count as expired.
func (r *Replica) Floor() store.Position { return r.list.Floor() }

// Len returns the number of sessions and subjects that the list holds. It reads
// the whole list and is meant for metrics.
func (r *Replica) Len() int { return r.list.Len() }

// Confirmed returns the age of the last confirmation at the time now. ok is
// false while the state is Unknown.
func (r *Replica) Confirmed(now time.Time) (age time.Duration, ok bool) {
	return r.confirmed.age(now)
}

// newEvent returns an event with the current state.
func (r *Replica) newEvent(err error) Event {
	return Event{State: r.State(r.config.Now()), Head: r.list.Head(), Floor: r.list.Floor(), Err: err}
}
