package codec

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/waferkit/wafer/internal/xaes"
	"github.com/waferkit/wafer/keyring"
)

// version is the first byte of every sealed format.
const version = 0x01

const (
	keyIDSize = len(keyring.ID{})
	headSize  = 1 + keyIDSize

	// Overhead is the number of bytes that sealing adds, before base64.
	Overhead = headSize + xaes.Overhead

	// MaxSealed is the length of the longest sealed text that is opened, in
	// bytes. Browsers accept no longer cookies.
	MaxSealed = 4096
)

// sealer implements the format that cookies, values and commits share:
//
//	head ‖ salt ‖ nonce ‖ ciphertext ‖ tag,  head = 0x01 ‖ key id
//
// with head ‖ realm ‖ 0x00 ‖ name as additional data.
type sealer struct {
	ring    *keyring.Ring
	purpose keyring.Purpose
	realm   string
}

func newSealer(ring *keyring.Ring, purpose keyring.Purpose, realm string) (sealer, error) {
	if ring == nil {
		return sealer{}, fmt.Errorf("codec: no ring given")
	}
	if err := checkRealm(realm); err != nil {
		return sealer{}, err
	}
	return sealer{ring, purpose, realm}, nil
}

func checkRealm(realm string) error {
	if realm == "" || len(realm) > 255 || strings.ContainsRune(realm, 0) {
		return fmt.Errorf("codec: the realm %q: want 1 to 255 bytes without NUL, naming the application and its environment, such as %q", realm, "shop.example/production")
	}
	return nil
}

// seal appends the sealed plaintext to dst.
func (s *sealer) seal(dst []byte, now time.Time, name string, plaintext []byte) ([]byte, error) {
	key, err := s.ring.Primary(now)
	if err != nil {
		return nil, err
	}
	aead, err := keyring.Derived(key, s.purpose, xaes.New)
	if err != nil {
		return nil, err
	}
	id := key.ID()
	dst = append(append(dst, version), id[:]...)
	return aead.Seal(dst, plaintext, s.additional(nil, id, name))
}

// open decrypts in place: the plaintext that it returns overwrites sealed. It
// also overwrites the spare capacity of sealed. If that has room for the
// additional data, open allocates nothing else.
func (s *sealer) open(ctx context.Context, now time.Time, name string, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrLength
	}
	if sealed[0] != version {
		return nil, ErrVersion
	}
	id := keyring.ID(sealed[1:headSize])
	key, err := s.ring.Key(ctx, id, now)
	if err != nil {
		return nil, err
	}
	aead, err := keyring.Derived(key, s.purpose, xaes.New)
	if err != nil {
		return nil, err
	}
	additional := s.additional(sealed[len(sealed):], id, name)
	plaintext, err := aead.Open(sealed[headSize:], additional)
	if err != nil {
		return nil, ErrForged
	}
	return plaintext, nil
}

// room returns the spare capacity that open can use.
func (s *sealer) room(name string) int { return headSize + len(s.realm) + 1 + len(name) }

func (s *sealer) additional(dst []byte, id keyring.ID, name string) []byte {
	dst = append(append(dst, version), id[:]...)
	dst = append(append(dst, s.realm...), 0)
	return append(dst, name...)
}
