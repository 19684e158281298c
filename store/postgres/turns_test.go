package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns makes very many calls of one key, which last a second each, and then one
// call of each of a few others. These run beside one of the many, and nothing is
// remembered of calls that are over or were given up.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, began := newTurns(2), time.Now()
		call := func(ctx context.Context, key string, done func(after time.Duration)) {
			go func() {
				end, err := turns.begin(ctx, key)
				if err != nil {
					return
				}
				time.Sleep(time.Second)
				end()
				done(time.Since(began))
			}()
			synctest.Wait()
		}
		var ofMallory, last atomic.Int64
		for range 128 {
			call(t.Context(), "mallory", func(after time.Duration) { ofMallory.Add(1); last.Store(int64(after)) })
		}
		for i := range 3 {
			call(t.Context(), fmt.Sprint("user ", i), func(after time.Duration) {
				if after > 4*time.Second {
					t.Errorf("another user's call ends after %v", after)
				}
			})
		}
		given, cancel := context.WithCancel(t.Context())
		for range 5 {
			call(given, "mallory", func(time.Duration) { t.Error("a call that was given up has run") })
		}
		cancel()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n, after := ofMallory.Load(), time.Duration(last.Load()); n != 128 || after < 128*time.Second {
			t.Errorf("%d calls of one key, the last after %v: want 128, one at a time", n, after)
		}
		if len(turns.of) != 0 || len(turns.all) != 0 {
			t.Errorf("%d keys are remembered, %d calls run", len(turns.of), len(turns.all))
		}
	})
}

// TestTurnsInAll gives up a call that has the turn of its key and no place among all.
func TestTurnsInAll(t *testing.T) {
	turns := newTurns(1)
	end, err := turns.begin(t.Context(), "anna")
	if err != nil {
		t.Fatal(err)
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.begin(given, "bob"); !errors.Is(err, context.Canceled) {
		t.Errorf("a second call of all: %v", err)
	}
	end()
	if end, err = turns.begin(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	end()
	if len(turns.of) != 0 {
		t.Errorf("%d keys are remembered", len(turns.of))
	}
}
