package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/store"
)

// statements holds the texts that the engine sends, for one schema.
type statements struct {
	create, refresh, commit, revoke, restore string
	announce, swap, keys, family, families   string
	batch, cutoffs, head, tidy, drop         string
}

func statementsOf(schema string) statements {
	t := func(text string) string { return fill(text, schema) }
	return statements{
		create: t(`SELECT * FROM @schema@.create_family($1::uuid, $2::text, $3::text, $4::boolean, $5::bigint, $6::bigint, $7::bigint, $8::uuid[], $9::uuid,
			$10::bigint, $11::boolean, $12::integer, $13::boolean, $14::bytea, $15::bigint, $16::text, $17::text, $18::boolean)`),
		refresh: t(`SELECT * FROM @schema@.refresh($1::uuid[], $2::integer[], $3::bigint[], $4::integer[], $5::boolean[], $6::bigint[],
			$7::bigint[], $8::integer[], $9::bigint[], $10::boolean)`),
		commit:   t(`SELECT * FROM @schema@.commit_value($1::uuid, $2::bigint, $3::bytea, $4::bigint, $5::text, $6::boolean)`),
		revoke:   t(`SELECT * FROM @schema@.revoke($1::uuid[], $2::text[], $3::boolean, $4::uuid, $5::bigint, $6::bigint, $7::text, $8::text, $9::boolean)`),
		restore:  t(`SELECT * FROM @schema@.restore($1::integer[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint, $8::boolean)`),
		announce: t(`SELECT @schema@.announce($1::bigint, $2::bigint, $3::bigint, $4::bigint)::text`),
		swap:     t(`SELECT @schema@.swap_keys($1::bigint, $2::bytea)`),
		keys:     t(`SELECT version, document FROM @schema@.keys WHERE one AND @schema@.primary_only()`),
		family:   t(`SELECT * FROM @schema@.look($1::uuid, 0, 0, NULL) WHERE @schema@.primary_only()`),
		families: t(familiesQuery),
		batch:    t(batchQuery),
		cutoffs:  t(cutoffsQuery),
		head:     t(`SELECT position FROM @schema@.entries WHERE @schema@.primary_only() ORDER BY position DESC LIMIT 1`),
		tidy:     t(`SELECT @schema@.tidy($1::integer)`),
		drop:     t(`SELECT @schema@.drop($1::integer)`),
	}
}

// append runs a call together with other writes that hold the head's lock. The
// call's arguments must not share memory with the caller: a caller that gives up
// may reuse its slices while they are still being sent.
func (s *Store) append(ctx context.Context, method string, argument error, above store.Position, c call) (store.Snapshot, error) {
	if argument != nil {
		return store.Snapshot{}, argument
	}
	snap, err := s.lanes.appends.submit(ctx, c)
	switch {
	case err != nil:
	case snap.Outcome == outcomeRoom:
		err = fmt.Errorf("no positions are left above %d", max(snap.Head, above))
	case snap.Outcome == outcomeFar:
		err = store.CheckAbove(above, snap.Head, snap.Now)
	}
	if err != nil {
		return store.Snapshot{}, wrap(method, err)
	}
	return snap, nil
}

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	argument := c.Check()
	renewal := store.Renewal{}
	if c.Renews != nil {
		renewal = *c.Renews
	}
	ends := []pgtype.UUID{}
	for _, id := range c.Ends {
		if !id.IsZero() {
			ends = append(ends, uuid(id))
		}
	}
	return s.append(ctx, "create", argument, c.Above, call{sql: s.sql.create, args: []any{
		uuid(c.ID), c.Subject, c.Label, c.Native, c.Idle.Milliseconds(), c.Absolute.Milliseconds(), int64(c.NotBefore), ends, uuid(renewal.ID),
		int64(renewal.Basis), renewal.Authenticated, int32(min(c.Limit, 1<<30)), c.EndOldest, slices.Clone(c.Value), int64(c.Above), c.Reason, c.Actor, s.options.Notify,
	}})
}

