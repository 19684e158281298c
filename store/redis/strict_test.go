package redis_test

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// recorder records the commands that are sent through its connections.
type recorder struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (r *recorder) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return recorded{conn, r}, err
}

type recorded struct {
	net.Conn
	to *recorder
}

func (c recorded) Write(b []byte) (int, error) {
	c.to.mu.Lock()
	c.to.sent.Write(b)
	c.to.mu.Unlock()
	return c.Conn.Write(b)
}

// commands returns the commands sent since the last call. No two connections may have
// written meanwhile.
func (r *recorder) commands(t *testing.T) (list [][]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.sent.Reset()
	rest := r.sent.String()
	count := func(kind string) int {
		line, after, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.Atoi(strings.TrimPrefix(line, kind))
		must(t, err)
		rest = after
		return n
	}
	for rest != "" {
		var command []any
		for range count("*") {
			n := count("$")
			command, rest = append(command, rest[:n]), rest[n+2:]
		}
		list = append(list, command)
	}
	return list
}

// TestScriptsAreStrict: a script that gets a byte more than its arguments, or one less,
// does nothing.
func TestScriptsAreStrict(t *testing.T) {
	defer redis.SweepOften(1 << 60)() // never
	server := testserver.Redis(t, "--appendonly", "no")
	plain, record := clientOf(t, server), new(recorder)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Dialer: record.dial})
	defer client.Close()
	db := open(t, client, redis.Options{})
	ctx := t.Context()
	id, name := create(t, db, "alice"), store.Name{1}
	calls := map[string]func() error{
		"create": func() error {
			_, err := db.Create(ctx, store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour})
			return err
		},
		"advance":  func() error { _, err := db.Advance(ctx, store.Advance{ID: id, Generation: 1}); return err },
		"reissue":  func() error { _, err := db.Reissue(ctx, store.Reissue{ID: id, Generation: 1}); return err },
		"bind":     func() error { _, err := db.Bind(ctx, store.Binding{ID: id, Key: store.Key{1}}); return err },
		"commit":   func() error { _, err := db.Commit(ctx, store.Commit{ID: id, Value: []byte("v")}); return err },
		"revoke":   func() error { _, err := db.Revoke(ctx, store.Revocation{Subjects: []string{"bob"}}); return err },
		"name":     func() error { _, err := db.Revoke(ctx, store.Revocation{Name: name}); return err },
		"families": func() error { _, err := db.Families(ctx, store.Query{Limit: 1}); return err },
		"cutoffs":  func() error { _, err := db.Cutoffs(ctx, id, "alice"); return err },
		"announce": func() error { _, err := db.Announce(ctx, store.Announcement{Access: time.Hour}); return err },
		"swap":     func() error { _, err := db.SwapKeys(ctx, 0, []byte("document")); return err },
		"tidy":     func() error { return db.Tidy(ctx) },
		"since": func() error {
			_, err := db.Since(ctx, store.Cursor{Position: 1, ID: newID()}, 1, 0) // broken: the script reads it
			return err
		},
		"restore": func() error {
			_, err := db.Restore(ctx, store.Restoration{Above: 5, Entries: []store.Entry{{Kind: store.KindSession, Session: id, Position: 5}}})
			return err
		},
	}
	for name, call := range calls {
		must(t, call()) // the server has the script
		record.commands(t)
		must(t, call())
		tried := 0
		for _, command := range record.commands(t) {
			if command[0] != "EVALSHA" {
				continue
			}
			tried++
			held := contents(t, plain)
			for at, arg := range command[4:] {
				if name == "revoke" && at > 0 || name == "swap" && at == 1 {
					continue // ids of sessions, a subject and a document are whole arguments
				}
				text := arg.(string)
				for _, bad := range []string{text + "\x00", text[:len(text)-1]} {
					command[4+at] = bad
					if reply, err := plain.Do(ctx, command...).Result(); err == nil {
						t.Errorf("%s of %x, in place of %x: %q", name, bad, text, reply)
					}
				}
				command[4+at] = text
			}
			if now := contents(t, plain); now != held {
				t.Errorf("%s was half done: the server held\n%s\nand holds\n%s", name, held, now)
			}
		}
		if tried == 0 {
			t.Errorf("%s ran no script", name)
		}
	}
}

// TestDamagedRecord: a record that is a byte too long or too short is refused by every
// call that reads it.
func TestDamagedRecord(t *testing.T) {
	defer redis.SweepOften(1 << 60)() // never
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	db := open(t, client, redis.Options{})
	ctx := t.Context()
	id := create(t, db, "alice")
	key := "{wafer}:f:" + string(id[:])
	whole := client.Get(ctx, key).Val()
	for _, bad := range []string{whole + "\x00", whole[:len(whole)-1]} {
		must(t, client.Set(ctx, key, bad, 0).Err())
		held := contents(t, client)
		if s, err := db.Family(ctx, id); err == nil {
			t.Errorf("%+v", s)
		}
		if s, err := db.Advance(ctx, store.Advance{ID: id, Generation: 1}); err == nil {
			t.Errorf("%+v", s)
		}
		if s, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{newID(), id}}); err == nil {
			t.Errorf("%+v", s)
		}
		if now := contents(t, client); now != held {
			t.Errorf("half done: the server held\n%s\nand holds\n%s", held, now)
		}
	}
}
