package xaes

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"testing"
)

// reference is a slow and plain XAES-256-GCM, written directly from its
// specification and from NIST SP 800-38B (CMAC) and SP 800-38D (GCM). The caller
// chooses the nonce. The standard library's GCM does not allow that under
// GODEBUG=fips140=only, so reference uses AES alone, and every test of this
// package runs in every mode.
type reference struct{ key []byte }

func (r reference) seal(nonce, plaintext, additional []byte) []byte {
	block := r.derive(nonce[:SaltSize])
	ciphertext := gcmCounter(block, nonce[SaltSize:], plaintext)
	return append(ciphertext, gcmTag(block, nonce[SaltSize:], ciphertext, additional)...)
}

func (r reference) open(nonce, sealed, additional []byte) ([]byte, error) {
	block := r.derive(nonce[:SaltSize])
	ciphertext, tag := sealed[:len(sealed)-16], sealed[len(sealed)-16:]
	if string(tag) != string(gcmTag(block, nonce[SaltSize:], ciphertext, additional)) {
		return nil, errors.New("reference: not authentic")
	}
	return gcmCounter(block, nonce[SaltSize:], ciphertext), nil
}

// derive is CMAC over 0x00 0x01 'X' 0x00 and the salt, then with 0x02.
func (r reference) derive(salt []byte) cipher.Block {
	m1 := append([]byte{0, 1, 'X', 0}, salt...)
	m2 := append([]byte{0, 2, 'X', 0}, salt...)
	return newAES(append(cmac(r.key, m1), cmac(r.key, m2)...))
}

// cmac is CMAC-AES over any message whose last block is whole.
func cmac(key, message []byte) []byte {
	block := newAES(key)
	var l [16]byte
	block.Encrypt(l[:], l[:])
	k1 := double(l)
	var x [16]byte
	for len(message) > 0 {
		subtle.XORBytes(x[:], x[:], message[:16])
		if message = message[16:]; len(message) == 0 {
			subtle.XORBytes(x[:], x[:], k1[:])
		}
		block.Encrypt(x[:], x[:])
	}
	return x[:]
}

// double multiplies by x in GF(2^128) as CMAC numbers its bits.
func double(b [16]byte) [16]byte {
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	carry := high >> 63
	high, low = high<<1|low>>63, low<<1
	if carry == 1 {
		low ^= 0x87
	}
	binary.BigEndian.PutUint64(b[:8], high)
	binary.BigEndian.PutUint64(b[8:], low)
	return b
}

func gcmCounter(block cipher.Block, nonce, in []byte) []byte {
	out := make([]byte, len(in))
	var counter, stream [16]byte
	copy(counter[:], nonce)
	for i := range in {
		if i%16 == 0 {
			binary.BigEndian.PutUint32(counter[12:], uint32(i/16)+2)
			block.Encrypt(stream[:], counter[:])
		}
		out[i] = in[i] ^ stream[i%16]
	}
	return out
}

func gcmTag(block cipher.Block, nonce, ciphertext, additional []byte) []byte {
	var h, first, tag [16]byte
	block.Encrypt(h[:], h[:])
	copy(first[:], nonce)
	first[15] = 1
	block.Encrypt(first[:], first[:])

	g := ghash{h: element(h[:])}
	g.padded(additional)
	g.padded(ciphertext)
	g.block(uint64(len(additional))*8, uint64(len(ciphertext))*8)
	binary.BigEndian.PutUint64(tag[:8], g.y[0])
	binary.BigEndian.PutUint64(tag[8:], g.y[1])
	subtle.XORBytes(tag[:], tag[:], first[:])
	return tag[:]
}

// ghash multiplies bit by bit: SP 800-38D, algorithm 1.
type ghash struct{ h, y [2]uint64 }

func element(b []byte) [2]uint64 {
	return [2]uint64{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (g *ghash) padded(b []byte) {
	for len(b) > 0 {
		var whole [16]byte
		b = b[copy(whole[:], b):]
		e := element(whole[:])
		g.block(e[0], e[1])
	}
}

func (g *ghash) block(high, low uint64) {
	x := [2]uint64{g.y[0] ^ high, g.y[1] ^ low}
	var z [2]uint64
	v := g.h
	for i := range 128 {
		if x[i/64]>>(63-i%64)&1 == 1 {
			z[0] ^= v[0]
			z[1] ^= v[1]
		}
		lsb := v[1] & 1
		v[1] = v[1]>>1 | v[0]<<63
		v[0] >>= 1
		if lsb == 1 {
			v[0] ^= 0xe1 << 56
		}
	}
	g.y = z
}

func newAES(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	return block
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func newAEAD(t testing.TB, key []byte) *AEAD {
	t.Helper()
	a, err := New(key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestReferenceIsGCM compares the GCM of reference with the standard library's,
// in the modes in which that accepts a nonce.
func TestReferenceIsGCM(t *testing.T) {
	r := reference{randomBytes(KeySize)}
	for n := range 100 {
		nonce, plaintext, additional := randomBytes(SaltSize+NonceSize), randomBytes(n), randomBytes(3*n/2)
		gcm, err := cipher.NewGCM(r.derive(nonce[:SaltSize]))
		if err != nil {
			t.Skip("the standard library lets no nonce be chosen in this mode; the published vectors hold the reference:", err)
		}
		want := gcm.Seal(nil, nonce[SaltSize:], plaintext, additional)
		if got := r.seal(nonce, plaintext, additional); string(got) != string(want) {
			t.Fatalf("with %d bytes: reference %x, standard library %x", n, got, want)
		}
	}
}
