package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// announced announces and returns the answer, which must be accepted or not.
func (h *harness) announced(accepted bool, a store.Announcement) store.Peers {
	h.t.Helper()
	p, err := h.Announce(h.ctx, a)
	if err != nil || p.Accepted != accepted {
		h.t.Fatalf("Announce(%+v): %+v, %v: want accepted %v", a, p, err, accepted)
	}
	return p
}

// wantOwner checks to what the store belongs.
func (h *harness) wantOwner(realm string, ring store.ID, version uint64) {
	h.t.Helper()
	if p := h.announced(true, store.Announcement{}); p.Realm != realm || p.Ring != ring || p.RingVersion != version {
		h.t.Errorf("the store is of realm %q, ring %v at %d: want %q, %v at %d", p.Realm, p.Ring, p.RingVersion, realm, ring, version)
	}
}

// wantPeers checks which nodes an announcement is told of.
func (h *harness) wantPeers(a store.Announcement, want ...store.Peer) {
	h.t.Helper()
	got := h.announced(true, a).Nodes
	inOrder := func(a, b store.Peer) int { return slices.Compare(a.Node[:], b.Node[:]) }
	slices.SortFunc(got, inOrder)
	slices.SortFunc(want, inOrder)
	if !slices.Equal(got, want) {
		h.t.Errorf("told of %d nodes, %+v: want %d, %+v", len(got), got, len(want), want)
	}
}

// node returns the announcement of a new node.
func node(instance string) store.Announcement {
	return store.Announcement{Realm: realm, Node: newID(), Instance: instance}
}

// peer returns what others are told of an announcement.
func peer(a store.Announcement) store.Peer {
	return store.Peer{Node: a.Node, Instance: a.Instance, Settings: a.Settings, Ring: a.Ring, RingVersion: a.RingVersion}
}

