package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// sweepRows bounds a step of each kind, so that no writer waits long.
const sweepRows = 256

// sweep does one bounded step of housekeeping. It removes families past their limits,
// drops old entries and raises the floor, and drops cutoffs that no longer matter. It
// reports whether there was more to do.
func (s *Store) sweep(ctx context.Context) (full bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	for _, text := range []string{s.sql.tidy, s.sql.drop} {
		var more bool
		if _, err := s.transact(ctx, s.pool, []call{{text, []any{int32(sweepRows)}, func(rows pgx.Rows) error { return rows.Scan(&more) }}}); err != nil {
			return false, err
		}
		full = full || more
	}
	return full, nil
}
