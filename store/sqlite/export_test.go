package sqlite

import "context"

// Tidy does housekeeping until there is nothing more to do.
func (s *Store) Tidy(ctx context.Context) error {
	for {
		more, err := s.tidy(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// Families counts the rows, living or not.
func (s *Store) Rows(ctx context.Context) (n int, err error) {
	err = s.readers.QueryRowContext(ctx, "SELECT count(*) FROM families").Scan(&n)
	return n, err
}
