package codec

import (
	"bytes"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/waferkit/wafer/keyring"
)

const (
	// FamilySealSize is the length of every family seal in bytes.
	FamilySealSize = keyIDSize + tagSize
	// MaxNames is the number of names that a family can have.
	MaxNames = 4
)

// FamilyIdentity is what a store could change in a family's row to make another
// session of it: somebody else's, a stronger or a longer one. The times and
// durations are sealed in whole milliseconds, the rest of them is cut off.
type FamilyIdentity struct {
	ID      ID
	Subject string // 1 to MaxSubject bytes
	Native  bool   // of a native client
	// Key is the thumbprint of the device's key: 32 bytes, or none if the
	// family is not bound.
	Key []byte
	// Names are the hashes of the family's names: at most MaxNames, all
	// different. Their order makes no difference.
	Names   [][32]byte
	Actor   string   // who acts for the subject; at most 255 bytes; empty: nobody
	Methods []string // of the authentication, in order: at most 255, each of 1 to 255 bytes
	Level   string   // of the authentication; at most 255 bytes

	Started       time.Time     // the login
	Authenticated time.Time     // the last authentication of the user
	Idle          time.Duration // the idle limit; not negative
	Absolute      time.Duration // the absolute limit; not negative
}

// Format prints only the family's id, so that no subject reaches a log.
func (f FamilyIdentity) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "%x", f.ID[:]) }

// LogValue logs only the family's id.
func (f FamilyIdentity) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(f)) }

// FamilySeals authenticates the families of one instance, so that nobody who
// can write to the store makes somebody else of one (family seal, version 1).
// A seal is kept in the family's row.
type FamilySeals struct {
	ring     *keyring.Ring
	instance string
}

// NewFamilySeals returns the codec of an instance's family seals.
func NewFamilySeals(ring *keyring.Ring, instance Instance) (*FamilySeals, error) {
	if ring == nil {
		return nil, errors.New("codec: no ring given")
	}
	if err := instance.check(); err != nil {
		return nil, err
	}
	return &FamilySeals{ring, instance.text()}, nil
}

// Seal returns the seal of a family under the key that is primary at time now:
// FamilySealSize bytes, which are the same each time under one key. The error
// says what in the identity is out of range.
func (s *FamilySeals) Seal(now time.Time, f *FamilyIdentity) ([]byte, error) {
	content, err := f.append(nil)
	if err != nil {
		return nil, err
	}
	key, err := s.ring.Primary(now)
	if err != nil {
		return nil, err
	}
	id := key.ID()
	return s.appendSeal(make([]byte, 0, FamilySealSize), key, id, content)
}

// Verify returns nil if Seal made the seal for the same identity and instance,
// under a key that the ring accepts at time now. Else the error is ErrLength,
// ErrForged or that of the key. ctx bounds the reload that an unknown key id
// causes.
func (s *FamilySeals) Verify(ctx context.Context, now time.Time, seal []byte, f *FamilyIdentity) error {
	if len(seal) != FamilySealSize {
		return ErrLength
	}
	id := keyring.ID(seal[:keyIDSize])
	key, err := s.ring.Key(ctx, id, now)
	if err != nil {
		return err
	}
	content, err := f.append(nil)
	if err != nil {
		return ErrForged // an identity that Seal refuses has no seal
	}
	want, err := s.appendSeal(make([]byte, 0, FamilySealSize), key, id, content)
	if err != nil {
		return err
	}
	if !hmac.Equal(want, seal) {
		return ErrForged
	}
	return nil
}

func (s *FamilySeals) appendSeal(dst []byte, key *keyring.Key, id keyring.ID, content []byte) ([]byte, error) {
	mac, err := newMAC(key, keyring.Family)
	if err != nil {
		return nil, err
	}
	mac.Write(id[:])
	mac.Write([]byte(s.instance))
	mac.Write([]byte{0})
	mac.Write(content)
	return appendTag(append(dst, id[:]...), mac), nil
}

// append appends the sealed content. Every part has a fixed size or its length
// in front, so two identities never have the same content.
func (f *FamilyIdentity) append(dst []byte) ([]byte, error) {
	if f.Subject == "" {
		return nil, errors.New("codec: a family without a subject")
	}
	if len(f.Key) != 0 && len(f.Key) != 32 {
		return nil, fmt.Errorf("codec: a family's key has %d bytes: want 32, or none", len(f.Key))
	}
	dst = append(dst, f.ID[:]...)
	dst, err := appendText(dst, "subject", f.Subject)
	if err != nil {
		return nil, err
	}
	dst = append(dst, flag(f.Native), byte(len(f.Key)))
	dst = append(dst, f.Key...)
	if dst, err = f.appendNames(dst); err != nil {
		return nil, err
	}
	if dst, err = appendText(dst, "actor", f.Actor); err != nil {
		return nil, err
	}
	if dst, err = f.appendMethods(dst); err != nil {
		return nil, err
	}
	if dst, err = appendText(dst, "level", f.Level); err != nil {
		return nil, err
	}
	for _, t := range [...]time.Time{f.Started, f.Authenticated} {
		if dst, err = appendTime(dst, t); err != nil {
			return nil, err
		}
	}
	for _, d := range [...]time.Duration{f.Idle, f.Absolute} {
		if d < 0 {
			return nil, fmt.Errorf("codec: a family's limit of %v: want none below 0", d)
		}
		if dst, err = appendTime(dst, time.UnixMilli(d.Milliseconds())); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func (f *FamilyIdentity) appendNames(dst []byte) ([]byte, error) {
	if len(f.Names) > MaxNames {
		return nil, fmt.Errorf("codec: a family with %d names: want at most %d", len(f.Names), MaxNames)
	}
	names := slices.SortedFunc(slices.Values(f.Names), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	dst = append(dst, byte(len(names)))
	for i, name := range names {
		if i > 0 && name == names[i-1] {
			return nil, errors.New("codec: a family has one name twice")
		}
		dst = append(dst, name[:]...)
	}
	return dst, nil
}

func (f *FamilyIdentity) appendMethods(dst []byte) (_ []byte, err error) {
	if len(f.Methods) > 255 {
		return nil, fmt.Errorf("codec: a family with %d methods: want at most 255", len(f.Methods))
	}
	dst = append(dst, byte(len(f.Methods)))
	for _, method := range f.Methods {
		if method == "" {
			return nil, errors.New("codec: a method of authentication without a name")
		}
		if dst, err = appendText(dst, "method", method); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendText appends a text with its length in front.
func appendText(dst []byte, what, text string) ([]byte, error) {
	if len(text) > 255 {
		return nil, fmt.Errorf("codec: a family's %s has %d bytes: want at most 255", what, len(text))
	}
	return append(append(dst, byte(len(text))), text...), nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
