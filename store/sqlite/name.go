package sqlite

import "github.com/waferkit/wafer/store"

// bearersQuery walks the families that bear a name and have not ended, from a
// birth downwards.
const bearersQuery = "SELECT " + listedColumns + ", " + within + ` FROM names CROSS JOIN families ON families.id = names.family
	WHERE names.name = ?3 AND names.born < ?4 ORDER BY names.born DESC, names.family DESC LIMIT ?5`

// nameIDQuery finds the entry of a name by its id. Other entries are not in the
// index.
const nameIDQuery = "SELECT position FROM entries WHERE id = ? AND name IS NOT NULL"

// revokeName appends the entry of a name, unless the log has it, and ends a part
// of the families that bear the name.
func (t *tx) revokeName(r *store.Revocation, out *store.Snapshot) error {
	done := new(revoked)
	if !r.ID.IsZero() {
		var err error
		if done.entry, err = t.number(nameIDQuery, r.ID[:]); err != nil {
			return err
		}
	}
	below, appended := done.entry, 0
	if below == 0 {
		below, appended = t.next(r.Above), 1
	}
	ends, dead, more, err := t.bearers(r.Name, below)
	if err != nil {
		return err
	}
	if err := t.checkRoom(r.Above, appended+len(ends)); err != nil {
		return err
	}
	if appended > 0 {
		if err := t.appendRevoked(r, store.Entry{ID: r.ID, Kind: store.KindName, Name: r.Name}, done); err != nil {
			return err
		}
	}
	for _, id := range ends {
		if _, _, err := t.endRow(id); err != nil {
			return err
		}
		if err := t.appendRevoked(r, store.Entry{Kind: store.KindSession, Session: id}, done); err != nil {
			return err
		}
		done.ended++
	}
	if err := t.bury(dead); err != nil {
		return err
	}
	err = t.revokedSnapshot(nil, done, out)
	out.More = more
	return err
}

// bearers returns families that bear a name and were born below a position: those
// that live and those that do not. It looks at no more than one call may end.
func (t *tx) bearers(name store.Name, below int64) (living []store.ID, dead []listed, more bool, err error) {
	rows, err := t.query(bearersQuery, t.now.UnixMilli(), t.log.everyone, name[:], below, store.MaxEntries)
	if err != nil {
		return nil, nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		if more = len(living)+len(dead) == store.MaxEntries-1; more {
			break
		}
		var l listed
		var lives int64
		if err := l.scan(rows, &lives); err != nil {
			return nil, nil, false, err
		}
		if lives != 0 {
			living = append(living, l.id)
		} else {
			dead = append(dead, l)
		}
	}
	return living, dead, more, rows.Err()
}
