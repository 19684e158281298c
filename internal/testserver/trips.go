package testserver

import (
	"context"
	"net"
	"sync"
)

// Trips counts the round trips on all connections that Dial opens. A connection
// begins one when it writes for the first time, or after it has read. Trips is safe
// for concurrent use.
type Trips struct {
	mu sync.Mutex
	n  int
}

// Dial connects like [net.Dialer.DialContext].
func (c *Trips) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn, trips: c}, nil
}

// Count returns the number of round trips so far.
func (c *Trips) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

type countedConn struct {
	net.Conn
	trips   *Trips
	waiting bool // for what was written; trips.mu guards it
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.trips.mu.Lock()
	if !c.waiting {
		c.trips.n++
	}
	c.waiting = true
	c.trips.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.trips.mu.Lock()
	c.waiting = false
	c.trips.mu.Unlock()
	return n, err
}
