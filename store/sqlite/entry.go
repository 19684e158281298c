package sqlite

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"database/sql"

	"github.com/waferkit/wafer/store"
)

// batchQuery joins columns. A new node reads the whole log, and the driver spends
// more time on a column than on its bytes: joined, a million entries load in
// three quarters of the time. Ids, names and rings have fixed sizes, and texts
// contain no NUL. Only entries of everyone have a ring.
const batchQuery = `SELECT position, previous, time << 3 | kind,
	CAST(id || coalesce(session, subject, name, ring) || char(0) || reason || char(0) || actor AS BLOB)
	FROM entries WHERE position > ? ORDER BY position LIMIT ?`

func scanEntry(rows *sql.Rows, e *store.Entry) error {
	var joined sql.RawBytes
	var position, previous, at int64 // database/sql scans other integer types by way of text
	if err := rows.Scan(&position, &previous, &at, &joined); err != nil {
		return err
	}
	e.Position, e.Previous = store.Position(position), store.Position(previous)
	e.Time, e.Kind = time.UnixMilli(at>>3), store.Kind(at&7)
	return splitEntry(e, string(joined))
}

var errDamagedEntry = errors.New("an entry's columns are not of their sizes: the file is damaged")

// splitEntry reads the joined columns of an entry of e's kind.
func splitEntry(e *store.Entry, joined string) error {
	var ring [ringSize]byte
	var name []byte
	switch e.Kind {
	case store.KindSession, store.KindSuperseding:
		name = e.Session[:]
	case store.KindName:
		name = e.Name[:]
	case store.KindEveryone:
		name = ring[:]
	case store.KindSubject:
	default:
		return errDamagedEntry
	}
	fixed := len(e.ID) + len(name)
	if len(joined) < fixed {
		return errDamagedEntry
	}
	copy(name, joined[copy(e.ID[:], joined):])
	texts := joined[fixed:]
	if strings.Count(texts, "\x00") != 2 {
		return errDamagedEntry
	}
	subject, texts, _ := strings.Cut(texts, "\x00")
	if (subject != "") != (e.Kind == store.KindSubject) {
		return errDamagedEntry
	}
	e.Subject = subject
	e.Reason, e.Actor, _ = strings.Cut(texts, "\x00")
	e.Ring, e.RingVersion = unpackRing(ring)
	return nil
}

// ringSize is the size of a packed ring, in bytes.
const ringSize = len(store.ID{}) + 8

// packRing returns a ring's id and version as the columns ring have them.
func packRing(id store.ID, version uint64) []byte {
	return binary.BigEndian.AppendUint64(id[:], version)
}

func unpackRing(packed [ringSize]byte) (id store.ID, version uint64) {
	return store.ID(packed[:len(id)]), binary.BigEndian.Uint64(packed[len(id):])
}

// scanRing reads a column ring, which may be null.
func scanRing(column []byte) (id store.ID, version uint64, err error) {
	if column == nil {
		return store.ID{}, 0, nil
	}
	if len(column) != ringSize {
		return store.ID{}, 0, errors.New("a ring is not of its size: the file is damaged")
	}
	id, version = unpackRing([ringSize]byte(column))
	return id, version, nil
}
