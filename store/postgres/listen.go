package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// channel is the channel that the schema's functions notify. The payload is
	// the schema's name.
	channel = "wafer"
	// probeEvery is how often a listener sends itself a notice through the pool. A
	// connection that is dead, or a pooler's, receives nothing and returns no
	// error.
	probeEvery = 15 * time.Second
	// reconnectAfter bounds how long a listener waits after it has lost its
	// connection.
	reconnectAfter = 5 * time.Second
)

// listen receives notices on a connection of its own until ctx ends. While it has no
// working connection, polling goes on at its usual pace.
func (s *Store) listen(ctx context.Context) {
	for {
		_ = s.listenOnce(ctx) // the error needs no report: polling goes on
		s.listening.Store(false)
		select {
		case <-ctx.Done():
			return
		case <-time.After(reconnectAfter/2 + mathrand.N(reconnectAfter/2)):
		}
	}
}

func (s *Store) listenOnce(ctx context.Context) error {
	pool := s.pool.Config()
	config := pool.ConnConfig.Copy()
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, config); err != nil {
			return err
		}
	}
	short, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(short, config)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(end)
	}()
	if _, err := conn.Exec(short, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		if err := s.probe(ctx, conn); err != nil {
			return err
		}
		until, cancel := context.WithTimeout(ctx, probeEvery)
		err := s.receive(until, conn, s.options.Schema)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// probe sends a notice through the pool, and returns nil when it has arrived.
func (s *Store) probe(ctx context.Context, conn *pgx.Conn) error {
	payload := "proof " + rand.Text()
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if _, err := s.pool.Exec(ctx, "SELECT pg_notify($1::text, $2::text)", channel, payload); err != nil {
		return err
	}
	if err := s.receive(ctx, conn, payload); err != nil {
		return err
	}
	s.listening.Store(true)
	s.notifier.Notify() // of entries from before the connection listened
	return nil
}

// receive wakes all waiting callers at each of the schema's notices. It returns nil at
// a notice whose payload is last and not the schema's name. It returns an error if
// ctx ends or the connection fails.
func (s *Store) receive(ctx context.Context, conn *pgx.Conn, last string) error {
	for {
		notice, err := conn.WaitForNotification(ctx)
		switch {
		case err != nil:
			return err
		case notice.Payload == s.options.Schema:
			s.notifier.Notify()
		case notice.Payload == last:
			return nil
		}
	}
}
