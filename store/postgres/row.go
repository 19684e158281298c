package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/store"
)

// The schema's functions return these outcomes besides those of package store.
const (
	outcomeBusy store.Outcome = 100 // of a refresh: another transaction has locked the row
	outcomeRoom store.Outcome = 101 // no positions are left
	outcomeFar  store.Outcome = 102 // Above is too far ahead: see store.CheckAbove
)

// scanSnapshot reads a row of the schema's type snapshot. n is the index of the
// row's write in its group.
func scanSnapshot(rows pgx.Rows, s *store.Snapshot) (n int, err error) {
	var outcome, state, ended int32
	var entry, head, floor, now int64
	var log pgtype.UUID
	var more bool
	// These are all null if there is no family.
	var id, first, successor pgtype.UUID
	var subject, label, actor, methods, level pgtype.Text
	var native, counts pgtype.Bool
	var birth, position, lastCommit, generation, started, authenticated, issued, idle, absolute pgtype.Int8
	var copied, used pgtype.Int4
	var hashes [][]byte
	var key, seal, value []byte
	err = rows.Scan(&n, &outcome, &entry, &log, &head, &floor, &now, &state, &ended, &more,
		&id, &subject, &label, &native, &hashes, &actor, &methods, &level, &key, &counts, &first, &successor, &seal,
		&birth, &position, &lastCommit, &generation, &copied, &used,
		&started, &authenticated, &issued, &idle, &absolute, &value)
	if err != nil {
		return 0, err
	}
	*s = store.Snapshot{
		Outcome: store.Outcome(outcome), State: store.State(state), Entry: store.Position(entry), Ended: int(ended), More: more,
		Log: log.Bytes, Head: store.Position(head), Floor: store.Position(floor), Now: time.UnixMilli(now),
	}
	if state < int32(store.Absent) || state > int32(store.Alive) {
		return 0, fmt.Errorf("a family in state %d: the schema is not as this release made it", state)
	}
	if s.State == store.Absent {
		return n, nil
	}
	s.Family = store.Family{
		ID: id.Bytes, Subject: subject.String, Label: label.String, Native: native.Bool,
		Actor: actor.String, Methods: methods.String, Level: level.String,
		Counts: counts.Bool, First: first.Bytes, Successor: successor.Bytes,
		Birth: store.Position(birth.Int64), Position: store.Position(position.Int64), LastCommit: store.Position(lastCommit.Int64), Value: value,
		Generation: uint32(generation.Int64), Copy: uint16(copied.Int32), Used: uint16(used.Int32),
		Started: time.UnixMilli(started.Int64), Authenticated: time.UnixMilli(authenticated.Int64), Issued: time.UnixMilli(issued.Int64),
		Idle: time.Duration(idle.Int64) * time.Millisecond, Absolute: time.Duration(absolute.Int64) * time.Millisecond,
	}
	return n, unpack(&s.Family, hashes, key, seal)
}

// unpack sets what a row has as bytes of a fixed length. No other length is as the
// engine writes it.
func unpack(f *store.Family, hashes [][]byte, key, seal []byte) error {
	good := len(seal) == len(f.Seal) && (key == nil || len(key) == len(f.Key)) && len(hashes) <= store.MaxNames
	for _, h := range hashes {
		good = good && len(h) == len(store.Name{})
	}
	if !good {
		return fmt.Errorf("the row of the family %v has a seal, a key or a name of another length: something else has written it", f.ID)
	}
	copy(f.Seal[:], seal)
	copy(f.Key[:], key)
	for _, h := range hashes {
		f.Names = append(f.Names, store.Name(h))
	}
	return nil
}

// uuid returns an id as pgx sends it. The zero id is null.
func uuid(id store.ID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: !id.IsZero()} }

func uuids(ids []store.ID) []pgtype.UUID {
	list := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		list[i] = uuid(id)
	}
	return list
}

// key returns a key as pgx sends it. The zero key is null.
func key(k store.Key) []byte {
	if k.IsZero() {
		return nil
	}
	return k[:]
}

// names returns names as pgx sends them. None are null.
func names(list []store.Name) (hashes [][]byte) {
	for _, n := range list {
		hashes = append(hashes, n[:])
	}
	return hashes
}

// stamp returns a time as the schema has it. The zero time is null. Any time that is
// so far away that its milliseconds are no position is off every clock.
func stamp(t time.Time) pgtype.Int8 {
	const most = int64(store.MaxPosition)
	return pgtype.Int8{Int64: min(max(t.UnixMilli(), -most), most), Valid: !t.IsZero()}
}

// milliseconds rounds up, so that things are kept for at least the given time.
func milliseconds(d time.Duration) int64 {
	n := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		n++
	}
	return n
}
