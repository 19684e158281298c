package redis_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// TestSettingsAreWatched: if the server is made to evict keys after Open, that is
// logged once. So is a failure of housekeeping.
func TestSettingsAreWatched(t *testing.T) {
	t.Cleanup(redis.SweepOften(10 * time.Millisecond))
	client := clientOf(t, testserver.Redis(t))
	var log lines
	db, err := redis.Open(t.Context(), client, redis.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer closed(t, db)
	must(t, client.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	eventually(t, "an error in the log", func() bool { return log.count("level=ERROR") > 0 })
	if log.count("allkeys-lru") != 1 || log.count("noeviction") == 0 {
		t.Errorf("the log: %s", log.text.String())
	}
	reads := calls(t, client, "config|get") // there is no further log line after further reads
	eventually(t, "further reads", func() bool { return calls(t, client, "config|get") > reads+4 })
	must(t, client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	eventually(t, "the all-clear", func() bool { return log.count("right again") == 1 })
	announce(t, db, store.Announcement{Access: time.Minute, Absolute: time.Hour})
	must(t, client.Set(t.Context(), "{wafer}:forget", "of another type", 0).Err())
	eventually(t, "a warning", func() bool { return log.count("housekeeping fails") > 0 })
	steps := calls(t, client, "evalsha")
	eventually(t, "further steps of housekeeping", func() bool { return calls(t, client, "evalsha") > steps+2 })
	must(t, client.Del(t.Context(), "{wafer}:forget").Err())
	eventually(t, "the all-clear", func() bool { return log.count("housekeeping goes on") == 1 })
	if n := log.count("housekeeping fails"); n != 1 || log.count("WRONGTYPE") != 1 {
		t.Errorf("logged %d times: %s", n, log.text.String())
	}
}

// calls returns how often a server has run a command.
func calls(t *testing.T, client *goredis.Client, command string) int {
	t.Helper()
	info, err := client.InfoMap(t.Context(), "commandstats").Result()
	must(t, err)
	_, rest, _ := strings.Cut(info["Commandstats"]["cmdstat_"+command], "calls=")
	n := 0
	fmt.Sscan(rest, &n) // 0 if it was never called
	return n
}
