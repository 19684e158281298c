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
	outcomeBusy store.Outcome = 8  // of a refresh: another transaction has locked the row
	outcomeRoom store.Outcome = 9  // no positions are left
	outcomeFar  store.Outcome = 10 // Above is too far ahead: see store.CheckAbove
)

// scanSnapshot reads a row of the schema's type snapshot. n is the index of the
// row's write in its group.
func scanSnapshot(rows pgx.Rows, s *store.Snapshot) (n int, err error) {
	var outcome, state int32
	var entry, head, floor, now int64
	var log pgtype.UUID
	// These are all null if there is no family.
	var id pgtype.UUID
	var subject, label pgtype.Text
	var native pgtype.Bool
	var birth, position, lastCommit, generation, started, authenticated, issued, idle, absolute pgtype.Int8
	var copied, used pgtype.Int4
	var value []byte
	err = rows.Scan(&n, &outcome, &entry, &log, &head, &floor, &now, &state,
		&id, &subject, &label, &native, &birth, &position, &lastCommit, &generation, &copied, &used,
		&started, &authenticated, &issued, &idle, &absolute, &value)
	if err != nil {
		return 0, err
	}
	*s = store.Snapshot{
		Outcome: store.Outcome(outcome), State: store.State(state), Entry: store.Position(entry),
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
		Birth: store.Position(birth.Int64), Position: store.Position(position.Int64), LastCommit: store.Position(lastCommit.Int64), Value: value,
		Generation: uint32(generation.Int64), Copy: uint16(copied.Int32), Used: uint16(used.Int32),
		Started: time.UnixMilli(started.Int64), Authenticated: time.UnixMilli(authenticated.Int64), Issued: time.UnixMilli(issued.Int64),
		Idle: time.Duration(idle.Int64) * time.Millisecond, Absolute: time.UnixMilli(absolute.Int64),
	}
	return n, nil
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

// milliseconds rounds up, so that things are kept for at least the given time.
func milliseconds(d time.Duration) int64 {
	n := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		n++
	}
	return n
}
