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
func (n *news) listenAlways(ctx context.Context) {
	for {
		_ = n.listenOnce(ctx) // polling finds out what there is to say
		n.hears(false)
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenAgain/2 + mathrand.N(listenAgain/2)):
		}
	}
}

func (n *news) hears(told bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = told
}

func (n *news) listenOnce(ctx context.Context) error {
	pool := n.s.pool.Config()
	config := pool.ConnConfig.Copy()
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, config); err != nil {
			return err
		}
	}
	short, cancel := context.WithTimeout(ctx, n.s.options.Timeout)
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
		if err := n.prove(ctx, conn); err != nil {
			return err
		}
		until, cancel := context.WithTimeout(ctx, proveEvery)
		err := n.hear(until, conn, n.s.options.Schema)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// prove returns when a notice that was sent through the pool has arrived.
func (n *news) prove(ctx context.Context, conn *pgx.Conn) error {
	proof := "proof " + rand.Text()
	ctx, cancel := context.WithTimeout(ctx, n.s.options.Timeout)
	defer cancel()
	if _, err := n.s.pool.Exec(ctx, "SELECT pg_notify($1::text, $2::text)", channel, proof); err != nil {
		return err
	}
	if err := n.hear(ctx, conn, proof); err != nil {
		return err
	}
	n.hears(true)
	n.tell() // what came before it listened
	return nil
}

// hear wakes everybody at each of the schema's notices, and returns at one that
// is not the schema's and equals last, or when ctx ends.
func (n *news) hear(ctx context.Context, conn *pgx.Conn, last string) error {
	for {
		notice, err := conn.WaitForNotification(ctx)
		switch {
		case err != nil:
			return err
		case notice.Payload == n.s.options.Schema:
			n.tell()
		case notice.Payload == last:
			return nil
		}
	}
}
