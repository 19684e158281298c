package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/store"
)

// statements holds the texts that the engine sends, for one schema.
type statements struct {
	create, bind, refresh, commit, revoke, revokeName, restore string
	announce, swap, keys, family, families                     string
	batch, cutoffs, head, tidy, drop                           string
}

func statementsOf(schema string) statements {
	t := func(text string) string { return fill(text, schema) }
	return statements{
		create: t(`SELECT * FROM @schema@.create_family($1::uuid, $2::text, $3::text, $4::boolean, $5::bytea[], $6::text, $7::text, $8::text, $9::bytea, $10::bytea,
			$11::bigint, $12::bigint, $13::bigint, $14::bigint, $15::bigint, $16::bigint, $17::bigint, $18::uuid[], $19::uuid, $20::bigint, $21::bytea, $22::bytea,
			$23::bigint, $24::text, $25::text, $26::integer, $27::boolean, $28::bytea, $29::bigint, $30::text, $31::text, $32::boolean)`),
		bind: t(`SELECT * FROM @schema@.bind($1::uuid, $2::bytea, $3::bytea, $4::bytea, $5::boolean)`),
		refresh: t(`SELECT * FROM @schema@.refresh($1::uuid[], $2::integer[], $3::bigint[], $4::integer[], $5::boolean[], $6::bigint[],
			$7::bigint[], $8::integer[], $9::bigint[], $10::bytea[], $11::boolean)`),
		commit: t(`SELECT * FROM @schema@.commit_value($1::uuid, $2::bigint, $3::bytea, $4::bytea, $5::bigint, $6::text, $7::boolean)`),
		revoke: t(`SELECT * FROM @schema@.revoke($1::uuid[], $2::text[], $3::boolean, $4::uuid, $5::bigint, $6::uuid, $7::bigint, $8::bytea,
			$9::bigint, $10::text, $11::text, $12::boolean)`),
		revokeName: t(`SELECT * FROM @schema@.revoke_name($1::bytea, $2::uuid, $3::bigint, $4::text, $5::text, $6::boolean)`),
		restore: t(`SELECT * FROM @schema@.restore($1::integer[], $2::uuid[], $3::text[], $4::bigint[], $5::uuid[], $6::bigint[], $7::text[], $8::text[],
			$9::bigint, $10::boolean)`),
		announce: t(`SELECT * FROM @schema@.announce($1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::text, $6::uuid, $7::bigint, $8::boolean,
			$9::uuid, $10::text, $11::text, $12::bigint, $13::integer)`),
		swap:     t(`SELECT @schema@.swap_keys($1::bigint, $2::bytea)`),
		keys:     t(`SELECT version, document FROM @schema@.keys WHERE one AND @schema@.primary_only()`),
		family:   t(`SELECT * FROM @schema@.look($1::uuid, 0, 0, NULL) WHERE @schema@.primary_only()`),
		families: t(`SELECT * FROM @schema@.list($1::text, $2::bigint, $3::bigint, $4::uuid, $5::integer) WHERE @schema@.primary_only()`),
		batch:    t(batchQuery),
		cutoffs:  t(cutoffsQuery),
		head:     t(`SELECT position, id FROM @schema@.entries WHERE @schema@.primary_only() ORDER BY position DESC LIMIT 1`),
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
		uuid(c.ID), c.Subject, c.Label, c.Native, names(c.Names), c.Actor, c.Methods, c.Level, key(c.Key), c.Seal[:],
		c.Idle.Milliseconds(), c.Absolute.Milliseconds(), stamp(c.Started), stamp(c.Authenticated), c.Leeway.Milliseconds(), milliseconds(c.Known),
		int64(c.NotBefore), ends, uuid(renewal.ID), int64(renewal.Basis), renewal.Seal[:], key(renewal.Key),
		stamp(renewal.Authenticated), renewal.Methods, renewal.Level, int32(min(c.Limit, 1<<30)), c.EndOldest, slices.Clone(c.Value),
		int64(c.Above), c.Reason, c.By, s.options.Notify,
	}})
}

