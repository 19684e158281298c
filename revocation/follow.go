package revocation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/waferkit/wafer/store"
)

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

// asked is a question to the log, as it was when it was sent.
type asked struct {
	after store.Position
	epoch int
	sent  time.Time
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
