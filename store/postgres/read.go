package postgres

import (
	"context"
	"errors"
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

// familiesQuery selects the living families of a subject that are within their
// limits, and returns the one that was started last first. The condition on the
// birth excludes families that were cut off.
const familiesQuery = `SELECT 0, 0, 0::bigint, l.id, 0::bigint, l.floor, now, 3, f.id, f.subject, f.label, f.native, f.birth, f.position, f.last_commit,
	f.generation, f.copy, f.used, f.started, f.authenticated, f.issued, f.idle, f.absolute,
	CASE WHEN f.last_commit <> 0 THEN (SELECT v.value FROM @schema@.committed v WHERE v.id = f.id) END
	FROM (SELECT * FROM @schema@.log LIMIT 1) l CROSS JOIN @schema@.clock() now CROSS JOIN @schema@.families f
	WHERE @schema@.primary_only() AND f.subject = $1 AND NOT f.ended AND f.issued + f.idle > now AND f.absolute > now
	AND f.birth >= greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = $1))
	ORDER BY f.started DESC, f.id DESC LIMIT $2`

// Families implements [store.Store].
func (s *Store) Families(ctx context.Context, subject string, limit int) (list []store.Family, err error) {
	if err := store.CheckFamilies(subject, limit); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, s.sql.families, subject, int64(limit))
	if err != nil {
		return nil, wrap("families", err)
	}
	defer rows.Close()
	for rows.Next() {
		var snap store.Snapshot
		if _, err := scanSnapshot(rows, &snap); err != nil {
			return nil, wrap("families", err)
		}
		list = append(list, snap.Family)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap("families", err)
	}
	return list, nil
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
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
// were dropped.
const batchQuery = `SELECT l.id, l.floor, h.position, now, e.position, e.previous, e.time, e.id, e.session, e.kind, e.subject, e.reason, e.actor
	FROM (SELECT * FROM @schema@.log LIMIT 1) l CROSS JOIN @schema@.clock() now
	CROSS JOIN (SELECT x.position FROM @schema@.entries x ORDER BY x.position DESC LIMIT 1) h
	LEFT JOIN LATERAL (SELECT * FROM @schema@.entries y WHERE y.position > greatest($1::bigint, l.floor) ORDER BY y.position LIMIT $2::bigint) e ON true
	WHERE @schema@.primary_only() ORDER BY e.position`

func (s *Store) batch(ctx context.Context, after store.Position, limit int) (b store.Batch, err error) {
	rows, err := s.pool.Query(ctx, s.sql.batch, int64(after), int64(limit)+1)
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
		var log, id, session pgtype.UUID
		var floor, head, now int64
		var position, previous, at pgtype.Int8
		var kind pgtype.Int2
		var subject, reason, actor pgtype.Text
		if err := rows.Scan(&log, &floor, &head, &now, &position, &previous, &at, &id, &session, &kind, &subject, &reason, &actor); err != nil {
			return store.Batch{}, err
		}
		found = true
		b.Log, b.Floor, b.Head, b.Now = log.Bytes, store.Position(floor), store.Position(head), time.UnixMilli(now)
		if !position.Valid {
			break
		}
		b.Entries = append(b.Entries, store.Entry{
			ID: id.Bytes, Position: store.Position(position.Int64), Previous: store.Position(previous.Int64), Kind: store.Kind(kind.Int16),
			Session: session.Bytes, Subject: subject.String, Reason: reason.String, Actor: actor.String, Time: time.UnixMilli(at.Int64),
		})
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

const cutoffsQuery = `SELECT l.id, l.floor, l.everyone, l.staleness, (SELECT h.position FROM @schema@.entries h ORDER BY h.position DESC LIMIT 1), @schema@.clock(),
	coalesce((SELECT max(e.position) FROM @schema@.entries e WHERE e.session = $1 AND e.kind = 3), 0),
	coalesce((SELECT max(e.position) FROM @schema@.entries e WHERE e.session = $1 AND e.kind = 4), 0),
	coalesce((SELECT c.position FROM @schema@.subjects c WHERE c.subject = $2), 0)
	FROM @schema@.log l WHERE l.one AND @schema@.primary_only()`

// Cutoffs implements [store.Store].
func (s *Store) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	if store.CheckSubject(subject) != nil {
		subject = "" // an invalid subject has no cutoff
	}
	var log pgtype.UUID
	var floor, everyone, staleness, head, now, ending, superseding, cutoff int64
	err := s.pool.QueryRow(ctx, s.sql.cutoffs, uuid(session), subject).Scan(&log, &floor, &everyone, &staleness, &head, &now, &ending, &superseding, &cutoff)
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
