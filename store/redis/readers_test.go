package redis_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// slowServer makes a server slow for some connections: those that have carried a call
// other than Cutoffs, Announce and Since get no answer until it is released.
type slowServer struct {
	slow     atomic.Bool
	held     atomic.Int64
	released chan struct{}
}

func (s *slowServer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &slowConn{Conn: conn, server: s}, err
}

type slowConn struct {
	net.Conn
	server *slowServer
	held   atomic.Bool
}

func (c *slowConn) Write(b []byte) (int, error) {
	if c.server.slow.Load() && !redis.IsNews(string(b)) && !c.held.Swap(true) {
		c.server.held.Add(1)
	}
	return c.Conn.Write(b)
}

func (c *slowConn) Read(b []byte) (int, error) {
	if c.held.Load() {
		<-c.server.released
	}
	return c.Conn.Read(b)
}

// TestPromise8_NothingKeepsTheNewsWaiting: while hundreds of lists, logins, refreshes
// and reads of families get no answer, Since, Cutoffs and Announce do.
func TestPromise8_NothingKeepsTheNewsWaiting(t *testing.T) {
	defer redis.SweepOften(1 << 60)() // never
	server := &slowServer{released: make(chan struct{})}
	release := sync.OnceFunc(func() { close(server.released) })
	defer release() // or else nothing could be closed
	client := goredis.NewClient(&goredis.Options{Addr: testserver.Redis(t, "--appendonly", "no").Addr, Dialer: server.dial})
	defer client.Close()
	db := open(t, client, redis.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id := create(t, db, "alice")
	calls := []func(){
		func() { _, _ = db.Families(ctx, store.Query{Subject: "alice", Limit: 10}) },
		func() { _, _ = db.Families(ctx, store.Query{Limit: 10}) },
		func() { _, _ = db.Advance(ctx, store.Advance{ID: id, Generation: 1}) },
		func() { _, _ = db.Family(ctx, id) },
		func() {
			_, _ = db.Create(ctx, store.Creation{ID: newID(), Subject: "bob", Idle: time.Hour, Absolute: time.Hour, Limit: 1})
		},
		func() { _, _ = db.Revoke(ctx, store.Revocation{Sessions: []store.ID{newID()}}) },
	}
	for _, call := range calls { // the server has the scripts
		call()
	}
	began, err := db.Since(ctx, store.Cursor{}, 10, 0)
	must(t, err)
	server.slow.Store(true)
	var all sync.WaitGroup
	for range 100 {
		for _, call := range calls {
			all.Go(call)
		}
	}
	eventually(t, "two lists and two other groups to wait", func() bool { return server.held.Load() == 4 })
	for range 100 {
		if _, err := db.Cutoffs(ctx, id, "alice"); err != nil {
			t.Fatalf("Cutoffs: %v", err)
		}
		announce(t, db, store.Announcement{Access: time.Minute})
		if _, err := db.Since(ctx, store.Cursor{}, 10, 0); err != nil {
			t.Fatalf("Since: %v", err)
		}
		// Of another log: the script reads it.
		if b, err := db.Since(ctx, store.Cursor{Position: began.Head, ID: newID()}, 10, time.Hour); err != nil || !b.Broken {
			t.Fatalf("Since: %+v, %v", b, err)
		}
	}
	release()
	cancel()
	all.Wait()
}