// Bind implements [store.Store].
func (s *Store) Bind(ctx context.Context, b store.Binding) (store.Snapshot, error) {
	return s.append(ctx, "bind", b.Check(), 0, call{sql: s.sql.bind, args: []any{uuid(b.ID), key(b.Key), b.Verified[:], b.Seal[:], b.Counts}})
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
		ID: r.ID, Generation: r.Generation, Copy: r.Copy, Native: r.Native, Key: r.Key, Basis: r.Basis, Age: r.Age, Skew: r.Skew,
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
		uuid(c.ID), int64(c.Basis), key(c.Key), slices.Clone(c.Value), int64(c.Above), c.Actor, s.options.Notify,
	}})
}

// Revoke implements [store.Store].
func (s *Store) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	argument := r.Check()
	if !r.Name.IsZero() {
		return s.append(ctx, "revoke", argument, r.Above, call{sql: s.sql.revokeName, args: []any{
			r.Name[:], uuid(r.ID), int64(r.Above), r.Reason, r.Actor, s.options.Notify,
		}})
	}
	except := store.Rebirth{}
	if r.Except != nil {
		except = *r.Except
	}
	subjects := append([]string{}, r.Subjects...)
	return s.append(ctx, "revoke", argument, r.Above, call{sql: s.sql.revoke, args: []any{
		uuids(r.Sessions), subjects, r.Everyone, uuid(r.Ring), int64(r.RingVersion), uuid(except.ID), int64(except.Basis), key(except.Key),
		int64(r.Above), r.Reason, r.Actor, s.options.Notify,
	}})
}

// Restore implements [store.Store].
func (s *Store) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	n := len(r.Entries)
	kinds, sessions, positions := make([]int32, n), make([]pgtype.UUID, n), make([]int64, n)
	rings, versions := make([]pgtype.UUID, n), make([]int64, n)
	subjects, reasons, actors := make([]string, n), make([]string, n), make([]string, n)
	argument := r.Check()
	for i := range r.Entries {
		e := &r.Entries[i]
		kinds[i], positions[i], reasons[i], actors[i] = int32(e.Kind), int64(e.Position), e.Reason, e.Actor
		switch e.Kind {
		case store.KindEveryone:
			rings[i], versions[i] = uuid(e.Ring), int64(e.RingVersion)
		case store.KindSession:
			sessions[i] = uuid(e.Session)
		case store.KindSubject:
			subjects[i] = e.Subject
		}
	}
	return s.append(ctx, "restore", argument, r.Above, call{sql: s.sql.restore, args: []any{
		kinds, sessions, subjects, positions, rings, versions, reasons, actors, int64(r.Above), s.options.Notify,
	}})
}

// Announce implements [store.Store].
func (s *Store) Announce(ctx context.Context, a store.Announcement) (peers store.Peers, err error) {
	if err := a.Check(); err != nil {
		return store.Peers{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	_, err = s.transact(ctx, s.reserved, []call{{s.sql.announce, []any{
		milliseconds(a.Access), milliseconds(a.Absolute), milliseconds(a.Leeway), milliseconds(a.MaxStaleness),
		a.Realm, uuid(a.Ring), int64(a.RingVersion), a.Adopt, uuid(a.Node), a.Instance, a.Settings, store.PeerLife.Milliseconds(), int32(store.MaxPeers),
	}, func(rows pgx.Rows) error { return scanPeer(rows, &peers) }}})
	if err != nil {
		return store.Peers{}, wrap("announce", err)
	}
	return peers, nil
}

// scanPeer reads a row of what announce returns.
func scanPeer(rows pgx.Rows, p *store.Peers) error {
	var ring, node, nodeRing pgtype.UUID
	var version, now int64
	var instance, settings pgtype.Text
	var nodeVersion pgtype.Int8
	if err := rows.Scan(&p.Accepted, &p.Realm, &ring, &version, &now, &node, &instance, &settings, &nodeRing, &nodeVersion); err != nil {
		return err
	}
	p.Ring, p.RingVersion, p.Now = ring.Bytes, uint64(version), time.UnixMilli(now)
	if node.Valid {
		p.Nodes = append(p.Nodes, store.Peer{Node: node.Bytes, Instance: instance.String, Settings: settings.String, Ring: nodeRing.Bytes, RingVersion: uint64(nodeVersion.Int64)})
	}
	return nil
}

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (version uint64, document []byte, err error) {
	var at int64
	if err := s.reserved.QueryRow(ctx, s.sql.keys).Scan(&at, &document); err != nil {
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
