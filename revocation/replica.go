package revocation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/flight"
	"github.com/waferkit/wafer/store"
)

// Source is the read-only part of a [store.Store] that a Replica follows.
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

// maxAsking bounds how many questions to the store are under way at once while
// the replica is not fresh.
const maxAsking = 64

// Config configures [Follow]. The zero value is ready.
type Config struct {
	// MaxStaleness is how old the last confirmation may be for the replica to
	// be fresh. Default 30 s; at least 1 s. It is the longest that a revocation
	// on another node may take to be in force on this one.
	MaxStaleness time.Duration
	// Limit is how many entries the list holds before it drops the oldest, at
	// up to 56 bytes each. Default 1,048,576.
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
	// Observe is told of changes of state and of faults. It must not block.
	Observe func(Event)
}

// State is what a replica can say.
type State uint8

const (
	// Unknown: it has not yet read the whole log.
	Unknown State = iota
	// Stale: it was not confirmed for longer than MaxStaleness.
	Stale
	// Fresh: it holds everything that was committed MaxStaleness ago.
	Fresh
)

// String returns the state in lower case.
func (s State) String() string { return [...]string{"unknown", "stale", "fresh"}[s] }

// Event tells an operator what happened to the replica.
type Event struct {
	State State
	Head  store.Position
	Floor store.Position
	// Err is a fault of the store, or [ErrWentBack].
	Err error
}

// ErrWentBack says that the store's log is not the continuation of the one
// that the replica holds: a restored backup, a failover or a flush lost
// entries.
var ErrWentBack = errors.New("revocation: the log went back: the store has lost entries")

// Replica is a node's copy of the log above the floor. It follows the store by
// one goroutine until Close. It is safe for concurrent use.
type Replica struct {
	source Source
	config Config
	list   *List

	confirmed atomic.Pointer[time.Time] // nil: unknown
	stop      context.CancelFunc
	stopped   chan struct{}

	mu     sync.Mutex // of applying answers
	cursor store.Position
	log    store.ID
	epoch  int // counts the reloads: an answer to a question from before one is void

	catchUps flight.Group[struct{}, struct{}]
	asks     flight.Group[question, store.Cutoffs]
	asking   chan struct{}
}

type question struct {
	session store.ID
	subject string
}

