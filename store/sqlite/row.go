package sqlite

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// familyRow is a family and what determines its state.
type familyRow struct {
	store.Family
	found  bool
	ended  bool
	cutoff int64 // the higher one of its subject and of its actor
}

// familyFields selects a family but for its cutoff. It joins columns, since the
// driver spends more time on a column than on its bytes. Ids, seals, keys and names
// have fixed sizes, and texts contain no NUL.
const familyFields = `native + 2 * counts + 4 * ended + 8 * (key IS NOT NULL) + 16 * (first IS NOT NULL) + 32 * (successor IS NOT NULL) + 64 * ifnull(length(names), 0),
	(generation << 24) + (copy << 12) + used, birth, position, last_commit, started, authenticated, issued, idle, absolute,
	id || seal || ifnull(key, '') || ifnull(first, '') || ifnull(successor, '') || ifnull(names, '') ||
	subject || char(0) || label || char(0) || actor || char(0) || methods || char(0) || level`

// cutoffOf selects the cutoff of a family.
const cutoffOf = `max(ifnull((SELECT position FROM subjects s WHERE s.subject = families.subject), 0),
	CASE actor WHEN '' THEN 0 ELSE ifnull((SELECT position FROM subjects s WHERE s.subject = families.actor), 0) END)`

const familyColumns = familyFields + ", " + cutoffOf

// within is the condition that a family is not cut off and is within its limits.
// Statements that have it begin with the parameters ?1, the time, and ?2, the cutoff
// of everyone. A family that has not ended is then alive.
const within = `birth >= max(?2, ` + cutoffOf + `) AND issued + idle > ?1 AND max(started, authenticated) + absolute > ?1`

// The presence of a field, in the first column of familyFields. The size of the
// names stands above them.
const (
	flagNative = 1 << iota
	flagCounts
	flagEnded
	flagKey // and then those of the columns first and successor
	_
	_
	flagBits = iota
)

// scan reads familyFields and what follows them in the query.
func (f *familyRow) scan(row interface{ Scan(...any) error }, more ...any) error {
	// All are int64: database/sql scans other integer types by way of text.
	var flags, token, birth, position, lastCommit, started, authenticated, issued, idle, absolute int64
	var joined string
	to := append([]any{&flags, &token, &birth, &position, &lastCommit, &started, &authenticated, &issued, &idle, &absolute, &joined}, more...)
	if err := row.Scan(to...); err != nil {
		return err
	}
	f.found = true
	f.Birth, f.Position, f.LastCommit = store.Position(birth), store.Position(position), store.Position(lastCommit)
	f.Generation, f.Copy, f.Used = uint32(token>>24), uint16(token>>12&store.MaxCopy), uint16(token&store.MaxCopy)
	f.Started, f.Authenticated, f.Issued = time.UnixMilli(started), time.UnixMilli(authenticated), time.UnixMilli(issued)
	f.Idle, f.Absolute = time.Duration(idle)*time.Millisecond, time.Duration(absolute)*time.Millisecond
	return f.split(flags, joined)
}

var errDamagedFamily = errors.New("a family's columns are not of their sizes: the file is damaged")

// split reads the joined columns.
func (f *familyRow) split(flags int64, joined string) error {
	f.Native, f.Counts, f.ended = flags&flagNative != 0, flags&flagCounts != 0, flags&flagEnded != 0
	rest, intact := joined, true
	take := func(into []byte) {
		intact = intact && len(rest) >= len(into)
		rest = rest[copy(into, rest):]
	}
	take(f.ID[:])
	take(f.Seal[:])
	for i, into := range [...][]byte{f.Key[:], f.First[:], f.Successor[:]} {
		if flags&(flagKey<<i) != 0 {
			take(into)
			intact = intact && optional(into) != nil
		}
	}
	size := flags >> flagBits
	if intact = intact && size >= 0 && size <= store.MaxNames*nameSize && size%nameSize == 0; !intact {
		return errDamagedFamily
	}
	for range size / nameSize {
		var n store.Name
		take(n[:])
		f.Names = append(f.Names, n)
	}
	if !intact || strings.Count(rest, "\x00") != 4 {
		return errDamagedFamily
	}
	for _, text := range []*string{&f.Subject, &f.Label, &f.Actor, &f.Methods, &f.Level} {
		*text, rest, _ = strings.Cut(rest, "\x00")
	}
	return nil
}

const nameSize = int64(len(store.Name{}))

// joinNames returns names as the column names has them.
func joinNames(names []store.Name) (joined []byte) {
	for _, n := range names {
		joined = append(joined, n[:]...)
	}
	return joined
}

// optional returns the bytes of an id or a key, or nil if all are zero.
func optional(b []byte) []byte {
	if slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return b
	}
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

