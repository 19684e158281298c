package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Import makes a key set from static secrets, which must be those of [Static]
// in the same order, stores it, and returns its ring. With it an application
// leaves [Static] without logging anybody out: the keys keep their ids, so
// everything that was sealed under them still opens, and expires when it would
// have. The error is [ErrExists] if the source already holds a key set.
//
// The first secret seals until the published next key takes over,
// schedule.Seals from now (less a minute, to allow for clocks that are behind).
// After that it opens for another schedule.Life. The other secrets open for
// schedule.Life from now. So schedule.Life must be at least the longest life of
// anything that the nodes seal now.
//
// Deploy in this order:
//
//  1. Finish any change of the static secrets: every node has the same list, and
//     seals under its first secret.
//  2. Import.
//  3. Deploy the nodes with [Open]. Until the last node has changed, old and new
//     nodes seal under the same key, the first secret, and open what the other
//     sealed. The nodes may change in any order. Rotate nothing by hand
//     meanwhile, and finish within schedule.Seals: a node with static secrets
//     cannot open what is sealed under the next key. To revoke a secret
//     meanwhile, revoke it in the document and remove it from the lists.
//  4. Delete the secrets from the nodes' configuration.
func Import(ctx context.Context, source Source, keeper Keeper, now time.Time, schedule Schedule, secrets ...string) (*Ring, error) {
	static, err := Static(secrets...)
	if err != nil {
		return nil, fmt.Errorf("keyring: Import: %w", err)
	}
	if err := checkAbsent(ctx, source); err != nil {
		return nil, err
	}
	schedule, err = schedule.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := importStatic(static.Set(), now.Truncate(time.Millisecond), schedule)
	if err != nil {
		return nil, err
	}
	return createFrom(ctx, source, keeper, s)
}

// importStatic gives the secrets the times of a schedule. The times at which
// they took over from each other are unknown, so the takeovers count from now.
// That way no old secret stops opening before everything it sealed has ended.
func importStatic(static *Set, now time.Time, schedule Schedule) (*Set, error) {
	s := &Set{id: newRingID(), version: 1, schedule: schedule}
	newestFirst := static.Keys()
	slices.Reverse(newestFirst)
	last := len(newestFirst) - 1
	for i, k := range newestFirst {
		imported := *k
		switch {
		case last == 0:
			imported.activates = now.Add(-maxSkew) // so that a node whose clock is behind can seal, too
		case i < last:
			imported.activates = now.Add(-time.Duration(i) * time.Millisecond)
		}
		// The oldest of several secrets keeps its activation, long past: a node
		// whose clock is far behind seals under it.
		s.keys = append(s.keys, &imported)
	}
	s.add(now, s.keys[0].activates.Add(schedule.Seals)) // when Rotate would have it
	return s, s.finish()
}

// Move copies the keys of ring into a document in another source, and returns
// the ring of that source: from a file into the store, back, or from one store
// into another. Ids, secrets, times, revocations and schedule stay the same, so
// nobody is logged out. The old document stays where it is. The new one has the
// id and the version of the old, so that nodes over either agree on the ring.
//
// The error is [ErrExists] if the other source already holds a key set. It
// matches [ErrStatic] if the ring is static; use [Import] instead. Move also
// fails if the next takeover is less than [Lead] away; call it again after that
// takeover.
//
// Deploy in this order:
//
//  1. Move, while nobody changes the old document. Move publishes a next key in
//     the old document if there is none, so both documents agree on the key that
//     seals until that key has taken over.
//  2. Deploy the nodes with [Open] over the new source. Until the last node has
//     changed, old and new nodes seal under the same keys, and open what the
//     other sealed. Finish before the published next key takes over: from then on
//     each document gets next keys of its own, which the nodes over the other one
//     cannot open. Rotate nothing by hand meanwhile, and make every revocation in
//     both documents.
//  3. Delete the old document, because it holds the same secrets, and its
//     keeper's key if that is no longer used.
func Move(ctx context.Context, ring *Ring, source Source, keeper Keeper, now time.Time) (*Ring, error) {
	if ring.source == nil {
		return nil, fmt.Errorf("%w; Import makes a key set of them", ErrStatic)
	}
	if err := checkAbsent(ctx, source); err != nil {
		return nil, err
	}
	now = now.Truncate(time.Millisecond)
	if _, err := ring.Rotate(ctx, now, ring.Set().Schedule().Seals); err != nil {
		return nil, err
	}
	old := ring.Set()
	next := old.next(now)
	if next == nil {
		return nil, errors.New("keyring: Move: no next key is published in the old document; rotate it first")
	}
	if left := next.activates.Sub(now); left < Lead {
		return nil, fmt.Errorf("keyring: Move: key %v takes over in %v, and nodes over the old document would soon seal under keys that those over the new one do not know; move after that", next.id, left.Round(time.Second))
	}
	return createFrom(ctx, source, keeper, old.copyAs(old.version))
}

// checkAbsent returns ErrExists if source holds a document, before anything is
// written or sent to a keeper. It is a courtesy: only the swap excludes another
// writer.
func checkAbsent(ctx context.Context, source Source) error {
	version, _, err := source.LoadKeys(ctx)
	if err != nil {
		return fmt.Errorf("keyring: look for a key set: %w", err)
	}
	if version != 0 {
		return ErrExists
	}
	return nil
}
