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

// Source stores the sealed key set: a [File], or a store. An implementation
// must be safe for concurrent use, by other processes too.
type Source interface {
	// LoadKeys returns the newest document and its version. If there is no
	// document it returns version 0 and no error.
	LoadKeys(ctx context.Context) (version uint64, document []byte, err error)
	// SwapKeys stores document as version+1 if the newest version is
	// version, or if there is no document, whatever version is. It writes
	// durably, and the whole document or nothing. It reports false, without
	// an error, if another version came first.
	SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error)
}

// Ring is the live handle on a key set. It hands out keys, reloads the set if
// an id is unknown, and changes the set by compare-and-swap. It is safe for
// concurrent use.
type Ring struct {
	set    atomic.Pointer[Set]
	source Source // nil if the secrets are static

	mu      sync.Mutex
	keeper  Keeper    // replaced by Rewrap
	next    *reload   // the reload that has not started yet, or nil
	running bool      // whether a reload is scheduled or under way
	last    time.Time // when the last reload started
}

// Create makes a key set with a primary and a next key, stores it, and returns
// its ring. The error is [ErrExists] if the source already holds a key set. If
// any number of callers create at once, one succeeds.
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

// createFrom stores s as the first document of source and returns its ring.
func createFrom(ctx context.Context, source Source, keeper Keeper, s *Set) (*Ring, error) {
	r := &Ring{source: source, keeper: keeper}
	swapped, err := r.store(ctx, keeper, s.version-1, s)
	if err != nil {
		return nil, err
	}
	if !swapped {
		return nil, ErrExists
	}
	r.adopt(s)
	return r, nil
}

// Open reads the key set and returns its ring. It never makes one, because keys
// that were lost must not be replaced silently: the error is [ErrAbsent] if the
// source holds no key set.
func Open(ctx context.Context, source Source, keeper Keeper) (*Ring, error) {
	r := &Ring{source: source, keeper: keeper}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Set returns the current snapshot.
func (r *Ring) Set() *Set { return r.set.Load() }

// Life returns the longest life of anything sealed under the ring.
func (r *Ring) Life() time.Duration { return r.set.Load().schedule.Life }

// Primary returns the key that seals at time now. The error is [ErrNoPrimary].
func (r *Ring) Primary(now time.Time) (*Key, error) { return r.set.Load().Primary(now) }

// Key returns the key with that id if it may open at time now. If the id is
// unknown, Key waits for a reload of the ring, for at most [ReloadWait]. If it
// is still unknown, the error is [ErrUnknown], joined with the error of the
// reload if that failed. Other errors are [ErrExpired] and [ErrRevoked].
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

// Rotate publishes a next key if there is none. If the primary has sealed for
// at least olderThan, the next key takes over as soon as every node can have
// it, [Lead] from now. An olderThan of 0 always hands over. A timer passes the
// schedule's Seals.
//
// Rotate is idempotent: any number of nodes that call it at once make one key.
// It reports whether it changed anything.
func (r *Ring) Rotate(ctx context.Context, now time.Time, olderThan time.Duration) (bool, error) {
	return r.update(ctx, func(s *Set) (*Set, error) { return s.rotate(now.Truncate(time.Millisecond), olderThan) })
}

// Revoke rejects everything sealed under the key from now on. If the key was
// the primary, the published next key is activated. If the key was compromised,
// revoke everyone in the store afterwards, because an attacker who held it may
// already have refreshed into sessions under other keys.
//
// The error matches [ErrUnknown] if no key has that id. Revoking a revoked key
// is not an error and changes nothing. Revoke reports whether it changed
// anything.
func (r *Ring) Revoke(ctx context.Context, now time.Time, id ID, reason string) (bool, error) {
	return r.update(ctx, func(s *Set) (*Set, error) {
		if !s.has(id) {
			return nil, fmt.Errorf("keyring: Revoke %v: %w", id, ErrUnknown)
		}
		return s.revoke(now.Truncate(time.Millisecond), reason, func(k *Key) bool { return k.id == id })
	})
}

// RevokeAll revokes every key and makes fresh ones. Use it if the document
// leaked together with its keeper's key, and revoke everyone in the store
// afterwards.
func (r *Ring) RevokeAll(ctx context.Context, now time.Time, reason string) error {
	_, err := r.update(ctx, func(s *Set) (*Set, error) {
		return s.revoke(now.Truncate(time.Millisecond), reason, func(*Key) bool { return true })
	})
	return err
}

// Prune removes the keys under which nothing can still be alive. It reports
// whether it changed anything.
func (r *Ring) Prune(ctx context.Context, now time.Time) (bool, error) {
	return r.update(ctx, func(s *Set) (*Set, error) { return s.prune(now) })
}

// update applies change to the newest set and swaps the result in. If another
// writer was faster, it starts again from the newest set.
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
		swapped, err := r.store(ctx, r.currentKeeper(), before.version, after)
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

// adopt makes s the current snapshot unless the ring has a newer one. Keys that
// are the same keep their material, and with it every derived cache.
func (r *Ring) adopt(s *Set) {
	for {
		old := r.set.Load()
		if old != nil {
			if old.version >= s.version {
				return
			}
			for _, k := range s.keys {
				if o := old.find(k.id); o != nil && o.material().secret == k.material().secret {
					k.material = o.material
				}
			}
		}
		if r.set.CompareAndSwap(old, s) {
			return
		}
	}
}

// Format prints the version and the key ids for every verb.
func (r *Ring) Format(f fmt.State, verb rune) { r.set.Load().Format(f, verb) }

// LogValue returns the version and the key ids alone, which keeps secrets out
// of structured logs.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r.set.Load())) }

// MarshalJSON always fails, like that of [Set].
func (r *Ring) MarshalJSON() ([]byte, error) { return r.set.Load().MarshalJSON() }
