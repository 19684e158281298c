package revocation

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"github.com/waferkit/wafer/store"
)

// key is what a table is searched for: 128 bits that stand for a session or a
// subject, and that nobody outside the process can foresee. The first half
// also says where to look.
type key struct{ a, b uint64 }

// seeds make keys.
type seeds struct {
	session [4]uint64
	subject [2]maphash.Seed
}

func newSeeds() (s seeds) {
	var random [8 * len(s.session)]byte
	rand.Read(random[:])
	for i := range s.session {
		s.session[i] = binary.LittleEndian.Uint64(random[8*i:])
	}
	for i := range s.subject {
		s.subject[i] = maphash.MakeSeed()
	}
	return s
}

// ofSession returns the key of a session: its id, which is random already,
// through two rounds of a Feistel network, so that the id can be got back. The
// seeds keep ids that are not random after all from being searched for in one
// place.
func (s *seeds) ofSession(id store.ID) key {
	l, r := binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
	l ^= round(r, s.session[0], s.session[1])
	r ^= round(l, s.session[2], s.session[3])
	return key{r, l}
}

// sessionOf returns the session that has the key.
func (s *seeds) sessionOf(k key) (id store.ID) {
	r, l := k.a, k.b
	r ^= round(l, s.session[2], s.session[3])
	l ^= round(r, s.session[0], s.session[1])
	binary.LittleEndian.PutUint64(id[:8], l)
	binary.LittleEndian.PutUint64(id[8:], r)
	return id
}

// round is one of the network: what of one half goes into the other.
func round(half, seed, factor uint64) uint64 {
	hi, lo := bits.Mul64(half^seed, factor|1)
	return hi ^ lo
}

// hashOf returns the first half of a subject's key. Anybody may choose a
// subject, so its key is a keyed hash.
func (s *seeds) hashOf(subject string) uint64 { return maphash.String(s.subject[0], subject) }

// ofSubject returns the key of a subject.
func (s *seeds) ofSubject(subject string) key {
	return key{s.hashOf(subject), maphash.String(s.subject[1], subject)}
}

// ofName is ofSubject of one of names.
func (s *seeds) ofName(name []byte) key {
	return key{maphash.Bytes(s.subject[0], name), maphash.Bytes(s.subject[1], name)}
}

// names are subjects one after the other, each behind its length. A key that
// is a hash needs them to say whom it names.
type names []byte

// addName adds a name. Room for more is made an eighth at a time, and not a
// quarter or more as append has it: it is part of what an entry takes.
func addName[T string | []byte](n names, name T) names {
	var size [binary.MaxVarintLen64]byte
	prefix := size[:binary.PutUvarint(size[:], uint64(len(name)))]
	if need := len(n) + len(prefix) + len(name); need > cap(n) {
		n = append(make(names, 0, need+need/8), n...)
	}
	return append(append(n, prefix...), name...)
}

// each calls yield with every name, which is good until yield returns.
func (n names) each(yield func(name []byte)) {
	for len(n) > 0 {
		size, prefix := binary.Uvarint(n)
		end := prefix + int(size)
		yield(n[prefix:end])
		n = n[end:]
	}
}
