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
	// channel is what the schema's functions notify, with the schema's name.
	channel = "wafer"
	// proveEvery is how often a listener sends itself a notice by way of the
	// pool: a connection that is dead, or a pooler's, hears nothing and says
	// nothing.
	proveEvery = 15 * time.Second
	// listenAgain is how long it waits after a connection was lost, at most.
	listenAgain = 5 * time.Second
)

// listenAlways hears of news on a connection of its own until ctx ends.
// Whenever it does not, polling goes on at its usual pace.
func (s *Store) listenAlways(ctx context.Context) {
	for {
		_ = s.listenOnce(ctx) // polling finds out what there is to say
		s.listening.Store(false)
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenAgain/2 + mathrand.N(listenAgain/2)):
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
		if err := s.prove(ctx, conn); err != nil {
			return err
		}
		until, cancel := context.WithTimeout(ctx, proveEvery)
		err := s.hear(until, conn, s.options.Schema)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// prove returns when a notice that was sent through the pool has arrived.
func (s *Store) prove(ctx context.Context, conn *pgx.Conn) error {
	proof := "proof " + rand.Text()
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if _, err := s.pool.Exec(ctx, "SELECT pg_notify($1::text, $2::text)", channel, proof); err != nil {
		return err
	}
	if err := s.hear(ctx, conn, proof); err != nil {
		return err
	}
	s.listening.Store(true)
	s.notifier.Notify() // what came before it listened
	return nil
}

// hear wakes everybody at each of the schema's notices, and returns at one that
// is not the schema's and equals last, or when ctx ends.
func (s *Store) hear(ctx context.Context, conn *pgx.Conn, last string) error {
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
