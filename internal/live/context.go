// Package live ends the contexts of long-lived responses, such as server-sent
// events, together with their sessions.
package live

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/waferkit/wafer/internal/sentinel"
)

// Context is the context of one response. A type of its own takes half the
// memory of a context made by package context.
type Context struct {
	context.Context // the request's
	done            chan struct{}

	mu    sync.Mutex
	cause error                // nil while the context is not done
	after map[*func()]struct{} // functions to call when it is done
}

// The causes for which a live context ends. Each value is made once, since many contexts end at
// a time.
var (
	errEnded       = canceled(sentinel.ErrEnded)
	errExpired     = canceled(sentinel.ErrExpired)
	errUnavailable = canceled(sentinel.ErrUnavailable)
)

func canceled(cause error) error { return fmt.Errorf("%w: %w", context.Canceled, cause) }

// Canceled returns a context that is already done, because of cause.
func Canceled(ctx context.Context, cause error) *Context {
	c := newContext(ctx)
	c.end(canceled(cause))
	return c
}

func newContext(ctx context.Context) *Context {
	return &Context{Context: ctx, done: make(chan struct{})}
}

// Done implements [context.Context].
func (c *Context) Done() <-chan struct{} { return c.done }

// Err implements [context.Context].
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	return c.Context.Err()
}

// AfterFunc saves a goroutine for each context derived directly from this one:
// see [context.AfterFunc].
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waits := c.after[&f]
		delete(c.after, &f)
		return waits
	}
}

// end ends the context if it has not ended yet.
func (c *Context) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = cause
	close(c.done)
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// Format keeps the request's values out of logs that print contexts.
func (c *Context) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// String returns the name that a derived context prints for this one.
func (c *Context) String() string { return "wafer.Live" }
