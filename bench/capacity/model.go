package main

import (
	"math"

	"github.com/waferkit/wafer/bench/internal/results"
)

// assumptions are what the figures are reckoned from besides what was measured.
// docs/capacity.md tells each of them.
const (
	access    = 300.0 // seconds: the default access lifetime
	length    = 3600  // seconds from login to logout or oblivion
	loggedOut = 0.3   // part of the sessions that end by a logout
	pause     = 10.0  // seconds between two requests of an active session
	kept      = 310.0 // seconds for which a node needs a revocation: access lifetime and leeway
	used      = 0.5   // part of an engine's measured rate that is planned with
)

// engine is what one server of an engine was measured to do.
type engine struct {
	name                           string
	logins, refreshes, revocations float64 // a second, at 64 callers
	family                         float64 // bytes
}

// demand is what a number of active sessions asks of all stores together.
type demand struct {
	sessions                     float64
	requests                     float64 // a second
	fewRefreshes, manyRefreshes  float64 // a second: one in a lifetime, and one in half of it
	logins, revocations, entries float64 // a second, a second, on a node
}

func demandOf(sessions float64) demand {
	logins := sessions / length
	return demand{
		sessions: sessions, requests: sessions / pause,
		fewRefreshes: sessions / access, manyRefreshes: sessions / (access / 2),
		logins: logins, revocations: loggedOut * logins, entries: loggedOut * logins * kept,
	}
}

// stores is how many servers of an engine carry a demand. Each kind of write
// takes its part of a server's time.
func (e engine) stores(d demand, refreshes float64) float64 {
	busy := refreshes/e.refreshes + d.logins/e.logins + d.revocations/e.revocations
	return math.Ceil(busy / used)
}

// memory is what the families of all stores take, in bytes.
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

// node is what the request path takes of a node.
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
