package postgres

import (
	"context"
	"time"

	"github.com/waferkit/wafer/store"
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
	err = s.pool.QueryRow(ctx, fill("SELECT count(*) FROM @schema@.families", s.options.Schema)).Scan(&n)
	return n, err
}

// Fill replaces the placeholders in a text with a schema's name.
func Fill(text, schema string) string { return fill(text, schema) }

// Listening reports whether the listener is known to work.
func (s *Store) Listening() bool { return s.listening.Load() }

// Wait waits for a notification, as a caller of Since that has read up to a head.
func (s *Store) Wait(ctx context.Context, head store.Position, d time.Duration) error {
	notified := false
	_, err := s.notifier.Since(ctx, d, func() (store.Batch, error) {
		if notified {
			return store.Batch{Entries: make([]store.Entry, 1)}, nil
		}
		notified = true
		return store.Batch{Head: head}, nil
	})
	return err
}
