package main

import (
	"fmt"
	"io"

	"github.com/waferkit/wafer/keyring"
)

// ringAnswer is what the commands that change a ring answer in JSON.
type ringAnswer struct {
	Changed bool      `json:"changed"`
	Version uint64    `json:"version"`
	Keys    []keyView `json:"keys"`
	// Keeper is the key file that was made.
	Keeper string `json:"keeper_made,omitempty"`
	// Position is where everyone was revoked.
	Position uint64 `json:"position,omitempty"`
}

// answerRing answers with a ring's keys, below some lines of text.
func (f *flags) answerRing(ring *keyring.Ring, a ringAnswer, lines ...string) error {
	a.Version, a.Keys = ring.Set().Version(), viewKeys(ring.Set(), f.env.now())
	return f.answer(a, func(w io.Writer) {
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
		printKeys(w, a.Keys)
	})
}
