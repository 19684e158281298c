package revocation

import (
	"math/bits"
	"sync/atomic"

	"github.com/waferkit/wafer/store"
)

// table is an open-addressing hash table with one writer and any number of
// readers that take no lock. It never shrinks and never moves a key; a table
// that is too full or too stale is replaced by a new one.
type table struct {
	tags  []atomic.Uint64 // of a group of slots each
	slots []slot
	// The writer's:
	used  int
	names names // of the keys, where they cannot be told from the keys
}

// slot holds a key and its mark. The writer stores the key before the mark and
// the mark before the tag, and never changes a key afterwards, so a reader that
// sees the tag sees all three, and one that sees a mark sees its key.
type slot struct{ a, b, mark atomic.Uint64 }

// mark is a position and whether what it names is refused there (else it is
// out of date), in one word. 0 is none.
type mark uint64

func newMark(at store.Position, ends bool) mark {
	m := mark(at) << 1
	if ends {
		m |= 1
	}
	return m
}

func (m mark) position() store.Position { return store.Position(m >> 1) }
func (m mark) ends() bool               { return m&1 != 0 }

// join returns the stricter of both: the higher position, and refused if
// either is.
func (m mark) join(o mark) mark { return max(m>>1, o>>1)<<1 | (m|o)&1 }

// newTable returns a table that begins with n keys. It is then half full, and
// at most 2/3, so that replacing costs each entry a constant; where it is
// fuller, more searches meet a wrong tag or a full group, which costs more than
// the rest of them. A slot has 24 bytes and its tag one: that is 38 to 50 bytes
// an entry.
func newTable(n int) *table {
	groups := groupsFor(n)
	return &table{tags: make([]atomic.Uint64, groups), slots: make([]slot, groups*group)}
}

// groupsFor returns the number of groups of a table that begins with n keys.
func groupsFor(n int) int { return ((n+1)*2 + group - 1) / group }

// full reports whether one more key needs a new table.
func (t *table) full() bool { return t == nil || (t.used+1)*3 > len(t.slots)*2 }

// first returns the group where the search for a hash begins.
func (t *table) first(hash uint64) uint64 {
	// The upper bits chose the shard; what is left is spread over the groups
	// without a division.
	g, _ := bits.Mul64(hash<<shardBits, uint64(len(t.tags)))
	return g
}

// next returns the group where a search goes on that found no empty slot.
func (t *table) next(g uint64) uint64 {
	if g++; g < uint64(len(t.tags)) {
		return g
	}
	return 0
}

// meets reports whether the search for a key with that hash would meet a slot
// that may be its own. Most searches do not, and the second half of such a key
// need not be known.
func (t *table) meets(hash uint64) bool {
	if t == nil {
		return false
	}
	tag := tagOf(hash)
	for g := t.first(hash); ; g = t.next(g) {
		of := tags(t.tags[g].Load())
		if of.with(tag) != 0 {
			return true
		}
		if of.with(0) != 0 {
			return false
		}
	}
}

// find returns the key's slot, or nil and the group where the search ended,
// which has an empty slot.
func (t *table) find(k key) (s *slot, end uint64) {
	tag := tagOf(k.a)
	for g := t.first(k.a); ; g = t.next(g) {
		of := tags(t.tags[g].Load())
		for mask := of.with(tag); mask != 0; mask &= mask - 1 {
			if s := &t.slots[int(g)*group+slotIn(mask)]; s.a.Load() == k.a && s.b.Load() == k.b {
				return s, g
			}
		}
		if of.with(0) != 0 {
			return nil, g
		}
	}
}

// get returns the key's mark, or 0.
func (t *table) get(k key) mark {
	if t == nil {
		return 0
	}
	s, _ := t.find(k)
	if s == nil {
		return 0
	}
	return mark(s.mark.Load())
}

// put joins m into the key's mark, and returns what that was before, 0 if the
// key is new, and is now. The table must not be full.
func (t *table) put(k key, m mark) (before, now mark) {
	s, end := t.find(k)
	if s != nil {
		before = mark(s.mark.Load())
		now = before.join(m)
		s.mark.Store(uint64(now))
		return before, now
	}
	of := t.tags[end].Load()
	i := slotIn(tags(of).with(0))
	s = &t.slots[int(end)*group+i]
	s.a.Store(k.a)
	s.b.Store(k.b)
	s.mark.Store(uint64(m))
	t.tags[end].Store(of | tagOf(k.a)<<(8*i))
	t.used++
	return 0, m
}

// above calls yield with every key whose mark is above the floor.
func (t *table) above(floor store.Position, yield func(key, mark)) {
	if t == nil {
		return
	}
	for i := range t.slots {
		s := &t.slots[i]
		if m := mark(s.mark.Load()); m.position() > floor {
			yield(key{s.a.Load(), s.b.Load()}, m)
		}
	}
}

// live counts the marks above the floor.
func (t *table) live(floor store.Position) (n int) {
	t.above(floor, func(key, mark) { n++ })
	return n
}
