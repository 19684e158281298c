package sqlite

import (
	"context"
	"slices"

	"github.com/waferkit/wafer/store"
)

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	c.Value = slices.Clone(c.Value)
	return s.append(ctx, c.Check(), c.Above, func(t *tx, out *store.Snapshot) error { return t.commit(&c, out) })
}

func (t *tx) commit(c *store.Commit, out *store.Snapshot) error {
	f, err := t.family(c.ID)
	if err != nil {
		return err
	}
	if !f.live(t.log.everyone, t.now) || !f.provenBy(c.Key) {
		return t.snapshot(f, store.Unwritten, out)
	}
	if c.Basis < f.LastCommit {
		return t.snapshot(f, store.Behind, out)
	}
	if err := t.checkRoom(c.Above, 1); err != nil {
		return err
	}
	if err := t.append(store.Entry{Kind: store.KindSuperseding, Session: c.ID, Reason: "commit", Actor: c.Actor}, c.Above); err != nil {
		return err
	}
	f.Position, f.LastCommit = store.Position(t.log.head), store.Position(t.log.head)
	if err := t.exec("UPDATE families SET position = ?1, last_commit = ?1 WHERE id = ?2", t.log.head, c.ID[:]); err != nil {
		return err
	}
	if err := t.exec("INSERT INTO committed VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value", c.ID[:], c.Value); err != nil {
		return err
	}
	err = t.snapshot(f, store.Written, out)
	out.Entry = out.Head
	return err
}
