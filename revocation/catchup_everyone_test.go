package revocation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"sync/atomic"
)

// CatchUp is bounded by Timeout, also while an entry of everyone waits for the ring.
func TestAttack_CatchUpBehindBeforeEveryone(t *testing.T) {
	synctest.Test(t, testCatchUpBehindBeforeEveryone)
}

func testCatchUpBehindBeforeEveryone(t *testing.T) {
	mem := memory.New(memory.Options{})
	var hang atomic.Bool
	r, err := revocation.Follow(context.Background(), mem, revocation.Config{
		MaxStaleness: 9 * time.Second, Timeout: 200 * time.Millisecond,
		BeforeEveryone: func(ctx context.Context) error {
			if hang.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hang.Store(true)
	mem.Revoke(context.Background(), store.Revocation{Everyone: true})
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	t0 := time.Now()
	err = r.CatchUp(ctx)
	if d := time.Since(t0); d > 300*time.Millisecond {
		t.Errorf("CatchUp with a Timeout of 200ms took %v: %v", d, err)
	}
}
