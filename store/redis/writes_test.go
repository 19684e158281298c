package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// appended returns the number of entries that the server has appended.
func appended(t testing.TB, admin goredis.UniversalClient) int {
	t.Helper()
	info, err := admin.Info(context.Background(), "commandstats").Result()
	must(t, err)
	_, rest, _ := strings.Cut(info, "cmdstat_xadd:calls=")
	var n int
	fmt.Sscan(rest, &n) // 0 if it was never called
	return n
}

// TestNoWriteIsRetried: a write whose reply is lost reaches the server exactly once,
// whatever the application's client would do.
func TestNoWriteIsRetried(t *testing.T) {
	server := testserver.Redis(t)
	nodes := sharedCluster(t)
	ids := make(map[string]*testserver.Proxy)
	for _, n := range nodes {
		ids[n.Addr] = testserver.NewProxy(t, n.Addr)
	}
	alone := testserver.NewProxy(t, server.Addr)
	for name, c := range map[string]struct {
		client  goredis.UniversalClient
		proxies []*testserver.Proxy
	}{
		"Client": {goredis.NewClient(&goredis.Options{Addr: alone.Addr, MaxRetries: 5}), []*testserver.Proxy{alone}},
		"ClusterClient": {goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: []string{nodes[0].Addr}, MaxRetries: 5, MaxRedirects: 8,
			Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, ids[addr].Addr)
			},
		}), []*testserver.Proxy{ids[nodes[0].Addr], ids[nodes[1].Addr], ids[nodes[2].Addr]}},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.client.Close()
			admins := []*goredis.Client{clientOf(t, server), clientOf(t, nodes[0]), clientOf(t, nodes[1]), clientOf(t, nodes[2])}
			all := func() (n int) {
				for _, a := range admins {
					n += appended(t, a)
				}
				return n
			}
			db := open(t, c.client, redis.Options{Name: newName()})
			lost := 0
			for round := 0; lost < 5; round++ {
				if round == 50 {
					t.Fatal("no answer was lost")
				}
				// After this call the server has the script, and the connection is open.
				_, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}})
				must(t, err)
				before := all()
				for _, p := range c.proxies {
					p.Once(testserver.LoseAnswer)
				}
				_, err = db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}})
				for _, p := range c.proxies {
					p.Set(testserver.Pass)
				}
				if err != nil {
					lost++ // otherwise the fault hit another connection
				}
				if n := all() - before; n != 1 {
					t.Fatalf("the server appended %d entries, and the call returned %v; want 1", n, err)
				}
			}
		})
	}
}

// TestScriptsAreFlushed: if the server loses the scripts, they are sent again, and no
// call fails.
func TestScriptsAreFlushed(t *testing.T) {
	client := clientOf(t, testserver.Redis(t, "--appendfsync", "no"))
	db := open(t, client, redis.Options{})
	stop := make(chan struct{})
	var flushing, wait sync.WaitGroup
	var flushes atomic.Int64
	flushing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := client.ScriptFlush(context.Background()).Err(); err != nil {
				t.Error(err)
				return
			}
			flushes.Add(1)
		}
	})
	for range 16 {
		wait.Go(func() {
			for range 30 {
				id := newID()
				c := store.Creation{ID: id, Subject: "alice", Idle: time.Hour, Absolute: time.Hour}
				if s, err := db.Create(t.Context(), c); err != nil || s.Outcome != store.Written {
					t.Errorf("create: %v, %v", s.Outcome, err)
				}
				if s, err := db.Advance(t.Context(), store.Advance{ID: id, Generation: 1}); err != nil || s.Outcome != store.Written {
					t.Errorf("advance: %v, %v", s.Outcome, err)
				}
				if s, err := db.Family(t.Context(), id); err != nil || s.Family.Generation != 2 {
					t.Errorf("family: generation %d, %v", s.Family.Generation, err)
				}
			}
		})
	}
	wait.Wait()
	close(stop)
	flushing.Wait()
	if flushes.Load() < 10 {
		t.Errorf("the scripts were flushed %d times", flushes.Load())
	}
}

