package e2e_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// One node and a store that misbehaves. Whatever it does: nothing revoked is
// accepted once MaxStaleness has passed, an honest user is told 503 at worst,
// a request is answered in bounded time, and when the store is well again so
// is the node, by itself.

// badStore is a node's way to a memory store, under the test's control.
type badStore struct {
	store.Store // what no case spoils: Announce, LoadKeys, SwapKeys
	inner       atomic.Pointer[memory.Store]
	calls       atomic.Int64 // but Since
	mu          sync.Mutex
	spoil       func(method string) spoilt // one call at a time
}

// spoilt is what becomes of a call.
type spoilt struct {
	err      error
	hangs    bool
	question time.Duration   // its delay; the caller's context may end it
	answer   <-chan struct{} // what the answer waits for, whatever the context says
	again    bool            // Since: from the start of the log
}

func (b *badStore) set(spoil func(method string) spoilt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spoil = spoil
}

func badly[R any](b *badStore, ctx context.Context, method string, call func(s *memory.Store, again bool) (R, error)) (R, error) {
	var none R
	if method != "Since" {
		b.calls.Add(1)
	}
	b.mu.Lock()
	var s spoilt
	if b.spoil != nil {
		s = b.spoil(method)
	}
	b.mu.Unlock()
	if s.hangs {
		<-ctx.Done()
		return none, ctx.Err()
	}
	if s.err != nil {
		return none, s.err
	}
	if s.question > 0 {
		if err := nap(ctx, s.question); err != nil {
			return none, err
		}
	}
	r, err := call(b.inner.Load(), s.again)
	if s.answer != nil {
		<-s.answer
	}
	return r, err
}

func (b *badStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return badly(b, ctx, "Create", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Create(ctx, c) })
}

func (b *badStore) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return badly(b, ctx, "Advance", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Advance(ctx, a) })
}

func (b *badStore) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return badly(b, ctx, "Commit", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Commit(ctx, c) })
}

func (b *badStore) Forgive(ctx context.Context, id store.ID, g uint32) (store.Snapshot, error) {
	return badly(b, ctx, "Forgive", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Forgive(ctx, id, g) })
}

func (b *badStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return badly(b, ctx, "Revoke", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Revoke(ctx, r) })
}

func (b *badStore) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	return badly(b, ctx, "Restore", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Restore(ctx, r) })
}

func (b *badStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return badly(b, ctx, "Family", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Family(ctx, id) })
}

func (b *badStore) Cutoffs(ctx context.Context, id store.ID, subject string) (store.Cutoffs, error) {
	return badly(b, ctx, "Cutoffs", func(s *memory.Store, _ bool) (store.Cutoffs, error) { return s.Cutoffs(ctx, id, subject) })
}

func (b *badStore) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
	return badly(b, ctx, "Since", func(s *memory.Store, again bool) (store.Batch, error) {
		if again {
			after = 0
		}
		return s.Since(ctx, after, limit, wait)
	})
}
