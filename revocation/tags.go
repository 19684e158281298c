package revocation

import "math/bits"

// tags holds one byte for each of eight slots in one word, the first slot's in
// the lowest bits. 0 means that the slot is empty; any other value is a byte of
// the key's hash. The tags are apart from the slots, so that a search that
// finds nothing, as nearly every search does, reads one byte in place of a
// slot.
type tags uint64

const (
	groupSize = 8 // slots that share a word of tags
	lowest    = 0x0101010101010101
)

// tagOf returns the tag of a hash. It uses the lowest bits, since the upper
// ones chose the table and the group. 1 is not a tag, so that no tag differs
// from an empty slot's only in the last bit: see match.
func tagOf(hash uint64) uint64 { return max(hash&0xff, 2) }

// match returns a mask with a bit for each slot that has the tag. After the
// first such slot, a slot whose tag differs only in the last bit may have a bit
// too, so the caller compares keys.
func (t tags) match(tag uint64) uint64 {
	x := uint64(t) ^ tag*lowest // a zero byte for each slot that has the tag
	return (x - lowest) &^ x & (lowest << 7)
}

// slotOf returns the slot of the lowest bit of a mask.
func slotOf(mask uint64) int { return bits.TrailingZeros64(mask) / 8 }
