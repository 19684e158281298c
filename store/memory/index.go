package memory

import (
	"cmp"
	"iter"
	"slices"

	"github.com/waferkit/wafer/store"
)

// index holds families that have not ended, in the order in which they are listed:
// the one born last first. It is a list of sorted blocks, so that adding and
// removing one costs little, however many there are.
type index struct{ blocks [][]*family }

const blockSize = 256

// place is a family's place in an index.
type place struct {
	birth   store.Position
	started int64 // milliseconds
	id      store.ID
}

func placeOf(f *family) place { return place{f.Birth, f.Started.UnixMilli(), f.ID} }

// compare orders places as they are listed.
func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(q.birth, p.birth), cmp.Compare(q.started, p.started), slices.Compare(q.id[:], p.id[:]))
}

// find returns the block and the offset of the first family that is not before p.
func (x *index) find(p place) (block, offset int) {
	block, _ = slices.BinarySearchFunc(x.blocks, p, func(b []*family, p place) int { return placeOf(b[len(b)-1]).compare(p) })
	if block == len(x.blocks) {
		return block, 0
	}
	offset, _ = slices.BinarySearchFunc(x.blocks[block], p, func(f *family, p place) int { return placeOf(f).compare(p) })
	return block, offset
}

func (x *index) add(f *family) {
	block, offset := x.find(placeOf(f))
	switch {
	case len(x.blocks) == 0:
		x.blocks = [][]*family{{f}}
		return
	case block == len(x.blocks):
		block--
		offset = len(x.blocks[block])
	}
	b := slices.Insert(x.blocks[block], offset, f)
	x.blocks[block] = b
	if half := len(b) / 2; len(b) > blockSize {
		x.blocks[block] = slices.Clip(b[:half])
		x.blocks = slices.Insert(x.blocks, block+1, slices.Clone(b[half:]))
	}
}

// remove removes a family, which need not be there.
func (x *index) remove(f *family) {
	block, offset := x.find(placeOf(f))
	if block == len(x.blocks) || x.blocks[block][offset] != f {
		return
	}
	if x.blocks[block] = slices.Delete(x.blocks[block], offset, offset+1); len(x.blocks[block]) == 0 {
		x.blocks = slices.Delete(x.blocks, block, block+1)
	}
}

// after yields the families after p. The index must not change meanwhile.
func (x *index) after(p place) iter.Seq[*family] {
	return func(yield func(*family) bool) {
		if x == nil {
			return
		}
		block, offset := x.find(p)
		for ; block < len(x.blocks); block, offset = block+1, 0 {
			for _, f := range x.blocks[block][offset:] {
				if placeOf(f) != p && !yield(f) {
					return
				}
			}
		}
	}
}

// first is before every family.
var first = place{birth: store.MaxPosition + 1}

// last returns the family that was born first, or nil.
func (x *index) last() *family {
	if x == nil || len(x.blocks) == 0 {
		return nil
	}
	b := x.blocks[len(x.blocks)-1]
	return b[len(b)-1]
}

// indexes holds an index for each key that has families.
type indexes[K comparable] map[K]*index

func (m indexes[K]) add(k K, f *family) {
	if m[k] == nil {
		m[k] = new(index)
	}
	m[k].add(f)
}

func (m indexes[K]) remove(k K, f *family) {
	if x := m[k]; x != nil {
		if x.remove(f); len(x.blocks) == 0 {
			delete(m, k)
		}
	}
}

// list adds a family to the indexes. It must not have ended.
func (s *Store) list(f *family) {
	s.living.add(f)
	s.bySubject.add(f.Subject, f)
	if f.Actor != "" {
		s.byActor.add(f.Actor, f)
	}
	for _, n := range f.Names {
		s.byName.add(n, f)
	}
}

// unlist removes a family from the indexes, before it ends, is reborn or is
// removed, or because it is dead already.
func (s *Store) unlist(f *family) {
	s.living.remove(f)
	s.bySubject.remove(f.Subject, f)
	if f.Actor != "" {
		s.byActor.remove(f.Actor, f)
	}
	for _, n := range f.Names {
		s.byName.remove(n, f)
	}
}
