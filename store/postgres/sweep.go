package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const (
	// tidyRows bounds one step of each kind, so that no writer waits long.
	tidyRows = 256
)

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
