package keyring

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Static returns a ring of fixed secrets, for the smallest deployments. The
// first secret seals and all of them open. To rotate, put a new secret in
// front, deploy, and remove the last one after [DefaultLife]. To replace the
// secrets by a document, use [Import].
//
// Each secret is 32 random bytes in base64 or hexadecimal, such as `openssl
// rand -base64 32` prints. A key's id is derived from its secret.
func Static(secrets ...string) (*Ring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("keyring: Static: no secret given; make one with: openssl rand -base64 32")
	}
	schedule, _ := Schedule{}.withDefaults()
	s := &Set{schedule: schedule, static: true}
	for i, text := range secrets {
		secret, err := decodeSecret(text)
		if err != nil {
			return nil, fmt.Errorf("keyring: Static: secret %d of %d: %w", i+1, len(secrets), err)
		}
		id, err := hkdf.Key(sha256.New, secret, nil, "wafer/1 key id", len(ID{}))
		if err != nil {
			return nil, fmt.Errorf("keyring: Static: %w", err)
		}
		// The order of the list replaces times: the first secret activated last.
		k := &Key{activates: time.Unix(int64(len(secrets)-i), 0), material: newMaterial(secret)}
		copy(k.id[:], id)
		s.keys = append(s.keys, k)
	}
	if err := s.finish(); err != nil {
		return nil, fmt.Errorf("%w; is a secret given twice?", err)
	}
	r := new(Ring)
	r.set.Store(s)
	return r, nil
}

// decodeSecret reads 32 bytes in hexadecimal or in any form of base64. The
// error never quotes the text.
func decodeSecret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New("it is empty; make one with: openssl rand -base64 32")
	}
	var b []byte
	var err error
	if len(text) == hex.EncodedLen(SecretSize) {
		b, err = hex.DecodeString(text)
	} else {
		unified := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		b, err = base64.RawStdEncoding.Strict().DecodeString(unified)
	}
	if err != nil {
		return nil, errors.New("it is neither base64 nor hexadecimal; make one with: openssl rand -base64 32")
	}
	if len(b) != SecretSize {
		return nil, fmt.Errorf("it has %d bytes: want %d random ones; make one with: openssl rand -base64 32", len(b), SecretSize)
	}
	return b, nil
}
