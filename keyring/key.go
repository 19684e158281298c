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

// ID names a key within its set. It travels in clear in front of everything
// that is sealed under the key.
type ID [4]byte

// String returns the id as eight hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID is the inverse of [ID.String]. It accepts lower case only.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return ID{}, fmt.Errorf("keyring: %q is not a key id: want 8 lower-case hexadecimal digits", s)
	}
	copy(id[:], b)
	return id, nil
}

// Purpose is what a subkey is for. Two purposes never share a subkey, so bytes
// sealed for one are junk to all others.
type Purpose uint8

// The purposes. Their strings are part of the formats: they are the info input
// of HKDF (RFC 5869).
const (
	Cookie  Purpose = iota // the sealed session cookie
	Value                  // an application's own sealed values
	Commit                 // committed session data, kept in the store
	Refresh                // refresh tokens
	Token                  // signing keys of access tokens
	Gorilla                // cookies in gorilla/securecookie's format
	purposes
)

var purposeInfo = [purposes]string{
	Cookie:  "wafer/1 cookie",
	Value:   "wafer/1 value",
	Commit:  "wafer/1 commit",
	Refresh: "wafer/1 refresh",
	Token:   "wafer/1 token",
	Gorilla: "wafer/1 gorilla",
}

// String returns the HKDF info of the purpose.
func (p Purpose) String() string {
	if p >= purposes {
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
	// material is behind a function since package fmt follows pointers where
	// it cannot call Format, but never a function.
	material func() *material
}

// Revocation says when and why a key was revoked.
type Revocation struct {
	At     time.Time
	Reason string
}

// ID returns the key's id.
func (k *Key) ID() ID { return k.id }

// Created returns when the key was made. It is zero for a static secret.
func (k *Key) Created() time.Time { return k.created }

// Activates returns from when on the key may seal. It opens before that.
func (k *Key) Activates() time.Time { return k.activates }

// Expires returns when the key ceases to open: the activation of its successor
// plus the longest life of anything sealed under it. It is zero, and the key
// does not expire, while there is no successor.
func (k *Key) Expires() time.Time { return k.expires }

// Revocation returns when and why the key was revoked; ok is false for a key
// that was not.
func (k *Key) Revocation() (r Revocation, ok bool) {
	if k.revocation == nil {
		return Revocation{}, false
	}
	return *k.revocation, true
}

// accepts reports why the key must not open anything at time now, or nil. A
// revocation counts whatever its time says: a clock has no part in it.
func (k *Key) accepts(now time.Time) error {
	if k.revocation != nil {
		return ErrRevoked
	}
	if !k.expires.IsZero() && !now.Before(k.expires) {
		return ErrExpired
	}
	return nil
}

// tookOver reports whether the key is one that others hand over to. One that
// was revoked before its activation never was. One revoked later was: those
// before it must not come back.
func (k *Key) tookOver() bool {
	return k.revocation == nil || !k.revocation.At.Before(k.activates)
}

// Format prints the key's id for every verb, so that no secret reaches a log.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "key %v", k.id) }

// LogValue keeps the secret out of structured logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.id.String()) }

// MarshalJSON fails: the only way out for a secret is through a [Keeper].
func (k Key) MarshalJSON() ([]byte, error) {
	return nil, errors.New("keyring: a key does not marshal; its set is written sealed, by the ring")
}

// material is a secret and what was derived from it. Snapshots of the set that
// hold the same key share it, so a reload keeps every derived cache warm.
type material struct {
	secret  [SecretSize]byte
	derived [purposes]memo
}

// hold returns the accessor of a new material.
func hold(secret []byte) func() *material {
	m := new(material)
	copy(m.secret[:], secret)
	return func() *material { return m }
}

type memo struct {
	once  sync.Once
	value any
	err   error
}

// Format keeps the secret out of every fmt verb, also when reached by itself.
func (m *material) Format(f fmt.State, _ rune) { fmt.Fprint(f, "secret") }

// Derived returns what build makes of the key's subkey for purpose p: 32 bytes
// from HKDF-SHA256 (RFC 5869) over the secret, without salt, with the purpose's
// string as info. build runs at most once per key and purpose, must not keep or
// change what it is given beyond what it returns, and its result lives inside
// the key: a cache kept there is consulted only after the ring accepted the
// key, and goes away with it. All callers for one purpose must use one type.
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
		var none V
		return none, m.err
	}
	return m.value.(V), nil
}

// newKey makes a key with a fresh random secret and an id that is not taken.
func newKey(now, activates time.Time, taken func(ID) bool) *Key {
	var secret [SecretSize]byte
	rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	k := &Key{created: now, activates: activates, material: hold(secret[:])}
	for {
		rand.Read(k.id[:])
		if !taken(k.id) {
			return k
		}
	}
}
