package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/store"
)

// Each read is one statement, so that it sees one moment, and fails on a standby.
// The LIMIT 1 on the log informs the planner that the table has one row. Without
// it the planner guesses some hundred rows, considers the statement expensive and
// compiles it, which takes 20 ms.

// Family implements [store.Store].
func (s *Store) Family(ctx context.Context, id store.ID) (snap store.Snapshot, err error) {
	rows, err := s.pool.Query(ctx, s.sql.family, uuid(id))
	if err != nil {
		return store.Snapshot{}, wrap("family", err)
	}
	defer rows.Close()
	for rows.Next() {
		if _, err := scanSnapshot(rows, &snap); err != nil {
			return store.Snapshot{}, wrap("family", err)
		}
	}
	if err := rows.Err(); err != nil {
		return store.Snapshot{}, wrap("family", err)
	}
	return snap, nil
}

// Families implements [store.Store].
func (s *Store) Families(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	from := q.After
	if from == (store.PageCursor{}) {
		from.Birth = store.MaxPosition + 1
	}
	end, err := s.lists.begin(ctx, q.Subject)
	if err != nil {
		return store.Page{}, wrap("families", err)
	}
	defer end()
	rows, err := s.pool.Query(ctx, s.sql.families, q.Subject, int64(from.Birth), from.Started, pgtype.UUID{Bytes: from.ID, Valid: true}, int32(q.Limit))
	if err != nil {
		return store.Page{}, wrap("families", err)
	}
	defer rows.Close()
	var page store.Page
	for looked := 0; rows.Next(); looked++ {
		var snap store.Snapshot
		if _, err := scanSnapshot(rows, &snap); err != nil {
			return store.Page{}, wrap("families", err)
		}
		if page.Now = snap.Now; snap.State == store.Absent {
			break
		}
		if looked == store.MaxLooked || len(page.Families) == q.Limit {
			page.Next = from
			break
		}
		if from = (store.PageCursor{Birth: snap.Family.Birth, Started: snap.Family.Started.UnixMilli(), ID: snap.Family.ID}); snap.State == store.Alive {
			page.Families = append(page.Families, snap.Family)
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return store.Page{}, wrap("families", err)
	}
	return page, nil
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if err := store.CheckSince(after, limit); err != nil {
		return store.Batch{}, err
	}
	b, err := s.notifier.Since(ctx, wait, func() (store.Batch, error) { return s.batch(ctx, after, limit) })
	if err != nil {
		return store.Batch{}, wrap("since", err)
	}
	return b, nil
}

// batchQuery reads the log's row with each entry, so that both are of one moment.
// It never begins below the floor, since the index may still contain entries that
// were dropped. A cursor at position 0 is unbroken also where the floor is above it.
const batchQuery = `SELECT l.id, l.floor, h.position, h.id, now, b.broken,
		e.position, e.previous, e.time, e.id, e.session, e.kind, e.subject, e.name, e.ring, e.ring_version, e.reason, e.actor
	FROM (SELECT * FROM @schema@.log LIMIT 1) l CROSS JOIN @schema@.clock() now
	CROSS JOIN (SELECT x.position, x.id FROM @schema@.entries x ORDER BY x.position DESC LIMIT 1) h
	CROSS JOIN LATERAL (SELECT CASE WHEN $1::bigint = 0 THEN false WHEN $1::bigint = l.floor THEN l.floor_id IS DISTINCT FROM $2::uuid
		ELSE NOT EXISTS (SELECT FROM @schema@.entries x WHERE x.position = $1::bigint AND x.position > l.floor AND x.id = $2::uuid) END AS broken) b
	LEFT JOIN LATERAL (SELECT * FROM @schema@.entries y WHERE NOT b.broken AND y.position > greatest($1::bigint, l.floor) ORDER BY y.position LIMIT $3::bigint) e ON true
	WHERE @schema@.primary_only() ORDER BY e.position`

func (s *Store) batch(ctx context.Context, after store.Cursor, limit int) (b store.Batch, err error) {
	rows, err := s.reserved.Query(ctx, s.sql.batch, int64(after.Position), pgtype.UUID{Bytes: after.ID, Valid: true}, int64(limit)+1)
	if err != nil {
		return b, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		if len(b.Entries) == limit {
			b.More = true
			break
		}
		var log, headID, id, session, ring pgtype.UUID
		var floor, head, now int64
		var position, previous, at, version pgtype.Int8
		var kind pgtype.Int2
		var subject, reason, actor pgtype.Text
		var name []byte
		if err := rows.Scan(&log, &floor, &head, &headID, &now, &b.Broken,
			&position, &previous, &at, &id, &session, &kind, &subject, &name, &ring, &version, &reason, &actor); err != nil {
			return store.Batch{}, err
		}
		found = true
		b.Log, b.Floor, b.Head, b.HeadID, b.Now = log.Bytes, store.Position(floor), store.Position(head), headID.Bytes, time.UnixMilli(now)
		if !position.Valid {
			break
		}
		e := store.Entry{
			ID: id.Bytes, Position: store.Position(position.Int64), Previous: store.Position(previous.Int64), Kind: store.Kind(kind.Int16),
			Session: session.Bytes, Subject: subject.String, Ring: ring.Bytes, RingVersion: uint64(version.Int64),
			Reason: reason.String, Actor: actor.String, Time: time.UnixMilli(at.Int64),
		}
		if name != nil && len(name) != len(e.Name) {
			return store.Batch{}, fmt.Errorf("the entry at %d has a name of %d bytes: something else has written it", e.Position, len(name))
		}
		copy(e.Name[:], name)
		b.Entries = append(b.Entries, e)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return store.Batch{}, err
	}
	if !found {
		return store.Batch{}, errGone
	}
	return b, nil
}

var errGone = errors.New("the log is gone; restore it from a backup")

const cutoffsQuery = `SELECT l.id, l.floor, l.everyone, a.staleness, (SELECT h.position FROM @schema@.entries h ORDER BY h.position DESC LIMIT 1), @schema@.clock(),
	coalesce((SELECT max(e.position) FROM @schema@.entries e WHERE e.session = $1 AND e.kind = 3 AND e.position > l.floor), 0),
	coalesce((SELECT max(e.position) FROM @schema@.entries e WHERE e.session = $1 AND e.kind = 4 AND e.position > l.floor), 0),
	coalesce((SELECT c.position FROM @schema@.subjects c WHERE c.subject = $2), 0)
	FROM @schema@.log l JOIN @schema@.announced a ON a.one WHERE l.one AND @schema@.primary_only()`

// Cutoffs implements [store.Store].
func (s *Store) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	if store.CheckSubject(subject) != nil {
		subject = "" // an invalid subject has no cutoff
	}
	select {
	case s.asks <- struct{}{}:
		defer func() { <-s.asks }()
	case <-ctx.Done():
		return store.Cutoffs{}, wrap("cutoffs", ctx.Err())
	}
	var log pgtype.UUID
	var floor, everyone, staleness, head, now, ending, superseding, cutoff int64
	err := s.reserved.QueryRow(ctx, s.sql.cutoffs, uuid(session), subject).Scan(&log, &floor, &everyone, &staleness, &head, &now, &ending, &superseding, &cutoff)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errGone
	}
	if err != nil {
		return store.Cutoffs{}, wrap("cutoffs", err)
	}
	return store.Cutoffs{
		Ending: store.Position(ending), Superseding: store.Position(superseding), Subject: store.Position(cutoff), Everyone: store.Position(everyone),
		Floor: store.Position(floor), Head: store.Position(head), Log: log.Bytes, Now: time.UnixMilli(now),
		MaxStaleness: time.Duration(staleness) * time.Millisecond,
	}, nil
}
