package node

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/waferkit/wafer/store"
)

// RevokeName ends the sessions that bear a name, in as many calls as it takes, and
// returns the position of the last entry and the number of living sessions that it
// ended. The name's entry gets the id, or a random one if that is zero: a
// revocation with the same id goes on where the earlier one stopped. After an
// error a part of the sessions may have ended. The error matches
// sentinel.ErrUnavailable.
func (n *Node) RevokeName(ctx context.Context, name store.Name, id store.ID, reason, actor string) (last store.Position, ended int, err error) {
	r := store.Revocation{Name: name, ID: id, Reason: reason, Actor: actor}
	if id.IsZero() {
		rand.Read(r.ID[:])
	}
	if err := r.Check(); err != nil {
		return 0, 0, fmt.Errorf("wafer: Revoke: %w", err)
	}
	for range maxTurns {
		snap, err := n.writeRevocation(ctx, r)
		if err != nil {
			return last, ended, n.Unavailable(store.ID{}, err)
		}
		last, ended = max(last, snap.Entry), ended+snap.Ended
		if snap.More {
			continue
		}
		n.observer.Revoked(store.ID{}, reason, last)
		// Only the log names the sessions that ended. If reading it fails, the
		// entries arrive within MaxStaleness.
		_ = n.CatchUp(ctx)
		return last, ended, nil
	}
	return last, ended, n.Unavailable(store.ID{}, fmt.Errorf("%d thousand sessions bear the name, and there are more", maxTurns))
}
