package revocation

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"github.com/waferkit/wafer/store"
)

// key identifies a session or a subject in a table by 128 bits that cannot be
// predicted outside the process. The first half also chooses the shard and the
// group.
type key struct{ a, b uint64 }

// seeds holds the secrets from which keys are derived.
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

// sessionKey returns the key of a session: its id, which is already random,
// permuted by two rounds of a Feistel network so that sessionID can invert it.
// The seeds keep ids that are not random after all from clustering in one
// place.
func (s *seeds) sessionKey(id store.ID) key {
	l, r := binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
	l ^= round(r, s.session[0], s.session[1])
	r ^= round(l, s.session[2], s.session[3])
	return key{r, l}
}

// sessionID returns the session that has the key.
func (s *seeds) sessionID(k key) (id store.ID) {
	r, l := k.a, k.b
	r ^= round(l, s.session[2], s.session[3])
	l ^= round(r, s.session[0], s.session[1])
	binary.LittleEndian.PutUint64(id[:8], l)
	binary.LittleEndian.PutUint64(id[8:], r)
	return id
}

// round is the round function of the network. Its result is XORed into the other
// half.
func round(half, seed, factor uint64) uint64 {
	hi, lo := bits.Mul64(half^seed, factor|1)
	return hi ^ lo
}

// subjectHash returns the first half of a subject's key. Anybody may choose a
// subject, so the hash is keyed.
func (s *seeds) subjectHash(subject string) uint64 { return maphash.String(s.subject[0], subject) }

// subjectKey returns the key of a subject.
func (s *seeds) subjectKey(subject string) key {
	return key{s.subjectHash(subject), maphash.String(s.subject[1], subject)}
}

// subjectKeyBytes is subjectKey for an element of a subjectList.
func (s *seeds) subjectKeyBytes(subject []byte) key {
	return key{maphash.Bytes(s.subject[0], subject), maphash.Bytes(s.subject[1], subject)}
}

// subjectList holds subjects one after another, each prefixed with its length.
// A subject's key is a hash, so the subject itself has to be stored to be
// listed.
type subjectList []byte

// appendSubject appends a subject. It grows the list by an eighth, where append
// would grow it by a quarter or more, since spare room is part of an entry's
// size.
func appendSubject[T string | []byte](n subjectList, subject T) subjectList {
	var size [binary.MaxVarintLen64]byte
	prefix := size[:binary.PutUvarint(size[:], uint64(len(subject)))]
	if need := len(n) + len(prefix) + len(subject); need > cap(n) {
		n = append(make(subjectList, 0, need+need/8), n...)
	}
	return append(append(n, prefix...), subject...)
}

// each calls yield with every subject. The slice is valid until yield returns.
func (n subjectList) each(yield func(subject []byte)) {
	for len(n) > 0 {
		size, prefix := binary.Uvarint(n)
		end := prefix + int(size)
		yield(n[prefix:end])
		n = n[end:]
	}
}
