package postgres

import (
	"context"
	"time"

	"github.com/waferkit/wafer/store"
)

// Tidy does housekeeping until there is nothing more to do.
func (s *Store) Tidy(ctx context.Context) error {
	for {
		more, err := s.tidy(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// Rows counts the families, living or not.
func (s *Store) Rows(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, fill("SELECT count(*) FROM @schema@.families", s.options.Schema)).Scan(&n)
	return n, err
}

// Fill puts a schema's name into a text.
func Fill(text, schema string) string { return fill(text, schema) }

// Hears reports whether the listener is known to hear.
func (s *Store) Hears() bool {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return s.news.told
}

// Wait waits for news as one who has read up to a head.
func (s *Store) Wait(ctx context.Context, head store.Position, d time.Duration) error {
	listening := s.news.listen()
	defer s.news.leave()
	return s.news.wait(ctx, listening, head, d)
}
