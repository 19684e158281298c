package main

import (
	"fmt"
	"io"

	"github.com/waferkit/wafer/keyring"
)

// ringResult is the JSON output of the commands that change a ring.
type ringResult struct {
	Changed bool      `json:"changed"`
	Version uint64    `json:"version"`
	Keys    []keyView `json:"keys"`
	// Keeper is the keeper's key file if the command made one.
	Keeper string `json:"keeper_made,omitempty"`
	// Position is the position of the revocation of everyone, or 0.
	Position uint64 `json:"position,omitempty"`
}

// outputRing prints the ring's keys, after some lines of text.
func (f *flags) outputRing(ring *keyring.Ring, a ringResult, lines ...string) error {
	a.Version, a.Keys = ring.Set().Version(), viewKeys(ring.Set(), f.env.now())
	return f.output(a, func(w io.Writer) {
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
		printKeys(w, a.Keys)
	})
}
