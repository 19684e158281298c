package redis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks that Open fails with an error that contains want.
func refused(t *testing.T, client goredis.UniversalClient, o redis.Options, want string) {
	t.Helper()
	o.Logger = quiet
	db, err := redis.Open(t.Context(), client, o)
	if err == nil {
		closed(t, db)
		t.Fatalf("opened; want an error with %q", want)
	}
	if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "redis: open: ") {
		t.Errorf("error %q; want one with %q", err, want)
	}
}

func TestPromise1_EvictionIsRefused(t *testing.T) {
	server := testserver.Redis(t)
	client := clientOf(t, server)
	for _, policy := range []string{"allkeys-lru", "volatile-lru", "volatile-ttl", "allkeys-random"} {
		must(t, client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
		refused(t, client, redis.Options{}, "maxmemory-policy is "+policy)
		// A user that may not run CONFIG gets the policy from INFO.
		refused(t, restricted(t, server, "config|get"), redis.Options{Name: "test-policy"}, "maxmemory-policy is "+policy)
	}
	if list := keys(t, client, "*"); len(list) != 0 {
		t.Errorf("a refused server holds %q", list)
	}
	must(t, client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	open(t, client, redis.Options{})
}

func TestPromise1_ReplicaIsRefused(t *testing.T) {
	master := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	replica := testserver.RedisReplica(t, master)
	refused(t, clientOf(t, replica), redis.Options{}, "is a replica")
	must(t, clientOf(t, replica).ConfigSet(t.Context(), "replica-read-only", "no").Err())
	refused(t, clientOf(t, replica), redis.Options{}, "is a replica")
	open(t, clientOf(t, master), redis.Options{})
}

// warnings opens a store, and returns what was logged and what Durability returns.
func warnings(t *testing.T, client goredis.UniversalClient, o redis.Options) (string, redis.Durability) {
	t.Helper()
	var out bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	db, err := redis.Open(t.Context(), client, o)
	must(t, err)
	defer closed(t, db)
	d, err := db.Durability(t.Context())
	must(t, err)
	for _, w := range d.Warnings() {
		if !strings.Contains(out.String(), w) {
			t.Errorf("not logged: %s", w)
		}
	}
	if len(d.Warnings()) != strings.Count(out.String(), "level=WARN") {
		t.Errorf("%d warnings, and logged:\n%s", len(d.Warnings()), out.String())
	}
	return out.String(), d
}

func TestWarnings(t *testing.T) {
	server := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	client := clientOf(t, server)
	if logged, d := warnings(t, client, redis.Options{}); logged != "" || d.AppendOnly != "yes" || d.AppendFsync != "always" || d.Policy != "noeviction" || d.Role != "master" || d.Server == "" || d.Version == "" || len(d.Unread) != 0 {
		t.Errorf("a server that is set up well: %+v, %q", d, logged)
	}
	for _, c := range []struct{ setting, value, want string }{
		{"appendfsync", "everysec", "two seconds"},
		{"appendfsync", "no", "operating system"},
		{"appendonly", "no", "since its last snapshot"},
	} {
		must(t, client.ConfigSet(t.Context(), c.setting, c.value).Err())
		if logged, _ := warnings(t, client, redis.Options{}); !strings.Contains(logged, c.want) {
			t.Errorf("%s %s: logged %q; want %q", c.setting, c.value, logged, c.want)
		}
	}
	must(t, client.ConfigSet(t.Context(), "appendonly", "yes").Err())
	must(t, client.ConfigSet(t.Context(), "appendfsync", "always").Err())

	// With a service that forbids CONFIG, the settings come from INFO, and those that
	// INFO lacks are named.
	logged, d := warnings(t, restricted(t, server, "config|get"), redis.Options{Name: "test-unread"})
	if d.Policy != "noeviction" || d.AppendOnly != "yes" || len(d.Unread) != 1 || d.Unread[0] != "appendfsync" || !strings.Contains(logged, "does not tell its appendfsync") {
		t.Errorf("%+v, logged %q", d, logged)
	}

	testserver.RedisReplica(t, server)
	if logged, d := warnings(t, client, redis.Options{}); d.Replicas != 1 || !strings.Contains(logged, "failover") {
		t.Errorf("%+v, logged %q", d, logged)
	}
	if logged, _ := warnings(t, client, redis.Options{Replicas: 1}); logged != "" {
		t.Errorf("with replicas waited for: %q", logged)
	}
}

func TestReplicasAreWaitedFor(t *testing.T) {
	master := testserver.Redis(t, "--repl-diskless-sync-delay", "0")
	replica := testserver.RedisReplica(t, master)
	db := open(t, clientOf(t, master), redis.Options{Replicas: 1, ReplicaTimeout: time.Minute})
	id := create(t, db, "alice")
	// The replica has what the call has returned.
	if list := keys(t, clientOf(t, replica), "*:f:*"); len(list) != 1 {
		t.Errorf("the replica holds %d families", len(list))
	}
	replica.Kill()
	db = open(t, clientOf(t, master), redis.Options{Replicas: 1, ReplicaTimeout: 100 * time.Millisecond})
	if _, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{id}}); !errors.Is(err, redis.ErrReplicas) {
		t.Errorf("without its replica: %v", err)
	}
	// The write was done nevertheless, and reading waits for no replica.
	if s, err := db.Family(t.Context(), id); err != nil || s.State != store.Ended {
		t.Errorf("%v, %v", s.State, err)
	}
}

