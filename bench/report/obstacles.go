package main

import "github.com/waferkit/wafer/bench/internal/budget"

// obstacles say what stands in the way of a row of the budget, for a run that
// does not meet it. They are written by hand, after a look at the profile.
var obstacles = map[string]string{
	"root:Budget/identity-to-floor": "the floor is one open and nothing else; a request also needs the session in its context, " +
		"the headers Vary and Cache-Control, the check of three deadlines and of the revocations, and the copy of the request that " +
		"http.Request.WithContext makes, which alone is some 270 bytes to clear and fill.",
	"root:Budget/data-to-scs-memstore": "decoding the data (a slice, a map and a time among it, by reflection) takes longer than opening the cookie; " +
		"scs pays the same kind of price with gob, so the ratio is that of CBOR to gob more than that of a cookie to a store.",
	"bench:Budget/data-to-scs-Redis": "on loopback Redis answers within some tens of microseconds, and what wafer takes is nearly all for decoding the data; " +
		"between two machines a round trip is longer, and the ratio better.",
}

func obstacle(row budget.Row) string {
	if text, ok := obstacles[row.Name]; ok {
		return text
	}
	return "not yet looked into."
}
