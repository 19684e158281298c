package e2e_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// One node and a store that misbehaves. Whatever the store does, nothing
// revoked is accepted once MaxStaleness has passed, an honest user gets a 503
// at worst, and every request is answered in bounded time. When the store has
// recovered, the node recovers by itself.

// badStore is a node's link to a memory store, under the test's control.
type badStore struct {
	store.Store // for the methods that no case disturbs: Announce, LoadKeys, SwapKeys
	inner       atomic.Pointer[memory.Store]
	calls       atomic.Int64 // of all methods except Since
	mu          sync.Mutex
	fault       func(method string) callFault // one call at a time
}

// callFault is what happens to a call.
type callFault struct {
	err       error
	hangs     bool
	delay     time.Duration   // before the call; the caller's context may end it
	release   <-chan struct{} // the answer waits for this, even after the context has ended
	fromStart bool            // Since reads from the start of the log
}

func (b *badStore) set(fault func(method string) callFault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = fault
}

func badly[R any](b *badStore, ctx context.Context, method string, call func(s *memory.Store, again bool) (R, error)) (R, error) {
	var none R
	if method != "Since" {
		b.calls.Add(1)
	}
	b.mu.Lock()
	var s callFault
	if b.fault != nil {
		s = b.fault(method)
	}
	b.mu.Unlock()
	if s.hangs {
		<-ctx.Done()
		return none, ctx.Err()
	}
	if s.err != nil {
		return none, s.err
	}
	if s.delay > 0 {
		if err := delay(ctx, s.delay); err != nil {
			return none, err
		}
	}
	r, err := call(b.inner.Load(), s.fromStart)
	if s.release != nil {
		<-s.release
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

func (b *badStore) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return badly(b, ctx, "Reissue", func(s *memory.Store, _ bool) (store.Snapshot, error) { return s.Reissue(ctx, r) })
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

func (b *badStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	return badly(b, ctx, "Since", func(s *memory.Store, again bool) (store.Batch, error) {
		if again {
			after = store.Cursor{}
		}
		return s.Since(ctx, after, limit, wait)
	})
}