func create(t testing.TB, db *redis.Store, subject string) store.ID {
	t.Helper()
	c := store.Creation{ID: newID(), Subject: subject, Idle: time.Hour, Absolute: 12 * time.Hour}
	s, err := db.Create(context.Background(), c)
	if err != nil || s.Outcome != store.Written {
		t.Fatalf("create: %v, %v", s.Outcome, err)
	}
	return c.ID
}

func TestOptionsAreChecked(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	for _, name := range []string{"a{b", "a}b", "{wafer}", strings.Repeat("n", 65), "a\x00b"} {
		refused(t, client, redis.Options{Name: name}, "Options.Name")
	}
	refused(t, client, redis.Options{Replicas: -1}, "Options.Replicas")
	refused(t, client, redis.Options{ReplicaTimeout: time.Hour}, "ReplicaTimeout")
	refused(t, nil, redis.Options{}, "the client is a <nil>")
	refused(t, (*goredis.Client)(nil), redis.Options{}, "the client is nil")
	ring := goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	refused(t, ring, redis.Options{}, "Ring")
}

// TestNamesAreApart: stores with different names on one server do not affect each
// other, whatever the names and subjects are.
func TestNamesAreApart(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	a, b := open(t, client, redis.Options{Name: "a"}), open(t, client, redis.Options{Name: "a:f:"})
	id := create(t, a, "x:{y}:\n z")
	if s, err := b.Family(t.Context(), id); err != nil || s.State != store.Absent {
		t.Errorf("%v, %v", s.State, err)
	}
	_, err := b.Revoke(t.Context(), store.Revocation{Everyone: true})
	must(t, err)
	if s, err := a.Family(t.Context(), id); err != nil || s.State != store.Alive {
		t.Errorf("%v, %v", s.State, err)
	}
}

func TestMustExist(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	o := redis.Options{MustExist: true, Logger: quiet}
	if _, err := redis.Open(t.Context(), client, o); !errors.Is(err, redis.ErrNoStore) {
		t.Errorf("of nothing: %v; want ErrNoStore", err)
	}
	if list := keys(t, client, "*"); len(list) != 0 {
		t.Errorf("it made %q", list)
	}
	open(t, client, redis.Options{})
	db := open(t, client, o)
	must(t, client.FlushAll(t.Context()).Err())
	if _, err := db.Since(t.Context(), store.Cursor{}, 1, 0); !errors.Is(err, redis.ErrNoStore) {
		t.Errorf("Since after a flush: %v; want ErrNoStore", err)
	}
	if _, err := db.Cutoffs(t.Context(), store.ID{}, "x"); !errors.Is(err, redis.ErrNoStore) {
		t.Errorf("Cutoffs after a flush: %v; want ErrNoStore", err)
	}
	if list := keys(t, client, "*"); len(list) != 0 {
		t.Errorf("it made %q", list)
	}
}

