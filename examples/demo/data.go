package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/store/postgres"
	"github.com/waferkit/wafer/store/redis"
	"github.com/waferkit/wafer/store/sqlite"
)

// openRing opens the key ring of a data directory. Only the first start makes
// the ring and its keeper's key. A ring whose key is lost must not be replaced
// silently.
func openRing(ctx context.Context, dir string, now time.Time) (*keyring.Ring, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "ring")
	source := keyring.File(path)
	keeper, err := keyring.OpenKeeper(path + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(path); err == nil {
			return nil, fmt.Errorf("%s is there, but its key %s.key is gone: put it back, or remove both to begin anew (everyone is logged out)", path, path)
		}
		keeper, err = keyring.CreateKeeper(path + ".key")
		if errors.Is(err, fs.ErrExist) { // another demo was faster
			keeper, err = keyring.OpenKeeper(path + ".key")
		}
	}
	if err != nil {
		return nil, err
	}
	ring, err := keyring.Open(ctx, source, keeper)
	if !errors.Is(err, keyring.ErrAbsent) {
		return ring, err
	}
	ring, err = keyring.Create(ctx, source, keeper, now, keyring.Schedule{})
	if errors.Is(err, keyring.ErrExists) {
		return keyring.Open(ctx, source, keeper)
	}
	if err == nil {
		slog.Info("made a new key ring", "path", path)
	}
	return ring, err
}

// storeNames lists the forms of the -store flag.
const storeNames = "memory:, sqlite:FILE, redis://HOST:PORT/0 or postgres://USER@HOST/DATABASE"

// openStore opens the engine that a -store flag names, and returns its closer.
// Without a name it opens SQLite in the data directory.
func openStore(ctx context.Context, name, dir string) (store.Store, io.Closer, error) {
	if name == "" {
		name = "sqlite:" + filepath.Join(dir, "wafer.db")
	}
	engine, rest, _ := strings.Cut(name, ":")
	switch {
	case engine == "memory" && rest == "":
		return memory.New(memory.Options{}), io.NopCloser(nil), nil
	case engine == "sqlite" && rest != "":
		db, err := sqlite.Open(ctx, rest, sqlite.Options{})
		return db, db, err
	case engine == "redis" || engine == "rediss":
		db, err := redis.OpenURL(ctx, name, redis.Options{})
		return db, db, err
	case engine == "postgres" || engine == "postgresql":
		db, err := postgres.OpenURL(ctx, name, postgres.Options{})
		return db, db, err
	}
	return nil, nil, fmt.Errorf("-store names no engine: want %s", storeNames) // the message omits the name, which may contain a password
}
