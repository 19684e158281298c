package redis

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"
)

//go:embed scripts/sweep.lua
var sweepLua string

var sweepScript = newScript("tidy", baseLua, familyLua, indexLua, sweepLua) // error texts contain the name

// sweepEvery is the average interval between two steps of housekeeping. After a full
// step the next one follows sooner: see [engine.Sweep]. Tests shorten it.
var sweepEvery = time.Second

// sweep does one bounded step of housekeeping. It drops old entries and raises the
// floor, deletes cutoffs that no family can be below any more, and removes families
// past their limits. Each node walks through the families by itself, from the place
// where its last step ended: a place on the server would be a write in each step. sweep
// returns the next place, which is "" after the last family, and reports whether there
// is more to do at once.
func (s *Store) sweep(ctx context.Context, place string) (next string, more bool, err error) {
	var p packed
	p.short(place)
	reply, err := s.run(ctx, s.reads, sweepScript, false, p) // also notices a lost log if there are no other calls
	if err != nil {
		return "", false, err
	}
	text, _ := reply.(string)
	r := reader{rest: text}
	more, next = r.flag(), strings.Clone(r.short())
	if err := r.end("an answer"); err != nil {
		return "", false, fmt.Errorf("redis: tidy: %w", err)
	}
	return next, more, nil
}
