// Package xaes implements XAES-256-GCM as specified by C2SP
// (https://c2sp.org/XAES-256-GCM). Both sealing and opening spread the cost of
// its key derivation over many messages.
//
// XAES-256-GCM has a 24-byte nonce. Its first half, called the salt here,
// selects a derived AES-256-GCM key, and its second half is the nonce of that
// cipher. Random 24-byte nonces are safe for 2^80 messages per key, while the
// 12 bytes of plain GCM are used up after 2^32.
//
// A sealer draws a random salt and uses its derived key for up to maxSeals
// messages or saltLife, each message with its own random nonce. So a forked or
// cloned process repeats the salt but no nonce. An opener caches the derived
// keys of the salts it has seen.
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
	// SaltSize and NonceSize are the sizes of the two halves of the 24-byte
	// nonce, in bytes.
	SaltSize  = 12
	NonceSize = 12
	// Overhead is the number of bytes that sealing adds: salt, nonce and
	// tag.
	Overhead = SaltSize + NonceSize + 16

	maxSeals = 1 << 24
	saltLife = time.Hour

	// The opener's cache is set-associative: the salt selects a set, and an
	// entry may be in any of its ways. An entry has some 1 kB, so a key's
	// cache has at most about 1 MB.
	cacheSets = 256
	cacheWays = 4
)

// ErrOpen is returned by [AEAD.Open] if a message is not authentic.
var ErrOpen = errors.New("xaes: message authentication failed")

// AEAD seals and opens messages under one key. It is safe for concurrent use.
type AEAD struct {
	block   cipher.Block // AES-256 under the key, for derivation only
	k1      [16]byte     // the first CMAC subkey (NIST SP 800-38B)
	sealing atomic.Pointer[epoch]
	cache   [cacheSets * cacheWays]atomic.Pointer[opener]
	victim  atomic.Uint32
}

// epoch is a salt with its derived key, and how much of it has been used.
type epoch struct {
	salt  [SaltSize]byte
	aead  cipher.AEAD
	start time.Time
	used  atomic.Int64
}

// opener is an entry of the cache.
type opener struct {
	salt [SaltSize]byte
	aead cipher.AEAD
}

// New returns the AEAD of a key of [KeySize] bytes. It does not retain the key.
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

// derive returns AES-256 under the key derived from a salt. The derivation is
// CMAC as the KDF in counter mode of NIST SP 800-108r1, with one block for each
// half of the key.
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

// Seal encrypts and authenticates plaintext, and appends the salt, nonce,
// ciphertext and tag to dst. It also authenticates the additional data, which
// is not part of the output.
func (a *AEAD) Seal(dst, plaintext, additional []byte) ([]byte, error) {
	e, err := a.currentEpoch()
	if err != nil {
		return nil, err
	}
	dst = append(dst, e.salt[:]...)
	return e.aead.Seal(dst, nil, plaintext, additional), nil
}

// currentEpoch returns an epoch that has a seal left, and counts that seal as
// used.
func (a *AEAD) currentEpoch() (*epoch, error) {
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
		a.sealing.CompareAndSwap(e, fresh) // if another goroutine was faster, use its epoch
	}
}

// Open authenticates and decrypts a message that Seal appended. It decrypts in
// place: the plaintext it returns overwrites sealed. The error is [ErrOpen] if
// the message is not authentic, and then no plaintext is returned.
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
	// Only the salt of an authentic message is cached, so that only a holder of
	// the key can fill the cache.
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