// provenBy reports whether a proof by a key, or by none, is enough for a family.
func (f *familyRow) provenBy(key store.Key) bool { return !f.Counts || key == f.Key }

// prove makes the family's key count if a proof by it was brought.
func (f *familyRow) prove(key store.Key) { f.Counts = f.Counts || !key.IsZero() && key == f.Key }

const familyQuery = "SELECT " + familyColumns + " FROM families WHERE id = ?"

// family reads a family without its value. If there is none, the row's found is
// false.
func (t *tx) family(id store.ID) (*familyRow, error) {
	row, err := t.row(familyQuery, id[:])
	if err != nil {
		return nil, err
	}
	f := new(familyRow)
	return f, zeroIfNone(f.scan(row, &f.cutoff))
}

func (t *tx) insert(f *familyRow, known time.Time) error {
	if err := t.exec("INSERT INTO families VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		f.ID[:], f.Subject, f.Label, f.Native, joinNames(f.Names), f.Actor, f.Methods, f.Level,
		optional(f.Key[:]), f.Counts, optional(f.First[:]), nil, f.Seal[:],
		int64(f.Birth), int64(f.Position), int64(f.LastCommit), f.Generation, f.Copy, f.Used,
		f.Started.UnixMilli(), f.Authenticated.UnixMilli(), f.Issued.UnixMilli(), f.Idle.Milliseconds(), f.Absolute.Milliseconds(), false,
		known.UnixMilli(), f.IdleDeadline().UnixMilli()); err != nil {
		return err
	}
	return t.listNames(f)
}

// listNames adds a family to the index of its names, from its birth on.
func (t *tx) listNames(f *familyRow) error {
	for _, n := range f.Names {
		if err := t.exec("INSERT INTO names VALUES (?, ?, ?)", n[:], int64(f.Birth), f.ID[:]); err != nil {
			return err
		}
	}
	return nil
}

// listed is a family as the indexes have it.
type listed struct {
	id    store.ID
	birth int64
	names string
}

// scan reads a family's id, birth and names, and what follows them in the query.
func (l *listed) scan(row interface{ Scan(...any) error }, more ...any) error {
	var id string
	if err := row.Scan(append([]any{&id, &l.birth, &l.names}, more...)...); err != nil {
		return err
	}
	if copy(l.id[:], id) != len(id) || len(id) != len(l.id) || int64(len(l.names))%nameSize != 0 {
		return errDamagedFamily
	}
	return nil
}

// listedColumns selects a family as the indexes have it.
const listedColumns = "id, birth, ifnull(names, '')"

// unlistNames takes a family out of the index of its names.
func (t *tx) unlistNames(l *listed) error {
	for names := l.names; names != ""; {
		n := names[:nameSize]
		names = names[len(n):]
		if err := t.exec("DELETE FROM names WHERE name = ? AND born = ? AND family = ?", []byte(n), l.birth, l.id[:]); err != nil {
			return err
		}
	}
	return nil
}

const endQuery = "UPDATE families SET ended = 1 WHERE id = ?3 AND ended = 0 RETURNING " + listedColumns + ", " + within

// endRow ends a family without an entry. ended reports whether there was one that had
// not ended, and lived whether that was alive and within its limits.
func (t *tx) endRow(id store.ID) (ended, lived bool, err error) {
	row, err := t.row(endQuery, t.now.UnixMilli(), t.log.everyone, id[:])
	if err != nil {
		return false, false, err
	}
	var l listed
	var living int64
	switch err := l.scan(row, &living); {
	case errors.Is(err, sql.ErrNoRows):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	return true, living != 0, t.unlistNames(&l)
}

// endFamily ends a family, if it is present, and appends the entry.
func (t *tx) endFamily(id store.ID, above store.Position, reason, actor string) error {
	if _, _, err := t.endRow(id); err != nil {
		return err
	}
	return t.append(store.Entry{Kind: store.KindSession, Session: id, Reason: reason, Actor: actor}, above)
}

// bury removes families that time or a cutoff has killed, or ends those whose ids
// must stay known. No entry says so.
func (t *tx) bury(dead []listed) error {
	for i := range dead {
		l := &dead[i]
		if err := t.unlistNames(l); err != nil {
			return err
		}
		n, err := t.changes("DELETE FROM families WHERE id = ? AND known <= ?", l.id[:], t.now.UnixMilli())
		if err != nil {
			return err
		}
		if n == 0 {
			err = t.exec("UPDATE families SET ended = 1 WHERE id = ?", l.id[:])
		} else {
			err = t.exec("DELETE FROM committed WHERE id = ?", l.id[:])
		}
		if err != nil {
			return err
		}
	}
	return nil
}
