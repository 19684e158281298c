package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Import makes a key set of static secrets (those of [Static], in the same
// order), stores it, and returns its ring. It is how an application leaves
// [Static] without logging anybody out: the keys keep their ids, so what was
// sealed under them opens, and expires when it would have. Like [Create] it is
// exclusive: where a key set exists already the error is [ErrExists].
//
// The first secret seals until the published next key takes over,
// schedule.Seals from now (less a minute for clocks); it then opens for schedule.Life longer. The other
// secrets open for schedule.Life from now. So schedule.Life must be at least
// the longest life that the nodes give to anything now.
//
// The order of a deployment:
//
//  1. End any change of the static secrets: every node has the same list, and
//     seals under its first.
//  2. Import.
//  3. Deploy the nodes with [Open]. Until the last one has changed, both kinds
//     seal under the same key, the first secret, and each opens what the other
//     sealed. Nobody has to wait for anybody, but rotate nothing by hand
//     meanwhile and be done within schedule.Seals: what is sealed under the
//     next key is unknown to a node with static secrets. To revoke a secret
//     meanwhile, revoke it in the document and take it out of the lists.
//  4. Delete the secrets from the nodes' configuration.
func Import(ctx context.Context, source Source, keeper Keeper, now time.Time, schedule Schedule, secrets ...string) (*Ring, error) {
	static, err := Static(secrets...)
	if err != nil {
		return nil, fmt.Errorf("keyring: Import: %w", err)
	}
	if err := wantAbsent(ctx, source); err != nil {
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

// importStatic gives the secrets the times of a schedule. Nobody knows when one
// took over from the other, so the takeovers count from now: none of the old
// ones ceases to open before what it sealed has ended.
func importStatic(static *Set, now time.Time, schedule Schedule) (*Set, error) {
	s := &Set{version: 1, schedule: schedule}
	newestFirst := static.Keys()
	slices.Reverse(newestFirst)
	last := len(newestFirst) - 1
	for i, k := range newestFirst {
		imported := *k
		switch {
		case last == 0:
			imported.activates = now.Add(-maxSkew) // a node whose clock is behind seals, too
		case i < last:
			imported.activates = now.Add(-time.Duration(i) * time.Millisecond)
		}
		// The oldest of several keeps its time, long past: it is what a node
		// seals under whose clock is far behind.
		s.keys = append(s.keys, &imported)
	}
	s.add(now, s.keys[0].activates.Add(schedule.Seals)) // as Rotate reckons
	return s, s.seal()
}

// Move makes the document in another source hold the keys of ring, and returns
// the ring of that source: from a file into the store, or back, or from one
// store into another. Ids, secrets, times, revocations and schedule stay, so
// nobody is logged out. Like [Create] it is exclusive: where a key set exists
// already the error is [ErrExists]. The old document stays where it is. The new
// one starts at version 1, for versions belong to a source. A static ring is
// [ErrStatic]: see [Import].
//
// The order of a deployment:
//
//  1. Move, while nobody changes the old document. It first sees to it that the
//     old one has a next key published, so that both agree on who seals until
//     that one's turn comes.
//  2. Deploy the nodes with [Open] over the new source. Until the last one has
//     changed, both kinds seal under the same keys, and each opens what the
//     other sealed. Be done before the published next key takes over: from
//     then on each document gets a next key of its own, and the nodes over the
//     other one do not know it. Rotate nothing by hand meanwhile, and do every
//     revocation in both.
//  3. Delete the old document, and its keeper's key if that is no longer used:
//     it holds the same secrets.
//
// Who has little time left until the next takeover waits until it is over.
// Move refuses where it is less than [Lead] away.
func Move(ctx context.Context, ring *Ring, source Source, keeper Keeper, now time.Time) (*Ring, error) {
	if ring.source == nil {
		return nil, fmt.Errorf("%w; Import makes a key set of them", ErrStatic)
	}
	if err := wantAbsent(ctx, source); err != nil {
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
	return createFrom(ctx, source, keeper, old.copyAs(1))
}

// wantAbsent finds the document that is there already before anything is
// written or asked of a keeper. The swap is what makes one of many.
func wantAbsent(ctx context.Context, source Source) error {
	version, _, err := source.LoadKeys(ctx)
	if err != nil {
		return fmt.Errorf("keyring: look for a key set: %w", err)
	}
	if version != 0 {
		return ErrExists
	}
	return nil
}
