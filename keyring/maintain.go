package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The times of [Ring.Maintain].
const (
	// MaintainEvery is the time between two passes, give or take a tenth, so
	// that nodes which were started together do not stay together.
	MaintainEvery = time.Hour
	// maintainWait bounds one pass: a source that hangs is a failed pass.
	maintainWait = time.Minute
	// After a pass that failed, the next one comes after retryFirst, then
	// after twice that, and so on up to retryMost; each time is shortened at
	// random by up to a half.
	retryFirst = 4 * time.Second
	retryMost  = 10 * time.Minute
)

// Maintain keeps the keys in order until ctx ends: at once, and then about
// every [MaintainEvery], it does what [Ring.MaintainOnce] does, on the
// schedule that the document has. Run it in a goroutine of each node that
// may write to the source; that many nodes do it makes no more keys.
//
//	go ring.Maintain(ctx)
//
// It returns when ctx ends, with ctx's error; on a static ring it returns
// [ErrStatic] at once. A pass that fails (it has a minute) is tried again after
// seconds at first, and every five to ten minutes in the end. Each failure goes
// to the observers, one call at a time; without any, to [slog.Default] as an
// error. Seals and opens go on meanwhile: a late rotation stops nothing.
func (r *Ring) Maintain(ctx context.Context, observers ...func(error)) error {
	if r.source == nil {
		return ErrStatic
	}
	retry := retryFirst
	for {
		var wait time.Duration
		switch err := r.maintain(ctx); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			wait = MaintainEvery - MaintainEvery/10 + rand.N(MaintainEvery/5)
			retry = retryFirst
		default:
			observe(observers, fmt.Errorf("keyring: Maintain: %w", err))
			wait = retry - rand.N(retry/2)
			retry = min(2*retry, retryMost)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (r *Ring) maintain(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maintainWait, errors.New("the source took too long"))
	defer cancel()
	// The first pass may be the first read in a long time: the schedule is the
	// newest document's.
	if err := r.Reload(ctx); err != nil {
		return err
	}
	_, err := r.MaintainOnce(ctx, time.Now(), r.Set().Schedule().Seals)
	return err
}

func observe(observers []func(error), err error) {
	if len(observers) == 0 {
		slog.Error("the keys are not maintained; trying again", "error", err)
	}
	for _, o := range observers {
		o(err)
	}
}

// MaintainOnce is one pass of [Ring.Maintain], for a timer such as cron: it
// rotates as [Ring.Rotate] does, so that the next key is published at least
// [Lead] ahead of its activation, and then prunes as [Ring.Prune] does, which
// leaves every key under which something can still live. It is idempotent: any
// number of nodes that call it at once make one key. It reports whether it
// changed anything. On a static ring it is [ErrStatic].
func (r *Ring) MaintainOnce(ctx context.Context, now time.Time, olderThan time.Duration) (bool, error) {
	rotated, err := r.Rotate(ctx, now, olderThan)
	if err != nil {
		return false, err
	}
	pruned, err := r.Prune(ctx, now)
	return rotated || pruned, err
}
