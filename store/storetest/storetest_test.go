package storetest_test

import (
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/store/storetest"
)

// TestMemory runs the suite over the engine of this module.
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

// TestRealClock runs the suite as an engine that is a real server has it: its
// clock cannot be moved, and there are other handles.
func TestRealClock(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		s := memory.New(memory.Options{})
		again := func(*testing.T) store.Store { return s }
		return storetest.Engine{Store: s, Reopen: again, Restart: again}
	})
}
