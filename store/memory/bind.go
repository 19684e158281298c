package memory

import (
	"context"

	"github.com/waferkit/wafer/store"
)

// Bind implements [store.Store].
func (s *Store) Bind(ctx context.Context, b store.Binding) (store.Snapshot, error) {
	now, err := s.begin(ctx, b.Check())
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps)

	f := s.families[b.ID]
	switch {
	case !s.live(f, now):
		return s.snapshot(now, f, store.Unwritten), nil
	case f.Key == b.Key:
		if f.Counts || !b.Counts {
			return s.snapshot(now, f, store.Unwritten), nil
		}
	case !f.Key.IsZero():
		return s.snapshot(now, f, store.Unwritten), nil
	case f.Seal != b.Verified:
		return s.snapshot(now, f, store.Changed), nil
	default:
		f.Key, f.Seal = b.Key, b.Seal
	}
	f.Counts = b.Counts
	return s.snapshot(now, f, store.Written), nil
}
