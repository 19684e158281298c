package wafer

import (
	"context"
	"fmt"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// revocations is what a node knows of what is revoked: a [revocation.Replica]
// of the log or, with [Config.NoReplica], a [revocation.Cache] of what the
// store answered. Their methods are described there.
type revocations interface {
	Check(now time.Time, session store.ID, subject string, at store.Position) revocation.Verdict
	Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (revocation.Verdict, error)
	CatchUp(ctx context.Context) error
	WaitFor(ctx context.Context, p store.Position) error
	Apply(entries ...store.Entry)
	Learn(p store.Position)
	Ended(session store.ID) bool
	Dead(f *store.Family) bool
	ExpiredBelow(session store.ID) store.Position
	Head() store.Position
	Highest() store.Position
	Floor() store.Position
	Len() int
	State(now time.Time) revocation.State
	Confirmed(now time.Time) (age time.Duration, ok bool)
	Close()
}

// openRevocations returns what the configuration chooses. ctx bounds the first
// reading of the log.
func (s *Sessions[T]) openRevocations(ctx context.Context) (revocations, error) {
	config := revocation.Config{
		MaxStaleness:   s.config.MaxStaleness,
		Limit:          s.config.MaxRevocations,
		Timeout:        s.config.StoreTimeout,
		Now:            s.config.Now,
		BeforeEveryone: s.ring.Reload,
		Applied:        s.live.Applied,
		Restore:        s.store.Restore,
		Observe:        s.observeReplica,
	}
	var opened revocations
	var err error
	if s.config.NoReplica {
		opened, err = revocation.NewCache(s.store, config)
	} else {
		opened, err = revocation.Follow(ctx, s.store, config)
	}
	if err != nil {
		return nil, fmt.Errorf("wafer: %w", err)
	}
	return opened, nil
}
