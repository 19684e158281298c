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
	ctx, cancel := s.detached(ctx)
	defer cancel()
	for {
		b, err := s.store.Since(ctx, after, store.MaxEntries, 0)
		if err != nil {
			return nil, s.unavailable(store.ID{}, err)
		}
		entries := make([]store.Entry, 0, len(b.Entries))
		for _, e := range b.Entries {
			after = e.Position
			if e.Kind != store.KindSuperseding { // a Commit revokes nothing
				entries = append(entries, e)
			}
		}
		if len(entries) > 0 || !b.More {
			return entries, nil
		}
	}
}
