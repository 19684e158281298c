package main

import (
	"math"

	"github.com/waferkit/wafer/bench/internal/results"
)

// The assumptions of the capacity model, besides the measured figures.
// docs/capacity.md states each of them.
const (
	access    = 300.0 // seconds: the default access lifetime
	length    = 3600  // seconds from login to logout or abandonment
	loggedOut = 0.3   // fraction of the sessions that end by a logout
	pause     = 10.0  // seconds between two requests of an active session
	kept      = 310.0 // seconds for which a node needs a revocation: access lifetime and leeway
	used      = 0.5   // fraction of an engine's measured rate that is planned with
)

// engine holds the measured figures of one server of an engine.
type engine struct {
	name                           string
	logins, refreshes, revocations float64 // per second, with 64 callers
	family                         float64 // bytes
}

// demand is the load that a number of active sessions puts on all stores
// together.
type demand struct {
	sessions                     float64
	requests                     float64 // per second
	fewRefreshes, manyRefreshes  float64 // per second: one in each lifetime, and one in each half of it
	logins, revocations, entries float64 // per second, per second, on a node
}

func demandOf(sessions float64) demand {
	logins := sessions / length
	return demand{
		sessions: sessions, requests: sessions / pause,
		fewRefreshes: sessions / access, manyRefreshes: sessions / (access / 2),
		logins: logins, revocations: loggedOut * logins, entries: loggedOut * logins * kept,
	}
}

// stores returns the number of servers of an engine that carry a demand. Each
// kind of write uses a share of a server's time.
func (e engine) stores(d demand, refreshes float64) float64 {
	busy := refreshes/e.refreshes + d.logins/e.logins + d.revocations/e.revocations
	return math.Ceil(busy / used)
}

// memory returns the bytes that the families need in all stores together.
func (e engine) memory(d demand) float64 { return d.sessions * e.family }

func enginesOf(set results.Set) (list []engine, missing []string) {
	get := func(name, unit string) float64 {
		v, ok := set.Median(name, unit)
		if !ok || v <= 0 {
			missing = append(missing, name+" in "+unit)
		}
		return v
	}
	for _, name := range []string{"sqlite", "redis", "postgres"} {
		from := "bench:Engines/" + name
		list = append(list, engine{name, get(from, "logins/s"), get(from, "refreshes/s"), get(from, "revocations/s"), get(from, "B/family")})
	}
	return list, missing
}

// node is the cost of the request path on a node.
type node struct {
	request float64 // seconds of one processor for each request: the session's part
	entry   float64 // bytes for each revocation in the list
	cookies float64 // bytes in each request
}

func nodeOf(set results.Set) (n node, missing []string) {
	get := func(name, unit string) float64 {
		v, ok := set.Median(name, unit)
		if !ok || v <= 0 {
			missing = append(missing, name+" in "+unit)
		}
		return v
	}
	n.request = get("root:Request/data/wafer", "ns/op") / 1e9
	n.entry = get("revocation:Check/entries=1000000/absent/beside_a_writer/one_reader", "B/entry")
	n.cookies = get("root:Request/data/wafer", "cookie-bytes")
	return n, missing
}