// Advance implements [store.Store].
func (s *Store) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	kind := kindAdvance
	if a.PositionOnly {
		kind = kindRaise
	}
	return s.refresh(ctx, "advance", a.Check(), refresh{a, kind})
}

// Reissue implements [store.Store].
func (s *Store) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return s.refresh(ctx, "reissue", r.Check(), refresh{store.Advance{
		ID: r.ID, Generation: r.Generation, Copy: r.Copy, Native: r.Native, Basis: r.Basis, Age: r.Age, Skew: r.Skew,
	}, kindReissue})
}

func (s *Store) refresh(ctx context.Context, method string, argument error, r refresh) (store.Snapshot, error) {
	if argument != nil {
		return store.Snapshot{}, argument
	}
	snap, err := s.lanes.refreshes.submit(ctx, r)
	if err != nil {
		return store.Snapshot{}, wrap(method, err)
	}
	return snap, nil
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return s.append(ctx, "commit", c.Check(), c.Above, call{sql: s.sql.commit, args: []any{
		uuid(c.ID), int64(c.Basis), slices.Clone(c.Value), int64(c.Above), c.Actor, s.options.Notify,
	}})
}

// Revoke implements [store.Store].
func (s *Store) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	except := store.Rebirth{}
	if r.Except != nil {
		except = *r.Except
	}
	subjects := append([]string{}, r.Subjects...)
	return s.append(ctx, "revoke", r.Check(), r.Above, call{sql: s.sql.revoke, args: []any{
		uuids(r.Sessions), subjects, r.Everyone, uuid(except.ID), int64(except.Basis), int64(r.Above), r.Reason, r.Actor, s.options.Notify,
	}})
}

// Restore implements [store.Store].
func (s *Store) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	n := len(r.Entries)
	kinds, sessions, positions := make([]int32, n), make([]pgtype.UUID, n), make([]int64, n)
	subjects, reasons, actors := make([]string, n), make([]string, n), make([]string, n)
	argument := r.Check()
	for i := range r.Entries {
		e := &r.Entries[i]
		kinds[i], positions[i], reasons[i], actors[i] = int32(e.Kind), int64(e.Position), e.Reason, e.Actor
		switch e.Kind {
		case store.KindSession:
			sessions[i] = uuid(e.Session)
		case store.KindSubject:
			subjects[i] = e.Subject
		}
	}
	return s.append(ctx, "restore", argument, r.Above, call{sql: s.sql.restore, args: []any{
		kinds, sessions, subjects, positions, reasons, actors, int64(r.Above), s.options.Notify,
	}})
}

// Announce implements [store.Store].
func (s *Store) Announce(ctx context.Context, a store.Announcement) error {
	_, err := s.append(ctx, "announce", nil, 0, call{s.sql.announce, []any{
		milliseconds(a.Access), milliseconds(a.Absolute), milliseconds(a.Leeway), milliseconds(a.MaxStaleness),
	}, func(pgx.Rows) error { return nil }})
	return err
}

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (version uint64, document []byte, err error) {
	var at int64
	if err := s.pool.QueryRow(ctx, s.sql.keys).Scan(&at, &document); err != nil {
		return 0, nil, wrap("load keys", err)
	}
	return uint64(at), document, nil
}

// SwapKeys implements [store.Store].
func (s *Store) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	if version > 1<<62 {
		return false, nil // no version is so high
	}
	swapped := new(bool)
	_, err := s.append(ctx, "swap keys", nil, 0, call{s.sql.swap, []any{int64(version), slices.Clone(document)}, func(rows pgx.Rows) error {
		return rows.Scan(swapped)
	}})
	if err != nil {
		return false, err
	}
	return *swapped, nil
}

// wrap names the engine and the method in an error.
func wrap(method string, err error) error {
	if err == nil || err == errClosed {
		return err
	}
	return fmt.Errorf("postgres: %s: %w", method, err)
}
