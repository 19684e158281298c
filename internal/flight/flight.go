// Package flight lets concurrent callers that need the same result share one
// call. It is golang.org/x/sync/singleflight with a context and type parameters,
// and nothing else.
package flight

import (
	"context"
	"errors"
	"sync"
)

// Group holds the calls in flight. The zero value is ready to use. A Group is
// safe for concurrent use.
type Group[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
}

type call[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// errAborted is the waiters' error if the call's function panicked or exited
// its goroutine.
var errAborted = errors.New("flight: the shared call did not finish")

// Do calls f and returns its result. If a call for the same key is in flight,
// Do waits for that call's result instead. ctx bounds only the waiting: a
// caller that runs f runs it to its end.
func (g *Group[K, V]) Do(ctx context.Context, key K, f func() (V, error)) (V, error) {
	g.mu.Lock()
	if c, found := g.calls[key]; found {
		g.mu.Unlock()
		select {
		case <-c.done:
			return c.value, c.err
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
	}
	c := &call[V]{done: make(chan struct{}), err: errAborted}
	if g.calls == nil {
		g.calls = make(map[K]*call[V])
	}
	g.calls[key] = c
	g.mu.Unlock()

	defer func() {
		g.mu.Lock()
		delete(g.calls, key)
		g.mu.Unlock()
		close(c.done)
	}()
	c.value, c.err = f()
	return c.value, c.err
}
