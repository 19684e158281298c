// Package load sends HTTP requests at a fixed rate and measures the time of
// each from the moment at which it was due. A server that stalls is charged
// with every request that had to wait for it, including those that a client
// that waits for its answers would not have sent. So there is no coordinated
// omission.
package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Plan describes the requests of a run.
type Plan struct {
	Addr     string // host:port of a server on the loopback interface
	Rate     int    // requests per second
	Duration time.Duration
	// Connections is the maximum number of concurrent requests. A request that
	// is due while all connections are busy waits, and its wait counts.
	Connections int
	// Requests are whole HTTP/1.1 requests, which are sent in turn.
	Requests [][]byte
	// Body is the body that each answer must have, with status 200.
	Body string
}

// Result is the result of a plan. The percentiles are of the times from the
// moment when a request was due to the moment when its answer had been read.
type Result struct {
	Sent             int
	Failed           int // no answer, or not the answer that the plan wants
	Elapsed          time.Duration
	P50, P90         time.Duration
	P99, P999, Worst time.Duration
	Error            error // the last failure, or nil
}

// Most is the maximum number of requests of a plan.
const Most = 2_000_000

// Run carries out a plan. The server must be on the loopback interface.
func Run(ctx context.Context, p Plan) (Result, error) {
	host, _, err := net.SplitHostPort(p.Addr)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return Result{}, fmt.Errorf("load: %q is not an address of the loopback interface (%v)", p.Addr, err)
	}
	total := int(float64(p.Rate) * p.Duration.Seconds())
	if total < 1 || total > Most || p.Connections < 1 || len(p.Requests) == 0 {
		return Result{}, fmt.Errorf("load: %d requests (want 1 to %d) over %d connections (want 1 or more) of %d kinds (want 1 or more)", total, Most, p.Connections, len(p.Requests))
	}
	ctx, cancel := context.WithTimeout(ctx, 3*p.Duration+10*time.Second)
	defer cancel()
	conns := make([]*conn, p.Connections)
	for i := range conns {
		if conns[i], err = dial(ctx, p.Addr); err != nil {
			return Result{}, fmt.Errorf("load: connection %d: %w", i+1, err)
		}
		defer conns[i].Close()
	}
	s := schedule{plan: p, took: make([]time.Duration, total), began: time.Now().Add(10 * time.Millisecond)}
	var wait sync.WaitGroup
	for _, c := range conns {
		wait.Go(func() { s.work(ctx, c) })
	}
	wait.Wait()
	return s.result(), nil
}

type schedule struct {
	plan  Plan
	began time.Time
	next  atomic.Int64
	took  []time.Duration // of each request; 0 if it failed

	failed  sync.Mutex
	failure error
}

// due returns when request i is due.
func (s *schedule) due(i int) time.Time {
	return s.began.Add(time.Duration(float64(i) / float64(s.plan.Rate) * float64(time.Second)))
}

// work sends the next request when it is due and waits for its answer, until
// all are sent.
func (s *schedule) work(ctx context.Context, c *conn) {
	for {
		i := int(s.next.Add(1) - 1)
		if i >= len(s.took) {
			return
		}
		due := s.due(i)
		time.Sleep(time.Until(due))
		err := c.ask(s.plan.Requests[i%len(s.plan.Requests)], s.plan.Body)
		if err == nil {
			s.took[i] = max(1, time.Since(due))
			continue
		}
		s.failed.Lock()
		s.failure = err
		s.failed.Unlock()
		if ctx.Err() != nil || c.again(ctx) != nil {
			return // its requests are left to the other connections
		}
	}
}

func (s *schedule) result() Result {
	r := Result{Sent: len(s.took), Error: s.failure, Elapsed: time.Since(s.began)}
	took := slices.DeleteFunc(s.took, func(d time.Duration) bool { return d == 0 })
	if r.Failed = r.Sent - len(took); len(took) == 0 {
		return r
	}
	slices.Sort(took)
	at := func(part float64) time.Duration { return took[min(len(took)-1, int(part*float64(len(took))))] }
	r.P50, r.P90, r.P99, r.P999, r.Worst = at(0.5), at(0.9), at(0.99), at(0.999), took[len(took)-1]
	return r
}

// conn is a connection that is kept alive. It costs as little as possible,
// since the client shares the machine with the server.
type conn struct {
	net.Conn
	addr string
	in   *bufio.Reader
	body []byte
}

func dial(ctx context.Context, addr string) (*conn, error) {
	c := &conn{addr: addr, body: make([]byte, 64<<10)}
	return c, c.again(ctx)
}

func (c *conn) again(ctx context.Context) (err error) {
	if c.Conn != nil {
		c.Close()
	}
	if c.Conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", c.addr); err != nil {
		return err
	}
	if d, ok := ctx.Deadline(); ok {
		c.SetDeadline(d)
	}
	c.in = bufio.NewReader(c.Conn)
	return nil
}

var errLarge = errors.New("load: the answer is larger than 64 KiB")

func (c *conn) ask(request []byte, want string) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.ReadFull(answer.Body, c.body)
	switch {
	case err == nil:
		return errLarge
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return err
	case answer.StatusCode != http.StatusOK || string(c.body[:n]) != want:
		return fmt.Errorf("load: answered %d %q, want 200 %q", answer.StatusCode, c.body[:n], want)
	}
	return nil
}
