package redis

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// onServer calls do with the client of the server that holds the store, and again
// if the slot has moved. It returns at the latest when ctx ends, and do may then
// still be running: the caller may read the results of do only if onServer returns
// no error.
func (s *Store) onServer(ctx context.Context, do func(ctx context.Context, node *goredis.Client) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.tryServers(ctx, do) }()
	select {
	case err := <-done:
		// A connection may notice the context's deadline before the context does.
		if d, ok := ctx.Deadline(); ok && err != nil && !isReply(err) && !time.Now().Before(d) {
			return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) tryServers(ctx context.Context, do func(ctx context.Context, node *goredis.Client) error) error {
	for move := 0; ; move++ {
		node, err := s.servers.get(ctx)
		if err != nil {
			return err
		}
		err = do(ctx, node)
		addr, moved := goredis.IsMovedError(err)
		switch {
		case err == nil:
			return nil
		case moved && move < maxMoves:
			s.servers.follow(node, addr)
			continue
		}
		s.servers.failed(node, err)
		return err
	}
}

// direct runs one read-only command, without a script.
func (s *Store) direct(ctx context.Context, args ...any) (any, error) {
	var reply any
	err := s.onServer(ctx, func(ctx context.Context, node *goredis.Client) error {
		var err error
		reply, err = node.Do(ctx, args...).Result()
		return err
	})
	if err != nil {
		return nil, err // a late reply may still be written to reply
	}
	return reply, nil
}
