package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/waferkit/wafer/store"
)

const (
	// sweepRows bounds a step of each kind, so that no writer waits long.
	sweepRows = 128
	// sweepPages bounds how many free pages a step returns to the file system.
	sweepPages = 256
)

// sweep does one bounded step of housekeeping. It drops old entries and raises the
// floor, removes families past their limits, drops cutoffs that no longer matter, and
// returns space to the file system. It reports whether there was more to do.
func (s *Store) sweep(ctx context.Context) (full bool, err error) {
	out := new(bool)
	err = s.writer.submit(ctx, func(t *tx) error {
		*out = false
		for _, step := range []func(*tx) (bool, error){(*tx).dropEntries, (*tx).removeFamilies, (*tx).dropCutoffs, (*tx).shrink} {
			more, err := step(t)
			if err != nil {
				return err
			}
			*out = *out || more
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	return *out, nil
}

const dropQuery = "SELECT position, time, id FROM entries ORDER BY position LIMIT ?"

// dropEntries drops entries older than the longest announced access lifetime plus
// leeway, and raises the floor to the last one dropped.
func (t *tx) dropEntries() (bool, error) {
	if t.log.access == 0 {
		return false, nil // no access lifetime was announced yet
	}
	before := t.now.UnixMilli() - t.log.access - t.log.leeway
	// Entries go in order, and none behind one that must stay: a clock may have
	// jumped.
	rows, err := t.query(dropQuery, sweepRows)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	n, floor := 0, t.log.floor
	var floorID []byte
	for rows.Next() {
		var position, at int64
		var id []byte
		if err := rows.Scan(&position, &at, &id); err != nil {
			return false, err
		}
		if at >= before {
			break
		}
		n, floor, floorID = n+1, position, id
	}
	if err := rows.Err(); err != nil || n == 0 {
		return false, err
	}
	rows.Close()
	if err := t.exec("DELETE FROM entries WHERE position <= ?", floor); err != nil {
		return false, err
	}
	t.log.floor, t.floorID, t.changed = floor, floorID, true
	return n == sweepRows, nil
}

// cutoffsQuery selects the cutoffs that were set before a time, and whether each
// must stay: its entry is above the floor, or there is a family that it keeps from
// being alive. A clock that jumped may have given that family more time.
const cutoffsQuery = `SELECT subject, position > ?2
	OR EXISTS (SELECT 1 FROM families f WHERE f.subject = s.subject AND f.ended = 0 AND f.birth < s.position)
	OR EXISTS (SELECT 1 FROM families f WHERE f.actor = s.subject AND f.actor <> '' AND f.ended = 0 AND f.birth < s.position)
	FROM subjects s WHERE time < ?1 ORDER BY time LIMIT ?3`

// stayEvery is how long a cutoff that must stay is not looked at again, so that
// those behind it are.
const stayEvery = time.Minute

// dropCutoffs drops cutoffs of subjects that no family can be below any more.
func (t *tx) dropCutoffs() (bool, error) {
	if t.log.absolute == 0 {
		return false, nil
	}
	before := t.now.UnixMilli() - max(t.log.absolute, t.log.access) - t.log.leeway
	rows, err := t.query(cutoffsQuery, before, t.log.floor, sweepRows)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	var drop, stay []string
	for rows.Next() {
		var subject string
		var stays int64
		if err := rows.Scan(&subject, &stays); err != nil {
			return false, err
		}
		if stays != 0 {
			stay = append(stay, subject)
		} else {
			drop = append(drop, subject)
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	rows.Close()
	for _, subject := range drop {
		if err := t.exec("DELETE FROM subjects WHERE subject = ?", subject); err != nil {
			return false, err
		}
	}
	for _, subject := range stay {
		if err := t.exec("UPDATE subjects SET time = ? WHERE subject = ?", before+stayEvery.Milliseconds(), subject); err != nil {
			return false, err
		}
	}
	return len(drop)+len(stay) == sweepRows, nil
}

// dueQuery selects the families that housekeeping has to look at, and when each is
// past its limits.
const dueQuery = "SELECT " + listedColumns + `, ended, known, min(issued + idle, max(started, authenticated) + absolute)
	FROM families WHERE due < ? ORDER BY due LIMIT ?`

// removeFamilies removes families past their limits, or ends those whose ids must
// stay known. A family that was refreshed since it got its due time gets a later one.
func (t *tx) removeFamilies() (bool, error) {
	now := t.now.UnixMilli()
	rows, err := t.query(dueQuery, now, sweepRows)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	type later struct {
		id store.ID
		at int64
	}
	var dead []listed
	var postponed []later
	n := 0
	for ; rows.Next(); n++ {
		var l listed
		var ended, known, past int64
		if err := l.scan(rows, &ended, &known, &past); err != nil {
			return false, err
		}
		if ended != 0 {
			l.names = "" // it left the index when it ended
		}
		switch {
		case past > now:
			postponed = append(postponed, later{l.id, past})
		default:
			dead = append(dead, l)
			if known > now {
				postponed = append(postponed, later{l.id, known})
			}
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	rows.Close()
	for _, p := range postponed {
		if err := t.exec("UPDATE families SET due = ? WHERE id = ?", p.at, p.id[:]); err != nil {
			return false, err
		}
	}
	return n == sweepRows, t.bury(dead)
}

// shrink returns free pages to the file system once they are a quarter of the file. A
// steady churn reuses a smaller number.
func (t *tx) shrink() (bool, error) {
	free, err := t.number("SELECT freelist_count FROM pragma_freelist_count")
	if err != nil {
		return false, err
	}
	pages, err := t.number("SELECT page_count FROM pragma_page_count")
	if err != nil || free < sweepPages || free < pages/4 {
		return false, err
	}
	rows, err := t.query("PRAGMA incremental_vacuum(256)")
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() { // each step frees a page
	}
	return true, rows.Err()
}

func (t *tx) query(text string, args ...any) (*sql.Rows, error) {
	s, err := t.c.prepared(t.ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(t.ctx, args...)
}
