package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
	"github.com/waferkit/wafer/store/redis"
	"github.com/waferkit/wafer/store/sqlite"
)

const storeNames = "sqlite:FILE, redis://…[#NAME], postgres://…[#SCHEMA], or env:VARIABLE that holds one of them, which keeps a password from the list of processes"

// engine is a store that must be closed.
type engine interface {
	store.Store
	io.Closer
}

// openStore opens the store that --store names. It never makes a store: with a
// mistyped name, a revocation would go to a new and empty one, in vain.
func (f *flags) openStore(ctx context.Context) (store.Store, io.Closer, error) {
	db, err := f.openEngine(ctx)
	if err != nil {
		return nil, nil, err
	}
	return db, db, nil
}

func (f *flags) openEngine(ctx context.Context) (engine, error) {
	name := f.db
	if name == "" {
		return nil, f.usageError("--store is missing")
	}
	kind, rest, _ := strings.Cut(name, ":")
	if kind == "env" && rest != "" {
		if name = f.env.getenv(rest); name == "" {
			return nil, errors.New("the variable that --store names is empty") // not its name: that may be a URL in the wrong place
		}
		kind, rest, _ = strings.Cut(name, ":")
	}
	address, part, _ := strings.Cut(name, "#")
	if strings.Contains(part, "@") {
		return nil, f.usageError("--store has an @ behind its #: write the # of a password as %%23")
	}
	switch {
	case kind == "sqlite" && rest != "":
		if strings.Contains(rest, "://") {
			return nil, f.usageError("--store is sqlite: and the URL of a server: want %s", storeNames)
		}
		if _, err := os.Stat(rest); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no store at %s", rest)
		}
		return asEngine(sqlite.Open(ctx, rest, sqlite.Options{}))
	case kind == "redis" || kind == "rediss":
		goredis.SetLogger(discardLogger{})
		// doctor reports what Open would log.
		return asEngine(redis.OpenURL(ctx, address, redis.Options{Name: part, MustExist: true, Logger: slog.New(slog.DiscardHandler)}))
	case kind == "postgres" || kind == "postgresql":
		return asEngine(postgres.OpenURL(ctx, address, postgres.Options{Schema: part, MustExist: true}))
	}
	return nil, f.usageError("--store names no engine: want %s", storeNames) // the message omits the name, which may contain a password
}

// asEngine returns a nil interface on an error, in place of a nil pointer in one.
func asEngine[E engine](db E, err error) (engine, error) {
	if err != nil {
		return nil, err
	}
	return db, nil
}

// discardLogger keeps the Redis client's own log off standard error. It repeats
// the errors.
type discardLogger struct{}

func (discardLogger) Printf(context.Context, string, ...any) {}
