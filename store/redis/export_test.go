package redis

import "context"

// Tidy does housekeeping until there is no more to do.
func (s *Store) Tidy(ctx context.Context) error {
	for {
		more, err := s.tidy(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// TidyOnce does one step.
func (s *Store) TidyOnce(ctx context.Context) (bool, error) { return s.tidy(ctx) }
