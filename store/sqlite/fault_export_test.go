package sqlite

import (
	"context"
	"database/sql"
)

// Writer calls f with the writing connection, while nothing else is written.
func (s *Store) Writer(ctx context.Context, f func(c *sql.Conn) error) error {
	return s.writer.submit(ctx, func(t *tx) error { return f(t.c.conn) })
}

// SweepOnce does one step of housekeeping.
func (s *Store) SweepOnce(ctx context.Context) (more bool, err error) { return s.sweep(ctx) }
