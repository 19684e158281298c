package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/waferkit/wafer/store"
)

// refreshable has the conditions that both kinds of advance share.
const refreshable = `WHERE id = ?3 AND generation = ?4 AND native = ?5 AND (counts = 0 OR key = ?6) AND last_commit <= ?7 AND ended = 0
	AND ` + within

// advanceQuery handles the common case in one statement. It has all conditions,
// and returns the updated row. That is alive, so its cutoff is not needed.
const advanceQuery = `UPDATE families SET generation = generation + 1, copy = 0, used = ?9, issued = ?1, position = max(position, ?8),
	counts = counts OR ifnull(key = ?6, 0) ` + refreshable + `
	AND copy >= ?9 AND (?1 - issued >= ?10 OR issued - ?1 > ?11 OR copy - ?9 >= ?12)
	RETURNING ` + familyFields

// raiseQuery is advanceQuery for an Advance that raises the position alone.
const raiseQuery = `UPDATE families SET position = max(position, ?8), counts = counts OR ifnull(key = ?6, 0) ` + refreshable + `
	RETURNING ` + familyFields

// Advance implements [store.Store].
func (s *Store) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return s.write(ctx, a.Check(), func(t *tx, out *store.Snapshot) error { return t.advance(&a, out) })
}

func (t *tx) advance(a *store.Advance, out *store.Snapshot) error {
	now := t.now.UnixMilli()
	var row *sql.Row
	var err error
	if a.PositionOnly {
		row, err = t.row(raiseQuery, now, t.log.everyone, a.ID[:], a.Generation, a.Native, optional(a.Key[:]), int64(a.Basis), t.log.head)
	} else {
		lag := a.Lag
		if lag == 0 {
			lag = store.MaxCopy + 1 // no copy lags by so many
		}
		// Times have whole milliseconds, so the age is rounded up and the skew
		// down.
		age := a.Age.Milliseconds()
		if a.Age%time.Millisecond != 0 {
			age++
		}
		row, err = t.row(advanceQuery, now, t.log.everyone, a.ID[:], a.Generation, a.Native, optional(a.Key[:]), int64(a.Basis), t.log.head,
			a.Copy, age, a.Skew.Milliseconds(), lag)
	}
	if err != nil {
		return err
	}
	f := new(familyRow)
	switch err := f.scan(row); {
	case err == nil:
		return t.snapshot(f, store.Written, out)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	// No row met the conditions: find out which one failed.
	if f, err = t.family(a.ID); err != nil {
		return err
	}
	outcome := store.Unwritten
	if f.live(t.log.everyone, t.now) && f.Native == a.Native && f.provenBy(a.Key) && f.Generation == a.Generation &&
		(a.PositionOnly || a.Copy <= f.Copy && (f.longAgo(t.now, a.Age, a.Skew) || a.Lag > 0 && f.Copy-a.Copy >= a.Lag)) {
		outcome = store.Behind
	}
	return t.snapshot(f, outcome, out)
}

// longAgo reports whether the last advance or copy is at least age ago, or so far
// ahead of the clock that the clock was set back since.
func (f *familyRow) longAgo(now time.Time, age, skew time.Duration) bool {
	since := now.Sub(f.Issued)
	return since >= age || since < -skew
}

// Reissue implements [store.Store].
func (s *Store) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return s.write(ctx, r.Check(), func(t *tx, out *store.Snapshot) error { return t.reissue(&r, out) })
}

func (t *tx) reissue(r *store.Reissue, out *store.Snapshot) error {
	f, err := t.family(r.ID)
	if err != nil {
		return err
	}
	if !f.live(t.log.everyone, t.now) || f.Native != r.Native || !f.provenBy(r.Key) || f.Generation != r.Generation+1 || f.Used != r.Copy ||
		f.Copy >= store.MaxCopy || !f.longAgo(t.now, r.Age, r.Skew) {
		return t.snapshot(f, store.Unwritten, out)
	}
	if r.Basis < f.LastCommit {
		return t.snapshot(f, store.Behind, out)
	}
	f.Copy++
	f.Issued, f.Position = t.now, max(f.Position, store.Position(t.log.head))
	f.prove(r.Key)
	if err := t.exec("UPDATE families SET copy = ?, issued = ?, position = ?, counts = ? WHERE id = ?",
		f.Copy, t.now.UnixMilli(), int64(f.Position), f.Counts, f.ID[:]); err != nil {
		return err
	}
	return t.snapshot(f, store.Written, out)
}
