package keyring

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Defaults and bounds of a [Schedule].
const (
	DefaultSeals = 30 * 24 * time.Hour
	DefaultLife  = 30 * 24 * time.Hour

	// Lead is the least time between the publication of a key and its
	// activation. It is far more than the time between two polls of a node
	// plus the leeway of clocks, so every node has a key before it meets
	// the first cookie under it.
	Lead = time.Hour

	// MaxKeys is the most keys that a set may have. A schedule keeps about
	// Life/Seals + 2.
	MaxKeys = 256
)

// Schedule is how long keys seal and how long they open. The zero value has the
// defaults. A schedule that keeps more than 128 keys at once (Life/Seals + 2)
// is an error.
type Schedule struct {
	// Seals is how long a key seals before the next one takes over, in
	// whole seconds. 0 means 30 days; otherwise at least 2 × [Lead] and at
	// most 100 years.
	Seals time.Duration
	// Life is the longest life of anything sealed under the ring, in whole
	// seconds. A key opens for that long after its successor took over. It
	// bounds the absolute limit of sessions. 0 means 30 days; otherwise at
	// least a minute and at most 100 years.
	Life time.Duration
}

func (s Schedule) withDefaults() (Schedule, error) {
	if s.Seals == 0 {
		s.Seals = DefaultSeals
	}
	if s.Life == 0 {
		s.Life = DefaultLife
	}
	if s.Seals < 2*Lead {
		return s, fmt.Errorf("keyring: Schedule.Seals is %v: want at least %v, since a key is published %v ahead", s.Seals, 2*Lead, Lead)
	}
	if s.Life < time.Minute {
		return s, fmt.Errorf("keyring: Schedule.Life is %v: want at least 1m", s.Life)
	}
	if s.Seals%time.Second != 0 || s.Life%time.Second != 0 || s.Seals > maxPeriod || s.Life > maxPeriod {
		return s, fmt.Errorf("keyring: a Schedule of %v and %v: want whole seconds, and at most %v", s.Seals, s.Life, maxPeriod)
	}
	if n := s.Life/s.Seals + 2; n > MaxKeys/2 {
		return s, fmt.Errorf("keyring: a Schedule of %v and %v keeps %d keys at once: want at most %d; let each seal for longer", s.Seals, s.Life, n, MaxKeys/2)
	}
	return s, nil
}

// maxPeriod bounds Seals and Life: a hundred years.
const maxPeriod = 100 * 365 * 24 * time.Hour

// Set is an immutable snapshot of a ring's keys, ordered by activation. It is
// safe for concurrent use.
type Set struct {
	id       RingID
	version  uint64
	document [sha256.Size]byte // the hash of the sealed document
	schedule Schedule
	keys     []*Key
	static   bool
}

// RingID identifies a ring: a document that is changed but not replaced. It is
// random.
type RingID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id RingID) String() string { return hex.EncodeToString(id[:]) }

func newRingID() (id RingID) {
	rand.Read(id[:])
	return id
}

// ID returns the id of the ring that the set belongs to. Versions compare only
// within one ring. It is zero for a static set.
func (s *Set) ID() RingID { return s.id }

// Version returns the version of the document that the set was read from. It
// rises with every change. It is 0 for a static set.
func (s *Set) Version() uint64 { return s.version }

// Schedule returns the set's schedule.
func (s *Set) Schedule() Schedule { return s.schedule }

// Keys returns the keys in the order of their activation. The slice is a copy
// that the caller owns.
func (s *Set) Keys() []*Key { return slices.Clone(s.keys) }

// Primary returns the key that seals at time now: of the keys that have been
// activated and are neither expired nor revoked, the one that activated last.
// Every node with the same set selects the same key. The error is
// [ErrNoPrimary].
func (s *Set) Primary(now time.Time) (*Key, error) {
	for _, k := range slices.Backward(s.keys) {
		if !k.activates.After(now) && k.accepts(now) == nil {
			return k, nil
		}
	}
	return nil, ErrNoPrimary
}

