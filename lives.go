package wafer

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// lives are the responses that last, by their sessions. One goroutine watches
// them all: it hears what the list of revocations takes, and looks at each
// once a second. A second one asks the store where that is needed.
type lives struct {
	liveConfig
	ctx  context.Context // until close
	over context.CancelFunc
	done sync.WaitGroup
	seed maphash.Seed

	mu       sync.Mutex
	sessions map[store.ID]*watch
	subjects map[uint64][]*watch // by a hash: a wrong hit costs a question
	doubtful []*watch
	lonely   bool // this node was found out of touch with the log
	asking   bool
	running  bool

	count  atomic.Int64 // of responses
	wake   chan struct{}
	heard  sync.Mutex
	news   []store.Entry
	missed bool // there is more than news holds
}

// liveConfig is what lives know of their Sessions.
type liveConfig struct {
	// ask reads a session's family, and says Ended of one that this node knows
	// to be revoked.
	ask func(ctx context.Context, id store.ID) (store.Snapshot, error)
	// fresh reports whether this node is in touch with the log. catchUp asks
	// the log before it answers that.
	fresh   func() bool
	catchUp func(ctx context.Context) bool
	now     func() time.Time
	// patience is how long the asking about all that is in doubt may take.
	patience time.Duration
	// outage is told how many responses ended since the store did not answer.
	outage func(n int, err error)
	// again is how often all are asked about while this node is out of touch.
	again time.Duration
}

// watch is what the responses of one session have in common.
type watch struct {
	id       store.ID
	subject  uint64
	at       store.Position // up to which the session was found alive
	deadline time.Time
	doubted  bool // it is among the doubtful
	asked    bool // the store is asked about it now
	lives    []*live
}

const (
	sweepEvery = time.Second
	// maxNews is how many entries wait to be looked at; of more than that it is
	// cheaper to ask about each session.
	maxNews = 1 << 16
	// askers is how many questions to the store are under way at once.
	askers = 32
)

func newLives(c liveConfig) *lives {
	l := &lives{
		liveConfig: c, seed: maphash.MakeSeed(),
		sessions: make(map[store.ID]*watch), subjects: make(map[uint64][]*watch),
		wake: make(chan struct{}, 1),
	}
	l.ctx, l.over = context.WithCancel(context.Background())
	return l
}

// add returns the context of a response of a session.
func (l *lives) add(ctx context.Context, h *codec.Session) *live {
	one := newLive(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		one.end(liveUnavailable)
		return one
	}
	l.count.Add(1)
	w := l.sessions[store.ID(h.ID)]
	now := l.now()
	deadline := now.Add(h.Deadline().Sub(now)) // with a monotonic reading: the clock may be set back
	if w == nil {
		w = &watch{id: store.ID(h.ID), subject: maphash.String(l.seed, h.Subject), at: store.Position(h.Position), deadline: deadline}
		l.sessions[w.id] = w
		l.subjects[w.subject] = append(l.subjects[w.subject], w)
	}
	w.at = max(w.at, store.Position(h.Position))
	if deadline.After(w.deadline) {
		w.deadline = deadline
	}
	w.lives = append(w.lives, one)
	if !l.running {
		l.running = true
		l.done.Add(1)
		go l.run()
	}
	return one
}

// applied is told what the list of revocations has just taken; nil: anything.
// It does not block.
func (l *lives) applied(entries []store.Entry) {
	if l.count.Load() == 0 {
		return // one that is added now looks at the list afterwards
	}
	l.heard.Lock()
	if entries == nil || len(l.news)+len(entries) > maxNews {
		l.missed, l.news = true, nil
	} else if !l.missed {
		l.news = append(l.news, entries...)
	}
	l.heard.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lives) run() {
	defer l.done.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var asked time.Time // about all, since this node was last in touch
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.wake:
			l.hear()
		case <-tick.C:
			now := l.now()
			switch {
			case l.fresh():
				asked = time.Time{}
			case asked.IsZero() || now.Sub(asked) >= l.again || now.Before(asked):
				asked = now
				l.outOfTouch()
			}
			l.sweep(now)
		}
	}
}

// hear looks at what was revoked.
func (l *lives) hear() {
	l.heard.Lock()
	news, missed := l.news, l.missed
	l.news, l.missed = nil, false
	l.heard.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if missed {
		l.doubtAll()
		return
	}
	for i := range news {
		switch e := &news[i]; e.Kind {
		case store.KindSession:
			if w := l.sessions[e.Session]; w != nil {
				l.remove(w, liveEnded) // an end is final
			}
		case store.KindSubject:
			for _, w := range l.subjects[maphash.String(l.seed, e.Subject)] {
				if e.Position > w.at {
					l.doubtOf(w) // it may be the one that survives
				}
			}
		case store.KindEveryone:
			for _, w := range l.sessions {
				if e.Position > w.at {
					l.remove(w, liveEnded) // nobody survives that
				}
			}
		}
	}
}

// sweep looks at each once: has the request ended, has the deadline come?
func (l *lives) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.sessions {
		w.lives = slices.DeleteFunc(w.lives, func(one *live) bool {
			err := one.Context.Err()
			if err != nil {
				one.end(err)
				l.count.Add(-1)
			}
			return err != nil
		})
		switch {
		case len(w.lives) == 0:
			l.forget(w)
		case !now.Before(w.deadline) && !w.asked:
			l.doubtOf(w)
		}
	}
}

// end ends the responses of a session.
func (l *lives) end(id store.ID, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.sessions[id]; w != nil {
		l.remove(w, cause)
	}
}

// doubt has the store asked about a session.
func (l *lives) doubt(id store.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.sessions[id]; w != nil {
		l.doubtOf(w)
	}
}

// outOfTouch has the store asked about all sessions, unless this node finds
// that it was out of touch for a moment only.
func (l *lives) outOfTouch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lonely = true
	l.startAsking()
}

func (l *lives) doubtAll() {
	for _, w := range l.sessions {
		l.doubtOf(w)
	}
}

// doubtOf has the store asked about a session. One that it is asked about
// already is asked about again: that answer may be from before what gave rise
// to this doubt.
func (l *lives) doubtOf(w *watch) {
	if w.doubted {
		return
	}
	w.doubted = true
	l.doubtful = append(l.doubtful, w)
	l.startAsking()
}

func (l *lives) startAsking() {
	if l.asking || l.ctx.Err() != nil {
		return
	}
	l.asking = true
	l.done.Add(1)
	go l.confirm()
}

// remove ends the responses of a session and forgets it.
func (l *lives) remove(w *watch, cause error) {
	for _, one := range w.lives {
		one.end(cause)
	}
	l.count.Add(-int64(len(w.lives)))
	w.lives = nil
	l.forget(w)
}

func (l *lives) forget(w *watch) {
	if l.sessions[w.id] != w {
		return
	}
	delete(l.sessions, w.id)
	others := l.subjects[w.subject]
	if i := slices.Index(others, w); i >= 0 {
		others[i] = others[len(others)-1]
		others = others[:len(others)-1]
	}
	if len(others) == 0 {
		delete(l.subjects, w.subject)
		return
	}
	others[:cap(others)][len(others)] = nil
	l.subjects[w.subject] = others
}

// close ends all of them.
func (l *lives) close() {
	l.mu.Lock()
	l.over()
	for _, w := range l.sessions {
		l.remove(w, liveUnavailable)
	}
	l.mu.Unlock()
	l.done.Wait()
}
