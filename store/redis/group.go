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
	// gatherers is how many groups of calls are on their way at once: while the
	// server works on one, another is read or written.
	gatherers = 2
	// maxGroup bounds how many calls share a group.
	maxGroup = 128
)

// gatherer sends the calls that wait together, as one pipeline: 64 callers cost
// a few round trips instead of 64. A call waits for others only while all groups
// are on their way.
type gatherer struct {
	servers  *servers
	replicas int
	timeout  time.Duration
	file     bool // WAITAOF instead of WAIT
	queue    chan *call
	closed   chan struct{}
}

// call is one run of a script.
type call struct {
	ctx    context.Context
	script *script
	args   string // packed
	more   []any
	write  bool

	reply any
	err   error
	done  chan struct{}
}

func newGatherer(s *servers, o Options, file bool) *gatherer {
	return &gatherer{
		servers: s, replicas: o.Replicas, timeout: o.ReplicaTimeout, file: file,
		queue: make(chan *call, maxGroup), closed: make(chan struct{}),
	}
}

func (g *gatherer) start(ctx context.Context, done *sync.WaitGroup) {
	for range gatherers {
		done.Go(func() { g.run(ctx) })
	}
	done.Go(func() {
		<-ctx.Done()
		close(g.closed)
	})
}

// do runs a call and returns its reply. A caller that gives up before its call
// is sent leaves nothing behind; after that the call goes on, and the caller
// does not learn of its end.
func (g *gatherer) do(c *call) (any, error) {
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
		// The last group may have had it.
		select {
		case <-c.done:
			return c.reply, c.err
		default:
			return nil, errClosed
		}
	}
}

func (g *gatherer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-g.queue:
			g.send(ctx, g.group(c))
		}
	}
}

// group takes what waits already, and waits for nobody.
func (g *gatherer) group(first *call) []*call {
	group := []*call{first}
	for len(group) < maxGroup {
		select {
		case c := <-g.queue:
			group = append(group, c)
		default:
			return group
		}
	}
	return group
}

// send runs a group, and again what was refused without having been executed: by
// a server that does not know the script, or that does not hold the slot.
func (g *gatherer) send(ctx context.Context, group []*call) {
	live := group[:0]
	for _, c := range group {
		if c.err = c.ctx.Err(); c.err != nil {
			close(c.done) // it gave up before anything was done
			continue
		}
		live = append(live, c)
	}
	text := false // EVAL, which brings the script, instead of EVALSHA
	for move := 0; len(live) > 0; move++ {
		node, err := g.servers.get(ctx)
		if err != nil {
			finish(live, err)
			return
		}
		g.pipeline(ctx, node, live, text)
		again := live[:0:0]
		for _, c := range live {
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
		live = again
	}
}

func finish(group []*call, err error) {
	for _, c := range group {
		c.err = err
		close(c.done)
	}
}

// pipeline sends a group and takes in the answers.
func (g *gatherer) pipeline(ctx context.Context, node *goredis.Client, group []*call, text bool) {
	// Not the engine's context: what is sent when it closes is cut off with its
	// connection, and no sooner.
	ctx = context.WithoutCancel(ctx)
	pipe := node.Pipeline()
	role := askRole(ctx, pipe)
	answers := make([]*goredis.Cmd, len(group))
	written := false
	for i, c := range group {
		command, name := "EVALSHA", c.script.sha
		if text {
			command, name = "EVAL", c.script.text
		}
		args := append([]any{command, name, 1, g.servers.key, c.args}, c.more...)
		answers[i] = pipe.Do(ctx, args...)
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
	_, _ = pipe.Exec(ctx) // each command has its error
	demoted := notMaster(role)
	var short error
	if confirmed != nil {
		short = g.short(confirmed)
	}
	for i, c := range group {
		c.reply, c.err = answers[i].Result()
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

// short is the error of a write that too few replicas have.
func (g *gatherer) short(confirmed *goredis.Cmd) error {
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

// isReply reports whether an error is the server's answer, and not one of the
// connection.
func isReply(err error) bool {
	var answer goredis.Error
	return errors.As(err, &answer)
}