// Key returns the key with that id if it may open at time now. A key that is
// published but not yet active may. The error is [ErrUnknown], [ErrExpired] or
// [ErrRevoked].
func (s *Set) Key(id ID, now time.Time) (*Key, error) {
	k := s.find(id)
	if k == nil {
		return nil, ErrUnknown
	}
	if err := k.accepts(now); err != nil {
		return nil, err
	}
	return k, nil
}

// next returns the published key that takes over next, or nil.
func (s *Set) next(now time.Time) *Key {
	for _, k := range s.keys {
		if k.activates.After(now) && k.revocation == nil {
			return k
		}
	}
	return nil
}

func (s *Set) has(id ID) bool {
	return slices.ContainsFunc(s.keys, func(k *Key) bool { return k.id == id })
}

// finish sorts the keys and computes when each expires. Expiry is a function of
// the set and is not stored, so the two cannot disagree.
func (s *Set) finish() error {
	if len(s.keys) == 0 || len(s.keys) > MaxKeys {
		return fmt.Errorf("keyring: a set of %d keys: want 1 to %d", len(s.keys), MaxKeys)
	}
	slices.SortFunc(s.keys, func(a, b *Key) int {
		if c := a.activates.Compare(b.activates); c != 0 {
			return c
		}
		return slices.Compare(a.id[:], b.id[:])
	})
	seen := make(map[ID]bool, len(s.keys))
	for i, k := range s.keys {
		if seen[k.id] {
			return fmt.Errorf("keyring: two keys have the id %v", k.id)
		}
		seen[k.id] = true
		k.expires = time.Time{}
		for _, successor := range s.keys[i+1:] {
			if !s.static && successor.supersedes() && successor.activates.After(k.activates) {
				k.expires = successor.activates.Add(s.schedule.Life)
				break
			}
		}
	}
	return nil
}

// change returns the next version of s. edit changes a copy whose keys are
// copies too, so it may set their times. Every set with other keys is made by
// change.
func (s *Set) change(now time.Time, edit func(c *Set)) (*Set, error) {
	c := s.copyAs(s.version + 1)
	edit(c)
	c.trim(now)
	if err := c.finish(); err != nil {
		return nil, err
	}
	return c, nil
}

// copyAs returns the same set with another version. It copies the keys because
// those of s are being read.
func (s *Set) copyAs(version uint64) *Set {
	c := &Set{id: s.id, version: version, schedule: s.schedule, keys: make([]*Key, len(s.keys))}
	for i, k := range s.keys {
		copied := *k
		c.keys[i] = &copied
	}
	return c
}

// trim removes keys from a set that is too full, because nobody prunes it or
// because keys are revoked again and again. Nothing may stand in the way of the
// next revocation. trim removes expired keys first, then those that were
// revoked first. A removed key opens as little as before.
func (s *Set) trim(now time.Time) {
	if len(s.keys) > MaxKeys {
		s.keys = slices.DeleteFunc(s.keys, func(k *Key) bool { return k.accepts(now) == ErrExpired })
	}
	for len(s.keys) > MaxKeys {
		first := -1
		for i, k := range s.keys {
			if k.revocation != nil && (first < 0 || k.revocation.At.Before(s.keys[first].revocation.At)) {
				first = i
			}
		}
		if first < 0 {
			return // finish refuses the set
		}
		s.keys = slices.Delete(s.keys, first, first+1)
	}
}

func (s *Set) add(now, activates time.Time) *Key {
	k := newKey(now, activates, s.has)
	s.keys = append(s.keys, k)
	return k
}

func newSet(now time.Time, schedule Schedule) (*Set, error) {
	schedule, err := schedule.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Set{id: newRingID(), version: 1, schedule: schedule}
	s.add(now, now)
	s.add(now, now.Add(schedule.Seals))
	return s, s.finish()
}

