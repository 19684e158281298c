package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Rewrap seals the key set under another keeper: a new key-encryption key,
// another passphrase, a KMS. The keys stay as they are, and nobody is logged
// out. The ring goes on with the new keeper. It is a change like any other: by
// compare-and-swap, with a version of its own. The new keeper must open what it
// has sealed, or nothing is changed.
//
// The order of a deployment: make the new keeper's key and give it to every
// node; Rewrap; restart the nodes with the new keeper. Between the last two, a
// node with the old keeper goes on with the keys that it has, and each
// [Ring.Reload] of it is an error (which [Ring.Maintain] reports): it learns of
// no new key and no revoked one, and while it cannot reload it takes no
// revocation of everyone, but treats its list as stale. So restart the nodes at
// once; there is time until the published next key takes over.
//
// Rewrap is not enough where the old keeper's key leaked together with a
// document: that compromises the keys themselves. See [Ring.RevokeAll].
//
// A change of this very ring that runs at the same moment may fail once, as
// with the old keeper; it may be repeated.
func (r *Ring) Rewrap(ctx context.Context, keeper Keeper) error {
	if r.source == nil {
		return ErrStatic
	}
	if keeper == nil {
		return errors.New("keyring: Rewrap: no keeper given")
	}
	for {
		if err := r.Reload(ctx); err != nil {
			return err
		}
		before := r.set.Load()
		after := before.copyAs(before.version + 1)
		if err := opensItsOwn(ctx, keeper, after); err != nil {
			return fmt.Errorf("keyring: Rewrap: %w", err)
		}
		swapped, err := r.store(ctx, keeper, before.version, after)
		if err != nil {
			return err
		}
		if swapped {
			// The keeper first: whoever sees the new set seals under it.
			r.mu.Lock()
			r.keeper = keeper
			r.mu.Unlock()
			r.adopt(after)
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("keyring: gave up while others change the key set: %w", err)
		}
	}
}

// opensItsOwn finds a keeper that seals what it cannot open, as under a KMS
// policy that allows the one and not the other: it would lose the keys.
func opensItsOwn(ctx context.Context, keeper Keeper, s *Set) error {
	plain, err := marshalSet(s)
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := keeper.Encrypt(ctx, plain)
	if err != nil {
		return fmt.Errorf("the new keeper does not seal: %w", err)
	}
	again, err := keeper.Decrypt(ctx, sealed)
	if err != nil {
		return fmt.Errorf("the new keeper does not open what it sealed: %w", err)
	}
	defer clear(again)
	if !bytes.Equal(again, plain) {
		return errors.New("the new keeper opens something else than it sealed")
	}
	return nil
}

// keptBy returns the keeper of now.
func (r *Ring) keptBy() Keeper {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keeper
}
