package node

import (
	"context"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Revocations is what a node knows to be revoked: a [revocation.Replica] of the
// log or, on a node that holds none, a [revocation.Cache] of the store's answers.
// Their methods are documented there.
type Revocations interface {
	Check(now time.Time, session store.ID, subject string, at store.Position) revocation.Verdict
	Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (revocation.Verdict, error)
	CatchUp(ctx context.Context) error
	WaitFor(ctx context.Context, p store.Position) error
	Apply(entries ...store.Entry)
	Learn(p store.Position)
	WentBack(head store.Position)
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
