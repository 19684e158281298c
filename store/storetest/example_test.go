package storetest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/store/storetest"
)

// TestMemory runs the suite over the engine of this module. It is also an
// example of an engine's whole conformance test.
func TestMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		var mu sync.Mutex
		now := time.Now()
		return storetest.Engine{
			Store: memory.New(memory.Options{Now: func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return now
			}}),
			Clock: func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				now = now.Add(d)
			},
		}
	})
}

// TestRealClock runs the suite as for an engine on a real server: its clock
// cannot be moved, there are other handles, and answers get lost.
func TestRealClock(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		s := late{memory.New(memory.Options{})}
		again := func(*testing.T) store.Store { return s }
		return storetest.Engine{Store: s, Reopen: again, Restart: again}
	})
}

// late is a store whose writes land although the caller has given up.
type late struct{ store.Store }

func lost[A any](ctx context.Context, argument A, write func(context.Context, A) (store.Snapshot, error)) (store.Snapshot, error) {
	s, err := write(context.WithoutCancel(ctx), argument)
	if ctx.Err() != nil {
		return store.Snapshot{}, ctx.Err()
	}
	return s, err
}

func (l late) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return lost(ctx, c, l.Store.Create)
}

func (l late) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return lost(ctx, a, l.Store.Advance)
}

func (l late) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return lost(ctx, c, l.Store.Commit)
}

func (l late) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return lost(ctx, r, l.Store.Reissue)
}

func (l late) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return lost(ctx, r, l.Store.Revoke)
}

func (l late) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	return lost(ctx, r, l.Store.Restore)
}

func (l late) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	ok, err := l.Store.SwapKeys(context.WithoutCancel(ctx), version, document)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return ok, err
}
