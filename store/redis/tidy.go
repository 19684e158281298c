package redis

import (
	"context"
	_ "embed"
	"math/rand/v2"
	"time"
)

//go:embed scripts/tidy.lua
var tidyLua string

var tidyScript = newScript("tidy", baseLua, familyLua, tidyLua)

// tidyEvery is how often a node keeps house, on average. After a full step it
// goes on as soon as others have had as long as it took.
var tidyEvery = time.Second // but for tests

// tidyAlways keeps house until ctx ends, and keeps an eye on the server's
// settings.
func (s *Store) tidyAlways(ctx context.Context, every time.Duration) {
	watch := newWatch(s)
	timer := time.NewTimer(rand.N(every))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		// Spread, so that many nodes do not come all at once.
		again, began := every/2+rand.N(every), time.Now()
		more, err := s.tidy(ctx)
		if err == nil && more {
			again = max(time.Millisecond, time.Since(began))
		}
		watch.tidied(ctx, err)
		timer.Reset(again)
	}
}

// tidy does one bounded step: it drops old entries under a rising floor, and
// forgets cutoffs that cannot matter any more. Families go away by themselves.
// It reports whether there was more to do.
func (s *Store) tidy(ctx context.Context) (more bool, err error) {
	reply, err := s.run(ctx, tidyScript, false, nil) // which also notices what is lost, where nobody calls
	return reply == int64(1), err
}
