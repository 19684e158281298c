package wafer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/store"
)

// confirm asks the store about the sessions that are in doubt, until none is.
// What is not confirmed in time ends: a response must not go on for longer
// because the store is slow.
func (l *lives) confirm() {
	defer l.done.Done()
	for {
		l.mu.Lock()
		doubtful, lonely := l.doubtful, l.lonely
		l.doubtful, l.lonely = nil, false
		l.asking = len(doubtful) > 0 || lonely
		l.mu.Unlock()
		if len(doubtful) == 0 && !lonely {
			return
		}
		ctx, cancel := context.WithTimeout(l.ctx, l.patience)
		if lonely && !l.catchUp(ctx) {
			l.mu.Lock()
			l.doubtAll()
			l.mu.Unlock()
		}
		l.confirmAll(ctx, doubtful)
		cancel()
	}
}

func (l *lives) confirmAll(ctx context.Context, doubtful []*watch) {
	work := make(chan *watch)
	var done sync.WaitGroup
	var ended atomic.Int64
	var fault atomic.Value
	for range min(askers, len(doubtful)) {
		done.Go(func() {
			for w := range work {
				l.mu.Lock()
				w.doubted, w.asked = false, true
				l.mu.Unlock()
				asked := l.now()
				snap, err := l.ask(ctx, w.id)
				if n := l.answered(w, asked, snap, err); err != nil && n > 0 {
					ended.Add(int64(n))
					fault.Store(&err)
				}
			}
		})
	}
	for _, w := range doubtful {
		work <- w
	}
	close(work)
	done.Wait()
	if n := ended.Load(); n > 0 {
		l.outage(int(n), *fault.Load().(*error))
	}
}

// answered takes the store's answer about a session, and returns how many
// responses it ended.
func (l *lives) answered(w *watch, asked time.Time, snap store.Snapshot, err error) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.asked = false
	n := len(w.lives)
	f := &snap.Family
	switch {
	case err != nil:
		l.remove(w, liveUnavailable)
	case snap.State != store.Alive:
		l.remove(w, liveEnded)
	case f.Past(snap.Now):
		l.remove(w, liveExpired)
	default:
		// By this node's clock, whatever the engine's says, and from before the
		// question: the process may have been paused since.
		left := min(f.IdleDeadline().Sub(snap.Now), f.Absolute.Sub(snap.Now))
		w.deadline = asked.Add(left)
		w.at = max(w.at, snap.Head)
	}
	return n - len(w.lives)
}
