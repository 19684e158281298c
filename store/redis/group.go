package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// groupsInFlight is the number of groups that are sent at once: while the server
	// executes one, another is on the network.
	groupsInFlight = 2
	// maxGroup bounds the number of calls in a group, and of those that wait for one.
	maxGroup = 128
)

// groupSender sends the calls that wait as a group, in one pipeline: 64 callers
// cost a few round trips instead of 64. A call waits for others only while
// groupsInFlight groups are being sent.
type groupSender struct {
	servers  *servers
	replicas int
	timeout  time.Duration
	file     bool // wait with WAITAOF instead of WAIT
	most     int  // calls in a group
	queue    chan *call
	closed   chan struct{}
}

// call is one run of a script.
type call struct {
	ctx    context.Context
	script *script
	args   string // packed, the script's ARGV[1]
	more   []any
	write  bool

	reply any
	err   error
	done  chan struct{}
}

func newGroupSender(s *servers, o Options, file bool, most int) *groupSender {
	return &groupSender{
		servers: s, replicas: o.Replicas, timeout: o.ReplicaTimeout, file: file, most: most,
		queue: make(chan *call, maxGroup), closed: make(chan struct{}),
	}
}

func (g *groupSender) start(ctx context.Context, done *sync.WaitGroup) {
	for range groupsInFlight {
		done.Go(func() { g.run(ctx) })
	}
	done.Go(func() {
		<-ctx.Done()
		close(g.closed)
	})
}

// do runs a call and returns its reply. If the call's context ends before the call
// is sent, nothing is sent. If it ends later, the call continues and its result is
// lost.
func (g *groupSender) do(c *call) (any, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	c.done = make(chan struct{})
	select {
	case g.queue <- c:
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	case <-g.closed:
		return nil, errClosed
	}
	select {
	case <-c.done:
		return c.reply, c.err
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	case <-g.closed:
		// The last group may have included this call.
		select {
		case <-c.done:
			return c.reply, c.err
		default:
			return nil, errClosed
		}
	}
}

func (g *groupSender) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-g.queue:
			g.send(ctx, g.collect(c))
		}
	}
}

// collect returns a group of first and the calls that are already queued. It does
// not wait for more.
func (g *groupSender) collect(first *call) []*call {
	group := []*call{first}
	for len(group) < g.most {
		select {
		case c := <-g.queue:
			group = append(group, c)
		default:
			return group
		}
	}
	return group
}

// send runs a group. It repeats the calls that the server refused without executing
// them, because it did not have the script or does not hold the slot.
func (g *groupSender) send(ctx context.Context, group []*call) {
	pending := group[:0]
	for _, c := range group {
		if c.err = c.ctx.Err(); c.err != nil {
			close(c.done) // the caller gave up before anything was sent
			continue
		}
		pending = append(pending, c)
	}
	text := false // use EVAL, which includes the script's text, instead of EVALSHA
	for move := 0; len(pending) > 0; move++ {
		node, err := g.servers.get(ctx)
		if err != nil {
			fail(pending, err)
			return
		}
		g.pipeline(ctx, node, pending, text)
		again := pending[:0:0]
		for _, c := range pending {
			if move < maxMoves && goredis.HasErrorPrefix(c.err, "NOSCRIPT") {
				text = true
				again = append(again, c)
				continue
			}
			if addr, moved := goredis.IsMovedError(c.err); moved && move < maxMoves {
				g.servers.follow(node, addr)
				again = append(again, c)
				continue
			}
			if c.err != nil {
				g.servers.failed(node, c.err)
			}
			close(c.done)
		}
		pending = again
	}
}

func fail(group []*call, err error) {
	for _, c := range group {
		c.err = err
		close(c.done)
	}
}

// pipeline sends a group and stores the replies in its calls.
func (g *groupSender) pipeline(ctx context.Context, node *goredis.Client, group []*call, text bool) {
	// Not the store's context: when the store closes, a group that has been sent ends
	// with its connection, and not before.
	ctx = context.WithoutCancel(ctx)
	pipe := node.Pipeline()
	role := queryRole(ctx, pipe)
	replies := make([]*goredis.Cmd, len(group))
	written := false
	for i, c := range group {
		command, name := "EVALSHA", c.script.sha
		if text {
			command, name = "EVAL", c.script.text
		}
		args := append([]any{command, name, 1, g.servers.key, c.args}, c.more...)
		replies[i] = pipe.Do(ctx, args...)
		written = written || c.write
	}
	var confirmed *goredis.Cmd
	if written && g.replicas > 0 {
		ms := g.timeout.Milliseconds()
		if g.file {
			confirmed = pipe.Do(ctx, "WAITAOF", 1, g.replicas, ms)
		} else {
			confirmed = pipe.Do(ctx, "WAIT", g.replicas, ms)
		}
	}
	_, _ = pipe.Exec(ctx) // each command holds its own error
	demoted := checkMaster(role)
	var short error
	if confirmed != nil {
		short = g.replicaError(confirmed)
	}
	for i, c := range group {
		c.reply, c.err = replies[i].Result()
		if errors.Is(c.err, goredis.Nil) {
			c.reply, c.err = nil, nil
		}
		if c.err == nil && demoted != nil {
			c.reply, c.err = nil, demoted
		}
		if c.write && c.err == nil && c.reply != nil {
			c.err = short
		}
	}
}

// replicaError returns an error if too few replicas have confirmed a write.
func (g *groupSender) replicaError(confirmed *goredis.Cmd) error {
	file, replicas := int64(1), int64(0)
	var err error
	if g.file {
		var both []int64
		if both, err = confirmed.Int64Slice(); err == nil && len(both) == 2 {
			file, replicas = both[0], both[1]
		}
	} else {
		replicas, err = confirmed.Int64()
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrReplicas, err)
	case file < 1:
		return fmt.Errorf("%w: the server has not synchronised its append-only file within %v", ErrReplicas, g.timeout)
	case replicas < int64(g.replicas):
		return fmt.Errorf("%w: %d of %d within %v", ErrReplicas, replicas, g.replicas, g.timeout)
	}
	return nil
}

// isReply reports whether an error is a reply of the server, and not an error of
// the connection.
func isReply(err error) bool {
	var reply goredis.Error
	return errors.As(err, &reply)
}
