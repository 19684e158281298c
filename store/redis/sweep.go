package redis

import (
	"context"
	_ "embed"
	"time"
)

//go:embed scripts/tidy.lua
var tidyLua string

var tidyScript = newScript("tidy", baseLua, familyLua, tidyLua)

// tidyEvery is how often a node keeps house, on average. After a full step it
// goes on as soon as others have had as long as it took.
var tidyEvery = time.Second // but for tests

// tidy does one bounded step: it drops old entries under a rising floor, and
// forgets cutoffs that cannot matter any more. Families go away by themselves.
// It reports whether there was more to do.
func (s *Store) tidy(ctx context.Context) (more bool, err error) {
	reply, err := s.run(ctx, tidyScript, false, nil) // which also notices what is lost, where nobody calls
	return reply == int64(1), err
}
