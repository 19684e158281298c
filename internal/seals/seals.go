// Package seals seals and verifies the rows of families: it says which fields of a
// row the family seal of package codec covers.
package seals

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// Seals seals the families of one instance. It is safe for concurrent use.
type Seals struct{ codec *codec.FamilySeals }

// New returns the seals of an instance.
func New(ring *keyring.Ring, instance codec.Instance) (Seals, error) {
	seals, err := codec.NewFamilySeals(ring, instance)
	return Seals{seals}, err
}

// Seal returns the seal of a row, under the key that is primary at time now.
func (s Seals) Seal(now time.Time, f *store.Family) (seal store.Seal, err error) {
	b, err := s.codec.Seal(now, identity(f))
	copy(seal[:], b)
	return seal, err
}

// Verify returns nil if a row is as this instance sealed it, under a key that the
// ring accepts at time now. Otherwise somebody has changed it in the store, it is
// another instance's, or its key was revoked. The error matches
// refresh.ErrUnverifiable if that is not known, since the ring does not have the
// key and could not be read.
func (s Seals) Verify(ctx context.Context, now time.Time, f *store.Family) error {
	err := s.codec.Verify(ctx, now, f.Seal[:], identity(f))
	if errors.Is(err, keyring.ErrUnknown) && err != keyring.ErrUnknown { // joined with the error of a reload
		return fmt.Errorf("%w: %w", refresh.ErrUnverifiable, err)
	}
	return err
}

// identity returns what the seal of a row covers.
func identity(f *store.Family) *codec.FamilyIdentity {
	i := &codec.FamilyIdentity{
		ID: codec.ID(f.ID), Subject: f.Subject, Native: f.Native, Actor: f.Actor, Methods: strings.Fields(f.Methods), Level: f.Level,
		Started: f.Started, Authenticated: f.Authenticated, Idle: f.Idle, Absolute: f.Absolute,
	}
	if !f.Key.IsZero() {
		i.Key = f.Key[:]
	}
	for _, name := range f.Names {
		i.Names = append(i.Names, name)
	}
	return i
}
