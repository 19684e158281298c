package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// The client is the application's. Its options are used, and it stays open.
func ExampleOpen() {
	ctx := context.Background()
	client := goredis.NewClient(&goredis.Options{Addr: "localhost:6379"})
	defer client.Close()

	db, err := redis.Open(ctx, client, redis.Options{})
	if err != nil {
		slog.Error(err.Error())
		return
	}
	defer db.Close()
	// sessions, err := wafer.New(ctx, ring, db, wafer.Config[Account]{…})
}

// A URL is enough if the application has no client of its own. Since returns as soon
// as any process revokes something.
func ExampleOpenURL() {
	ctx := context.Background()
	db, err := redis.OpenURL(ctx, os.Getenv("REDIS_URL"), redis.Options{Name: "shop-production"})
	if err != nil {
		slog.Error(err.Error())
		return
	}
	defer db.Close()
	b, err := db.Since(ctx, store.Cursor{}, 100, 10*time.Second)
	if err != nil {
		slog.Error(err.Error())
		return
	}
	for _, e := range b.Entries {
		fmt.Println(e.Kind, e.Reason)
	}
}
