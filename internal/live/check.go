package live

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

// check asks the store about the sessions in toCheck until none is left. A
// session that is not confirmed in time ends: a slow store must not keep a
// response alive.
func (s *Set) check() {
	defer s.done.Done()
	for {
		s.mu.Lock()
		toCheck, stale := s.toCheck, s.stale
		s.toCheck, s.stale = nil, false
		s.checking = len(toCheck) > 0 || stale
		s.mu.Unlock()
		if len(toCheck) == 0 && !stale {
			return
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.config.Patience)
		if stale && !s.config.CatchUp(ctx) {
			s.mu.Lock()
			s.queueAll()
			s.mu.Unlock()
		}
		s.checkAll(ctx, toCheck)
		cancel()
	}
}

func (s *Set) checkAll(ctx context.Context, toCheck []*watched) {
	work := make(chan *watched)
	var done sync.WaitGroup
	var ended atomic.Int64
	var fault atomic.Value
	for range min(maxQueries, len(toCheck)) {
		done.Go(func() {
			for w := range work {
				s.mu.Lock()
				w.queued, w.asked = false, true
				s.mu.Unlock()
				asked := s.config.Now()
				snap, err := s.config.Ask(ctx, w.id)
				if n := s.answered(w, asked, snap, err); err != nil && n > 0 {
					ended.Add(int64(n))
					fault.Store(&err)
				}
			}
		})
	}
	for _, w := range toCheck {
		work <- w
	}
	close(work)
	done.Wait()
	if n := ended.Load(); n > 0 {
		s.config.Outage(int(n), *fault.Load().(*error))
	}
}

// answered applies the store's answer about a session and returns the number of
// contexts that it ended.
func (s *Set) answered(w *watched, asked time.Time, snap store.Snapshot, err error) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.asked = false
	n := len(w.contexts)
	f := &snap.Family
	switch {
	case err != nil:
		s.remove(w, errUnavailable)
	case snap.State != store.Alive:
		s.remove(w, errEnded)
	case f.Past(snap.Now):
		s.remove(w, errExpired)
	default:
		// The deadline is a duration from the moment before the query, by this
		// node's clock: the process may have been paused since.
		left := min(f.IdleDeadline().Sub(snap.Now), f.Deadline().Sub(snap.Now))
		w.deadline = asked.Add(left)
		w.at = max(w.at, snap.Head)
	}
	return n - len(w.contexts)
}
