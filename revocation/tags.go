package revocation

import "math/bits"

// tags are one byte for each of eight slots, in one word, the first slot's
// lowest. 0 says that the slot is empty; any other is a byte of its key's hash.
// They lie apart from the slots, so that a search that finds nothing, as nearly
// every one does, reads one byte where it would have read a slot.
type tags uint64

const (
	group  = 8 // slots that share a word of tags
	lowest = 0x0101010101010101
)

// tagOf returns the tag of a hash. It takes the lowest bits: the upper ones
// chose the table and the group. 1 is left out, so that no slot's tag differs
// from an empty one's in the last bit alone: see with.
func tagOf(hash uint64) uint64 { return max(hash&0xff, 2) }

// with returns a mask that has a bit for each slot with the tag. A slot after
// the first of them whose tag differs in the last bit alone may have one too,
// so keys are compared.
func (t tags) with(tag uint64) uint64 {
	x := uint64(t) ^ tag*lowest // a byte of 0 for each slot that has it
	return (x - lowest) &^ x & (lowest << 7)
}

// slotIn returns the slot that the lowest bit of a mask stands for.
func slotIn(mask uint64) int { return bits.TrailingZeros64(mask) / 8 }
