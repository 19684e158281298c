package sqlite

import (
	"context"
	"slices"

	"github.com/waferkit/wafer/store"
)

// Restore implements [store.Store].
func (s *Store) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	r.Entries = slices.Clone(r.Entries)
	return s.append(ctx, r.Check(), r.Above, func(t *tx, out *store.Snapshot) error { return t.restore(&r, out) })
}

func (t *tx) restore(r *store.Restoration, out *store.Snapshot) error {
	outcome, entry := store.Unwritten, int64(0)
	for i := range r.Entries {
		e := &r.Entries[i]
		lost, err := t.lost(e)
		if err != nil {
			return err
		}
		if !lost {
			continue
		}
		// Checked for each entry: a covered one needs no room, and an error
		// undoes the whole transaction.
		if err := t.checkRoom(r.Above, 1); err != nil {
			return err
		}
		if e.Kind == store.KindSession {
			err = t.endFamily(e.Session, r.Above, e.Reason, e.Actor)
		} else {
			err = t.append(store.Entry{Kind: e.Kind, Subject: e.Subject, Ring: e.Ring, RingVersion: e.RingVersion, Reason: e.Reason, Actor: e.Actor}, r.Above)
		}
		if err != nil {
			return err
		}
		outcome, entry = store.Written, t.log.head
	}
	err := t.snapshot(nil, outcome, out)
	out.Entry = store.Position(entry)
	return err
}

// lost reports whether no cutoff in the file covers an entry that a node holds.
func (t *tx) lost(e *store.Entry) (bool, error) {
	cutoff := t.log.everyone
	switch e.Kind {
	case store.KindSubject:
		subject, err := t.subject(e.Subject)
		if err != nil {
			return false, err
		}
		cutoff = max(cutoff, subject)
	case store.KindSession:
		f, err := t.family(e.Session)
		if err != nil || f.state(t.log.everyone) == store.Alive {
			return true, err
		}
		// It is not enough that the family is ended: its end may be below what
		// was minted before the loss.
		ending, err := t.ending(e.Session)
		if err != nil {
			return false, err
		}
		cutoff = max(cutoff, t.log.floor, ending)
	}
	return cutoff < int64(e.Position), nil
}
