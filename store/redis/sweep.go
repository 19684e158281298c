package redis

import (
	"context"
	_ "embed"
	"time"
)

//go:embed scripts/sweep.lua
var sweepLua string

var sweepScript = newScript("tidy", baseLua, familyLua, sweepLua) // error texts contain the name

// sweepEvery is the average interval between two steps of housekeeping. After a full
// step the next one follows sooner: see [engine.Sweep]. Tests shorten it.
var sweepEvery = time.Second

// sweep does one bounded step of housekeeping. It drops old entries and raises the
// floor, and deletes cutoffs that no family can be below any more. The server
// expires families itself. sweep reports whether there is more to do.
func (s *Store) sweep(ctx context.Context) (more bool, err error) {
	reply, err := s.run(ctx, sweepScript, false, nil) // also notices a lost log if there are no other calls
	return reply == int64(1), err
}
