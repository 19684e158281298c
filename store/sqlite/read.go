package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// read runs f in a read transaction of one of the pools, so that f sees the file at
// one moment.
func (s *Store) read(ctx context.Context, from *sql.DB, f func(t *sql.Tx, l *logRow, now time.Time) error) error {
	t, err := from.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return wrap(err)
	}
	defer t.Rollback()
	var l logRow
	if err := l.scan(t.QueryRowContext(ctx, "SELECT "+logColumns+" FROM log WHERE one = 1")); err != nil {
		return wrap(err)
	}
	return wrap(f(t, &l, time.UnixMilli(s.now().UnixMilli())))
}

// number returns the number that a query selects, or 0 if it is null or there is
// no row.
func number(ctx context.Context, t *sql.Tx, query string, args ...any) (int64, error) {
	var n sql.NullInt64
	err := t.QueryRowContext(ctx, query, args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n.Int64, err
}

// Family implements [store.Store].
func (s *Store) Family(ctx context.Context, id store.ID) (snap store.Snapshot, err error) {
	err = s.read(ctx, s.readers.families, func(t *sql.Tx, l *logRow, now time.Time) error {
		f := new(familyRow)
		err := f.scan(t.QueryRowContext(ctx, familyQuery, id[:]), &f.cutoff)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		snap = snapshot(l, f, store.Unwritten, now)
		if f.LastCommit == 0 {
			return nil
		}
		return t.QueryRowContext(ctx, "SELECT value FROM committed WHERE id = ?", id[:]).Scan(&snap.Family.Value)
	})
	return snap, err
}

// listQuery walks the families that have not ended, the one born last first, from
// a birth upwards and after a place in the list.
const (
	listFields   = "SELECT " + familyColumns + " FROM families WHERE ended = 0 AND birth >= ?1 AND (birth, id) < (?2, ?3)"
	listEnd      = " ORDER BY birth DESC, id DESC LIMIT ?4"
	listQuery    = listFields + " AND subject = ?5" + listEnd
	everyoneList = listFields + listEnd
)

// Families implements [store.Store].
func (s *Store) Families(ctx context.Context, q store.Query) (page store.Page, err error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	err = s.read(ctx, s.readers.lists, func(t *sql.Tx, l *logRow, now time.Time) error {
		page, err = list(ctx, t, l, &q, now)
		return err
	})
	return page, err
}

func list(ctx context.Context, t *sql.Tx, l *logRow, q *store.Query, now time.Time) (store.Page, error) {
	from, id := int64(store.MaxPosition)+1, []byte{}
	if q.After != (store.PageCursor{}) {
		from, id = int64(q.After.Birth), q.After.ID[:]
	}
	// One row more than the call may look at says whether there are more.
	query, args := everyoneList, []any{l.everyone, from, id, store.MaxLooked + 1}
	if q.Subject != "" {
		cutoff, err := number(ctx, t, "SELECT position FROM subjects WHERE subject = ?", q.Subject)
		if err != nil {
			return store.Page{}, err
		}
		query, args = listQuery, append(args, q.Subject)
		args[0] = max(cutoff, l.everyone)
	}
	rows, err := t.QueryContext(ctx, query, args...)
	if err != nil {
		return store.Page{}, err
	}
	defer rows.Close()
	page := store.Page{Now: now}
	var last store.PageCursor
	for looked := 0; rows.Next(); looked++ {
		if looked == store.MaxLooked || len(page.Families) == q.Limit {
			page.Next = last
			break
		}
		f := new(familyRow)
		if err := f.scan(rows, &f.cutoff); err != nil {
			return store.Page{}, err
		}
		if last = (store.PageCursor{Birth: f.Birth, Started: f.Started.UnixMilli(), ID: f.ID}); f.live(l.everyone, now) {
			page.Families = append(page.Families, f.Family)
		}
	}
	return page, rows.Err()
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if err := store.CheckSince(after, limit); err != nil {
		return store.Batch{}, err
	}
	return s.notifier.Since(ctx, wait, func() (store.Batch, error) { return s.batch(ctx, after, limit) })
}

func (s *Store) batch(ctx context.Context, after store.Cursor, limit int) (b store.Batch, err error) {
	err = s.read(ctx, s.readers.log, func(t *sql.Tx, l *logRow, now time.Time) error {
		b = store.Batch{Log: l.id, Head: store.Position(l.head), Floor: store.Position(l.floor), Now: now}
		var head, floor, at []byte
		if err := t.QueryRowContext(ctx, cursorQuery, int64(after.Position)).Scan(&head, &floor, &at); err != nil {
			return err
		}
		copy(b.HeadID[:], head)
		if at == nil {
			at = floor // the last entry dropped
			b.Broken = after.Position != 0 && after.Position != b.Floor
		}
		if b.Broken = b.Broken || after.Position != 0 && !bytes.Equal(at, after.ID[:]); b.Broken || int64(after.Position) >= l.head {
			return nil
		}
		rows, err := t.QueryContext(ctx, batchQuery, int64(after.Position), limit+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		b.Entries = make([]store.Entry, 0, min(limit, 64))
		for rows.Next() {
			if len(b.Entries) == limit {
				b.More = true
				break
			}
			var e store.Entry
			if err := scanEntry(rows, &e); err != nil {
				return err
			}
			b.Entries = append(b.Entries, e)
		}
		return rows.Err()
	})
	return b, err
}

// cursorQuery selects the ids of the entries at the head, at the floor and at a
// cursor.
const cursorQuery = "SELECT head_id, floor_id, (SELECT id FROM entries WHERE position = ?) FROM log WHERE one = 1"

// Cutoffs implements [store.Store].
func (s *Store) Cutoffs(ctx context.Context, session store.ID, subject string) (c store.Cutoffs, err error) {
	err = s.read(ctx, s.readers.log, func(t *sql.Tx, l *logRow, now time.Time) error {
		c = store.Cutoffs{
			Everyone: store.Position(l.everyone), Floor: store.Position(l.floor),
			Head: store.Position(l.head), Log: l.id, Now: now,
			MaxStaleness: time.Duration(l.staleness) * time.Millisecond,
		}
		ending, err := number(ctx, t, sessionQuery, session[:], store.KindSession)
		if err != nil {
			return err
		}
		superseding, err := number(ctx, t, sessionQuery, session[:], store.KindSuperseding)
		if err != nil {
			return err
		}
		cutoff, err := number(ctx, t, "SELECT position FROM subjects WHERE subject = ?", subject)
		c.Ending, c.Superseding, c.Subject = store.Position(ending), store.Position(superseding), store.Position(cutoff)
		return err
	})
	return c, err
}

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (version uint64, document []byte, err error) {
	err = wrap(s.readers.log.QueryRowContext(ctx, "SELECT keys_version, keys FROM log WHERE one = 1").Scan(&version, &document))
	return version, document, err
}

// SwapKeys implements [store.Store].
func (s *Store) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	swapped := new(bool)
	document = slices.Clone(document) // see write
	err := s.writer.submit(ctx, func(t *tx) error {
		result, err := t.c.exec(t.ctx, "UPDATE log SET keys_version = ?2 + 1, keys = ?1 WHERE one = 1 AND keys_version IN (0, ?2)", document, int64(version))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		*swapped = n == 1
		return err
	})
	if err != nil {
		return false, err
	}
	return *swapped, nil
}
