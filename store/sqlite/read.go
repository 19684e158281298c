package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// read runs f in a read transaction, so that f sees the file at one moment.
func (s *Store) read(ctx context.Context, f func(t *sql.Tx, l *logRow, now time.Time) error) error {
	t, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
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
	err = s.read(ctx, func(t *sql.Tx, l *logRow, now time.Time) error {
		f := new(familyRow)
		err := f.scan(t.QueryRowContext(ctx, "SELECT "+familyColumns+" FROM families WHERE id = ?", id[:]))
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

// Families implements [store.Store].
func (s *Store) Families(ctx context.Context, subject string, limit int) (list []store.Family, err error) {
	if err := store.CheckFamilies(subject, limit); err != nil {
		return nil, err
	}
	err = s.read(ctx, func(t *sql.Tx, l *logRow, now time.Time) error {
		rows, err := scanFamilies(t.QueryContext(ctx, livingQuery, subject, l.everyone, now.UnixMilli(), limit))
		if err != nil {
			return err
		}
		list = make([]store.Family, len(rows))
		for i, f := range rows {
			list[i] = f.Family
			if f.LastCommit == 0 {
				continue
			}
			if err := t.QueryRowContext(ctx, "SELECT value FROM committed WHERE id = ?", f.ID[:]).Scan(&list[i].Value); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
	if err := store.CheckSince(after, limit); err != nil {
		return store.Batch{}, err
	}
	return s.notifier.Since(ctx, wait, func() (store.Batch, error) { return s.batch(ctx, after, limit) })
}

func (s *Store) batch(ctx context.Context, after store.Position, limit int) (b store.Batch, err error) {
	err = s.read(ctx, func(t *sql.Tx, l *logRow, now time.Time) error {
		b = store.Batch{Log: l.id, Head: store.Position(l.head), Floor: store.Position(l.floor), Now: now}
		if int64(after) >= l.head {
			return nil
		}
		rows, err := t.QueryContext(ctx, batchQuery, int64(after), limit+1)
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

// batchQuery joins columns. A new node reads the whole log, and the driver spends
// more time on a column than on its bytes: joined, a million entries load in
// three quarters of the time. Ids have a fixed size, and texts contain no NUL.
const batchQuery = `SELECT position, previous, time << 3 | kind,
	CAST(id || coalesce(session, '') || coalesce(subject, '') || char(0) || reason || char(0) || actor AS BLOB)
	FROM entries WHERE position > ? ORDER BY position LIMIT ?`

func scanEntry(rows *sql.Rows, e *store.Entry) error {
	var joined sql.RawBytes
	var position, previous, at int64 // database/sql scans other integer types by way of text
	if err := rows.Scan(&position, &previous, &at, &joined); err != nil {
		return err
	}
	e.Position, e.Previous = store.Position(position), store.Position(previous)
	e.Time, e.Kind = time.UnixMilli(at>>3), store.Kind(at&7)
	text := string(joined)
	text = text[copy(e.ID[:], text):]
	if e.Kind == store.KindSession || e.Kind == store.KindSuperseding {
		text = text[copy(e.Session[:], text):]
	}
	e.Subject, text, _ = strings.Cut(text, "\x00")
	e.Reason, e.Actor, _ = strings.Cut(text, "\x00")
	return nil
}

// Cutoffs implements [store.Store].
func (s *Store) Cutoffs(ctx context.Context, session store.ID, subject string) (c store.Cutoffs, err error) {
	err = s.read(ctx, func(t *sql.Tx, l *logRow, now time.Time) error {
		c = store.Cutoffs{
			Everyone: store.Position(l.everyone), Floor: store.Position(l.floor),
			Head: store.Position(l.head), Log: l.id, Now: now,
			MaxStaleness: time.Duration(l.staleness) * time.Millisecond,
		}
		ending, err := number(ctx, t, "SELECT max(position) FROM entries WHERE session = ? AND kind = ?", session[:], store.KindSession)
		if err != nil {
			return err
		}
		superseding, err := number(ctx, t, "SELECT max(position) FROM entries WHERE session = ? AND kind = ?", session[:], store.KindSuperseding)
		if err != nil {
			return err
		}
		cutoff, err := number(ctx, t, "SELECT position FROM subjects WHERE subject = ?", subject)
		c.Ending, c.Superseding, c.Subject = store.Position(ending), store.Position(superseding), store.Position(cutoff)
		return err
	})
	return c, err
}

// Announce implements [store.Store].
func (s *Store) Announce(ctx context.Context, a store.Announcement) error {
	return s.writer.submit(ctx, func(t *tx) error {
		l := &t.log
		for _, raise := range []struct {
			kept *int64
			to   time.Duration
		}{{&l.access, a.Access}, {&l.absolute, a.Absolute}, {&l.leeway, a.Leeway}, {&l.staleness, a.MaxStaleness}} {
			if ms := int64((raise.to + time.Millisecond - 1) / time.Millisecond); ms > *raise.kept {
				*raise.kept, t.changed = ms, true
			}
		}
		return nil
	})
}

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (version uint64, document []byte, err error) {
	err = wrap(s.readers.QueryRowContext(ctx, "SELECT keys_version, keys FROM log WHERE one = 1").Scan(&version, &document))
	return version, document, err
}

// SwapKeys implements [store.Store].
func (s *Store) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	swapped := new(bool)
	document = slices.Clone(document) // see write
	err := s.writer.submit(ctx, func(t *tx) error {
		result, err := t.c.exec(t.ctx, "UPDATE log SET keys_version = keys_version + 1, keys = ? WHERE one = 1 AND keys_version = ?", document, int64(version))
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
