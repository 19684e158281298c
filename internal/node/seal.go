package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// ErrSeal is returned for a family whose row is not as this instance sealed it:
// somebody has changed it in the store, or it was sealed under a key that is no
// longer accepted.
var ErrSeal = errors.New("the family's seal does not verify")

// Verify returns nil if a family's row is as this instance sealed it. The error
// matches ErrSeal, or refresh.ErrUnverifiable if the ring could not be read.
func (n *Node) Verify(ctx context.Context, f *store.Family) error {
	err := n.config.Seals.Verify(ctx, n.config.Now(), f.Seal[:], identityOf(f))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrUnknown) && err != keyring.ErrUnknown: // the ring could not be reloaded
		return fmt.Errorf("%w: %w", refresh.ErrUnverifiable, err)
	}
	return fmt.Errorf("%w: %w", ErrSeal, err)
}

func (n *Node) seal(f *store.Family) (seal store.Seal, err error) {
	b, err := n.config.Seals.Seal(n.config.Now(), identityOf(f))
	copy(seal[:], b)
	return seal, err
}

// identityOf returns what a family's seal covers.
func identityOf(f *store.Family) *codec.FamilyIdentity {
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

// engineClock is the engine's clock as this node last saw it: the times in a seal
// are by that clock, and the engine refuses others.
type engineClock struct{ ahead atomic.Int64 } // of this node's clock

func (c *engineClock) learn(engine, now time.Time) { c.ahead.Store(int64(engine.Sub(now))) }

// now returns the engine's time in whole milliseconds, as families have it.
func (c *engineClock) now(now time.Time) time.Time {
	return time.UnixMilli(now.Add(time.Duration(c.ahead.Load())).UnixMilli())
}
