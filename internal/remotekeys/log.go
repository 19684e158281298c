package remotekeys

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Log is the log of a service without the ring. Before an entry that revokes
// everyone takes effect, Log fetches the keys: a key may have been revoked with
// the entry, and a leaked key signs any position.
type Log struct {
	revocation.Source
	Keys    *Keys
	read    atomic.Uint64 // the highest position read that may revoke everyone
	fetched atomic.Uint64 // the position up to which the keys were fetched afterwards
}

// Since implements [revocation.Source].
func (l *Log) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	b, err := l.Source.Since(ctx, after, limit, wait)
	if err == nil {
		raise(&l.read, b.Floor)
		for i := range b.Entries {
			if e := &b.Entries[i]; e.Kind == store.KindEveryone {
				raise(&l.read, e.Position)
			}
		}
	}
	return b, err
}

// BeforeEveryone fetches the keys. The replica calls it before it applies an
// entry that revokes everyone.
func (l *Log) BeforeEveryone(ctx context.Context) error {
	read := store.Position(l.read.Load())
	if err := l.Keys.Refetch(ctx); err != nil {
		return err
	}
	raise(&l.fetched, read)
	return nil
}

// Cutoffs implements [revocation.Source]. The replica calls it while it is not
// fresh.
func (l *Log) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	c, err := l.Source.Cutoffs(ctx, session, subject)
	if err != nil || uint64(c.Everyone) <= l.fetched.Load() {
		return c, err
	}
	if err := l.Keys.Refetch(ctx); err != nil {
		return store.Cutoffs{}, fmt.Errorf("before everyone is revoked: %w", err)
	}
	raise(&l.fetched, c.Everyone)
	return c, nil
}

// raise sets v to p unless v is higher.
func raise(v *atomic.Uint64, p store.Position) {
	for {
		old := v.Load()
		if uint64(p) <= old || v.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}
