package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// tidyEvery is how often housekeeping looks. After a full step it goes on
	// once writers have had as long as it took.
	tidyEvery = time.Second
	// tidyRows bounds one step of each kind, so that no writer waits long.
	tidyRows = 256
)

// tidyAlways keeps house until ctx ends.
func (s *Store) tidyAlways(ctx context.Context) {
	timer := time.NewTimer(tidyEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		again, began := tidyEvery, time.Now()
		if full, err := s.tidy(ctx); err == nil && full {
			again = max(time.Millisecond, time.Since(began))
		}
		timer.Reset(again)
	}
}

// tidy does one bounded step: it removes families past their limits, drops old
// entries under a rising floor, and forgets cutoffs that cannot matter any more.
// It reports whether there was more to do.
func (s *Store) tidy(ctx context.Context) (full bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	for _, text := range []string{s.sql.tidy, s.sql.drop} {
		var more bool
		if _, err := s.transact(ctx, []call{{text, []any{int32(tidyRows)}, func(rows pgx.Rows) error { return rows.Scan(&more) }}}); err != nil {
			return false, err
		}
		full = full || more
	}
	return full, nil
}
