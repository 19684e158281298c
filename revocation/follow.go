package revocation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// Follow returns a replica that has read the whole log, or the error that kept
// it from doing so until ctx ended.
func Follow(ctx context.Context, source Source, c Config) (*Replica, error) {
	c, err := c.withDefaults(DefaultLimit)
	if err != nil {
		return nil, err
	}
	r := &Replica{
		source: source, config: c, list: NewList(c.Limit),
		asker: newAsker(source, c), stopped: make(chan struct{}),
	}
	r.confirmed.most = c.MaxStaleness
	r.asker.take = r.take
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

// withDefaults fills in what is unset and reports what does not fit.
func (c Config) withDefaults(limit int) (Config, error) {
	if c.MaxStaleness == 0 {
		c.MaxStaleness = DefaultMaxStaleness
	}
	if c.MaxStaleness < time.Second {
		return c, fmt.Errorf("revocation: Config.MaxStaleness is %v: want at least 1s", c.MaxStaleness)
	}
	if c.Limit == 0 {
		c.Limit = limit
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Limit < 1024 || c.Timeout < 0 {
		return c, fmt.Errorf("revocation: Config.Limit is %d and Timeout %v: want at least 1024 and more than 0", c.Limit, c.Timeout)
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
	if c.Applied == nil {
		c.Applied = func([]store.Entry) {}
	}
	return c, nil
}

// follow asks for news until ctx ends.
func (r *Replica) follow(ctx context.Context) {
	defer close(r.stopped)
	state, failed, empty := Fresh, 0, 0
	for ctx.Err() == nil {
		// An answer confirms the list as of its question, so a healthy replica
		// is up to two waits old: with an eighth of MaxStaleness three quarters
		// are left for an outage to pass unnoticed.
		wait := r.config.MaxStaleness / 8
		if failed > 0 || r.lost.Load() != nil || r.State(r.config.Now()) == Unknown {
			wait = 0 // confirm first: there may be little time left
		}
		began, head := time.Now(), r.list.Head()
		more, err := r.turn(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		before := state
		state = r.State(r.config.Now())
		if !errors.Is(err, ErrRollback) && (state != before || err != nil && failed == 0) { // apply tells of that one
			r.config.Observe(r.event(err))
		}
		switch {
		case err != nil:
			pause(ctx, failed, r.config.MaxStaleness)
			failed++
			continue
		case more:
		case r.list.Head() == head && time.Since(began) < wait/2, r.lost.Load() != nil:
			// A store that does not wait must not be asked without a pause.
			pause(ctx, empty, r.config.MaxStaleness)
			empty++
		default:
			empty = 0
		}
		failed = 0
	}
}

// turn asks once for news, and for all of it where the log is read anew; then
// it writes back a part of what the log has lost. A log that goes back meanwhile
// interrupts the waiting. It reports whether to go on at once.
func (r *Replica) turn(ctx context.Context, wait time.Duration) (more bool, err error) {
	waiting, interrupt := context.WithCancel(ctx)
	r.interrupt.Store(&interrupt)
	_, err = r.question(waiting, wait)
	if waiting.Err() != nil && ctx.Err() == nil { // by readAnew, here or in CatchUp
		err = r.readOn(ctx)
	}
	interrupt()
	if err != nil || r.State(r.config.Now()) != Fresh {
		return false, err
	}
	return r.restore(ctx)
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
	q := asked{after: r.cursor, epoch: r.epoch, sent: r.config.Now(), own: r.own.Load(), acknowledged: r.acknowledged.highest()}
	r.mu.Unlock()
	b, err := r.source.Since(ctx, q.after, store.MaxEntries, wait)
	if err != nil {
		return false, err
	}
	prepared := r.prepare(ctx, &b)
	if prepared != nil && b.Entries == nil {
		return false, prepared
	}
	told, again, err := r.apply(q, b)
	for _, e := range told {
		r.config.Observe(e)
	}
	return b.More || again, errors.Join(err, prepared)
}

// asked is a question to the log, as it was when it was sent.
type asked struct {
	after store.Position
	epoch int
	sent  time.Time
	own   uint64 // how often Apply had been called
	// acknowledged is a head of the log that an answer to a write had told.
	acknowledged store.Position
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
// order: what is known already is passed over. It returns what there is to
// tell, and whether to ask again at once.
func (r *Replica) apply(q asked, b store.Batch) (told []Event, again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.epoch != r.epoch {
		return nil, false, errors.New("revocation: the answer is from before the log was read anew")
	}
	if b.More && len(b.Entries) == 0 {
		return nil, false, errors.New("revocation: the store says that there is more, and gives nothing")
	}
	if err := r.continues(q, b); err != nil {
		r.readAnew(b.Log)
		return []Event{r.event(err)}, false, err
	}
	r.log = b.Log
	if r.cursor < b.Floor && r.cursor != 0 {
		defer r.config.Applied(nil)
	}
	// The floor first: it covers what was dropped before this node read it.
	r.list.RaiseFloor(b.Floor)
	applied, err := r.applyAll(b.Entries)
	if err == nil && !b.More {
		told, again = r.finish(q, b)
	}
	if applied > 0 {
		e := r.event(nil)
		e.Applied = applied
		told = append(told, e)
	}
	return told, again, err
}

// applyAll applies what is above the cursor, and returns how much that was.
func (r *Replica) applyAll(entries []store.Entry) (int, error) {
	var err error
	from := slices.IndexFunc(entries, func(e store.Entry) bool { return e.Position > r.cursor })
	if from < 0 {
		return 0, nil
	}
	entries = entries[from:]
	if i := slices.IndexFunc(entries, func(e store.Entry) bool { return e.Kind < store.KindEveryone || e.Kind > store.KindSuperseding }); i >= 0 {
		// Passing over what this release does not understand could be passing
		// over a revocation.
		e := &entries[i]
		err = fmt.Errorf("revocation: the entry at %d is of %v: this program is too old for the store", e.Position, e.Kind)
		entries = entries[:i]
	}
	if len(entries) == 0 {
		return 0, err
	}
	for i := range entries {
		r.list.Apply(entries[i])
		if r.again != nil {
			r.again.Apply(entries[i])
			r.again.Learn(entries[i].Position)
		}
		r.reach(entries[i].Position)
	}
	r.config.Applied(entries)
	return len(entries), err
}

// readAnew begins to read all of a log that went back, from the start. What the
// list holds goes on counting.
func (r *Replica) readAnew(log store.ID) {
	r.cursor, r.log, r.again, r.ends = 0, log, NewList(r.config.Limit), 0
	r.epoch++
	r.acknowledged.forget(store.MaxPosition)
	r.confirmed.forget()
	r.config.Applied(nil)
	if interrupt := r.interrupt.Load(); interrupt != nil {
		(*interrupt)()
	}
}

// maxAgain bounds how often the end of a log that is read anew is asked for.
const maxAgain = 8

// finish takes the answer that reached the log's end.
func (r *Replica) finish(q asked, b store.Batch) (told []Event, again bool) {
	r.reach(b.Head) // what is below it and did not come was dropped: see continues
	if r.again == nil {
		r.confirmed.confirm(q.sent, r.config.Now())
		return nil, false
	}
	if r.ends++; q.own != r.own.Load() && r.ends < maxAgain {
		// What this node has revoked since the question was sent is in the log,
		// and not lost: the next answer has it.
		return nil, true
	}
	lost := newLost(r.list.Missing(r.again)).with(r.lost.Load(), r.again)
	r.again = nil
	// First, so that the replica is not fresh before it knows what is lost.
	r.lost.Store(lost)
	r.confirmed.confirm(q.sent, r.config.Now())
	e := r.event(nil)
	if lost != nil {
		e.Lost = len(lost.entries)
		r.config.Applied(nil)
	}
	return []Event{e}, false
}

// reach moves cursor and head to p. While the log is read anew the head follows
// the cursor from the start.
func (r *Replica) reach(p store.Position) {
	r.cursor = max(r.cursor, p)
	r.acknowledged.forget(r.cursor)
	if r.cursor > r.list.Head() || r.confirmed.last.Load() == nil {
		r.list.SetHead(r.cursor)
	}
}

// continues reports whether an answer goes on from what the replica holds.
func (r *Replica) continues(q asked, b store.Batch) error {
	if !r.log.IsZero() && b.Log != r.log {
		return fmt.Errorf("%w: it is another log, %v after %v", ErrRollback, b.Log, r.log)
	}
	if known := max(q.after, q.acknowledged); b.Head < known {
		return fmt.Errorf("%w: its head is %d after %d", ErrRollback, b.Head, known)
	}
	if err := chain(q.after, b.Entries, b); err != nil {
		return err
	}
	// Another answer may have been applied since the question was sent: what is
	// above that must go on from there, too.
	from, rest := q.after, b.Entries
	if q.after < r.cursor && r.cursor <= b.Head {
		from = r.cursor
		if i := slices.IndexFunc(b.Entries, func(e store.Entry) bool { return e.Position > r.cursor }); i >= 0 {
			rest = b.Entries[i:]
		} else {
			rest = nil
		}
		if len(rest) > 0 || !b.More {
			if err := chain(from, rest, b); err != nil {
				return err
			}
		}
	}
	if p := r.acknowledged.missing(from, rest, b.Floor); p != 0 {
		return fmt.Errorf("%w: it had an entry at %d, and goes on without it", ErrRollback, p)
	}
	return nil
}

// chain reports whether entries follow one another from a position to where the
// answer ends.
func chain(last store.Position, entries []store.Entry, b store.Batch) error {
	for i := range entries {
		e := &entries[i]
		// Between the position asked for and the first entry there may be
		// dropped ones: the floor then is where the chain goes on.
		if e.Previous != max(last, b.Floor) && e.Previous != last || e.Position <= last {
			return fmt.Errorf("%w: the entry at %d follows %d, not %d", ErrRollback, e.Position, e.Previous, last)
		}
		last = e.Position
	}
	if !b.More && max(last, b.Floor) != b.Head {
		return fmt.Errorf("%w: its head is %d, its last entry at %d", ErrRollback, b.Head, last)
	}
	return nil
}
