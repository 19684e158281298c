package sqlite

import (
	"context"
	"time"

	"github.com/waferkit/wafer/store"
)

// Announce implements [store.Store].
func (s *Store) Announce(ctx context.Context, a store.Announcement) (store.Peers, error) {
	if err := a.Check(); err != nil {
		return store.Peers{}, err
	}
	out := new(store.Peers) // see write
	if err := s.writer.submit(ctx, func(t *tx) error { return t.announce(&a, out) }); err != nil {
		return store.Peers{}, err
	}
	return *out, nil
}

func (t *tx) announce(a *store.Announcement, out *store.Peers) error {
	var known store.Peers // its realm and its ring
	row, err := t.row("SELECT realm, ring FROM log WHERE one = 1")
	if err != nil {
		return err
	}
	var ring []byte
	if err := row.Scan(&known.Realm, &ring); err != nil {
		return err
	}
	if known.Ring, known.RingVersion, err = scanRing(ring); err != nil {
		return err
	}
	if a.Adopt || belongs(&known, a) {
		known.Accepted = true
		if err := t.note(a, &known); err != nil {
			return err
		}
	}
	known.Now = t.now
	known.Nodes, err = t.peers(a.Node)
	*out = known
	return err
}

// belongs reports whether the store belongs to the realm and the ring that a node
// announces, or to none yet.
func belongs(known *store.Peers, a *store.Announcement) bool {
	realm := known.Realm == "" || a.Realm == "" || known.Realm == a.Realm
	ring := known.Ring.IsZero() || a.Ring.IsZero() || known.Ring == a.Ring
	return realm && ring
}

// note writes down what a node announces, and updates what is known.
func (t *tx) note(a *store.Announcement, known *store.Peers) error {
	l := &t.log
	for _, raise := range []struct {
		kept *int64
		to   time.Duration
	}{{&l.access, a.Access}, {&l.absolute, a.Absolute}, {&l.leeway, a.Leeway}, {&l.staleness, a.MaxStaleness}} {
		if ms := int64((raise.to + time.Millisecond - 1) / time.Millisecond); ms > *raise.kept {
			*raise.kept, t.changed = ms, true
		}
	}
	was := *known
	if a.Realm != "" {
		known.Realm = a.Realm
	}
	if !a.Ring.IsZero() {
		if a.Adopt || known.Ring.IsZero() || a.RingVersion > known.RingVersion {
			known.RingVersion = a.RingVersion
		}
		known.Ring = a.Ring
	}
	if known.Realm != was.Realm || known.Ring != was.Ring || known.RingVersion != was.RingVersion {
		var ring []byte
		if !known.Ring.IsZero() {
			ring = packRing(known.Ring, known.RingVersion)
		}
		if err := t.exec("UPDATE log SET realm = ?, ring = ? WHERE one = 1", known.Realm, ring); err != nil {
			return err
		}
	}
	if a.Node.IsZero() {
		return nil
	}
	// The node's row moves to the end.
	if err := t.exec("INSERT OR REPLACE INTO peers VALUES (NULL, ?, ?, ?, ?, ?)",
		a.Node[:], a.Instance, a.Settings, packRing(a.Ring, a.RingVersion), t.now.UnixMilli()); err != nil {
		return err
	}
	return t.exec("DELETE FROM peers WHERE turn <= (SELECT turn FROM peers ORDER BY turn DESC LIMIT 1 OFFSET ?)", store.MaxPeers)
}

// peers returns the nodes other than this one that announced themselves within
// [store.PeerLife].
func (t *tx) peers(node store.ID) (list []store.Peer, err error) {
	rows, err := t.query("SELECT node, instance, settings, ring FROM peers WHERE node <> ? AND abs(? - seen) <= ? ORDER BY turn",
		node[:], t.now.UnixMilli(), store.PeerLife.Milliseconds())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p store.Peer
		var id, ring []byte
		if err := rows.Scan(&id, &p.Instance, &p.Settings, &ring); err != nil {
			return nil, err
		}
		copy(p.Node[:], id)
		if p.Ring, p.RingVersion, err = scanRing(ring); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}
