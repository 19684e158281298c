package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// openRing opens the key ring of a data directory. The first start makes both
// the ring and its keeper's key; later ones never do: a ring whose key is lost
// must not be replaced in silence.
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

// openStore opens the engine that a -store flag names.
func openStore(name string) (store.Store, error) {
	engine, rest, _ := strings.Cut(name, ":")
	if engine == "memory" && rest == "" {
		return memory.New(memory.Options{}), nil
	}
	return nil, fmt.Errorf("-store %q: this demo knows memory: only", name)
}
