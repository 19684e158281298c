package memory

import (
	"context"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// peer is a node that announced itself.
type peer struct {
	store.Peer
	seen time.Time
}

// Announce implements [store.Store].
func (s *Store) Announce(ctx context.Context, a store.Announcement) (store.Peers, error) {
	now, err := s.begin(ctx, a.Check())
	if err != nil {
		return store.Peers{}, err
	}
	defer s.mu.Unlock()
	known := &s.announced
	realm := known.Realm == "" || a.Realm == "" || known.Realm == a.Realm
	ring := known.Ring.IsZero() || a.Ring.IsZero() || known.Ring == a.Ring
	if !a.Adopt && !(realm && ring) {
		return s.tell(now, a.Node, false), nil
	}
	if a.Realm != "" {
		known.Realm = a.Realm
	}
	if !a.Ring.IsZero() {
		if a.Adopt || known.Ring.IsZero() || a.RingVersion > known.RingVersion {
			known.RingVersion = a.RingVersion
		}
		known.Ring = a.Ring
	}
	known.Access = max(known.Access, a.Access)
	known.Absolute = max(known.Absolute, a.Absolute)
	known.Leeway = max(known.Leeway, a.Leeway)
	known.MaxStaleness = max(known.MaxStaleness, a.MaxStaleness)
	if !a.Node.IsZero() {
		s.peers = slices.DeleteFunc(s.peers, func(p peer) bool { return p.Node == a.Node })
		s.peers = append(s.peers, peer{store.Peer{Node: a.Node, Instance: a.Instance, Settings: a.Settings, Ring: a.Ring, RingVersion: a.RingVersion}, now})
		s.peers = s.peers[max(0, len(s.peers)-store.MaxPeers):]
	}
	return s.tell(now, a.Node, true), nil
}

// tell returns what a node learns of the store and of the others.
func (s *Store) tell(now time.Time, node store.ID, accepted bool) store.Peers {
	p := store.Peers{Accepted: accepted, Realm: s.announced.Realm, Ring: s.announced.Ring, RingVersion: s.announced.RingVersion, Now: now}
	for _, other := range s.peers {
		if other.Node != node && now.Sub(other.seen).Abs() <= store.PeerLife {
			p.Nodes = append(p.Nodes, other.Peer)
		}
	}
	return p
}
