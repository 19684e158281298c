package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"github.com/waferkit/wafer/store"
)

// append is write for a method that takes an Above.
func (s *Store) append(ctx context.Context, argument error, above store.Position, do func(t *tx, out *store.Snapshot) error) (store.Snapshot, error) {
	return s.write(ctx, argument, func(t *tx, out *store.Snapshot) error {
		if err := store.CheckAbove(above, store.Position(t.log.head), t.now); err != nil {
			return err
		}
		return do(t, out)
	})
}

// write runs do in a transaction and returns the snapshot that do filled in. do
// must not read memory of the caller's: a caller that gives up may reuse its
// slices while the writer still reads them.
func (s *Store) write(ctx context.Context, argument error, do func(t *tx, out *store.Snapshot) error) (store.Snapshot, error) {
	if argument != nil {
		return store.Snapshot{}, argument
	}
	// out is shared with the writer, and is not returned until it is done: a
	// caller that gives up gets a snapshot of its own.
	out := new(store.Snapshot)
	if err := s.writer.submit(ctx, func(t *tx) error { return do(t, out) }); err != nil {
		return store.Snapshot{}, err
	}
	return *out, nil
}

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	c.Value = slices.Clone(c.Value)
	if c.Renews != nil {
		c.Renews = &store.Renewal{ID: c.Renews.ID, Basis: c.Renews.Basis, Authenticated: c.Renews.Authenticated}
	}
	return s.append(ctx, c.Check(), c.Above, func(t *tx, out *store.Snapshot) error { return t.create(&c, out) })
}

func (t *tx) create(c *store.Creation, out *store.Snapshot) error {
	existing, err := t.family(c.ID)
	if err != nil {
		return err
	}
	ended, err := t.ending(c.ID)
	if err != nil {
		return err
	}
	if existing.found || ended != 0 {
		return t.snapshot(existing, store.Taken, out)
	}
	cutoff, err := t.number("SELECT position FROM subjects WHERE subject = ?", c.Subject)
	if err != nil {
		return err
	}
	if c.NotBefore != 0 && int64(c.NotBefore) < max(cutoff, t.log.everyone, t.log.floor) {
		return t.snapshot(nil, store.Early, out)
	}
	f := &familyRow{found: true, cutoff: cutoff, Family: store.Family{
		ID: c.ID, Subject: c.Subject, Label: c.Label, Native: c.Native, Generation: 1,
		Started: t.now, Authenticated: t.now, Issued: t.now, Idle: c.Idle, Absolute: t.now.Add(c.Absolute),
	}}
	var ends []store.ID
	keep := false
	if c.Renews != nil {
		old, err := t.family(c.Renews.ID)
		if err != nil {
			return err
		}
		if !old.live(t.log.everyone, t.now) || old.Subject != c.Subject || old.Native != c.Native {
			return t.snapshot(old, store.Unwritten, out)
		}
		if c.Renews.Basis < old.LastCommit {
			return t.snapshot(old, store.Behind, out)
		}
		f.Started, f.Idle, f.Absolute, f.Label = old.Started, old.Idle, old.Absolute, old.Label
		if !c.Renews.Authenticated {
			f.Authenticated = old.Authenticated
		}
		keep = old.LastCommit != 0 && c.Value != nil
		ends = append(ends, old.ID)
	}
	for i, id := range c.Ends {
		if id.IsZero() || c.Renews != nil && id == c.Renews.ID || i == 1 && id == c.Ends[0] {
			continue
		}
		replaceable, err := t.replaceable(id)
		if err != nil {
			return err
		}
		if replaceable {
			ends = append(ends, id)
		}
	}
	if c.Limit > 0 {
		excess, err := t.excess(c, ends)
		if err != nil {
			return err
		}
		if len(excess) > 0 && !c.EndOldest {
			return t.snapshot(nil, store.Full, out)
		}
		ends = append(ends, excess...)
	}
	if err := t.checkRoom(c.Above, len(ends)); err != nil {
		return err
	}
	for _, id := range ends {
		if err := t.endFamily(id, c.Above, c.Reason, c.Actor); err != nil {
			return err
		}
	}
	f.Birth, f.Position = store.Position(t.log.head), store.Position(t.log.head)
	if keep {
		f.LastCommit = f.Birth
	}
	if err := t.insert(f); err != nil {
		return err
	}
	if keep {
		if err := t.exec("INSERT INTO committed VALUES (?, ?)", f.ID[:], c.Value); err != nil {
			return err
		}
	}
	err = t.snapshot(f, store.Written, out)
	if len(ends) > 0 {
		out.Entry = out.Head
	}
	return err
}

// replaceable reports whether a login in the place of a family appends the entry of
// its end.
func (t *tx) replaceable(id store.ID) (bool, error) {
	f, err := t.family(id)
	if err != nil {
		return false, err
	}
	switch f.state(t.log.everyone) {
	case store.Alive:
		return true, nil
	case store.Absent:
		ending, err := t.ending(id)
		return ending == 0, err
	}
	return false, nil
}

