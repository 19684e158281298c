package node

import (
	"context"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// withWaiting is what a node knows to be revoked, together with the logouts that
// wait for the store. The list drops what is old, and the store does not know these
// yet: a session that waits would be refreshed.
type withWaiting struct {
	Revocations
	*pending
}

func (r withWaiting) Check(now time.Time, session store.ID, subject string, at store.Position) revocation.Verdict {
	if r.waits(session) {
		return revocation.Revoked
	}
	return r.Revocations.Check(now, session, subject, at)
}

func (r withWaiting) Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (revocation.Verdict, error) {
	if r.waits(session) {
		return revocation.Revoked, nil
	}
	verdict, err := r.Revocations.Decide(ctx, now, session, subject, at)
	if r.waits(session) { // since the store was asked
		return revocation.Revoked, nil
	}
	return verdict, err
}

func (r withWaiting) Ended(session store.ID) bool {
	return r.waits(session) || r.Revocations.Ended(session)
}

func (r withWaiting) Dead(f *store.Family) bool { return r.waits(f.ID) || r.Revocations.Dead(f) }
