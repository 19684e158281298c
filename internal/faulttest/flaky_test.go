package faulttest_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// flaky stands between all nodes and one memory store. It fails as networks do:
// requests are lost, answers are lost, everything hangs.
type flaky struct {
	store.Store
	down  atomic.Bool  // every call fails at once and is not performed
	hangs atomic.Bool  // no call is performed, or returns before its context ends
	loses atomic.Int64 // the percentage of calls that are lost, half of them after they were performed
}

var errLost = errors.New("flaky: lost")

func newFlaky() *flaky { return &flaky{Store: memory.New(memory.Options{})} }

func (f *flaky) open(int) (store.Store, io.Closer, error) { return f, nil, nil }

var _ = faulttest.Config{Open: (*flaky)(nil).open}

// pass makes a call, unless it is lost.
func pass[R any](f *flaky, ctx context.Context, call func() (R, error)) (R, error) {
	var none R
	time.Sleep(rand.N(300 * time.Microsecond))
	switch k := rand.Int64N(200); {
	case f.hangs.Load():
		<-ctx.Done()
		return none, ctx.Err()
	case f.down.Load(), k < f.loses.Load():
		return none, errLost
	case k < 2*f.loses.Load():
		call()
		return none, errLost
	}
	return call()
}

func (f *flaky) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return pass(f, ctx, func() (store.Snapshot, error) { return f.Store.Create(ctx, c) })
}
func (f *flaky) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return pass(f, ctx, func() (store.Snapshot, error) { return f.Store.Advance(ctx, a) })
}
func (f *flaky) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return pass(f, ctx, func() (store.Snapshot, error) { return f.Store.Commit(ctx, c) })
}
func (f *flaky) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return pass(f, ctx, func() (store.Snapshot, error) { return f.Store.Reissue(ctx, r) })
}
func (f *flaky) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return pass(f, ctx, func() (store.Snapshot, error) { return f.Store.Family(ctx, id) })
}
func (f *flaky) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return pass(f, ctx, func() (store.Snapshot, error) { return f.Store.Revoke(ctx, r) })
}
func (f *flaky) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	return pass(f, ctx, func() (store.Batch, error) { return f.Store.Since(ctx, after, limit, wait) })
}
func (f *flaky) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	return pass(f, ctx, func() (store.Cutoffs, error) { return f.Store.Cutoffs(ctx, session, subject) })
}
