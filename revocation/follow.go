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

// Follow returns a replica that has read the whole log. It retries until ctx
// ends, and then returns the error that prevented it. The replica outlives ctx;
// the caller closes it. The source stays the caller's.
func Follow(ctx context.Context, source Source, c Config) (*Replica, error) {
	c, err := c.withDefaults(DefaultLimit)
	if err != nil {
		return nil, err
	}
	r := &Replica{
		source: source, config: c, list: NewList(c.Limit),
		querier: newQuerier(source, c), stopped: make(chan struct{}),
	}
	r.confirmed.maxAge = c.MaxStaleness
	r.querier.accept = r.accept
	var last error
	for attempt := 0; ; attempt++ {
		err := r.readToEnd(ctx)
		if err == nil {
			break
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !backOff(ctx, attempt, c.MaxStaleness) {
			return nil, fmt.Errorf("revocation: the log could not be read before the context ended: %w", last)
		}
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	go r.follow(run)
	return r, nil
}

// withDefaults fills in unset fields. It returns an error if a field is out of
// range.
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

// follow polls the log until ctx ends.
func (r *Replica) follow(ctx context.Context) {
	defer close(r.stopped)
	state, failed, empty := Fresh, 0, 0
	for ctx.Err() == nil {
		// An answer confirms the list as of the time the query was sent, so the
		// confirmation of a healthy replica is up to two waits old. With a wait
		// of an eighth of MaxStaleness, three quarters remain before an outage
		// makes the replica stale.
		wait := r.config.MaxStaleness / 8
		if failed > 0 || r.lost.Load() != nil || r.State(r.config.Now()) == Unknown {
			wait = 0 // confirm first: there may be little time left
		}
		began, head := time.Now(), r.list.Head()
		more, err := r.poll(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		before := state
		state = r.State(r.config.Now())
		if !errors.Is(err, ErrRollback) && (state != before || err != nil && failed == 0) { // apply reports a rollback itself
			r.config.Observe(r.newEvent(err))
		}
		switch {
		case err != nil:
			backOff(ctx, failed, r.config.MaxStaleness)
			failed++
			continue
		case more:
		case r.list.Head() == head && time.Since(began) < wait/2, r.lost.Load() != nil:
			// A store that does not wait must not be polled without a pause.
			backOff(ctx, empty, r.config.MaxStaleness)
			empty++
		default:
			empty = 0
		}
		failed = 0
	}
}

// poll queries the log once, or to its end if a reload interrupts the wait. It
// then writes back a part of what the log has lost. It reports whether to
// continue at once.
func (r *Replica) poll(ctx context.Context, wait time.Duration) (more bool, err error) {
	waiting, interrupt := context.WithCancel(ctx)
	r.interrupt.Store(&interrupt)
	_, err = r.query(waiting, wait)
	if waiting.Err() != nil && ctx.Err() == nil { // by startReload, here or in CatchUp
		err = r.readToEnd(ctx)
	}
	interrupt()
	if err != nil || r.State(r.config.Now()) != Fresh {
		return false, err
	}
	return r.restore(ctx)
}

// backOff waits before another attempt, with jitter so that a fleet does not
// reconnect all at once. It reports false if ctx ended.
func backOff(ctx context.Context, attempt int, longest time.Duration) bool {
	d := min(50*time.Millisecond<<min(attempt, 10), longest/6)
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// query reads the entries after the cursor and applies them.
func (r *Replica) query(ctx context.Context, wait time.Duration) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+r.config.Timeout)
	defer cancel()
	r.mu.Lock()
	q := logQuery{after: r.cursor, epoch: r.epoch, sent: r.config.Now(), applyCalls: r.applyCalls.Load(), acknowledged: r.acknowledged.highest()}
	r.mu.Unlock()
	b, err := r.source.Since(ctx, q.after, store.MaxEntries, wait)
	if err != nil {
		return false, err
	}
	prepared := r.prepare(ctx, &b)
	if prepared != nil && b.Entries == nil {
		return false, prepared
	}
	events, again, err := r.apply(q, b)
	for _, e := range events {
		r.config.Observe(e)
	}
	return b.More || again, errors.Join(err, prepared)
}

// logQuery is the state of the replica when it sent a query to the log.
type logQuery struct {
	after      store.Cursor
	epoch      int
	sent       time.Time
	applyCalls uint64 // the number of calls of Apply
	// acknowledged is the highest head returned by a write and not read yet.
	acknowledged store.Position
}

// behind reports whether the log has dropped what follows the cursor, as it does
// while a node is paused for longer than an access lifetime.
func (q *logQuery) behind(b store.Batch) bool {
	return b.Broken && q.after.Position < b.Floor && b.Head >= max(q.after.Position, q.acknowledged)
}

// prepare calls BeforeEveryone if a batch revokes everyone, or if an entry that
// was dropped before this node read it may have done so. If that fails, prepare
// truncates the batch before the entry. It holds no lock meanwhile, since
// BeforeEveryone may read a file.
func (r *Replica) prepare(ctx context.Context, b *store.Batch) error {
	before := func() error {
		if err := r.config.BeforeEveryone(ctx); err != nil {
			return fmt.Errorf("revocation: before everyone is revoked: %w", err)
		}
		return nil
	}
	cursor := r.readCursor().Position
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

func (r *Replica) readCursor() store.Cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cursor
}

// readToEnd reads up to the end that the log has at the last query.
func (r *Replica) readToEnd(ctx context.Context) error {
	for {
		more, err := r.query(ctx, 0)
		if err != nil || !more {
			return err
		}
	}
}

// apply applies the answer to a query. Answers may arrive late and out of
// order, so it skips entries that are already applied. It returns the events to
// report, and whether to query again at once.
func (r *Replica) apply(q logQuery, b store.Batch) (events []Event, again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.epoch != r.epoch {
		return nil, false, errors.New("revocation: the answer is from before the log was read anew")
	}
	if b.More && len(b.Entries) == 0 {
		return nil, false, errors.New("revocation: the store says that there is more, and gives nothing")
	}
	if (b.Log == r.log || r.log.IsZero()) && q.behind(b) {
		if r.cursor.Position > q.after.Position {
			return nil, false, nil // another answer has brought more since
		}
		// Entries that this node had not read were dropped. It cannot see any more
		// whether the log continues from its cursor, so it reads the whole.
		r.startReload(b.Log)
		return nil, true, nil
	}
	if err := r.checkContinues(q, b); err != nil {
		r.startReload(b.Log)
		return []Event{r.newEvent(err)}, false, err
	}
	r.log = b.Log
	// The floor first: it covers what was dropped before this node read it.
	r.list.RaiseFloor(b.Floor)
	applied, err := r.applyAll(b.Entries)
	if err == nil && !b.More {
		events, again = r.finish(q, b)
	}
	if applied > 0 {
		e := r.newEvent(nil)
		e.Applied = applied
		events = append(events, e)
	}
	return events, again, err
}

// applyAll applies the entries above the cursor and returns their number.
func (r *Replica) applyAll(entries []store.Entry) (int, error) {
	var err error
	from := slices.IndexFunc(entries, func(e store.Entry) bool { return e.Position > r.cursor.Position })
	if from < 0 {
		return 0, nil
	}
	entries = entries[from:]
	if i := slices.IndexFunc(entries, func(e store.Entry) bool { return e.Kind < store.KindEveryone || e.Kind > store.KindName }); i >= 0 {
		// Skipping a kind that this release does not understand could skip a
		// revocation.
		e := &entries[i]
		err = fmt.Errorf("revocation: the entry at %d is of %v: this program is too old for the store", e.Position, e.Kind)
		entries = entries[:i]
	}
	if len(entries) == 0 {
		return 0, err
	}
	for i := range entries {
		r.list.Apply(entries[i])
		if r.reload != nil {
			r.reload.Apply(entries[i])
			r.reload.Learn(entries[i].Position)
		}
		r.reach(entries[i].Cursor())
	}
	r.config.Applied(entries)
	return len(entries), err
}

// startReload begins to read a log that went back, from its start. The contents
// of the list remain in force.
func (r *Replica) startReload(log store.ID) {
	r.cursor, r.log, r.reload, r.reloadEnds = store.Cursor{}, log, NewList(r.config.Limit), 0
	r.epoch++
	r.acknowledged.forget(store.MaxPosition)
	r.confirmed.forget()
	r.config.Applied(nil)
	if interrupt := r.interrupt.Load(); interrupt != nil {
		(*interrupt)()
	}
}

// maxReloadEnds bounds how often a reload queries the end of the log.
const maxReloadEnds = 8

// finish handles an answer that reached the log's end.
func (r *Replica) finish(q logQuery, b store.Batch) (events []Event, again bool) {
	r.reach(store.Cursor{Position: b.Head, ID: b.HeadID}) // an entry below it that did not come was dropped: see checkContinues
	if r.reload == nil {
		r.confirmed.confirm(q.sent, r.config.Now())
		return nil, false
	}
	if r.reloadEnds++; q.applyCalls != r.applyCalls.Load() && r.reloadEnds < maxReloadEnds {
		// A revocation that this node made since the query was sent is in the
		// log and not lost. The next answer has it.
		return nil, true
	}
	lost := newLost(r.list.Missing(r.reload)).merge(r.lost.Load(), r.reload)
	r.reload = nil
	// First, so that the replica is not fresh before its losses are set.
	r.lost.Store(lost)
	r.confirmed.confirm(q.sent, r.config.Now())
	e := r.newEvent(nil)
	if lost != nil {
		e.Lost = len(lost.entries)
		r.config.Applied(nil)
	}
	return []Event{e}, false
}

// reach moves the cursor and the head to c, unless the cursor is further. During a
// reload the head follows the cursor from the start of the log.
func (r *Replica) reach(c store.Cursor) {
	if c.Position > r.cursor.Position {
		r.cursor = c
	}
	at := r.cursor.Position
	r.acknowledged.forget(at)
	if at > r.list.Head() || r.confirmed.last.Load() == nil {
		r.list.SetHead(at)
	}
}

// checkContinues returns ErrRollback if an answer does not continue the log
// that the replica holds.
func (r *Replica) checkContinues(q logQuery, b store.Batch) error {
	if !r.log.IsZero() && b.Log != r.log {
		return fmt.Errorf("%w: it is another log, %v after %v", ErrRollback, b.Log, r.log)
	}
	if known := max(q.after.Position, q.acknowledged); b.Head < known {
		return fmt.Errorf("%w: its head is %d after %d", ErrRollback, b.Head, known)
	}
	if b.Broken {
		return fmt.Errorf("%w: the entry at %d is another one", ErrRollback, q.after.Position)
	}
	if err := checkChain(q.after.Position, b.Entries, b); err != nil {
		return err
	}
	// Another answer may have been applied since the query was sent. The
	// entries above it must continue from there, too.
	from, rest, at := q.after.Position, b.Entries, r.cursor.Position
	if from < at && at <= b.Head {
		from = at
		if i := slices.IndexFunc(b.Entries, func(e store.Entry) bool { return e.Position > at }); i >= 0 {
			rest = b.Entries[i:]
		} else {
			rest = nil
		}
		if len(rest) > 0 || !b.More {
			if err := checkChain(from, rest, b); err != nil {
				return err
			}
		}
	}
	if p := r.acknowledged.missing(from, rest, b.Floor); p != 0 {
		return fmt.Errorf("%w: it had an entry at %d, and goes on without it", ErrRollback, p)
	}
	return nil
}

// checkChain returns ErrRollback unless the entries follow one another from the
// position last to the end of the batch.
func checkChain(last store.Position, entries []store.Entry, b store.Batch) error {
	for i := range entries {
		e := &entries[i]
		// Entries between the position asked for and the first entry may have
		// been dropped. The chain then continues from the floor.
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