var announcing = []property{
	{name: "AStoreBelongsToTheFirstRealm", test: func(h *harness) {
		h.wantOwner("", store.ID{}, 0)
		h.announced(true, store.Announcement{Realm: "shop"})
		h.wantOwner("shop", store.ID{}, 0)
		h.announced(true, store.Announcement{Realm: "shop"})
		for _, other := range []string{"Shop", "shop ", "sho", "shopp", strings.Repeat("é", store.MaxText/2)} {
			if p := h.announced(false, store.Announcement{Realm: other}); p.Realm != "shop" {
				h.t.Errorf("the store is told to be of realm %q", p.Realm)
			}
		}
		h.wantOwner("shop", store.ID{}, 0)
	}},
	{name: "NothingIsWrittenOfWhatIsNotAccepted", timed: true, test: func(h *harness) {
		ring := newID()
		first := node("a")
		first.Ring, first.RingVersion, first.MaxStaleness = ring, 3, time.Second
		first.Access, first.Absolute = h.unit(), 20*h.unit()
		h.announced(true, first)
		other := store.Announcement{Access: 1000 * time.Hour, Absolute: 1000 * time.Hour, Leeway: time.Hour, MaxStaleness: time.Hour, Node: newID(), Instance: "b", RingVersion: 9}
		for _, a := range []store.Announcement{{Realm: "another", Ring: ring}, {Realm: realm, Ring: newID()}} {
			other.Realm, other.Ring = a.Realm, a.Ring
			p := h.announced(false, other)
			if p.Realm != realm || p.Ring != ring || p.RingVersion != 3 || p.Now.IsZero() {
				h.t.Errorf("told %+v: want realm %q, ring %v at 3", p, realm, ring)
			}
		}
		// A node that is known already is left as it was.
		again := first
		again.Realm, again.Instance = "another", "changed"
		h.announced(false, again)
		h.wantOwner(realm, ring, 3)
		h.wantPeers(store.Announcement{}, peer(first))
		if c := h.cutoffs(newID(), ""); c.MaxStaleness != time.Second {
			h.t.Errorf("staleness %v", c.MaxStaleness)
		}
		l := &ledger{h: h, life: h.unit()}
		l.read()
		l.drop(h.appendUnrelated())
	}},
	{name: "TheFirstRingIsTheStores", test: func(h *harness) {
		ring := newID()
		h.announced(true, store.Announcement{Realm: realm}) // a static key set has none
		h.announced(true, store.Announcement{Realm: realm, Ring: ring, RingVersion: 5})
		h.wantOwner(realm, ring, 5)
		h.announced(true, store.Announcement{Realm: realm})
		h.wantOwner(realm, ring, 5)
		other := ring
		for i := range other {
			other[i] ^= 1
			h.announced(false, store.Announcement{Realm: realm, Ring: other, RingVersion: 6})
			other[i] ^= 1
		}
		h.announced(false, store.Announcement{Ring: newID(), RingVersion: 6})
		h.wantOwner(realm, ring, 5)
	}},
	{name: "TheRingsVersionOnlyRises", test: func(h *harness) {
		ring := newID()
		highest := uint64(0)
		for _, version := range []uint64{1, 5, 4, 1, 0, 7, 7, 6, 1 << 40, 8} {
			highest = max(highest, version)
			// A node that reads the ring a little later is accepted.
			if p := h.announced(true, store.Announcement{Realm: realm, Ring: ring, RingVersion: version}); p.RingVersion != highest {
				h.t.Errorf("after version %d it is %d: want %d", version, p.RingVersion, highest)
			}
			h.wantOwner(realm, ring, highest)
		}
	}},
	{name: "AdoptedItBelongsToAnother", test: func(h *harness) {
		first, second := newID(), newID()
		h.announced(true, store.Announcement{Realm: realm, Ring: first, RingVersion: 9})
		h.announced(true, store.Announcement{Realm: "another", Ring: second, RingVersion: 2, Adopt: true})
		h.wantOwner("another", second, 2)
		h.announced(false, store.Announcement{Realm: realm, Ring: second, RingVersion: 2})
		h.announced(false, store.Announcement{Realm: "another", Ring: first, RingVersion: 9})
		h.announced(true, store.Announcement{Realm: "another", Ring: second, RingVersion: 3})
		h.announced(true, store.Announcement{Realm: "another", Ring: second, RingVersion: 1, Adopt: true})
		h.wantOwner("another", second, 1)
		// A ring that is not named stays: a command for the realm need not know it.
		h.announced(true, store.Announcement{Realm: realm, Adopt: true})
		h.wantOwner(realm, second, 1)
		h.announced(true, store.Announcement{Ring: first, RingVersion: 4, Adopt: true})
		h.wantOwner(realm, first, 4)
	}},
	{name: "EachNodeIsToldOfTheOthers", test: func(h *harness) {
		a, b, c := node("web"), node("web"), node("")
		a.Settings, a.Ring, a.RingVersion = `{"access":"5m"}`, newID(), 3
		b.Settings, b.Ring, b.RingVersion = strings.Repeat("é", store.MaxSettings/2), a.Ring, 2
		b.Instance = strings.Repeat("\x01", store.MaxText)
		h.wantPeers(a)
		h.wantPeers(b, peer(a))
		h.wantPeers(c, peer(a), peer(b))
		h.wantPeers(a, peer(b), peer(c))
		// One that announces itself again is told of as it is now.
		a.Settings, a.Instance, a.RingVersion = "", "api", 4
		h.wantPeers(a, peer(b), peer(c))
		h.wantPeers(b, peer(a), peer(c))
		// A command has no id: it asks and is not told of.
		h.wantPeers(store.Announcement{Realm: realm, Instance: "a command"}, peer(a), peer(b), peer(c))
		h.wantPeers(b, peer(a), peer(c))
	}},
	{name: "ANodeLivesForThreeMinutes", leaps: true, test: func(h *harness) {
		a, b := node("a"), node("b")
		h.announced(true, a)
		h.pass(time.Minute)
		h.announced(true, b)
		ask := store.Announcement{Realm: realm}
		h.pass(store.PeerLife - time.Minute - 10*time.Second)
		h.wantPeers(ask, peer(a), peer(b))
		h.pass(20 * time.Second)
		h.wantPeers(ask, peer(b))
		h.announced(true, a)
		h.wantPeers(ask, peer(a), peer(b))
		h.pass(time.Minute)
		h.wantPeers(ask, peer(a))
		h.pass(store.PeerLife)
		h.wantPeers(ask)
		h.wantPeers(b) // itself it is never told of
		// Set back, the clock makes nobody live for longer.
		h.pass(-time.Hour)
		h.wantPeers(ask)
		h.wantPeers(a)
		h.wantPeers(ask, peer(a))
	}},
	{name: "OfManyTheLastAreKept", test: func(h *harness) {
		early := node("early")
		h.announced(true, early)
		want := []store.Peer{peer(early)}
		for i := range store.MaxPeers + 40 {
			if i == 100 {
				h.announced(true, early) // it came first, and is not among the oldest
			}
			a := node(fmt.Sprint("node ", i))
			if h.announced(true, a); i > 40 {
				want = append(want, peer(a))
			}
		}
		h.wantPeers(store.Announcement{Realm: realm}, want...)
	}},
	{name: "WhatATypeForbidsIsRefused", test: func(h *harness) {
		for name, change := range map[string]func(a *store.Announcement){
			"a long realm":       func(a *store.Announcement) { a.Realm = strings.Repeat("r", store.MaxText+1) },
			"a realm with NUL":   func(a *store.Announcement) { a.Realm = "re\x00alm" },
			"a long instance":    func(a *store.Announcement) { a.Instance = strings.Repeat("i", store.MaxText+1) },
			"long settings":      func(a *store.Announcement) { a.Settings = strings.Repeat("s", store.MaxSettings+1) },
			"settings not UTF-8": func(a *store.Announcement) { a.Settings = "\xff" },
			"a negative access":  func(a *store.Announcement) { a.Access = -1 },
			"a negative limit":   func(a *store.Announcement) { a.Absolute = -1 },
		} {
			a := node("refused")
			change(&a)
			if p, err := h.Announce(h.ctx, a); !isArgument(err) {
				h.t.Errorf("%s: %+v, %v: want an error that matches ErrArgument", name, p, err)
			}
		}
		h.wantOwner("", store.ID{}, 0)
		h.wantPeers(store.Announcement{})
	}},
}

