package revocation

import (
	"math/bits"
	"sync/atomic"

	"github.com/waferkit/wafer/store"
)

// table is an open-addressing hash table with one writer and any number of
// readers that take no lock. It never shrinks and never moves a key. The writer
// replaces a table that is too full, or that holds too many dropped entries, by
// a new one.
//
// It is not a map under a lock because readers must not wait, and because of
// its size. With a million entries, on two shared cores where only the ratios
// mean something, it took 640 ns and 44 bytes an entry. 256 maps, each under a
// sync.RWMutex, took 1,630 ns and 53 bytes, and sync.Map took 130 bytes. The
// budget is 64 bytes an entry and no lock for readers.
type table struct {
	tags  []atomic.Uint64 // one word for each group of slots
	slots []slot
	// Only the writer uses these fields.
	used     int
	subjects subjectList // the subjects of the keys, if the keys are hashes
}

// slot holds a key and its cutoff. The writer stores the key before the cutoff
// and the cutoff before the tag, and never changes a key afterwards. A reader
// that sees the tag therefore sees all three, and one that sees a cutoff sees
// its key.
type slot struct{ a, b, cutoff atomic.Uint64 }

// cutoff is a position and a flag in one word. The flag is set for a subject, whose
// tokens below the position are revoked, and for a session that was ended, whose
// tokens are all revoked. It is clear for a session whose tokens below the position
// are only out of date. 0 means that there is no cutoff.
type cutoff uint64

func newCutoff(at store.Position, ends bool) cutoff {
	c := cutoff(at) << 1
	if ends {
		c |= 1
	}
	return c
}

func (c cutoff) position() store.Position { return store.Position(c >> 1) }
func (c cutoff) ends() bool               { return c&1 != 0 }

// join returns the stricter of both: the higher position, with the flag set if
// either has it. The position of an ended session only tells when the floor covers
// the end. The higher one is right, though it may be that of a superseding entry:
// the end then stays a little longer, and never goes before its own position.
func (c cutoff) join(o cutoff) cutoff { return max(c>>1, o>>1)<<1 | (c|o)&1 }

// newTable returns a table with room for n keys, which fill half of it. A table
// is at most 2/3 full, so that replacing it costs each entry a constant. In a
// fuller table more searches would meet a wrong tag or a full group, which
// costs more than the rest of the search. A slot has 24 bytes and its tag has
// one, so an entry takes 38 to 50 bytes.
func newTable(n int) *table {
	groups := groupsFor(n)
	return &table{tags: make([]atomic.Uint64, groups), slots: make([]slot, groups*groupSize)}
}

// groupsFor returns the number of groups of a table that starts with n keys.
func groupsFor(n int) int { return ((n+1)*2 + groupSize - 1) / groupSize }

// full reports whether one more key needs a new table.
func (t *table) full() bool { return t == nil || (t.used+1)*3 > len(t.slots)*2 }

// first returns the group at which the search for a hash starts.
func (t *table) first(hash uint64) uint64 {
	// The upper bits have chosen the shard. The others are spread over the
	// groups without a division.
	g, _ := bits.Mul64(hash<<shardBits, uint64(len(t.tags)))
	return g
}

// next returns the group after g in a search that found no empty slot.
func (t *table) next(g uint64) uint64 {
	if g++; g < uint64(len(t.tags)) {
		return g
	}
	return 0
}

// mayContain reports whether the table may contain a key with that hash,
// judging by tags alone. It usually returns false, and the second half of the
// key then need not be computed.
func (t *table) mayContain(hash uint64) bool {
	if t == nil {
		return false
	}
	tag := tagOf(hash)
	for g := t.first(hash); ; g = t.next(g) {
		word := tags(t.tags[g].Load())
		if word.match(tag) != 0 {
			return true
		}
		if word.match(0) != 0 {
			return false
		}
	}
}

// find returns the key's slot. If there is none, it returns nil and the group
// at which the search ended, which has an empty slot.
func (t *table) find(k key) (s *slot, end uint64) {
	tag := tagOf(k.a)
	for g := t.first(k.a); ; g = t.next(g) {
		word := tags(t.tags[g].Load())
		for mask := word.match(tag); mask != 0; mask &= mask - 1 {
			if s := &t.slots[int(g)*groupSize+slotOf(mask)]; s.a.Load() == k.a && s.b.Load() == k.b {
				return s, g
			}
		}
		if word.match(0) != 0 {
			return nil, g
		}
	}
}

// get returns the key's cutoff, or 0.
func (t *table) get(k key) cutoff {
	if t == nil {
		return 0
	}
	s, _ := t.find(k)
	if s == nil {
		return 0
	}
	return cutoff(s.cutoff.Load())
}

// put joins c into the key's cutoff and returns the cutoff before, which is 0 if
// the key is new. The table must not be full.
func (t *table) put(k key, c cutoff) (before cutoff) {
	s, end := t.find(k)
	if s != nil {
		before = cutoff(s.cutoff.Load())
		s.cutoff.Store(uint64(before.join(c)))
		return before
	}
	word := t.tags[end].Load()
	i := slotOf(tags(word).match(0))
	s = &t.slots[int(end)*groupSize+i]
	s.a.Store(k.a)
	s.b.Store(k.b)
	s.cutoff.Store(uint64(c))
	t.tags[end].Store(word | tagOf(k.a)<<(8*i))
	t.used++
	return 0
}

// eachAbove calls yield with every key whose cutoff is above the floor.
func (t *table) eachAbove(floor store.Position, yield func(key, cutoff)) {
	if t == nil {
		return
	}
	for i := range t.slots {
		s := &t.slots[i]
		if c := cutoff(s.cutoff.Load()); c.position() > floor {
			yield(key{s.a.Load(), s.b.Load()}, c)
		}
	}
}

// lower takes every cutoff above p for being at p.
func (t *table) lower(p store.Position) {
	if t == nil {
		return
	}
	for i := range t.slots {
		if c := cutoff(t.slots[i].cutoff.Load()); c.position() > p {
			t.slots[i].cutoff.Store(uint64(newCutoff(p, c.ends())))
		}
	}
}

// live returns the number of cutoffs above the floor.
func (t *table) live(floor store.Position) (n int) {
	t.eachAbove(floor, func(key, cutoff) { n++ })
	return n
}