// excess returns the subject's families that exceed the limit beside a new one:
// those that were started first. It does not count the families in ends.
func (t *tx) excess(c *store.Creation, ends []store.ID) ([]store.ID, error) {
	living, err := t.living(c.Subject)
	if err != nil {
		return nil, err
	}
	var others []store.ID
	for _, f := range living {
		replaced := false
		for _, id := range ends {
			replaced = replaced || id == f.ID
		}
		if !replaced {
			others = append(others, f.ID)
		}
	}
	n := len(others) + 1 - c.Limit
	if n <= 0 {
		return nil, nil
	}
	return others[len(others)-n:], nil
}

// livingQuery selects the living families of a subject that are within their
// limits, and returns the one that was started last first. The condition on the
// birth excludes families that were cut off.
const livingQuery = "SELECT " + familyColumns + ` FROM families WHERE subject = ?1 AND ended = 0
	AND birth >= max(?2, coalesce((SELECT position FROM subjects WHERE subject = ?1), 0))
	AND issued + idle > ?3 AND absolute > ?3 ORDER BY started DESC, id DESC LIMIT ?4`

func (t *tx) living(subject string) ([]*familyRow, error) {
	s, err := t.c.prepared(t.ctx, livingQuery)
	if err != nil {
		return nil, err
	}
	return scanFamilies(s.QueryContext(t.ctx, subject, t.log.everyone, t.now.UnixMilli(), -1))
}

func scanFamilies(rows *sql.Rows, err error) ([]*familyRow, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*familyRow
	for rows.Next() {
		f := new(familyRow)
		if err := f.scan(rows); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, rows.Err()
}

func (t *tx) insert(f *familyRow) error {
	return t.exec("INSERT INTO families VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		f.ID[:], f.Subject, f.Label, f.Native, int64(f.Birth), int64(f.Position), int64(f.LastCommit), f.Generation, f.Copy, f.Used,
		f.Started.UnixMilli(), f.Authenticated.UnixMilli(), f.Issued.UnixMilli(), f.Idle.Milliseconds(), f.Absolute.UnixMilli(), false,
		f.IdleDeadline().UnixMilli())
}

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
	if !f.live(t.log.everyone, t.now) {
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

// Revoke implements [store.Store].
func (s *Store) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	r.Sessions, r.Subjects = slices.Clone(r.Sessions), slices.Clone(r.Subjects)
	if r.Except != nil {
		r.Except = &store.Rebirth{ID: r.Except.ID, Basis: r.Except.Basis}
	}
	return s.append(ctx, r.Check(), r.Above, func(t *tx, out *store.Snapshot) error { return t.revoke(&r, out) })
}

func (t *tx) revoke(r *store.Revocation, out *store.Snapshot) error {
	reborn := new(familyRow)
	if r.Except != nil {
		var err error
		if reborn, err = t.family(r.Except.ID); err != nil {
			return err
		}
	}
	live := reborn.live(t.log.everyone, t.now) && reborn.Subject == r.Subjects[0]
	if live && r.Except.Basis < reborn.LastCommit {
		return t.snapshot(reborn, store.Behind, out)
	}
	entries := len(r.Sessions) + len(r.Subjects)
	if r.Everyone {
		entries++
	}
	if err := t.checkRoom(r.Above, entries); err != nil {
		return err
	}
	outcome, entry := store.Unwritten, int64(0)
	appendOne := func(e store.Entry) error {
		e.Reason, e.Actor = r.Reason, r.Actor
		err := t.append(e, r.Above)
		outcome, entry = store.Written, t.log.head
		return err
	}
	for _, id := range r.Sessions {
		ends, err := t.changes("UPDATE families SET ended = 1 WHERE id = ? AND ended = 0", id[:])
		if err != nil {
			return err
		}
		if ends == 0 {
			// The family is absent or has ended. Its entry may be there already.
			ended, err := t.ending(id)
			if err != nil {
				return err
			}
			rows, err := t.number("SELECT count(*) FROM families WHERE id = ?", id[:])
			if err != nil {
				return err
			}
			if ended != 0 || rows != 0 {
				entry = max(entry, ended, t.log.floor) // a dropped entry is covered by the floor
				continue
			}
		}
		if err := appendOne(store.Entry{Kind: store.KindSession, Session: id}); err != nil {
			return err
		}
	}
	for _, subject := range r.Subjects {
		if err := appendOne(store.Entry{Kind: store.KindSubject, Subject: subject}); err != nil {
			return err
		}
	}
	if r.Everyone {
		if err := appendOne(store.Entry{Kind: store.KindEveryone}); err != nil {
			return err
		}
	}
	if live {
		if err := t.exec("UPDATE families SET birth = ?1, position = ?1 WHERE id = ?2", entry, reborn.ID[:]); err != nil {
			return err
		}
	}
	if reborn.found {
		// Read it again: it is reborn or cut off now.
		var err error
		if reborn, err = t.family(r.Except.ID); err != nil {
			return err
		}
	}
	err := t.snapshot(reborn, outcome, out)
	out.Entry = store.Position(entry)
	return err
}
