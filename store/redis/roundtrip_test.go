package redis_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// ran returns how often a server has run each command, except INFO.
func ran(t *testing.T, client *goredis.Client) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for name, stat := range client.InfoMap(t.Context(), "commandstats").Val()["Commandstats"] {
		if name = strings.TrimPrefix(name, "cmdstat_"); name != "info" {
			n, _, _ := strings.Cut(strings.TrimPrefix(stat, "calls="), ",")
			all[name] = n
		}
	}
	return all
}

// TestRoundTrips: an advance and a copy each cost one round trip and the commands that
// the README lists, whether they are written or not.
func TestRoundTrips(t *testing.T) {
	defer redis.SweepOften(1 << 60)() // never
	defer redis.ShortLives(time.Hour)()
	server := testserver.Redis(t, "--appendonly", "no")
	admin := clientOf(t, server)
	var counted testserver.Trips
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Dialer: counted.Dial})
	defer client.Close()
	db := open(t, client, redis.Options{})
	ctx := t.Context()
	id := create(t, db, "alice")
	advance := func(g uint32) func() (store.Snapshot, error) {
		return func() (store.Snapshot, error) { return db.Advance(ctx, store.Advance{ID: id, Generation: g}) }
	}
	reissue := func(g uint32) func() (store.Snapshot, error) {
		return func() (store.Snapshot, error) { return db.Reissue(ctx, store.Reissue{ID: id, Generation: g}) }
	}
	written := map[string]string{"role": "1", "evalsha": "1", "exists": "1", "hmget": "1", "time": "1", "get": "1", "hget": "1", "set": "1"}
	unwritten := maps.Clone(written)
	delete(unwritten, "set")
	// The server then has both scripts.
	for _, call := range []func() (store.Snapshot, error){advance(1), reissue(1)} {
		if s, err := call(); err != nil || s.Outcome != store.Written {
			t.Fatal(s.Outcome, err)
		}
	}
	for _, c := range []struct {
		name    string
		call    func() (store.Snapshot, error)
		outcome store.Outcome
		costs   map[string]string
	}{
		{"an advance", advance(2), store.Written, written},
		{"an advance again", advance(2), store.Unwritten, unwritten},
		{"a raised position", func() (store.Snapshot, error) {
			return db.Advance(ctx, store.Advance{ID: id, Generation: 3, PositionOnly: true})
		}, store.Written, written},
		{"a copy", reissue(2), store.Written, written},
		{"a copy of another generation", reissue(1), store.Unwritten, unwritten},
	} {
		must(t, admin.ConfigResetStat(ctx).Err())
		before := counted.Count()
		s, err := c.call()
		if n := counted.Count() - before; err != nil || s.Outcome != c.outcome || n != 1 {
			t.Errorf("%s: %d round trips, %v, %v; want 1, %v", c.name, n, s.Outcome, err, c.outcome)
		}
		got := ran(t, admin)
		delete(got, "config|resetstat")
		if !maps.Equal(got, c.costs) {
			t.Errorf("%s: the server ran %v; want %v", c.name, got, c.costs)
		}
	}
}
