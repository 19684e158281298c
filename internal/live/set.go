package live

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

// Set holds the live contexts of a node by session. One goroutine watches all of
// them: it handles the entries that the revocation list applies, and looks at
// each session once a second. A second goroutine runs while the store has to be
// asked about sessions. Set is safe for concurrent use.
type Set struct {
	config Config
	ctx    context.Context // done after Close
	cancel context.CancelFunc
	done   sync.WaitGroup
	seed   maphash.Seed

	mu       sync.Mutex
	sessions map[store.ID]*watched
	subjects map[uint64]*watched              // the first of each, by hash; a collision costs a query
	actors   map[uint64]map[*watched]struct{} // of the sessions that have one, as subjects
	toCheck  []*watched
	stale    bool // InTouch returned false, and the log was not read since
	checking bool
	running  bool

	count  atomic.Int64 // of contexts
	wake   chan struct{}
	inbox  sync.Mutex
	queued []store.Entry
	missed bool // more was applied than queued holds
}

// Config configures [New]. All fields are required.
type Config struct {
	// Ask reads a session's family from the store. It returns the state Ended for
	// a family that this node knows to be revoked.
	Ask func(ctx context.Context, id store.ID) (store.Snapshot, error)
	// InTouch reports whether this node follows the log. CatchUp reads the log
	// first and then reports the same.
	InTouch func() bool
	CatchUp func(ctx context.Context) bool
	Now     func() time.Time
	// Patience bounds the time for checking all sessions that are to be checked.
	Patience time.Duration
	// Recheck is the interval between two checks of all sessions while the node
	// is out of touch.
	Recheck time.Duration
	// Outage reports that n contexts ended because the store did not answer.
	Outage func(n int, err error)
}

// watched is the record that the contexts of one session share.
type watched struct {
	id       store.ID
	subject  uint64
	actor    uint64         // 0 if the subject acts
	at       store.Position // up to which the session is known to be alive
	deadline time.Time
	queued   bool // it is in toCheck
	asked    bool // a query about it is in flight
	contexts []*Context

	before, after *watched // of the same subject
}

const (
	sweepEvery = time.Second
	// maxQueued bounds the entries that wait to be handled. Beyond it, a query
	// about each session is cheaper.
	maxQueued = 1 << 16
	// maxQueries bounds the queries in flight.
	maxQueries = 32
)

// New returns an empty set. The caller closes it.
func New(c Config) *Set {
	s := &Set{
		config: c, seed: maphash.MakeSeed(),
		sessions: make(map[store.ID]*watched), subjects: make(map[uint64]*watched), actors: make(map[uint64]map[*watched]struct{}),
		wake: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Add returns a context for a response of a session. The caller checks the
// session against the revocation list afterwards: an entry that was applied
// before Add is not handled here.
func (s *Set) Add(ctx context.Context, h *codec.Session) *Context {
	c := newContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		c.end(errUnavailable)
		return c
	}
	s.count.Add(1)
	w := s.sessions[store.ID(h.ID)]
	now := s.config.Now()
	deadline := now.Add(h.Deadline().Sub(now)) // with a monotonic reading: the clock may be set back
	if w == nil {
		w = &watched{id: store.ID(h.ID), subject: maphash.String(s.seed, h.Subject.Text()), at: store.Position(h.Position), deadline: deadline}
		s.sessions[w.id] = w
		if w.after = s.subjects[w.subject]; w.after != nil {
			w.after.before = w
		}
		s.subjects[w.subject] = w
		s.watchActor(w, h.Actor.Text())
	}
	w.at = max(w.at, store.Position(h.Position))
	if deadline.After(w.deadline) {
		w.deadline = deadline
	}
	w.contexts = append(w.contexts, c)
	if !s.running {
		s.running = true
		s.done.Add(1)
		go s.run()
	}
	return c
}

// watchActor has an entry about the actor of a session count as one about its
// subject does.
func (s *Set) watchActor(w *watched, actor string) {
	if actor == "" {
		return
	}
	w.actor = maphash.String(s.seed, actor)
	if s.actors[w.actor] == nil {
		s.actors[w.actor] = make(map[*watched]struct{})
	}
	s.actors[w.actor][w] = struct{}{}
}

// Applied queues entries that the revocation list has just applied. Nil means
// that any entry may have been applied. Applied does not block.
func (s *Set) Applied(entries []store.Entry) {
	if s.count.Load() == 0 {
		return // the caller of a later Add checks the list itself
	}
	s.inbox.Lock()
	if entries == nil || len(s.queued)+len(entries) > maxQueued {
		s.missed, s.queued = true, nil
	} else if !s.missed {
		s.queued = append(s.queued, entries...)
	}
	s.inbox.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Set) run() {
	defer s.done.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var checked time.Time // when all were last checked while out of touch
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
			s.handleEntries()
		case <-tick.C:
			now := s.config.Now()
			switch {
			case s.config.InTouch():
				checked = time.Time{}
			case checked.IsZero() || now.Sub(checked) >= s.config.Recheck || now.Before(checked):
				checked = now
				s.recheckAll()
			}
			s.sweep(now)
		}
	}
}

