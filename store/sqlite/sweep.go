package sqlite

import (
	"context"
	"database/sql"

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

// dropEntries drops entries older than the longest announced access lifetime plus
// leeway, and raises the floor to the last one dropped.
func (t *tx) dropEntries() (bool, error) {
	if t.log.access == 0 {
		return false, nil // no access lifetime was announced yet
	}
	before := t.now.UnixMilli() - t.log.access - t.log.leeway
	// Entries go in order, and none behind one that must stay: a clock may have
	// jumped.
	rows, err := t.query("SELECT position, time FROM entries ORDER BY position LIMIT ?", sweepRows)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	n, floor := 0, t.log.floor
	for rows.Next() {
		var position, at int64
		if err := rows.Scan(&position, &at); err != nil {
			return false, err
		}
		if at >= before {
			break
		}
		n, floor = n+1, position
	}
	if err := rows.Err(); err != nil || n == 0 {
		return false, err
	}
	rows.Close()
	if err := t.exec("DELETE FROM entries WHERE position <= ?", floor); err != nil {
		return false, err
	}
	t.log.floor, t.changed = floor, true
	return n == sweepRows, nil
}

// dropCutoffs drops cutoffs of subjects that no living family can be below.
func (t *tx) dropCutoffs() (bool, error) {
	if t.log.absolute == 0 {
		return false, nil
	}
	before := t.now.UnixMilli() - max(t.log.absolute, t.log.access) - t.log.leeway
	// A cutoff stays while there is a family that it cuts off: a clock that jumped
	// may have given that family more time.
	n, err := t.changes(`DELETE FROM subjects WHERE subject IN (
		SELECT subject FROM subjects s WHERE time < ? AND NOT EXISTS (
			SELECT 1 FROM families f WHERE f.subject = s.subject AND f.birth < s.position)
		ORDER BY time LIMIT ?)`, before, sweepRows)
	return n == sweepRows, err
}

// removeFamilies removes families past their limits. A family that was refreshed since
// it got its due time gets a later one.
func (t *tx) removeFamilies() (bool, error) {
	rows, err := t.query("SELECT id, issued + idle, absolute FROM families WHERE due < ? ORDER BY due LIMIT ?", t.now.UnixMilli(), sweepRows)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	type due struct {
		id             store.ID
		idle, absolute int64
	}
	var list []due
	for rows.Next() {
		var d due
		var id []byte
		if err := rows.Scan(&id, &d.idle, &d.absolute); err != nil {
			return false, err
		}
		copy(d.id[:], id)
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	rows.Close()
	for _, d := range list {
		if later := min(d.idle, d.absolute); later > t.now.UnixMilli() {
			if err := t.exec("UPDATE families SET due = ? WHERE id = ?", later, d.id[:]); err != nil {
				return false, err
			}
			continue
		}
		if err := t.exec("DELETE FROM families WHERE id = ?", d.id[:]); err != nil {
			return false, err
		}
		if err := t.exec("DELETE FROM committed WHERE id = ?", d.id[:]); err != nil {
			return false, err
		}
	}
	return len(list) == sweepRows, nil
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
