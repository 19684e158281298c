package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/boj/redistore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
)

// Servers are a redis-server and a postgres that were started for the
// benchmarks, each on a free port of the loopback interface.
type Servers struct {
	// Redis keeps its data in memory alone, as a cache of sessions does.
	// Durable synchronises each write to the disk, as Postgres does and as
	// wafer requires. Reads cost the same on both.
	Redis, Durable, Postgres *testserver.Server

	dir    string
	closes []func()
}

// StartServers starts the servers, with their data in a new directory below the
// system's directory for temporary files. The caller closes them.
func StartServers() (s *Servers, err error) {
	s = new(Servers)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("app: starting the servers: %w", err), s.Close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "wafer-bench-"); err != nil {
		return s, err
	}
	// postgres runs as another user if this process is root.
	if err = os.Chmod(s.dir, 0o755); err != nil {
		return s, err
	}
	sub := func(name string) string {
		path := filepath.Join(s.dir, name)
		err = errors.Join(err, os.Mkdir(path, 0o755))
		return path
	}
	memory, durable, postgres := sub("redis"), sub("durable"), sub("postgres")
	if err != nil {
		return s, err
	}
	if s.Redis, err = testserver.StartRedis(memory, "--appendonly", "no"); err != nil {
		return s, err
	}
	s.closes = append(s.closes, s.Redis.Kill)
	if s.Durable, err = testserver.StartRedis(durable); err != nil {
		return s, err
	}
	s.closes = append(s.closes, s.Durable.Kill)
	if s.Postgres, err = testserver.StartPostgres(postgres); err != nil {
		return s, err
	}
	s.closes = append(s.closes, s.Postgres.Kill)
	return s, nil
}

// Close stops the servers and removes their data.
func (s *Servers) Close() error {
	for i := len(s.closes) - 1; i >= 0; i-- {
		s.closes[i]()
	}
	return os.RemoveAll(s.dir)
}

// SCSRedis returns the application on scs over its store for Redis.
func (s *Servers) SCSRedis() *App {
	c := redis.NewClient(&redis.Options{Addr: s.Redis.Addr})
	s.closes = append(s.closes, func() { c.Close() })
	return SCS("scs Redis", goredisstore.New(c))
}

// SCSPostgres returns the application on scs over its store for Postgres, with
// the table from that store's README.
func (s *Servers) SCSPostgres(ctx context.Context) (*App, error) {
	pool, err := pgxpool.New(ctx, s.Postgres.PostgresURL("postgres", "postgres"))
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL);
		CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)`)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.closes = append(s.closes, pool.Close)
	// Its cleaner, which runs every five minutes, cannot be stopped without a
	// race.
	return SCS("scs Postgres", pgxstore.NewWithCleanupInterval(pool, 0)), nil
}

// GorillaRedis returns the application on gorilla/sessions over redistore.
func (s *Servers) GorillaRedis() (*App, error) {
	keys := make([]byte, 64+32)
	rand.Read(keys)
	db, err := redistore.NewRediStore(16, "tcp", s.Redis.Addr, "", "", keys[:64], keys[64:])
	if err != nil {
		return nil, err
	}
	s.closes = append(s.closes, func() { db.Close() })
	return Gorilla("gorilla Redis", db), nil
}
