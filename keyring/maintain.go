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
	// MaintainEvery is the mean time between two passes. Each interval is
	// up to a tenth shorter or longer, so that nodes that start together do
	// not stay in step.
	MaintainEvery = time.Hour
	// maintainWait bounds one pass. A pass over a source that hangs fails.
	maintainWait = time.Minute
	// retryFirst is the wait after the first pass that failed. It doubles
	// with each failure, up to retryMax. A random part of up to half is
	// taken off each wait.
	retryFirst = 4 * time.Second
	retryMax   = 10 * time.Minute
)

// Maintain rotates and prunes the keys until ctx ends: it calls
// [Ring.MaintainOnce] at once, and then about every [MaintainEvery], with the
// schedule of the document. Run it in a goroutine of each node that may write
// to the source. Any number of nodes make no more keys than one.
//
//	go ring.Maintain(ctx)
//
// Maintain returns ctx's error when ctx ends. On a static ring it returns
// [ErrStatic] at once. A pass may take at most a minute. One that fails is tried
// again after seconds at first, and every five to ten minutes in the end. Each
// failure is passed to the observers, one call at a time; if there are no
// observers it is logged to [slog.Default] as an error. Meanwhile the ring goes
// on sealing and opening: a late rotation stops nothing.
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
			retry = min(2*retry, retryMax)
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
	// Reload first, to use the schedule of the newest document: the snapshot
	// may be old.
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

// MaintainOnce does one pass of [Ring.Maintain], for a timer such as cron. It
// rotates as [Ring.Rotate] does, so the next key is published at least [Lead]
// before its activation. Then it prunes as [Ring.Prune] does, which keeps every
// key under which something can still be alive.
//
// It is idempotent: any number of nodes that call it at once make one key. It
// reports whether it changed anything. On a static ring the error is
// [ErrStatic].
func (r *Ring) MaintainOnce(ctx context.Context, now time.Time, olderThan time.Duration) (bool, error) {
	rotated, err := r.Rotate(ctx, now, olderThan)
	if err != nil {
		return false, err
	}
	pruned, err := r.Prune(ctx, now)
	return rotated || pruned, err
}
