// Package xaes implements XAES-256-GCM as specified by C2SP
// (https://c2sp.org/XAES-256-GCM), with the cost of its key derivation spread
// over many messages on both sides.
//
// XAES-256-GCM takes a 24-byte nonce. From its first half, the salt, it derives
// an AES-256-GCM key; its second half is the nonce of that. Random 24-byte
// nonces are safe for 2^80 messages per key, where plain GCM's 12 bytes are
// spent after 2^32.
//
// A sealer draws a random salt once and uses the derived key for up to
// maxSeals messages or saltLife, each with its own random nonce. So a forked
// or cloned process that repeats the salt still repeats no nonce. An opener
// keeps the keys of the salts it has met.
package xaes

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// KeySize is the size of the key in bytes.
	KeySize = 32
	// SaltSize and NonceSize are the halves of the 24-byte nonce.
	SaltSize  = 12
	NonceSize = 12
	// Overhead is what sealing adds: salt, nonce and tag.
	Overhead = SaltSize + NonceSize + 16

	maxSeals = 1 << 24
	saltLife = time.Hour

	// The opener's cache: a salt falls into one set and may take any of its
	// ways. Some 1 kB an entry, so at most about 1 MB a key.
	cacheSets = 256
	cacheWays = 4
)

// ErrOpen says that a message is not authentic.
var ErrOpen = errors.New("xaes: message authentication failed")

// AEAD seals and opens under one key. It is safe for concurrent use.
type AEAD struct {
	block   cipher.Block // AES-256 under the key, for derivation only
	k1      [16]byte     // the first CMAC subkey (NIST SP 800-38B)
	sealing atomic.Pointer[epoch]
	cache   [cacheSets * cacheWays]atomic.Pointer[opener]
	victim  atomic.Uint32
}

// epoch is a salt with its derived key, and how much of it is left.
type epoch struct {
	salt  [SaltSize]byte
	aead  cipher.AEAD
	start time.Time
	used  atomic.Int64
}

type opener struct {
	salt [SaltSize]byte
	aead cipher.AEAD
}

// New returns the AEAD of a key of [KeySize] bytes. It keeps no reference.
func New(key []byte) (*AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("xaes: a key of %d bytes: want %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	a := &AEAD{block: block}
	// K1 is the encryption of zero, doubled in GF(2^128), without a branch on
	// the secret bit.
	block.Encrypt(a.k1[:], a.k1[:])
	var msb byte
	for i := len(a.k1) - 1; i >= 0; i-- {
		msb, a.k1[i] = a.k1[i]>>7, a.k1[i]<<1|msb
	}
	a.k1[15] ^= byte(subtle.ConstantTimeSelect(int(msb), 0x87, 0))
	return a, nil
}

// derive returns AES-256 under the key that belongs to a salt: CMAC as the KDF
// in counter mode of NIST SP 800-108r1, one block for each half.
func (a *AEAD) derive(salt []byte) (cipher.Block, error) {
	var key [KeySize]byte
	for half := range 2 {
		m := key[half*16 : half*16+16]
		copy(m, []byte{0, byte(half + 1), 'X', 0})
		copy(m[4:], salt)
		subtle.XORBytes(m, m, a.k1[:])
		a.block.Encrypt(m, m)
	}
	return aes.NewCipher(key[:])
}

func (a *AEAD) aead(salt []byte) (cipher.AEAD, error) {
	block, err := a.derive(salt)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal appends salt, nonce, ciphertext and tag of plaintext to dst. The
// additional data is authenticated and not sent.
func (a *AEAD) Seal(dst, plaintext, additional []byte) ([]byte, error) {
	e, err := a.epoch()
	if err != nil {
		return nil, err
	}
	dst = append(dst, e.salt[:]...)
	return e.aead.Seal(dst, nil, plaintext, additional), nil
}

// epoch returns one with a seal to spend.
func (a *AEAD) epoch() (*epoch, error) {
	for {
		e := a.sealing.Load()
		if e != nil && time.Since(e.start) < saltLife && e.used.Add(1) <= maxSeals {
			return e, nil
		}
		fresh := &epoch{start: time.Now()}
		rand.Read(fresh.salt[:])
		aead, err := a.aead(fresh.salt[:])
		if err != nil {
			return nil, err
		}
		fresh.aead = aead
		a.sealing.CompareAndSwap(e, fresh) // the loser uses the winner's
	}
}

// Open authenticates and decrypts what Seal appended, and returns the
// plaintext in place: sealed is overwritten. The error is [ErrOpen], and
// nothing of the plaintext is returned with it.
func (a *AEAD) Open(sealed, additional []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrOpen
	}
	salt, rest := sealed[:SaltSize], sealed[SaltSize:]
	set := a.cache[int(salt[0])%cacheSets*cacheWays:][:cacheWays]
	for i := range set {
		if o := set[i].Load(); o != nil && string(o.salt[:]) == string(salt) {
			plaintext, err := o.aead.Open(rest[:0], nil, rest, additional)
			if err != nil {
				return nil, ErrOpen
			}
			return plaintext, nil
		}
	}
	aead, err := a.aead(salt)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(rest[:0], nil, rest, additional)
	if err != nil {
		return nil, ErrOpen
	}
	// Only an authentic message's salt is kept: nobody but a holder of the key
	// fills the cache.
	o := &opener{aead: aead}
	copy(o.salt[:], salt)
	for i := range set {
		if set[i].CompareAndSwap(nil, o) {
			return plaintext, nil
		}
	}
	set[a.victim.Add(1)%cacheWays].Store(o)
	return plaintext, nil
}