// Follow returns a replica that has read the whole log, or the error that kept
// it from doing so until ctx ended.
func Follow(ctx context.Context, source Source, c Config) (*Replica, error) {
	if c.MaxStaleness == 0 {
		c.MaxStaleness = DefaultMaxStaleness
	}
	if c.MaxStaleness < time.Second {
		return nil, fmt.Errorf("revocation: Config.MaxStaleness is %v: want at least 1s", c.MaxStaleness)
	}
	if c.Limit == 0 {
		c.Limit = DefaultLimit
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Limit < 1024 || c.Timeout < 0 {
		return nil, fmt.Errorf("revocation: Config.Limit is %d and Timeout %v: want at least 1024 and more than 0", c.Limit, c.Timeout)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.BeforeEveryone == nil {
		c.BeforeEveryone = func(context.Context) error { return nil }
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	r := &Replica{
		source: source, config: c, list: NewList(c.Limit),
		stopped: make(chan struct{}), asking: make(chan struct{}, maxAsking),
	}
	var last error
	for attempt := 0; ; attempt++ {
		err := r.readOn(ctx)
		if err == nil {
			break
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !pause(ctx, attempt, c.MaxStaleness) {
			return nil, fmt.Errorf("revocation: the log could not be read before the context ended: %w", last)
		}
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	go r.follow(run)
	return r, nil
}

// Close stops following and waits until it has stopped. The replica then grows
// stale; it does not go on saying what it last knew.
func (r *Replica) Close() {
	r.stop()
	<-r.stopped
}

// follow asks for news until ctx ends.
func (r *Replica) follow(ctx context.Context) {
	defer close(r.stopped)
	state, attempt := Fresh, 0
	for ctx.Err() == nil {
		// A wait is at most a third of MaxStaleness, so that two lost answers
		// in a row do not make a healthy replica stale.
		wait := r.config.MaxStaleness / 3
		if attempt > 0 {
			wait = 0 // confirm first: there may be little time left
		}
		_, err := r.question(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		before := state
		state = r.State(r.config.Now())
		if errors.Is(err, ErrWentBack) {
			// apply has told of it
		} else if state != before || err != nil && attempt == 0 {
			r.config.Observe(Event{State: state, Head: r.list.Head(), Floor: r.list.Floor(), Err: err})
		}
		if err == nil {
			attempt = 0
			continue
		}
		pause(ctx, attempt, r.config.MaxStaleness)
		attempt++
	}
}

// pause backs off before another attempt, with jitter so that a fleet does not
// come back as one. It reports false if ctx ended.
func pause(ctx context.Context, attempt int, most time.Duration) bool {
	d := min(50*time.Millisecond<<min(attempt, 10), most/6)
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// question asks for what comes after the cursor, and applies the answer.
func (r *Replica) question(ctx context.Context, wait time.Duration) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+r.config.Timeout)
	defer cancel()
	r.mu.Lock()
	q := asked{after: r.cursor, epoch: r.epoch, sent: r.config.Now()}
	r.mu.Unlock()
	b, err := r.source.Since(ctx, q.after, store.MaxEntries, wait)
	if err != nil {
		return false, err
	}
	prepared := r.prepare(ctx, &b)
	if prepared != nil && b.Entries == nil {
		return false, prepared
	}
	went, err := r.apply(q, b)
	if went != nil {
		r.config.Observe(*went)
	}
	return b.More, errors.Join(err, prepared)
}

// prepare calls BeforeEveryone where an answer revokes everyone, or may have
// done so in what was dropped before this node read it. Where that fails, the
// answer is cut before the entry. No lock is held: it may read a file.
func (r *Replica) prepare(ctx context.Context, b *store.Batch) error {
	before := func() error {
		if err := r.config.BeforeEveryone(ctx); err != nil {
			return fmt.Errorf("revocation: before everyone is revoked: %w", err)
		}
		return nil
	}
	cursor := r.at()
	if cursor < b.Floor {
		if err := before(); err != nil {
			b.Entries = nil
			return err
		}
	}
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Kind == store.KindEveryone && e.Position > cursor {
			if err := before(); err != nil {
				b.Entries, b.More = b.Entries[:i:i], true
				if i == 0 {
					b.Entries = nil
				}
				return err
			}
		}
	}
	return nil
}

func (r *Replica) at() store.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cursor
}

// asked is a question to the log, as it was when it was sent.
type asked struct {
	after store.Position
	epoch int
	sent  time.Time
}

// readOn reads to the log's end as it is at the last question.
func (r *Replica) readOn(ctx context.Context) error {
	for {
		more, err := r.question(ctx, 0)
		if err != nil || !more {
			return err
		}
	}
}

// apply takes the answer to a question. Answers may come late and out of
// order: what is known already is passed over. What one confirms, it confirms
// as of the moment its question was sent: an answer that sat in a socket while
// the process was paused proves nothing about the time since.
// It returns the event to tell where the log went back.
func (r *Replica) apply(q asked, b store.Batch) (*Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.epoch != r.epoch {
		return nil, errors.New("revocation: the answer is from before the log was read anew")
	}
	if b.More && len(b.Entries) == 0 {
		return nil, errors.New("revocation: the store says that there is more, and gives nothing")
	}
	if err := r.continues(q.after, b); err != nil {
		// Read all of what is there now, from the start. What the list holds
		// goes on counting.
		r.cursor, r.log = 0, b.Log
		r.epoch++
		r.confirmed.Store(nil)
		return &Event{State: Unknown, Head: r.list.Head(), Floor: r.list.Floor(), Err: err}, err
	}
	r.log = b.Log
	// The floor first: it covers what was dropped before this node read it.
	r.list.RaiseFloor(b.Floor)
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Position <= r.cursor {
			continue
		}
		if e.Kind < store.KindEveryone || e.Kind > store.KindSuperseding {
			// Passing over what this release does not understand could be
			// passing over a revocation.
			return nil, fmt.Errorf("revocation: the entry at %d is of %v: this program is too old for the store", e.Position, e.Kind)
		}
		r.list.Apply(*e)
		r.reach(e.Position)
	}
	if b.More {
		return nil, nil
	}
	r.reach(b.Head) // what is below it and did not come was dropped: see continues
	// A later confirmation stands, unless the clock was set back behind it.
	if last := r.confirmed.Load(); last == nil || q.sent.After(*last) || last.After(r.config.Now()) {
		r.confirmed.Store(&q.sent)
	}
	return nil, nil
}

// reach moves cursor and head to p. While the log is read anew the head follows
// the cursor from the start.
func (r *Replica) reach(p store.Position) {
	r.cursor = max(r.cursor, p)
	if r.cursor > r.list.Head() || r.confirmed.Load() == nil {
		r.list.SetHead(r.cursor)
	}
}

// continues reports whether an answer goes on from what the replica holds.
func (r *Replica) continues(after store.Position, b store.Batch) error {
	if !r.log.IsZero() && b.Log != r.log {
		return fmt.Errorf("%w: it is another log, %v after %v", ErrWentBack, b.Log, r.log)
	}
	if b.Head < after {
		return fmt.Errorf("%w: its head is %d after %d", ErrWentBack, b.Head, after)
	}
	last := after
	for i := range b.Entries {
		e := &b.Entries[i]
		// Between the position asked for and the first entry there may be
		// dropped ones: the floor then is where the chain goes on.
		if e.Previous != max(last, b.Floor) && e.Previous != last || e.Position <= last {
			return fmt.Errorf("%w: the entry at %d follows %d, not %d", ErrWentBack, e.Position, e.Previous, last)
		}
		last = e.Position
	}
	if !b.More && max(last, b.Floor) != b.Head {
		return fmt.Errorf("%w: its head is %d, its last entry at %d", ErrWentBack, b.Head, last)
	}
	return nil
}

// State returns the state at time now.
func (r *Replica) State(now time.Time) State {
	last := r.confirmed.Load()
	switch {
	case last == nil:
		return Unknown
	case elapsed(*last, now) > r.config.MaxStaleness:
		return Stale
	}
	return Fresh
}

// elapsed returns the larger of the wall and the monotonic time between two
// readings: one may stand still while a machine sleeps, the other may be set
// back. A clock without monotonic readings that was set back tells nothing:
// that counts as forever.
func elapsed(from, to time.Time) time.Duration {
	d := max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
	switch {
	case d >= 0:
		return d
	case d > -time.Second, from != from.Round(0) && to != to.Round(0):
		return 0 // to was read just before from
	}
	return math.MaxInt64
}

// Check judges a token by the replica alone; it takes no lock and asks nobody.
// What is revoked or expired is so in every state.
func (r *Replica) Check(now time.Time, session store.ID, subject string, at store.Position) Verdict {
	// The state is read before the list: a list that is caught up between the
	// two must not be read in its old form and trusted in its new state.
	state := r.State(now)
	v := Judge(r.list.Cutoffs(session, subject), at)
	if state != Fresh && v != Revoked && v != Expired {
		return Unconfirmed
	}
	return v
}

// Ask judges a token by the store: what to do where Check says Unconfirmed.
// Callers that ask for one session share one question, and a bounded number
// are under way at once. An error is an outage. Behind means here that the
// store itself does not know the position: it went back in time.
func (r *Replica) Ask(ctx context.Context, session store.ID, subject string, at store.Position) (Verdict, error) {
	for turn := 0; ; turn++ {
		began := false
		c, err := r.asks.Do(ctx, question{session, subject}, func() (store.Cutoffs, error) {
			began = true
			return r.ask(ctx, session, subject)
		})
		if err != nil {
			return Unconfirmed, err
		}
		// What this node knows and the store does not (yet) counts too.
		own := r.list.Cutoffs(session, subject)
		c.Ending = max(c.Ending, own.Ending)
		c.Superseding = max(c.Superseding, own.Superseding)
		c.Subject = max(c.Subject, own.Subject)
		c.Everyone = max(c.Everyone, own.Everyone)
		c.Floor = max(c.Floor, own.Floor)
		// A question that was under way already may have been answered before
		// the token was minted; only one sent after seeing it can say that the
		// store does not know its position.
		if v := Judge(c, at); v != Behind || began || turn == 1 {
			return v, nil
		}
	}
}

func (r *Replica) ask(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Timeout)
	defer cancel()
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return store.Cutoffs{}, fmt.Errorf("revocation: %d questions to the store are under way already: %w", maxAsking, ctx.Err())
	}
	sent := r.config.Now()
	c, err := r.source.Cutoffs(ctx, session, subject)
	if err == nil && elapsed(sent, r.config.Now()) > r.config.MaxStaleness {
		err = errors.New("revocation: the store's answer is older than MaxStaleness; was the process paused?")
	}
	return c, err
}

// CatchUp asks the store for news by a request that is sent after the call,
// and applies the answer. It is what to do where Check says Behind.
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
func (r *Replica) Apply(entries ...store.Entry) { r.list.Apply(entries...) }

// Ended reports whether this node knows that a session was ended. That is
// final; false means nothing, since old entries are dropped.
func (r *Replica) Ended(session store.ID) bool { return r.list.Cutoffs(session, "").Ending != 0 }

// Head returns the position up to which the replica has applied everything.
func (r *Replica) Head() store.Position { return r.list.Head() }

// Learn says that the store's log has reached p, as an answer to a write tells.
func (r *Replica) Learn(p store.Position) { r.list.Learn(p) }

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
	last := r.confirmed.Load()
	if last == nil {
		return 0, false
	}
	return max(0, elapsed(*last, now)), true
}
