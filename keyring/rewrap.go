package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Rewrap seals the key set under another keeper: a new key-encryption key,
// another passphrase, or a KMS. The keys stay the same, so nobody is logged
// out. The ring uses the new keeper from then on. Like any other change, Rewrap
// makes a new version by compare-and-swap. It changes nothing unless the new
// keeper opens what it has sealed.
//
// Deploy in this order: make the new keeper's key and give it to every node;
// Rewrap; restart the nodes with the new keeper. Until its restart, a node with
// the old keeper goes on with the keys that it has. Each [Ring.Reload] of it
// fails (which [Ring.Maintain] reports), so it gets no new keys and no
// revocations of keys. As long as it cannot reload, it does not apply a
// revocation of everyone but treats its list of revocations as stale. So
// restart the nodes at once, and in any case before the published next key
// takes over.
//
// Rewrap is not enough if the old keeper's key leaked together with a document:
// that compromises the keys themselves. See [Ring.RevokeAll].
//
// Another change through the same Ring that runs at the same moment may fail
// once, as it would with the old keeper. It can be repeated. The error is
// [ErrStatic] on a static ring.
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
		if err := checkRoundTrip(ctx, keeper, after); err != nil {
			return fmt.Errorf("keyring: Rewrap: %w", err)
		}
		swapped, err := r.store(ctx, keeper, before.version, after)
		if err != nil {
			return err
		}
		if swapped {
			// Set the keeper first: a change of the new set must be sealed under it.
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

// checkRoundTrip fails if the keeper does not open what it seals, as under a
// KMS policy that allows encryption alone. Such a keeper would lose the keys.
func checkRoundTrip(ctx context.Context, keeper Keeper, s *Set) error {
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

func (r *Ring) currentKeeper() Keeper {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keeper
}