// handleEntries ends or rechecks the sessions that the queued entries name.
func (s *Set) handleEntries() {
	s.inbox.Lock()
	entries, missed := s.queued, s.missed
	s.queued, s.missed = nil, false
	s.inbox.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if missed {
		s.queueAll()
		return
	}
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case store.KindSession:
			if w := s.sessions[e.Session]; w != nil {
				s.remove(w, errEnded) // an end is final
			}
		case store.KindSubject:
			for w := s.subjects[maphash.String(s.seed, e.Subject)]; w != nil; w = w.after {
				if e.Position > w.at {
					s.queue(w) // it may be the one that survives
				}
			}
			for w := range s.actors[maphash.String(s.seed, e.Subject)] {
				if e.Position > w.at {
					s.queue(w)
				}
			}
		case store.KindEveryone:
			for _, w := range s.sessions {
				if e.Position > w.at {
					s.remove(w, errEnded) // no session survives this entry
				}
			}
		}
	}
}

// sweep forgets contexts whose requests have ended, and rechecks sessions that
// have reached their deadline.
func (s *Set) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.sessions {
		w.contexts = slices.DeleteFunc(w.contexts, func(c *Context) bool {
			err := c.Context.Err()
			if err != nil {
				c.end(err)
				s.count.Add(-1)
			}
			return err != nil
		})
		switch {
		case len(w.contexts) == 0:
			s.forget(w)
		case !now.Before(w.deadline) && !w.asked:
			s.queue(w)
		}
	}
}

// End ends the contexts of a session.
func (s *Set) End(id store.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.sessions[id]; w != nil {
		s.remove(w, errEnded)
	}
}

// Recheck has the store asked about a session.
func (s *Set) Recheck(id store.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.sessions[id]; w != nil {
		s.queue(w)
	}
}

// recheckAll has the store asked about all sessions, unless reading the log
// shows that the node was out of touch for a moment only.
func (s *Set) recheckAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = true
	s.startChecking()
}

func (s *Set) queueAll() {
	for _, w := range s.sessions {
		s.queue(w)
	}
}

// queue adds a session to those to be checked. If a query about it is in flight,
// another one follows: the answer may predate the reason for this call.
func (s *Set) queue(w *watched) {
	if w.queued {
		return
	}
	w.queued = true
	s.toCheck = append(s.toCheck, w)
	s.startChecking()
}

func (s *Set) startChecking() {
	if s.checking || s.ctx.Err() != nil {
		return
	}
	s.checking = true
	s.done.Add(1)
	go s.check()
}

// remove ends the contexts of a session and forgets it.
func (s *Set) remove(w *watched, cause error) {
	for _, c := range w.contexts {
		c.end(cause)
	}
	s.count.Add(-int64(len(w.contexts)))
	w.contexts = nil
	s.forget(w)
}

func (s *Set) forget(w *watched) {
	if s.sessions[w.id] != w {
		return
	}
	delete(s.sessions, w.id)
	if of := s.actors[w.actor]; of != nil {
		if delete(of, w); len(of) == 0 {
			delete(s.actors, w.actor)
		}
	}
	if w.after != nil {
		w.after.before = w.before
	}
	switch {
	case w.before != nil:
		w.before.after = w.after
	case w.after != nil:
		s.subjects[w.subject] = w.after
	default:
		delete(s.subjects, w.subject)
	}
	w.before, w.after = nil, nil
}

// Close ends all contexts and waits for the set's goroutines.
func (s *Set) Close() {
	s.mu.Lock()
	s.cancel()
	for _, w := range s.sessions {
		s.remove(w, errUnavailable)
	}
	s.mu.Unlock()
	s.done.Wait()
}
