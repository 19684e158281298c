package main

import "github.com/waferkit/wafer/bench/internal/budget"

// obstacles explain why a row of the budget is not met, for a run that does not
// meet it. They are written by hand, after a look at the profile.
var obstacles = map[string]string{
	"root:Budget/identity-to-floor": "what a middleware must do besides the floor: clone the request and carry the session in its context (some 120 ns), read the clock (40), " +
		"write Vary and Cache-Control (45), judge three deadlines and the revocations (60), keep the plaintext and the subject (50), find a second cookie and authenticate its family's name (40). " +
		"The parts are listed under \"Optimisations that were tried\".",
	"root:Budget/data-to-scs-memstore": "decoding the data (a slice, a map and a time among it, by reflection) takes longer than opening the cookie; " +
		"scs pays the same kind of price with gob, so the ratio is that of CBOR to gob more than that of a cookie to a store.",
	"revocation:Check/entries=1000000/absent/beside_a_writer/one_reader": "a list of 1 M entries is some 52 MB, so a check waits for memory, and longer where other programs " +
		"share the processor's caches: see how it grows from 100,000 entries to 10,000,000 below, and the machine's load above.",
	"bench:Budget/data-to-scs-Redis": "on loopback the whole request of scs takes some 25 µs where processors are kept awake, Redis included, and wafer some 1.6 µs, half of it for decoding the data; " +
		"between two machines a round trip is longer, and the ratio better.",
}

func obstacle(row budget.Row) string {
	if text, ok := obstacles[row.Name]; ok {
		return text
	}
	return "this run's figure is over it; nobody has found out why."
}