// ringed tests entries of everyone that a revoked key has made.
var ringed = []property{
	{name: "EveryonesEntryNamesTheRing", test: func(h *harness) {
		ring := newID()
		for i, version := range []uint64{0, 1, 1<<53 - 1} {
			head := h.head()
			h.revoke(store.Revocation{Everyone: true, Sessions: []store.ID{newID()}, Subjects: []string{"anna"}, Ring: ring, RingVersion: version})
			entries := h.entries(head)
			if e := entries[2]; e.Kind != store.KindEveryone || e.Ring != ring || e.RingVersion != version {
				h.t.Errorf("entry %d: %+v: want ring %v at %d", i, e, ring, version)
			}
			for _, e := range entries[:2] {
				h.wantEntry(e, e.Kind, e.Session, e.Subject, "", "")
			}
		}
	}},
	{name: "WithoutOneItNamesNone", test: func(h *harness) {
		h.revokeEveryone()
		for _, e := range h.entries(0) {
			h.wantEntry(e, store.KindEveryone, store.ID{}, "", e.Reason, "")
		}
	}},
	{name: "RestoredItNamesIt", test: func(h *harness) {
		head := h.head()
		with, without := lostEveryone(head+1), lostEveryone(head+2)
		with.Ring, with.RingVersion = newID(), 1<<40
		h.restore(with)
		without.Position = h.head() + 1
		h.restore(without)
		entries := h.entries(head)
		if e := entries[0]; e.Ring != with.Ring || e.RingVersion != with.RingVersion || e.Reason != with.Reason || e.Actor != with.Actor {
			h.t.Errorf("%+v: want ring %v at %d", e, with.Ring, with.RingVersion)
		}
		h.wantEntry(entries[1], store.KindEveryone, store.ID{}, "", "lost everyone", "c")
		// A ring beside another kind is not read.
		e := lostSubject("anna", h.head()+1)
		e.Ring, e.RingVersion, e.Name = newID(), 7, named("n")[0]
		h.restore(e)
		entries = h.entries(head)
		h.wantEntry(entries[2], store.KindSubject, store.ID{}, "anna", "lost subject", "b")
	}},
}
