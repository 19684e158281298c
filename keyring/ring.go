package keyring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Source is where the sealed key set lives: a [File], or a store. An
// implementation must be safe for concurrent use, by other processes too.
type Source interface {
	// LoadKeys returns the newest document and its version. Version 0 and no
	// error mean that there is none.
	LoadKeys(ctx context.Context) (version uint64, document []byte, err error)
	// SwapKeys stores document as version+1 if version is the newest now (0:
	// if there is none), durably and whole or not at all. It reports false
	// where another version came first.
	SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error)
}

// Ring is the live handle on a key set: it hands out keys, reloads when it
// meets an id it does not know, and changes the set by compare-and-swap. It is
// safe for concurrent use.
type Ring struct {
	set    atomic.Pointer[Set]
	source Source // nil: static

	mu      sync.Mutex
	keeper  Keeper    // Rewrap replaces it
	next    *reload   // the one that is due; nil: none
	running bool      // one is under way
	last    time.Time // when one began last
}

// Create makes a key set with a primary and a next key, stores it, and returns
// its ring. Where one exists already the error is [ErrExists]; of any number
// of callers at once, one creates.
func Create(ctx context.Context, source Source, keeper Keeper, now time.Time, schedule Schedule) (*Ring, error) {
	version, _, err := source.LoadKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: Create: %w", err)
	}
	if version != 0 {
		return nil, ErrExists
	}
	s, err := newSet(now.Truncate(time.Millisecond), schedule)
	if err != nil {
		return nil, err
	}
	return createFrom(ctx, source, keeper, s)
}

// createFrom stores s as the first document of source.
func createFrom(ctx context.Context, source Source, keeper Keeper, s *Set) (*Ring, error) {
	r := &Ring{source: source, keeper: keeper}
	swapped, err := r.store(ctx, keeper, 0, s)
	if err != nil {
		return nil, err
	}
	if !swapped {
		return nil, ErrExists
	}
	r.adopt(s)
	return r, nil
}

