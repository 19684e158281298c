package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/store"
)

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

// append is write for a method that takes an Above.
func (s *Store) append(ctx context.Context, argument error, above store.Position, do func(t *tx, out *store.Snapshot) error) (store.Snapshot, error) {
	return s.write(ctx, argument, func(t *tx, out *store.Snapshot) error {
		if err := store.CheckAbove(above, store.Position(t.log.head), t.now); err != nil {
			return err
		}
		return do(t, out)
	})
}

// tx is a transaction that holds the file's write lock. It reads the log's row
// once at its beginning and writes it once at its end.
type tx struct {
	c        *committer
	ctx      context.Context
	now      time.Time // in whole milliseconds
	log      logRow
	changed  bool // log differs from the stored row
	appended bool // the log has new entries
	headID   any  // of the last of them; nil if there are none
	floorID  any  // of the last entry dropped; nil if none was
}

// logRow is what every transaction reads of the one row of the table log.
type logRow struct {
	id                       store.ID
	head, floor, everyone    int64
	access, absolute, leeway int64 // milliseconds
	staleness                int64
}

const logQuery = "SELECT id, head, floor, everyone, access, absolute, leeway, staleness FROM log WHERE one = 1"

func (l *logRow) scan(row interface{ Scan(...any) error }) error {
	var id []byte
	err := row.Scan(&id, &l.head, &l.floor, &l.everyone, &l.access, &l.absolute, &l.leeway, &l.staleness)
	if err == nil && copy(l.id[:], id) != len(l.id) {
		err = errors.New("the log's id is not of its size: the file is damaged")
	}
	return err
}

func (t *tx) begin() error {
	t.now = time.UnixMilli(t.c.now().UnixMilli())
	row, err := t.row(logQuery)
	if err != nil {
		return err
	}
	return t.log.scan(row)
}

func (t *tx) end() error {
	if !t.changed {
		return nil
	}
	l := &t.log
	return t.exec(`UPDATE log SET head = ?, head_id = ifnull(?, head_id), floor = ?, floor_id = ifnull(?, floor_id), everyone = ?,
		access = ?, absolute = ?, leeway = ?, staleness = ? WHERE one = 1`,
		l.head, t.headID, l.floor, t.floorID, l.everyone, l.access, l.absolute, l.leeway, l.staleness)
}

func (t *tx) exec(text string, args ...any) error {
	_, err := t.c.exec(t.ctx, text, args...)
	return err
}

// changes runs a statement and returns the number of rows that it changed.
func (t *tx) changes(text string, args ...any) (int64, error) {
	result, err := t.c.exec(t.ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *tx) row(text string, args ...any) (*sql.Row, error) {
	s, err := t.c.prepared(t.ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryRowContext(t.ctx, args...), nil
}

// number returns the number that a query selects, or 0 if there is no row.
func (t *tx) number(text string, args ...any) (n int64, err error) {
	row, err := t.row(text, args...)
	if err != nil {
		return 0, err
	}
	err = zeroIfNone(row.Scan(&n))
	return n, err
}

// zeroIfNone passes over the error that there is no row: what the row would have
// filled in is zero.
func zeroIfNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// next returns the position of the next entry.
func (t *tx) next(above store.Position) int64 {
	return max(t.log.head+1, int64(above)+1, t.now.UnixMilli()*1000)
}

// checkRoom returns an error if n more entries would need a position beyond
// [store.MaxPosition].
func (t *tx) checkRoom(above store.Position, n int) error {
	if n > 0 && t.next(above)+int64(n-1) > int64(store.MaxPosition) {
		return fmt.Errorf("no positions are left above %d", max(t.log.head, int64(above)))
	}
	return nil
}

// append adds an entry and moves the head to it. An entry without an id gets one.
func (t *tx) append(e store.Entry, above store.Position) error {
	if e.ID.IsZero() {
		rand.Read(e.ID[:])
	}
	at := t.next(above)
	var session, subject, name, ring any
	switch e.Kind {
	case store.KindSession, store.KindSuperseding:
		session = e.Session[:]
	case store.KindName:
		name = e.Name[:]
	case store.KindSubject:
		subject = e.Subject
		if err := t.exec("INSERT INTO subjects VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position, time = excluded.time",
			e.Subject, at, t.now.UnixMilli()); err != nil {
			return err
		}
	case store.KindEveryone:
		ring = packRing(e.Ring, e.RingVersion)
		t.log.everyone = at
	}
	err := t.exec("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		at, t.log.head, e.ID[:], e.Kind, session, subject, name, ring, e.Reason, e.Actor, t.now.UnixMilli())
	t.log.head, t.headID, t.changed, t.appended = at, e.ID[:], true, true
	return err
}

// ending returns the position of the entry that ended a session, or 0 if the log
// has none.
func (t *tx) ending(id store.ID) (int64, error) {
	return t.number(sessionQuery, id[:], store.KindSession)
}

// sessionQuery selects the newest entry of one kind about a session.
const sessionQuery = "SELECT max(position) FROM entries WHERE session = ? AND kind = ? HAVING max(position) IS NOT NULL"

// subject returns the cutoff of a subject, or 0.
func (t *tx) subject(subject string) (int64, error) {
	return t.number(subjectCutoffQuery, subject)
}

const subjectCutoffQuery = "SELECT position FROM subjects WHERE subject = ?"

// names returns the highest cutoff of names, or 0. A name's cutoff is the position
// of its last entry: the floor passes both at once.
func (t *tx) names(names []store.Name) (highest int64, err error) {
	for _, n := range names {
		at, err := t.number(nameQuery, n[:])
		if err != nil {
			return 0, err
		}
		highest = max(highest, at)
	}
	return highest, nil
}

const nameQuery = "SELECT max(position) FROM entries WHERE name = ? HAVING max(position) IS NOT NULL"

// snapshot fills in the snapshot that a write returns, with the family's value.
func (t *tx) snapshot(f *familyRow, outcome store.Outcome, into *store.Snapshot) error {
	*into = snapshot(&t.log, f, outcome, t.now)
	if f == nil || f.LastCommit == 0 {
		return nil
	}
	row, err := t.row(valueQuery, f.ID[:])
	if err != nil {
		return err
	}
	return row.Scan(&into.Family.Value)
}

func snapshot(l *logRow, f *familyRow, outcome store.Outcome, now time.Time) store.Snapshot {
	s := store.Snapshot{
		State: f.state(l.everyone), Outcome: outcome,
		Head: store.Position(l.head), Floor: store.Position(l.floor), Log: l.id, Now: now,
	}
	if s.State != store.Absent {
		s.Family = f.Family
	}
	return s
}