func TestOtherPrograms(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	must(t, client.HSet(t.Context(), "{theirs}:log", "line", "1").Err())
	refused(t, client, redis.Options{Name: "theirs"}, "another program")
	must(t, client.Set(t.Context(), "{text}:log", "x", 0).Err())
	refused(t, client, redis.Options{Name: "text"}, "WRONGTYPE")
	if n, err := client.HLen(t.Context(), "{theirs}:log").Result(); err != nil || n != 1 {
		t.Errorf("their key has %d fields, %v", n, err)
	}
	open(t, client, redis.Options{Name: "later"})
	must(t, client.HSet(t.Context(), "{later}:log", "version", "4").Err())
	refused(t, client, redis.Options{Name: "later"}, "newer release")
	for _, old := range []string{"1", "2"} {
		must(t, client.HSet(t.Context(), "{later}:log", "version", old).Err())
		refused(t, client, redis.Options{Name: "later"}, "version "+old+", of before the first release")
		refused(t, client, redis.Options{Name: "later"}, "delete the keys {later}:*")
	}
	must(t, client.HDel(t.Context(), "{later}:log", "version").Err())
	refused(t, client, redis.Options{Name: "later"}, "no version")
}

// TestMissingRight: a user that lacks one of the rights is refused at Open, not
// in the middle of a step.
func TestMissingRight(t *testing.T) {
	server := testserver.Redis(t)
	for _, word := range leastRights(t) {
		command, ok := strings.CutPrefix(word, "+")
		switch command {
		case "hello", "ping", "client|setinfo", "client|setname", "config|get", "wait", "waitaof": // not needed by every store
			continue
		}
		if !ok {
			continue
		}
		client := restricted(t, server, command)
		db, err := redis.Open(t.Context(), client, redis.Options{Name: "test-rights", Logger: quiet})
		if err == nil {
			t.Errorf("opened without the right to %s", command)
			closed(t, db)
		} else if !strings.Contains(err.Error(), "what its user must be allowed") {
			t.Errorf("without %s: %v", command, err)
		}
		if left := keys(t, clientOf(t, server), "*rights*"); len(left) > 0 {
			t.Errorf("without %s: left behind: %q", command, left)
		}
		must(t, client.Close())
	}
}

func TestURL(t *testing.T) {
	server := testserver.Redis(t)
	for _, url := range []string{
		"redis://:se/cret@127.0.0.1:1/0", "redis://:secret@127.0.0.1:x/0", "http://user:secret@127.0.0.1", "redis://:secret@127.0.0.1:1/9z",
		"redis://:secret@" + server.Addr + "/1", "redis://wafer:secret@127.0.0.1:1", "redis://:secret@127.0.0.1:1/?dial_timeout=secret", "\x00secret",
	} {
		db, err := redis.OpenURL(t.Context(), url, redis.Options{Logger: quiet})
		if err == nil {
			// The default user has no password, and the server accepts any.
			closed(t, db)
			continue
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret@") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	db := openURL(t, "redis://"+server.Addr+"/3", "db")
	create(t, db, "alice")
	if n := clientOf(t, server).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("the URL's database is 3, and 0 holds %d keys", n)
	}
}

func TestTheClientStaysOpen(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	db := open(t, client, redis.Options{})
	for range 2 {
		closed(t, db)
	}
	must(t, client.Ping(t.Context()).Err())
	if _, err := db.Family(t.Context(), newID()); err == nil {
		t.Error("a closed store answers")
	}
	if _, err := db.Since(t.Context(), store.Cursor{}, 1, 0); err == nil {
		t.Error("a closed store answers")
	}
}
