package sqlite

import (
	"context"
	"database/sql"
)

// Sweep does housekeeping until there is nothing more to do.
func (s *Store) Sweep(ctx context.Context) error {
	for {
		more, err := s.sweep(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// Rows returns the number of families, living or not.
func (s *Store) Rows(ctx context.Context) (n int, err error) {
	err = s.readers.families.QueryRowContext(ctx, "SELECT count(*) FROM families").Scan(&n)
	return n, err
}

// Backup copies a store's file into a new one, as an operator would.
func Backup(ctx context.Context, from, to string) error {
	db, err := sql.Open("sqlite", from)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return err
}
