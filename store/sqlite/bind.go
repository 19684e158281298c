package sqlite

import (
	"context"

	"github.com/waferkit/wafer/store"
)

// Bind implements [store.Store].
func (s *Store) Bind(ctx context.Context, b store.Binding) (store.Snapshot, error) {
	return s.write(ctx, b.Check(), func(t *tx, out *store.Snapshot) error { return t.bind(&b, out) })
}

func (t *tx) bind(b *store.Binding, out *store.Snapshot) error {
	f, err := t.family(b.ID)
	if err != nil {
		return err
	}
	switch {
	case !f.live(t.log.everyone, t.now):
		return t.snapshot(f, store.Unwritten, out)
	case f.Key == b.Key:
		if f.Counts || !b.Counts {
			return t.snapshot(f, store.Unwritten, out)
		}
	case !f.Key.IsZero():
		return t.snapshot(f, store.Unwritten, out)
	case f.Seal != b.Verified:
		return t.snapshot(f, store.Changed, out)
	default:
		f.Key, f.Seal = b.Key, b.Seal
	}
	f.Counts = b.Counts
	if err := t.exec("UPDATE families SET key = ?, seal = ?, counts = ? WHERE id = ?", f.Key[:], f.Seal[:], f.Counts, f.ID[:]); err != nil {
		return err
	}
	return t.snapshot(f, store.Written, out)
}