// Open reads the key set and returns its ring. It never makes one: where there
// is none the error is [ErrAbsent], for keys that were lost must not be
// replaced in silence.
func Open(ctx context.Context, source Source, keeper Keeper) (*Ring, error) {
	r := &Ring{source: source, keeper: keeper}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Set returns the snapshot that the ring holds now.
func (r *Ring) Set() *Set { return r.set.Load() }

// Life returns the longest life of anything sealed under the ring.
func (r *Ring) Life() time.Duration { return r.set.Load().schedule.Life }

// Primary returns the key that seals at time now, or [ErrNoPrimary].
func (r *Ring) Primary(now time.Time) (*Key, error) { return r.set.Load().Primary(now) }

// Key returns the key with that id if it may open at time now. An unknown id
// makes the ring reload, once and bounded (see [ReloadWait]); if it is still
// unknown the error is [ErrUnknown], joined with the reload's own error if it
// had one. Other errors are [ErrExpired] and [ErrRevoked].
func (r *Ring) Key(ctx context.Context, id ID, now time.Time) (*Key, error) {
	k, err := r.set.Load().Key(id, now)
	if err == nil {
		return k, nil
	}
	if err != ErrUnknown || r.source == nil || ctx.Err() != nil {
		return nil, err
	}
	reloadErr := r.awaitReload(ctx)
	if k, err = r.set.Load().Key(id, now); err != nil {
		if err == ErrUnknown && reloadErr != nil {
			err = errors.Join(err, reloadErr)
		}
		return nil, err
	}
	return k, nil
}

// Rotate sees to it that a next key is published, and hands over to it as soon
// as every node can know it ([Lead] from now) if the primary has sealed for at
// least olderThan; 0 means always. With olderThan at the schedule's Seals it
// is what a timer calls. It is idempotent: any number of nodes that call it at
// once make one key. It reports whether it changed anything.
func (r *Ring) Rotate(ctx context.Context, now time.Time, olderThan time.Duration) (bool, error) {
	return r.update(ctx, func(s *Set) (*Set, error) { return s.rotate(now.Truncate(time.Millisecond), olderThan) })
}

// Revoke rejects at once everything sealed under the key, and activates the
// published next key if it was the primary. Who held a compromised key may
// already have refreshed into sessions under other keys: for a compromise,
// revoke everyone in the store too, after this. An unknown id is an error;
// revoking twice is not. It reports whether it changed anything.
func (r *Ring) Revoke(ctx context.Context, now time.Time, id ID, reason string) (bool, error) {
	return r.update(ctx, func(s *Set) (*Set, error) {
		if !s.has(id) {
			return nil, fmt.Errorf("keyring: Revoke %v: %w", id, ErrUnknown)
		}
		return s.revoke(now.Truncate(time.Millisecond), reason, func(k *Key) bool { return k.id == id })
	})
}

// RevokeAll revokes every key and makes fresh ones: what to do when the
// document itself leaked together with its keeper's key. Revoke everyone in
// the store too, after this.
func (r *Ring) RevokeAll(ctx context.Context, now time.Time, reason string) error {
	_, err := r.update(ctx, func(s *Set) (*Set, error) {
		return s.revoke(now.Truncate(time.Millisecond), reason, func(*Key) bool { return true })
	})
	return err
}

// Prune drops keys under which nothing can still live. It reports whether it
// changed anything.
func (r *Ring) Prune(ctx context.Context, now time.Time) (bool, error) {
	return r.update(ctx, func(s *Set) (*Set, error) { return s.prune(now) })
}

// update applies change to the newest set and swaps it in, again from the
// newest if somebody else was faster.
func (r *Ring) update(ctx context.Context, change func(*Set) (*Set, error)) (bool, error) {
	if r.source == nil {
		return false, ErrStatic
	}
	for {
		if err := r.Reload(ctx); err != nil {
			return false, err
		}
		before := r.set.Load()
		after, err := change(before)
		if err != nil || after == before {
			return false, err
		}
		swapped, err := r.store(ctx, r.keptBy(), before.version, after)
		if err != nil {
			return false, err
		}
		if swapped {
			r.adopt(after)
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("keyring: gave up while others change the key set: %w", err)
		}
	}
}

func (r *Ring) store(ctx context.Context, keeper Keeper, version uint64, s *Set) (bool, error) {
	plain, err := marshalSet(s)
	if err != nil {
		return false, fmt.Errorf("keyring: %w", err)
	}
	sealed, err := keeper.Encrypt(ctx, plain)
	clear(plain)
	if err != nil {
		return false, fmt.Errorf("keyring: seal the key set: %w", err)
	}
	s.document = sha256.Sum256(sealed)
	swapped, err := r.source.SwapKeys(ctx, version, sealed)
	if err != nil {
		return false, fmt.Errorf("keyring: store the key set: %w", err)
	}
	return swapped, nil
}

// adopt makes s the current snapshot unless a newer one is there already. Keys
// that are the same keep their material, and with it every derived cache.
func (r *Ring) adopt(s *Set) {
	for {
		old := r.set.Load()
		if old != nil {
			if old.version >= s.version {
				return
			}
			for _, k := range s.keys {
				if o := old.at(k.id); o != nil && o.material().secret == k.material().secret {
					k.material = o.material
				}
			}
		}
		if r.set.CompareAndSwap(old, s) {
			return
		}
	}
}

// Format prints version and key ids for every verb.
func (r *Ring) Format(f fmt.State, verb rune) { r.set.Load().Format(f, verb) }

// LogValue keeps everything but version and key ids out of structured logs.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r.set.Load())) }

// MarshalJSON fails: a ring does not marshal.
func (r *Ring) MarshalJSON() ([]byte, error) { return r.set.Load().MarshalJSON() }
