package postgres

import (
	"context"
	"sync"
)

// turns bounds how many calls run at a time, and lets one of each key run. The
// others of a key wait for that one and not for a place among all, so that one
// account with very many calls delays another's by no more than one of its own.
type turns struct {
	all chan struct{}
	mu  sync.Mutex
	of  map[string]*turn
}

// turn is that of a key. It is forgotten when no call has or wants it.
type turn struct {
	held  chan struct{}
	calls int
}

func newTurns(n int) *turns { return &turns{all: make(chan struct{}, n), of: make(map[string]*turn)} }

// begin waits for the turn of a key. The caller calls end, unless begin returns the
// context's error.
func (t *turns) begin(ctx context.Context, key string) (end func(), err error) {
	t.mu.Lock()
	mine := t.of[key]
	if mine == nil {
		mine = &turn{held: make(chan struct{}, 1)}
		t.of[key] = mine
	}
	mine.calls++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.calls--; mine.calls == 0 {
			delete(t.of, key)
		}
	}
	select {
	case mine.held <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		<-mine.held
		leave()
		return nil, ctx.Err()
	}
	return func() {
		<-t.all
		<-mine.held
		leave()
	}, nil
}
