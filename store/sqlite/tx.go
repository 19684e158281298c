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

// tx is a transaction that holds the file's write lock. It reads the log's row
// once at its beginning and writes it once at its end.
type tx struct {
	c        *committer
	ctx      context.Context
	now      time.Time // in whole milliseconds
	log      logRow
	changed  bool // log differs from the stored row
	appended bool // the log has new entries
}

// logRow is the one row of the table log, without the keys.
type logRow struct {
	id                       store.ID
	head, floor, everyone    int64
	access, absolute, leeway int64 // milliseconds
	staleness                int64
}

const logColumns = "id, head, floor, everyone, access, absolute, leeway, staleness"

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
	row, err := t.row("SELECT " + logColumns + " FROM log WHERE one = 1")
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
	return t.exec("UPDATE log SET head = ?, floor = ?, everyone = ?, access = ?, absolute = ?, leeway = ?, staleness = ? WHERE one = 1",
		l.head, l.floor, l.everyone, l.access, l.absolute, l.leeway, l.staleness)
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
	if err = row.Scan(&n); errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n, err
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

// append adds an entry and moves the head to it.
func (t *tx) append(e store.Entry, above store.Position) error {
	rand.Read(e.ID[:])
	at := t.next(above)
	var session, subject any
	switch e.Kind {
	case store.KindSession, store.KindSuperseding:
		session = e.Session[:]
	case store.KindSubject:
		subject = e.Subject
		if err := t.exec("INSERT INTO subjects VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position, time = excluded.time",
			e.Subject, at, t.now.UnixMilli()); err != nil {
			return err
		}
	case store.KindEveryone:
		t.log.everyone = at
	}
	err := t.exec("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		at, t.log.head, e.ID[:], e.Kind, session, subject, e.Reason, e.Actor, t.now.UnixMilli())
	t.log.head, t.changed, t.appended = at, true, true
	return err
}

// familyRow is a family and what determines its state.
type familyRow struct {
	store.Family
	found  bool
	ended  bool
	cutoff int64 // of its subject
}

const familyColumns = `id, subject, label, native, birth, position, last_commit, generation, copy, used,
	started, authenticated, issued, idle, absolute, ended,
	coalesce((SELECT position FROM subjects s WHERE s.subject = families.subject), 0)`

func (f *familyRow) scan(row interface{ Scan(...any) error }) error {
	// All are int64: database/sql scans other integer types by way of text.
	var id []byte
	var native, birth, position, lastCommit, generation, copies, used, ended int64
	var started, authenticated, issued, idle, absolute int64
	err := row.Scan(&id, &f.Subject, &f.Label, &native, &birth, &position, &lastCommit, &generation, &copies, &used,
		&started, &authenticated, &issued, &idle, &absolute, &ended, &f.cutoff)
	if err != nil {
		return err
	}
	copy(f.ID[:], id)
	f.found, f.ended, f.Native = true, ended != 0, native != 0
	f.Birth, f.Position, f.LastCommit = store.Position(birth), store.Position(position), store.Position(lastCommit)
	f.Generation, f.Copy, f.Used = uint32(generation), uint16(copies), uint16(used)
	f.Started, f.Authenticated = time.UnixMilli(started), time.UnixMilli(authenticated)
	f.Issued, f.Absolute = time.UnixMilli(issued), time.UnixMilli(absolute)
	f.Idle = time.Duration(idle) * time.Millisecond
	return nil
}

func (f *familyRow) state(everyone int64) store.State {
	switch {
	case f == nil || !f.found:
		return store.Absent
	case f.ended:
		return store.Ended
	case int64(f.Birth) < max(f.cutoff, everyone):
		return store.CutOff
	}
	return store.Alive
}

// live reports whether a family is alive and within its limits.
func (f *familyRow) live(everyone int64, now time.Time) bool {
	return f.state(everyone) == store.Alive && !f.Past(now)
}

// family reads a family without its value. If there is none, the row's found is
// false.
func (t *tx) family(id store.ID) (*familyRow, error) {
	row, err := t.row("SELECT "+familyColumns+" FROM families WHERE id = ?", id[:])
	if err != nil {
		return nil, err
	}
	f := new(familyRow)
	if err := f.scan(row); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	return f, nil
}

// snapshot fills in the snapshot that a write returns, with the family's value.
func (t *tx) snapshot(f *familyRow, outcome store.Outcome, into *store.Snapshot) error {
	*into = snapshot(&t.log, f, outcome, t.now)
	if f == nil || f.LastCommit == 0 {
		return nil
	}
	row, err := t.row("SELECT value FROM committed WHERE id = ?", f.ID[:])
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

// endFamily ends a family and appends its entry.
func (t *tx) endFamily(id store.ID, above store.Position, reason, actor string) error {
	if err := t.exec("UPDATE families SET ended = 1 WHERE id = ?", id[:]); err != nil {
		return err
	}
	return t.append(store.Entry{Kind: store.KindSession, Session: id, Reason: reason, Actor: actor}, above)
}

// ending returns the position of the entry that ended a session, or 0 if the log
// has none.
func (t *tx) ending(id store.ID) (int64, error) {
	return t.number("SELECT max(position) FROM entries WHERE session = ? AND kind = ? HAVING max(position) IS NOT NULL", id[:], store.KindSession)
}