// rotate publishes a next key if there is none. If the primary has sealed for
// at least olderThan, the next key takes over as soon as every node can have
// it. rotate returns s itself if there is nothing to do, so any number of
// callers make one key.
func (s *Set) rotate(now time.Time, olderThan time.Duration) (*Set, error) {
	primary, err := s.Primary(now)
	next := s.next(now)
	takeover := now // at once, because nothing can be sealed without a primary
	if err == nil {
		takeover = s.dueAfter(primary, now)
		if now.Sub(primary.activates) >= olderThan {
			takeover = now.Add(Lead)
		}
	}
	switch {
	case next == nil:
		return s.change(now, func(c *Set) { c.add(now, takeover) })
	case next.activates.After(takeover):
		return s.change(now, func(c *Set) { c.find(next.id).activates = takeover })
	}
	return s, nil
}

// dueAfter returns when the successor of primary is due: by the schedule, but
// no sooner than every node can have it.
func (s *Set) dueAfter(primary *Key, now time.Time) time.Time {
	due, soonest := primary.activates.Add(s.schedule.Seals), now.Add(Lead)
	if due.Before(soonest) {
		return soonest
	}
	return due
}

// revoke revokes the keys that match. If the primary is among them, the
// published next key takes over now, or a fresh one if the next key is revoked
// too, because a revocation must never stop sealing. revoke returns s itself if
// every match is already revoked.
func (s *Set) revoke(now time.Time, reason string, match func(*Key) bool) (*Set, error) {
	if !slices.ContainsFunc(s.keys, func(k *Key) bool { return k.revocation == nil && match(k) }) {
		return s, nil
	}
	primary, err := s.Primary(now)
	withoutPrimary := err != nil || match(primary)
	reason = validReason(reason)
	return s.change(now, func(c *Set) {
		for _, k := range c.keys {
			if k.revocation == nil && match(k) {
				k.revocation = &Revocation{At: now, Reason: reason}
			}
		}
		if withoutPrimary {
			primary = c.takeOver(now)
		}
		if c.next(now) == nil {
			c.add(now, c.dueAfter(primary, now))
		}
	})
}

// takeOver makes the published next key, or a fresh one if there is none, the
// primary at once. It is dated back by maxSkew, so that nodes whose clocks are
// behind have a primary too. It is dated after every key that was active: an
// older one must not become the primary again, because what it sealed would
// outlive it.
func (s *Set) takeOver(now time.Time) *Key {
	at := now.Add(-maxSkew)
	for _, k := range s.keys {
		if !k.activates.After(now) && !k.activates.Before(at) {
			at = k.activates.Add(time.Millisecond)
		}
	}
	if at.After(now) {
		at = now
	}
	k := s.next(now)
	if k == nil {
		return s.add(now, at)
	}
	k.activates = at
	return k
}

// maxSkew is how far the clock of a node may be behind for it to see a takeover
// at once.
const maxSkew = time.Minute

// maxReason bounds a reason, in bytes, because the document that holds it is
// bounded too.
const maxReason = 255

// validReason shortens and repairs a reason so that the document can hold it. A
// revocation never fails because of its reason.
func validReason(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "\uFFFD")
}

// prune removes the keys under which nothing can still be alive. A revoked key
// is kept for as long, because its reason is evidence.
func (s *Set) prune(now time.Time) (*Set, error) {
	gone := func(k *Key) bool {
		if k.revocation != nil {
			return now.After(k.revocation.At.Add(s.schedule.Life))
		}
		return !k.expires.IsZero() && now.After(k.expires.Add(Lead))
	}
	if !slices.ContainsFunc(s.keys, gone) {
		return s, nil
	}
	return s.change(now, func(c *Set) { c.keys = slices.DeleteFunc(c.keys, gone) })
}

// find returns the key with that id, or nil.
func (s *Set) find(id ID) *Key {
	for _, k := range s.keys {
		if k.id == id {
			return k
		}
	}
	return nil
}

// Format prints the version and the key ids for every verb.
func (s *Set) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "key set %d %v", s.version, s.keys)
}

// MarshalJSON always fails: the ring writes a set, and only sealed.
func (s *Set) MarshalJSON() ([]byte, error) {
	return nil, errors.New("keyring: a set does not marshal; it is written sealed, by the ring")
}
