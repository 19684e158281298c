package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/store"
)

// slowPoll is the interval of polling while the listener works. Polling is then only
// a safeguard.
const slowPoll = time.Second

// watchHead polls the log's head and notifies of changes by other processes until no
// caller waits any more.
func (s *Store) watchHead(store.Position) {
	var head store.Cursor
	for first := true; !s.notifier.Idle(); {
		every := s.options.Poll
		if s.listening.Load() {
			every = max(every, slowPoll)
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
		var position int64
		var id pgtype.UUID
		err := s.reserved.QueryRow(ctx, s.sql.head).Scan(&position, &id)
		cancel()
		now := store.Cursor{Position: store.Position(position), ID: id.Bytes}
		// Notify of any other head, not only a higher one, since a log may go back,
		// and another entry may have taken the position. The first time notify
		// whatever the head is, since waiting callers may have read less.
		if err == nil && (first || now != head) {
			first, head = false, now
			s.notifier.Notify()
		}
		s.notifier.Pause(every)
	}
}
