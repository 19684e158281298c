package codec

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/waferkit/wafer/keyring"
)

// tagSize is the length of the tags of refresh tokens and family seals:
// HMAC-SHA256, truncated to 16 bytes.
const tagSize = 16

// newMAC returns HMAC-SHA256 under a key's subkey for a purpose.
func newMAC(key *keyring.Key, p keyring.Purpose) (hash.Hash, error) {
	subkey, err := keyring.Derived(key, p, newMACKey)
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	return hmac.New(func() hash.Hash { return sha256.New() }, subkey[:]), nil
}

func newMACKey(subkey []byte) (*[32]byte, error) { return (*[32]byte)(subkey), nil }

// appendTag appends the tag of what was written to the MAC.
func appendTag(dst []byte, mac hash.Hash) []byte {
	var sum [sha256.Size]byte
	return append(dst, mac.Sum(sum[:0])[:tagSize]...)
}
