package wafer

import (
	"context"

	"github.com/waferkit/wafer/store"
)

// Revocations lists what was revoked after a position, oldest first, at most
// 1,000 entries, with the reason and the actor of each: for an audit page, or
// to copy them to where they are kept. Go on from the last one's Position,
// until none comes. Logouts, replaced sessions and replays are among them.
//
// The log keeps an entry only as long as a cookie from before it could still be
// good, some [Config.Access] and leeway. Who needs them for longer copies them
// in time, or records [KindRevoked] and [KindEnded] events.
func (s *Sessions[T]) Revocations(ctx context.Context, after store.Position) ([]store.Entry, error) {
	return s.node.Entries(ctx, after)
}
