package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/waferkit/wafer/internal/peers"
	"github.com/waferkit/wafer/store"
)

// checkBelongs checks to which realm and ring the store belongs, and the nodes
// that live. It announces nothing.
func (c *checkup) checkBelongs(ctx context.Context, db store.Store) {
	known, err := db.Announce(ctx, store.Announcement{})
	if err != nil {
		c.add("realm", false, "see what the engine says", "%v", err)
		return
	}
	if known.Realm == "" {
		c.add("realm", true, "", "the store belongs to no realm yet: no application has used it")
	} else {
		c.add("realm", true, "", "the store belongs to realm %q", known.Realm)
	}
	c.checkKeySet(&known)
	c.checkNodes(known.Nodes)
}

// checkKeySet compares the ring with the key set that the store has seen.
func (c *checkup) checkKeySet(known *store.Peers) {
	seen := fmt.Sprintf("the store has seen version %d of ring %v", known.RingVersion, known.Ring)
	if known.Ring.IsZero() {
		seen = "the store has seen no ring: nodes have static secrets, or there are none"
	}
	if c.keys == nil || known.Ring.IsZero() {
		c.add("key set", true, "", "%s", seen)
		return
	}
	id, version := store.ID(c.keys.ID()), c.keys.Version()
	switch {
	case id != known.Ring:
		c.add("key set", false, "give --ring the application's, or, if the key set was replaced on purpose, run wafer keys adopt", "%s, and this is another: ring %v", seen, id)
	case version < known.RingVersion:
		c.add("key set", false, "restore the newer document, or, if it is lost, run wafer keys adopt: no node starts with the older one", "%s, and this is version %d: an older document was put back", seen, version)
	case version > known.RingVersion:
		c.add("key set", true, "", "%s, and this is version %d: nodes announce it within two minutes", seen, version)
	default:
		c.add("key set", true, "", "%s, and this is the same", seen)
	}
}

// checkNodes checks whether nodes that announced themselves lately differ in what
// they should share.
func (c *checkup) checkNodes(nodes []store.Peer) {
	if len(nodes) == 0 {
		c.add("nodes", true, "", "no node has announced itself within %v", store.PeerLife)
		return
	}
	byInstance := make(map[string][]store.Peer)
	for _, n := range nodes {
		byInstance[n.Instance] = append(byInstance[n.Instance], n)
	}
	for _, instance := range slices.Sorted(maps.Keys(byInstance)) {
		c.checkInstance(instance, byInstance[instance])
	}
	if len(byInstance) > 1 {
		c.add("nodes", true, "", "%d session cookies share the store: their users have one list of devices and one limit", len(byInstance))
	}
}

const differDo = "give every node the same; after a deployment, wait %v until the old nodes are forgotten"

// checkInstance checks the nodes with one session cookie.
func (c *checkup) checkInstance(instance string, nodes []store.Peer) {
	rings, versions, settings := make(tally), make(tally), make(map[string]tally)
	for _, n := range nodes {
		if !n.Ring.IsZero() { // one with static secrets may move to the ring
			rings.add(n.Ring.String())
			versions.add(fmt.Sprint(n.RingVersion))
		}
		for name, value := range peers.Parse(n.Settings) {
			if settings[name] == nil {
				settings[name] = make(tally)
			}
			settings[name].add(value)
		}
	}
	do := fmt.Sprintf(differDo, store.PeerLife)
	apart := false
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if values := settings[name]; len(values) > 1 {
			apart = true
			c.add("nodes", false, do, "%s: nodes differ in %s: %v", instance, name, values)
		}
	}
	switch {
	case len(rings) > 1:
		apart = true
		c.add("nodes", false, do, "%s: nodes differ in their ring: %v", instance, rings)
	case len(versions) > 1:
		apart = true
		c.add("nodes", true, "look again in two minutes: nodes read the ring once a minute. If it stays, see which node cannot read it", "%s: nodes have different versions of the ring: %v", instance, versions)
	}
	if !apart {
		c.add("nodes", true, "", "%s: %d announced themselves within %v, with the same settings and keys", instance, len(nodes), store.PeerLife)
	}
}

// tally says how many nodes have each value.
type tally map[string]int

func (c tally) add(value string) { c[value]++ }

func (c tally) String() string {
	var list []string
	for value, n := range c {
		list = append(list, fmt.Sprintf("%s on %d", value, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