// TestPromise1_Flush: callers that wait and callers that write detect within about a
// second that the log is lost, and the new log accepts nothing from before.
func TestPromise1_Flush(t *testing.T) {
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	id := newID()
	for name, call := range map[string]func(db *redis.Store) error{
		"Since": func(db *redis.Store) error {
			// The watch checks once a second. Otherwise the call would last until the
			// context ends.
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			b, err := db.Since(ctx, store.Cursor{}, 10, 0)
			if err == nil {
				b, err = db.Since(ctx, cursorAtHead(b), 10, time.Hour)
			}
			if err == nil && !b.Broken {
				err = fmt.Errorf("%+v", b)
			}
			return err
		},
		"Create": func(db *redis.Store) error {
			_, err := db.Create(t.Context(), store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour})
			return err
		},
		"Advance": func(db *redis.Store) error {
			s, err := db.Advance(t.Context(), store.Advance{ID: id, Generation: 1})
			if s.State != store.Absent {
				err = fmt.Errorf("it is %v", s.State)
			}
			return err
		},
		"Commit": func(db *redis.Store) error {
			_, err := db.Commit(t.Context(), store.Commit{ID: id, Value: []byte("v")})
			return err
		},
		"Reissue": func(db *redis.Store) error {
			s, err := db.Reissue(t.Context(), store.Reissue{ID: id, Generation: 1})
			if s.State != store.Absent {
				err = fmt.Errorf("it is %v", s.State)
			}
			return err
		},
		"Family": func(db *redis.Store) error { _, err := db.Family(t.Context(), id); return err },
		"Families": func(db *redis.Store) error {
			_, err := db.Families(t.Context(), store.Query{Subject: "alice", Limit: 10})
			return err
		},
		"Revoke": func(db *redis.Store) error {
			_, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{id}})
			return err
		},
		"Restore": func(db *redis.Store) error {
			_, err := db.Restore(t.Context(), store.Restoration{Above: 5, Entries: []store.Entry{{Kind: store.KindSession, Session: id, Position: 5}}})
			return err
		},
		"Cutoffs": func(db *redis.Store) error { _, err := db.Cutoffs(t.Context(), id, "alice"); return err },
		"Announce": func(db *redis.Store) error {
			_, err := db.Announce(t.Context(), store.Announcement{Access: time.Minute})
			return err
		},
		"LoadKeys": func(db *redis.Store) error { _, _, err := db.LoadKeys(t.Context()); return err },
		"SwapKeys": func(db *redis.Store) error {
			ok, err := db.SwapKeys(t.Context(), 0, []byte("x"))
			return errors.Join(err, map[bool]error{false: errors.New("not swapped")}[ok])
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, client, redis.Options{Name: newName()})
			before, err := db.Since(t.Context(), store.Cursor{}, 10, 0)
			must(t, err)
			if _, err := db.Create(t.Context(), store.Creation{ID: id, Subject: "alice", Idle: time.Hour, Absolute: time.Hour}); err != nil {
				t.Fatal(err)
			}
			// The head is a day ahead of the clock: the new log begins above it.
			s, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{newID()}, Above: before.Head + store.MaxAhead})
			must(t, err)
			if name == "Since" {
				done := make(chan error, 1)
				go func() { done <- call(db) }()
				eventually(t, "the call to wait", func() bool { return blocked(t, client) == 1 })
				must(t, client.FlushAll(t.Context()).Err())
				must(t, <-done)
			} else {
				must(t, client.FlushAll(t.Context()).Err())
				if err := call(db); err != nil {
					t.Error(err)
				}
			}
			b, err := db.Since(t.Context(), store.Cursor{}, 10, 0)
			must(t, err)
			if b.Log == before.Log || b.Floor != 0 || len(b.Entries) == 0 || b.Entries[0].Kind != store.KindEveryone || b.Entries[0].Previous != 0 || b.Entries[0].Position <= s.Head {
				t.Errorf("the new log is %v, floor %d, head %d after %d, entries %+v", b.Log, b.Floor, b.Head, s.Head, b.Entries)
			}
			if c, err := db.Cutoffs(t.Context(), id, "alice"); err != nil || c.Everyone != b.Entries[0].Position {
				t.Errorf("everyone is cut off at %d, %v", c.Everyone, err)
			}
		})
	}
}

// TestPromise1_LogAlone: if the log's key alone is lost, nothing of the rest is valid.
func TestPromise1_LogAlone(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	db := open(t, client, redis.Options{})
	id := create(t, db, "alice")
	ahead := store.Position(time.Now().Add(12 * time.Hour).UnixMicro())
	_, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"bob"}, Above: ahead})
	must(t, err)
	must(t, client.Del(t.Context(), "{wafer}:log").Err())
	if s, err := db.Family(t.Context(), id); err != nil || s.State != store.CutOff {
		t.Errorf("%v, %v", s.State, err)
	}
	b, err := db.Since(t.Context(), store.Cursor{}, 10, 0)
	must(t, err)
	if len(b.Entries) != 1 || b.Entries[0].Position <= ahead || b.Entries[0].Previous != 0 {
		t.Errorf("entries %+v", b.Entries)
	}
	// A new process, which has seen no head, begins above what is left, too.
	must(t, db.Close())
	must(t, client.Del(t.Context(), "{wafer}:log").Err())
	db = open(t, client, redis.Options{})
	if again, err := db.Since(t.Context(), store.Cursor{}, 10, 0); err != nil || again.Head <= b.Head || len(again.Entries) != 1 {
		t.Errorf("head %d after %d, %v", again.Head, b.Head, err)
	}
}

