package revocation_test

import (
	"encoding/binary"
	"testing"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// The first slot with a tag is found whatever the other seven hold, and no slot
// if none has the tag. 1 is not a tag: see tagOf.
func TestList_TagsFindTheFirstSlot(t *testing.T) {
	r := random(t)
	few := []byte{0, 2, 3, 0x7f, 0x80, 0x81, 0xfe, 0xff}
	for range smaller(1_000_000, 10) {
		var slots [8]byte
		for i := range slots {
			slots[i] = few[r.IntN(len(few))]
		}
		tag := few[r.IntN(len(few))]
		want := -1
		for i := len(slots) - 1; i >= 0; i-- {
			if slots[i] == tag {
				want = i
			}
		}
		got, ok := revocation.WithTag(binary.LittleEndian.Uint64(slots[:]), uint64(tag))
		if ok != (want >= 0) || ok && got != want {
			t.Fatalf("tag %#x in %#x: slot %d, %v: want %d", tag, slots, got, ok, want)
		}
	}
}

// Ids are random. If they are not, since an application may bring its own, a
// list still finds each of them, and nothing similar.
func TestList_FindsIDsThatAreNotRandom(t *testing.T) {
	l := revocation.NewList(1 << 20)
	var ids []store.ID
	for i := range 1 << 12 {
		var low, high, both store.ID
		binary.LittleEndian.PutUint64(low[:8], uint64(i))
		binary.LittleEndian.PutUint64(high[8:], uint64(i)<<52)
		binary.BigEndian.PutUint64(both[:8], uint64(i))
		binary.BigEndian.PutUint64(both[8:], uint64(i))
		ids = append(ids, low, high, both)
	}
	is := map[store.ID]store.Position{}
	for i, id := range ids {
		if i%2 == 0 {
			is[id] = store.Position(i + 1)
			l.Apply(ending(id, is[id]))
		}
	}
	for _, id := range ids {
		if c := l.Cutoffs(id, ""); c.Ending != is[id] {
			t.Fatalf("session %v: %d: want %d", id, c.Ending, is[id])
		}
	}
	if l.Len() != len(is) {
		t.Errorf("%d entries: want %d", l.Len(), len(is))
	}
	// They are spread over the tables as if they were random: no table took
	// far more of them than its share.
	if most := l.Slots(); most > 8*len(is) {
		t.Errorf("%d slots for %d entries", most, len(is))
	}
}
