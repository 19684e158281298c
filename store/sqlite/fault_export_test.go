package sqlite

import (
	"context"
	"database/sql"
)

// Writer calls f with the writing connection, while nothing else is written.
func (s *Store) Writer(ctx context.Context, f func(c *sql.Conn) error) error {
	return s.writer.submit(ctx, func(t *tx) error { return f(t.c.conn) })
}

// TidyOnce does one step of housekeeping.
func (s *Store) TidyOnce(ctx context.Context) (more bool, err error) { return s.tidy(ctx) }
