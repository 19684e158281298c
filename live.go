package wafer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Live returns a context for a response that lasts, such as server-sent events
// or a WebSocket: it ends with the request's own, and when the session ends,
// passes its limits, or cannot be confirmed. Its Err then matches
// [context.Canceled] and
//
//   - [ErrEnded]: the session was ended or revoked. On this node that is at
//     once, on every other at most MaxStaleness later.
//   - [ErrExpired]: it is past its limits. At its deadline the store is asked
//     whether another request has refreshed it meanwhile.
//   - [ErrUnavailable]: the store did not answer where it had to be asked: at
//     the deadline, after a revocation of the subject (which this session may
//     have survived), or when this node has lost touch with the log for longer
//     than MaxStaleness. Or Close was called.
//   - [ErrNoSession]: the request has none; the context has ended already.
//
// An open context does not keep its session from becoming idle: only requests
// do. It costs some 400 bytes and no goroutine. What ends by the clock, and
// the end of the request itself, closes Done at most a second late.
func (s *Sessions[T]) Live(r *http.Request) context.Context {
	session, err := s.Get(r.Context())
	if err != nil {
		l := newLive(r.Context())
		l.end(canceled(err))
		return l
	}
	h := session.header()
	l := s.lives.add(r.Context(), &h)
	// After it was added, so that what is revoked from here on ends it: was
	// something revoked since the request was judged?
	id := store.ID(h.ID)
	switch {
	case s.replica.Ended(id):
		s.lives.end(id, liveEnded)
	case s.replica.Check(s.config.Now(), id, h.Subject, store.Position(h.Position)) != revocation.Good:
		s.lives.doubt(id) // it may have survived
	}
	return l
}

// alive reads a session's family for a response that lasts. One that this node
// knows to be revoked, though the store has lost that, is ended.
func (s *Sessions[T]) alive(ctx context.Context, id store.ID) (store.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.StoreTimeout)
	defer cancel()
	snap, err := s.store.Family(ctx, id)
	if err == nil && s.replica.Dead(&snap.Family) {
		snap.State = store.Ended
	}
	return snap, err
}

// inTouch reports whether the log is followed, so that nothing is revoked unheard.
func (s *Sessions[T]) inTouch() bool {
	return !s.config.NoReplica && s.replica.State(s.config.Now()) == revocation.Fresh
}

func (s *Sessions[T]) catchUp(ctx context.Context) bool {
	return !s.config.NoReplica && s.replica.CatchUp(ctx) == nil && s.inTouch()
}

func (s *Sessions[T]) livesEnded(n int, err error) {
	s.config.Observe(Event{Kind: KindUnavailable, Reason: fmt.Sprintf("%d live responses ended unconfirmed", n), Err: err})
}

// live is the context of one response. It is a type of its own because those of
// package context take twice the memory.
type live struct {
	context.Context // the request's
	done            chan struct{}

	mu    sync.Mutex
	cause error                // why it ended; nil: it has not
	after map[*func()]struct{} // to call then
}

// Why a live context ended. Each is made once, since many end at a time.
var (
	liveEnded       = canceled(ErrEnded)
	liveExpired     = canceled(ErrExpired)
	liveUnavailable = canceled(ErrUnavailable)
)

func canceled(cause error) error { return fmt.Errorf("%w: %w", context.Canceled, cause) }

func newLive(ctx context.Context) *live { return &live{Context: ctx, done: make(chan struct{})} }

// Done implements [context.Context].
func (l *live) Done() <-chan struct{} { return l.done }

// Err implements [context.Context].
func (l *live) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	return l.Context.Err()
}

// AfterFunc lets the contexts that are made right from this one do without a
// goroutine: see [context.AfterFunc].
func (l *live) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		go f()
		return func() bool { return false }
	}
	if l.after == nil {
		l.after = make(map[*func()]struct{})
	}
	l.after[&f] = struct{}{}
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, waits := l.after[&f]
		delete(l.after, &f)
		return waits
	}
}

// end ends the context, unless it has ended.
func (l *live) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return
	}
	l.cause = cause
	close(l.done)
	for f := range l.after {
		go (*f)()
	}
	l.after = nil
}

// Format keeps what the request carries out of logs that print contexts.
func (l *live) Format(f fmt.State, _ rune) { io.WriteString(f, l.String()) }

// String is what a context derived from this one prints of it.
func (l *live) String() string { return "wafer.Live" }
