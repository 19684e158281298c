package redis_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// lines is a log that is read while it is written.
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

// TestSettingsAreWatched: who makes the server evict keys after Open is told so,
// once, and so is who makes housekeeping fail.
func TestSettingsAreWatched(t *testing.T) {
	t.Cleanup(redis.LookOften(50 * time.Millisecond))
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
	time.Sleep(3 * time.Second) // two looks at least: it tidies about once a second
	must(t, client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	eventually(t, "the all-clear", func() bool { return log.count("right again") == 1 })
	must(t, db.Announce(t.Context(), store.Announcement{Access: time.Minute, Absolute: time.Hour}))
	must(t, client.Set(t.Context(), "{wafer}:forget", "of another type", 0).Err())
	eventually(t, "a warning", func() bool { return log.count("housekeeping fails") > 0 })
	time.Sleep(2 * time.Second)
	must(t, client.Del(t.Context(), "{wafer}:forget").Err())
	eventually(t, "the all-clear", func() bool { return log.count("housekeeping goes on") == 1 })
	if n := log.count("housekeeping fails"); n != 1 || log.count("WRONGTYPE") != 1 {
		t.Errorf("told %d times: %s", n, log.text.String())
	}
}
