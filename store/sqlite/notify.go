package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/waferkit/wafer/store"
)

// pollEvery is how often the file is checked for writes by another process, while
// somebody waits for entries. Reading the file's data version costs some
// microseconds and no page.
const pollEvery = 100 * time.Millisecond

// watchFile notifies of writes by other processes until nobody waits any more. The
// data version belongs to a connection, so it keeps one.
func (s *Store) watchFile(store.Position) {
	ctx := context.Background()
	conn, err := s.readers.Conn(ctx)
	if err != nil {
		s.notifier.Pause(pollEvery)
		s.notifier.Abandon()
		return
	}
	defer conn.Close()
	var last int64 = -1
	for !s.notifier.Idle() {
		var version int64
		if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
			s.notifier.Pause(pollEvery)
			s.notifier.Abandon()
			return
		}
		if version != last {
			// The first time too: a write from before this connection began to
			// look may have been missed by those who wait.
			last = version
			s.notifier.Notify()
		}
		s.notifier.Pause(pollEvery)
	}
}

// wrap names the engine in an error.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlite: %w", err)
}
