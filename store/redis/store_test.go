package redis_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
	"github.com/waferkit/wafer/store/storetest"
)

func server(t testing.TB, args ...string) string {
	sock := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command("redis-server", append([]string{"--port", "0", "--unixsocket", sock, "--save", "", "--dir", t.TempDir()}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	c := goredis.NewClient(&goredis.Options{Network: "unix", Addr: sock})
	defer c.Close()
	for range 100 {
		if c.Ping(t.Context()).Err() == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return sock
}

var count atomic.Int64

func TestStore(t *testing.T) {
	sock := server(t, "--appendonly", "no")
	client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: sock})
	t.Cleanup(func() { client.Close() })
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		name := fmt.Sprintf("n%d", count.Add(1))
		var handles []*redis.Store
		open := func(t *testing.T) store.Store {
			db, err := redis.Open(t.Context(), client, redis.Options{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			handles = append(handles, db)
			return db
		}
		return storetest.Engine{
			Store:  open(t),
			Reopen: open,
			Restart: func(t *testing.T) store.Store {
				for _, h := range handles {
					h.Close()
				}
				return open(t)
			},
		}
	})
}
