package redis_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
	"github.com/waferkit/wafer/store/storetest"
)

// quiet discards warnings that a test does not check.
var quiet = slog.New(slog.DiscardHandler)

var names atomic.Int64

// newName returns a store name that no other test on a shared server uses.
func newName() string { return fmt.Sprintf("test-%d", names.Add(1)) }

func clientOf(t testing.TB, s *testserver.Server) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr})
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t testing.TB, client goredis.UniversalClient, o redis.Options) *redis.Store {
	t.Helper()
	o.Logger = quiet
	db, err := redis.Open(context.Background(), client, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, db) })
	return db
}

func closed(t testing.TB, db *redis.Store) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// suite runs the conformance suite over stores that open returns, all on the server of
// admin.
func suite(t *testing.T, admin goredis.UniversalClient, open func(t testing.TB, name string) *redis.Store) {
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		return engine(t, admin, open)
	})
}

func engine(t *testing.T, admin goredis.UniversalClient, open func(t testing.TB, name string) *redis.Store) storetest.Engine {
	name := newName()
	db := open(t, name)
	handles := []*redis.Store{db}
	return storetest.Engine{
		Store: db,
		Reopen: func(t *testing.T) store.Store {
			handles = append(handles, open(t, name))
			return handles[len(handles)-1]
		},
		Restart: func(t *testing.T) store.Store {
			for _, old := range handles {
				closed(t, old)
			}
			db = open(t, name)
			handles = []*redis.Store{db}
			return db
		},
		Backup: func(t *testing.T) func(t *testing.T) store.Store {
			copied := newName()
			copyKeys(t, admin, name, copied)
			return func(t *testing.T) store.Store { return open(t, copied) }
		},
		Tidy: func() {
			if err := db.Tidy(t.Context()); err != nil {
				t.Error(err)
			}
		},
		Families: func() int { return len(keys(t, admin, "{"+name+"}:f:*")) },
	}
}

// keys lists the keys of a small test server that match a pattern.
func keys(t testing.TB, admin goredis.UniversalClient, pattern string) []string {
	t.Helper()
	var list []string
	scan := func(ctx context.Context, c *goredis.Client) error {
		each := c.Scan(ctx, 0, pattern, 1000).Iterator()
		for each.Next(ctx) {
			list = append(list, each.Val())
		}
		return each.Err()
	}
	var err error
	if cluster, ok := admin.(*goredis.ClusterClient); ok {
		node, found := cluster.MasterForKey(context.Background(), pattern)
		if err = found; err == nil {
			err = scan(context.Background(), node)
		}
	} else {
		err = scan(context.Background(), admin.(*goredis.Client))
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// copyKeys makes a backup: it copies all of a store to another name.
func copyKeys(t testing.TB, admin goredis.UniversalClient, from, to string) {
	t.Helper()
	ctx := context.Background()
	for _, key := range keys(t, admin, "{"+from+"}:*") {
		data, err := admin.Dump(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		ttl, err := admin.PTTL(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		copied := "{" + to + "}" + strings.TrimPrefix(key, "{"+from+"}")
		if err := admin.Restore(ctx, copied, max(ttl, 0), data).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func openURL(t testing.TB, url, name string) *redis.Store {
	t.Helper()
	db, err := redis.OpenURL(context.Background(), url, redis.Options{Name: name, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, db) })
	return db
}

// TestStoreInCluster runs the conformance suite in a Cluster of three masters, among
// whose slots the stores' names are spread. It alternates between an application's
// ClusterClient and the URL of one node.
func TestStoreInCluster(t *testing.T) {
	suiteInParallel(t)
	nodes := sharedCluster(t)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	t.Cleanup(func() { client.Close() })
	var opened atomic.Int64
	suite(t, client, func(t testing.TB, name string) *redis.Store {
		if n := opened.Add(1); n%2 == 0 {
			return openURL(t, "redis://"+nodes[n/2%3].Addr, name)
		}
		return open(t, client, redis.Options{Name: name})
	})
}

// cursorAtHead returns the cursor of a reader that has read up to the head.
func cursorAtHead(b store.Batch) store.Cursor { return store.Cursor{Position: b.Head, ID: b.HeadID} }

// announce announces durations, of a node without a realm.
func announce(tb testing.TB, db store.Store, a store.Announcement) {
	tb.Helper()
	if p, err := db.Announce(context.Background(), a); err != nil || !p.Accepted {
		tb.Fatalf("%+v, %v", p, err)
	}
}

func newID() (id store.ID) {
	rand.Read(id[:])
	return id
}
