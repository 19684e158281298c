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

// reload is one read of the source that any number of requests wait for.
type reload struct {
	done chan struct{}
	err  error
}

// Reload reads the source now and adopts what it holds if that is newer. A
// version older than the ring has seen is [ErrRollback]; the ring goes on with
// what it has after any error. On a static ring it does nothing.
func (r *Ring) Reload(ctx context.Context) error {
	if r.source == nil {
		return nil
	}
	have := r.set.Load() // before the read: a slow one is no version that went back
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
	plain, err := r.keptBy().Decrypt(ctx, sealed)
	if err != nil {
		return fmt.Errorf("keyring: open the key set: %w", err)
	}
	s, err := parseSet(plain)
	clear(plain)
	if err != nil {
		return err
	}
	if s.version != version {
		// The version outside is for comparing; the one inside is sealed.
		return errors.New("keyring: the key set's outer version is not its sealed one; it was changed or put back")
	}
	s.document = document
	r.adopt(s)
	return nil
}

// awaitReload waits for a reload that starts after the call: its caller met an
// unknown id, and only a later read can know it. All callers share it; one
// runs at a time, and they start at least reloadEvery apart. So junk ids cost
// a few reads a second however many come, and cannot use up the read that a
// true id needs.
func (r *Ring) awaitReload(ctx context.Context) error {
	r.mu.Lock()
	flight := r.next
	if flight == nil {
		flight = &reload{done: make(chan struct{})}
		r.next = flight
		if !r.running {
			r.schedule()
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

// schedule starts the reload that is due as soon as it may. r.mu is held.
func (r *Ring) schedule() {
	r.running = true
	time.AfterFunc(time.Until(r.last.Add(reloadEvery)), r.runReload)
}

func (r *Ring) runReload() {
	r.mu.Lock()
	// From here on, new callers need the one after this: this read may begin
	// before the key that they look for is written.
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
		r.schedule()
	}
}
