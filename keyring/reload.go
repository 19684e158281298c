package keyring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

const (
	// ReloadWait bounds how long [Ring.Key] waits for a reload.
	ReloadWait = time.Second
	// reloadEvery is the least time between the starts of two reloads that
	// unknown ids caused.
	reloadEvery = 250 * time.Millisecond
)

// reload is one read of the source, shared by any number of waiting callers.
type reload struct {
	done chan struct{}
	err  error
}

// Reload reads the source now and adopts its key set if that is newer. The
// error is [ErrAbsent] if the source holds no document, matches [ErrRollback] if
// its version is older than one that the ring has seen, and matches
// [ErrAnother] if it is of another ring. After any error the ring keeps its
// current set. On a static ring Reload does nothing.
func (r *Ring) Reload(ctx context.Context) error {
	if r.source == nil {
		return nil
	}
	have := r.set.Load() // before the read, so that a slow read is not mistaken for a rollback
	version, sealed, err := r.source.LoadKeys(ctx)
	if err != nil {
		return fmt.Errorf("keyring: load the key set: %w", err)
	}
	if version == 0 {
		return ErrAbsent
	}
	document := sha256.Sum256(sealed)
	if have != nil {
		if version < have.version {
			return fmt.Errorf("%w: %d after %d", ErrRollback, version, have.version)
		}
		if version == have.version && document != have.document {
			return fmt.Errorf("%w: %d again, with another content", ErrRollback, version)
		}
		if version == have.version {
			return nil // nothing new, and no call to the keeper
		}
	}
	plain, err := r.currentKeeper().Decrypt(ctx, sealed)
	if err != nil {
		return fmt.Errorf("keyring: open the key set: %w", err)
	}
	s, err := parseSet(plain)
	clear(plain)
	if err != nil {
		return err
	}
	if have != nil && s.id != have.id {
		return fmt.Errorf("%w: ring %v after %v", ErrAnother, s.id, have.id)
	}
	if s.version != version {
		// The outer version allows a comparison without the keeper. The inner
		// one is authentic.
		return errors.New("keyring: the key set's outer version is not its sealed one; it was changed or put back")
	}
	s.document = document
	r.adopt(s)
	return nil
}

// awaitReload waits for a reload that starts after the call, because only a
// later read can find the id that its caller did not. All callers share that
// reload. One reload runs at a time, and they start at least reloadEvery apart.
// So any number of junk ids cause at most a few reads a second, and they cannot
// use up the read that a genuine id needs.
func (r *Ring) awaitReload(ctx context.Context) error {
	r.mu.Lock()
	flight := r.next
	if flight == nil {
		flight = &reload{done: make(chan struct{})}
		r.next = flight
		if !r.running {
			r.scheduleNext()
		}
	}
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, ReloadWait)
	defer cancel()
	select {
	case <-flight.done:
		return flight.err
	case <-ctx.Done():
		return fmt.Errorf("keyring: reload: %w", ctx.Err())
	}
}

// scheduleNext starts the next reload as soon as reloadEvery allows. The caller
// holds r.mu.
func (r *Ring) scheduleNext() {
	r.running = true
	time.AfterFunc(time.Until(r.last.Add(reloadEvery)), r.runReload)
}

func (r *Ring) runReload() {
	r.mu.Lock()
	// Callers that come from here on wait for the reload after this one: this
	// read may begin before the key that they need is written.
	flight := r.next
	r.next, r.last = nil, time.Now()
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), ReloadWait)
	defer cancel()
	flight.err = r.Reload(ctx)
	close(flight.done)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running = false; r.next != nil {
		r.scheduleNext()
	}
}
