package keyring

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// SecretSize is the size of a key's secret in bytes.
const SecretSize = 32

// ID names a key within its set. It precedes everything that is sealed under
// the key, in clear.
type ID [4]byte

// String returns the id as eight hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID is the inverse of [ID.String]. It accepts only lower case.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return ID{}, fmt.Errorf("keyring: %q is not a key id: want 8 lower-case hexadecimal digits", s)
	}
	copy(id[:], b)
	return id, nil
}

// Purpose is the use of a subkey. Two purposes never share a subkey, so bytes
// sealed for one are not authentic for any other.
type Purpose uint8

// Purposes. Their strings are part of the formats: each is the info input of
// HKDF (RFC 5869).
const (
	Cookie  Purpose = iota // the sealed session cookie
	Value                  // an application's own sealed values
	Commit                 // committed session data, kept in the store
	Refresh                // refresh tokens
	Token                  // signing keys of access tokens
	Gorilla                // cookies in gorilla/securecookie's format
	Family                 // seals of families, kept in the store
	purposeCount
)

var purposeInfo = [purposeCount]string{
	Cookie:  "wafer/1 cookie",
	Value:   "wafer/1 value",
	Commit:  "wafer/1 commit",
	Refresh: "wafer/1 refresh",
	Token:   "wafer/1 token",
	Gorilla: "wafer/1 gorilla",
	Family:  "wafer/1 family",
}

// String returns the HKDF info of the purpose.
func (p Purpose) String() string {
	if p >= purposeCount {
		return fmt.Sprintf("keyring.Purpose(%d)", uint8(p))
	}
	return purposeInfo[p]
}

// Key is one secret with its times. It is immutable and safe for concurrent
// use. Its zero value is not usable.
type Key struct {
	id         ID
	created    time.Time
	activates  time.Time
	expires    time.Time
	revocation *Revocation
	// material is hidden behind a function because package fmt follows a
	// pointer if it cannot call Format, but never calls a function.
	material func() *material
}

// Revocation is when and why a key was revoked.
type Revocation struct {
	At     time.Time
	Reason string
}

// ID returns the key's id.
func (k *Key) ID() ID { return k.id }

// Created returns when the key was made, or the zero time for a static secret.
func (k *Key) Created() time.Time { return k.created }

// Activates returns the time from which the key may seal. It opens before that,
// too.
func (k *Key) Activates() time.Time { return k.activates }

// Expires returns when the key stops opening: the activation of its successor
// plus the longest life of anything sealed under it. It is zero if the key has
// no successor; such a key does not expire.
func (k *Key) Expires() time.Time { return k.expires }

// Revocation returns when and why the key was revoked. ok is false if it was
// not.
func (k *Key) Revocation() (r Revocation, ok bool) {
	if k.revocation == nil {
		return Revocation{}, false
	}
	return *k.revocation, true
}

// accepts returns nil if the key may open at time now, and otherwise the reason
// why it may not. A revocation counts whatever its time is, so no clock decides
// whether a key is revoked.
func (k *Key) accepts(now time.Time) error {
	if k.revocation != nil {
		return ErrRevoked
	}
	if !k.expires.IsZero() && !now.Before(k.expires) {
		return ErrExpired
	}
	return nil
}

// supersedes reports whether the key ends the life of the keys before it. A key
// that was revoked before its activation never sealed, so it does not. A key
// that was revoked later does: its predecessors must not come back.
func (k *Key) supersedes() bool {
	return k.revocation == nil || !k.revocation.At.Before(k.activates)
}

// Format prints the key's id for every verb, so that no secret reaches a log.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "key %v", k.id) }

// LogValue returns the id alone, which keeps the secret out of structured logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.id.String()) }

// MarshalJSON always fails: a secret leaves the package only through a
// [Keeper].
func (k Key) MarshalJSON() ([]byte, error) {
	return nil, errors.New("keyring: a key does not marshal; its set is written sealed, by the ring")
}

// material is a secret and the values derived from it. Snapshots that hold the
// same key share it, so its derived caches survive a reload.
type material struct {
	secret  [SecretSize]byte
	derived [purposeCount]memo
}

// newMaterial returns a function that returns the same new material each time.
func newMaterial(secret []byte) func() *material {
	m := new(material)
	copy(m.secret[:], secret)
	return func() *material { return m }
}

type memo struct {
	once  sync.Once
	value any
	err   error
}

// Format keeps the secret out of every fmt verb, even if the material is
// printed by itself.
func (m *material) Format(f fmt.State, _ rune) { fmt.Fprint(f, "secret") }

// Derived returns the value that build makes from the key's subkey for purpose
// p. The subkey is 32 bytes of HKDF-SHA256 (RFC 5869) over the secret, without
// salt, with the purpose's string as info. build is called at most once per key
// and purpose. It must not modify the subkey, nor retain it other than in its
// result.
//
// The result lives inside the key: a cache in it is consulted only after the
// ring has accepted the key, and it is freed with the key. All callers for one
// purpose must use the same type V. An error of build is returned to them all.
func Derived[V any](k *Key, p Purpose, build func(subkey []byte) (V, error)) (V, error) {
	m := &k.material().derived[p]
	m.once.Do(func() {
		subkey, err := hkdf.Key(sha256.New, k.material().secret[:], nil, purposeInfo[p], SecretSize)
		if err != nil {
			m.err = fmt.Errorf("keyring: derive %q from key %v: %w", p, k.id, err)
			return
		}
		m.value, m.err = build(subkey)
	})
	if m.err != nil {
		var zero V
		return zero, m.err
	}
	return m.value.(V), nil
}

// newKey makes a key with a fresh random secret and an id that is not taken.
func newKey(now, activates time.Time, taken func(ID) bool) *Key {
	var secret [SecretSize]byte
	rand.Read(secret[:]) // cannot fail: crypto/rand ends the program instead
	k := &Key{created: now, activates: activates, material: newMaterial(secret[:])}
	for {
		rand.Read(k.id[:])
		if !taken(k.id) {
			return k
		}
	}
}
