package wafer

import (
	"context"
	"fmt"
	"net/http"

	"github.com/waferkit/wafer/internal/live"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Live returns a context for a long-lived response, such as server-sent events
// or a WebSocket. It ends with the request, and when the session ends, passes
// its limits, or cannot be confirmed. Its Err then matches [context.Canceled]
// and one of these:
//
//   - [ErrEnded] if the session was ended or revoked. This node ends the context
//     at once, every other node within MaxStaleness.
//   - [ErrExpired] if the session is past its limits. At the deadline the store
//     is asked first whether another request has refreshed the session.
//   - [ErrUnavailable] if the store did not answer a query that was needed: at
//     the deadline, after a revocation of the subject (which this session may
//     have survived), or while this node is out of touch with the log for longer
//     than MaxStaleness. Also if Close was called.
//   - [ErrNoSession] if the request has no session. The context is done already.
//
// An open context does not keep its session from becoming idle; only requests
// do. It costs some 400 bytes and no goroutine. Done closes up to a second after
// a deadline or the end of the request itself.
func (s *Sessions[T]) Live(r *http.Request) context.Context {
	session, err := s.Get(r.Context())
	if err != nil {
		return live.Canceled(r.Context(), err)
	}
	h := session.header()
	ctx := s.live.Add(r.Context(), &h)
	// The list is checked after Add, so no entry falls in between: one that was
	// applied since the request was judged counts here, later ones in the set.
	id := store.ID(h.ID)
	good := func(subject string) bool {
		return s.node.Check(s.config.Now(), id, subject, store.Position(h.Position)) == revocation.Good
	}
	actor := h.Actor.Text()
	switch {
	case s.node.Ended(id):
		s.live.End(id)
	case !good(h.Subject.Text()) || actor != "" && !good(actor):
		s.live.Recheck(id) // it may have survived
	}
	return ctx
}

// inTouch reports whether this node follows the log, so that no entry is missed.
func (s *Sessions[T]) inTouch() bool {
	return !s.config.NoReplica && s.node.State(s.config.Now()) == revocation.Fresh
}

func (s *Sessions[T]) catchUp(ctx context.Context) bool {
	return !s.config.NoReplica && s.node.CatchUp(ctx) == nil && s.inTouch()
}

func (s *Sessions[T]) liveEnded(n int, err error) {
	s.config.Observe(Event{Kind: KindUnavailable, Reason: fmt.Sprintf("%d live responses ended unconfirmed", n), Err: err})
}
