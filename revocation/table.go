package revocation

import (
	"math/bits"
	"sync/atomic"

	"github.com/waferkit/wafer/store"
)

// key is what a table is searched for: a 128-bit keyed hash of a session or a
// subject, which nobody outside the process can foresee. Its first half also
// says where to look.
type key struct{ a, b uint64 }

// table is an open-addressing hash table with one writer and any number of
// readers that take no lock. It never shrinks and never moves a key; a table
// that is too full or too stale is replaced by a new one.
type table struct {
	slots []slot
	used  int // the writer's
}

// slot holds a key and its mark. A mark of 0 says that the slot is empty. The
// writer stores the key before the mark, and never changes a key afterwards,
// so a reader that sees the mark sees the key.
type slot struct{ a, b, mark atomic.Uint64 }

// mark is a position and whether what it names is refused there (else it is
// out of date), in one word.
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

const (
	// A table is at most 3/5 full; a new one begins at 4/9, so that replacing
	// costs each entry a constant. A slot has 24 bytes: that is 40 to 56 bytes
	// an entry.
	minSlots = 8
)

// full reports whether one more key needs a new table.
func (t *table) full() bool { return t == nil || (t.used+1)*5 > len(t.slots)*3 }

// grown returns the number of slots for a table that begins with n keys.
func grown(n int) int { return max(minSlots, (n+1)*9/4) }

func (t *table) first(hash uint64) int {
	// The upper bits chose the shard; what is left is spread over the slots
	// without a division.
	hi, _ := bits.Mul64(hash<<shardBits, uint64(len(t.slots)))
	return int(hi)
}

// get returns the key's mark, or 0.
func (t *table) get(k key) mark {
	if t == nil {
		return 0
	}
	for i := t.first(k.a); ; {
		s := &t.slots[i]
		m := s.mark.Load()
		if m == 0 || s.a.Load() == k.a && s.b.Load() == k.b {
			return mark(m)
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
}

// put joins m into the key's mark, and reports whether that changed. The table
// must not be full.
func (t *table) put(k key, m mark) bool {
	for i := t.first(k.a); ; {
		s := &t.slots[i]
		old := mark(s.mark.Load())
		if old == 0 {
			s.a.Store(k.a)
			s.b.Store(k.b)
			s.mark.Store(uint64(m))
			t.used++
			return true
		}
		if s.a.Load() == k.a && s.b.Load() == k.b {
			joined := old.join(m)
			s.mark.Store(uint64(joined))
			return joined != old
		}
		if i++; i == len(t.slots) {
			i = 0
		}
	}
}

// live counts the marks above the floor.
func (t *table) live(floor store.Position) (n int) {
	if t == nil {
		return 0
	}
	for i := range t.slots {
		if mark(t.slots[i].mark.Load()).position() > floor {
			n++
		}
	}
	return n
}
