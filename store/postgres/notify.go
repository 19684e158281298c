package postgres

import (
	"context"
	"time"

	"github.com/waferkit/wafer/store"
)

// slowPoll is the interval of polling while the listener works. Polling is then only
// a safeguard.
const slowPoll = time.Second

// watchHead polls the log's head and notifies of changes by other processes until no
// caller waits any more.
func (s *Store) watchHead(head store.Position) {
	for first := true; !s.notifier.Idle(); {
		every := s.options.Poll
		if s.listening.Load() {
			every = max(every, slowPoll)
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
		var now int64
		err := s.pool.QueryRow(ctx, s.sql.head).Scan(&now)
		cancel()
		// Notify of any other head, not only a higher one, since a log may go back.
		// The first time notify even of the same head, since other waiting callers
		// may have read less.
		if err == nil && (first || store.Position(now) != head) {
			first, head = false, store.Position(now)
			s.notifier.Notify()
		}
		s.notifier.Pause(every)
	}
}