// TestOutOfMemory: writes fail completely, reads go on, and housekeeping frees memory.
func TestOutOfMemory(t *testing.T) {
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	db := open(t, client, redis.Options{})
	announce(t, db, store.Announcement{Access: time.Millisecond, Absolute: time.Hour})
	kept := create(t, db, "alice")
	lost := create(t, db, "alice")
	var many store.Revocation
	for range 1000 {
		many.Sessions = append(many.Sessions, newID())
	}
	_, err := db.Revoke(t.Context(), many)
	must(t, err)
	before, err := db.Cutoffs(t.Context(), lost, "alice")
	must(t, err)
	must(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())

	writes := map[string]func() error{
		"create": func() error {
			_, err := db.Create(t.Context(), store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Ends: [2]store.ID{lost}})
			return err
		},
		"advance": func() error { _, err := db.Advance(t.Context(), store.Advance{ID: lost, Generation: 1}); return err },
		"commit": func() error {
			_, err := db.Commit(t.Context(), store.Commit{ID: lost, Basis: before.Head, Value: []byte("v")})
			return err
		},
		"end": func() error {
			_, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{lost}})
			return err
		},
		"subject": func() error {
			_, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}})
			return err
		},
		"elsewhere": func() error {
			_, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}, Except: &store.Rebirth{ID: kept, Basis: before.Head}})
			return err
		},
		"everyone": func() error { _, err := db.Revoke(t.Context(), store.Revocation{Everyone: true}); return err },
	}
	for name, write := range writes {
		if err := write(); !goredis.IsOOMError(err) {
			t.Errorf("%s on a full server: %v; want OOM", name, err)
		}
		c, err := db.Cutoffs(t.Context(), lost, "alice")
		must(t, err)
		if c.Head != before.Head || c.Ending != 0 || c.Subject != 0 || c.Everyone != before.Everyone {
			t.Fatalf("%s was half done: %+v, before %+v", name, c, before)
		}
		page, err := db.Families(t.Context(), store.Query{Subject: "alice", Limit: 10})
		if err != nil || len(page.Families) != 2 {
			t.Fatalf("%s was half done: %d families, %v", name, len(page.Families), err)
		}
		if s, err := db.Family(t.Context(), lost); err != nil || s.State != store.Alive || s.Family.Generation != 1 {
			t.Fatalf("%s was half done: %v, %v", name, s.State, err)
		}
	}
	// A process that starts meanwhile can read, too.
	open(t, client, redis.Options{})
	// Old entries are dropped.
	must(t, db.Tidy(t.Context()))
	b, err := db.Since(t.Context(), store.Cursor{}, 10, 0)
	if err != nil || b.Floor != before.Head || len(b.Entries) != 0 {
		t.Errorf("a full server drops nothing: floor %d, %d entries, %v", b.Floor, len(b.Entries), err)
	}
	must(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	_, err = db.Revoke(t.Context(), store.Revocation{Subjects: []string{"zoe"}}) // its entry leaves nothing else to remove
	must(t, err)
	time.Sleep(3 * time.Millisecond)
	must(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	must(t, db.Tidy(t.Context()))
	if c := mustCutoffs(t, db); c.Floor != c.Head {
		t.Errorf("a full server does not drop a subject's entry: floor %d of %d", c.Floor, c.Head)
	}
	must(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	for _, name := range []string{"advance", "end", "everyone"} {
		must(t, writes[name]())
	}
}

// TestANewLogKnowsWhatWasAnnounced: nodes announce only when they start, but a log that
// begins while they run must drop old entries all the same.
func TestANewLogKnowsWhatWasAnnounced(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	db := open(t, client, redis.Options{})
	announce(t, db, store.Announcement{Access: time.Minute, Absolute: time.Hour, Leeway: 10 * time.Second, MaxStaleness: 30 * time.Second})
	announce(t, db, store.Announcement{Access: time.Second, Absolute: time.Second, Leeway: time.Second, MaxStaleness: time.Second})
	must(t, client.FlushAll(t.Context()).Err())
	if c, err := db.Cutoffs(t.Context(), store.ID{}, ""); err != nil || c.MaxStaleness != 30*time.Second {
		t.Errorf("after a flush the longest MaxStaleness is %v, %v", c.MaxStaleness, err)
	}
	got := client.HMGet(t.Context(), "{wafer}:log", "access", "absolute", "leeway").Val()
	if len(got) != 3 || got[0] != "60000" || got[1] != "3600000" || got[2] != "10000" {
		t.Errorf("after a flush the log has %v", got)
	}
}
