package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/waferkit/wafer/store"
)

// pollEvery is how often the file is checked for writes by another process while a
// caller waits for entries. Reading the file's data version takes some microseconds
// and reads no page.
const pollEvery = 100 * time.Millisecond

// watchFile notifies of writes by other processes until no caller waits any more. It
// keeps one connection, since each has a data version of its own.
func (s *Store) watchFile(store.Position) {
	ctx := context.Background()
	conn, err := s.readers.log.Conn(ctx)
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
			// Notify the first time too: waiting callers may have missed a write
			// from before this connection began to watch.
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
