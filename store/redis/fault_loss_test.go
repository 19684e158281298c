package redis_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// patient configures a world that goes step by step: each call must succeed, however
// busy the machine is.
var patient = faulttest.Config{StoreTimeout: 2 * time.Second, Grace: 7 * time.Second, Access: 30 * time.Second}

// cutoffs queries the server directly.
func cutoffs(t *testing.T, s *testserver.Server, subject string) store.Cutoffs {
	t.Helper()
	db := open(t, clientOf(t, s), redis.Options{})
	c, err := db.Cutoffs(context.Background(), store.ID{}, subject)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// headOf reads the head of the log. It also works on a replica, which Open refuses.
func headOf(t *testing.T, s *testserver.Server) store.Position {
	t.Helper()
	n, _ := strconv.ParseUint(s.RedisCommand(t, "HGET", "{wafer}:log", "head"), 10, 64)
	return store.Position(n) // 0: there is no log
}

// Everything is flushed under load. A new log trusts no older cookie: everybody
// is logged out, nothing that was revoked comes back, and logins go on.
func TestFaultFlush(t *testing.T) {
	fault(t)
	s := inMemory(t)
	w := world(t, patient, func(int) string { return s.Addr })
	var dead store.Position
	w.Run(func() {
		time.Sleep(500 * time.Millisecond)
		var before []*faulttest.Browser
		for node := range 3 {
			b := w.Browser("alice")
			b.Expect(t, "start", 200, node)
			before = append(before, b)
		}
		carol := w.Browser("carol")
		carol.Expect(t, "start", 200, 0)
		dead = w.ExpectRevoke(t, 0, wafer.Revocation{Subjects: []string{"carol"}})
		time.Sleep(200 * time.Millisecond)
		w.Loses(time.Time{})
		s.RedisCommand(t, "FLUSHALL")
		w.Settle()
		for node, b := range before {
			b.Expect(t, "read", 401, node)
			b.Expect(t, "start", 200, node)
			b.Expect(t, "read", 200, 0, 1, 2)
		}
		time.Sleep(300 * time.Millisecond)
	})
	if c := cutoffs(t, s, "carol"); max(c.Subject, c.Everyone) < dead {
		t.Errorf("the new log has revoked her up to %d, she was revoked at %d", max(c.Subject, c.Everyone), dead)
	}
}

// A replica is promoted that lacks the last second of the writes that the master had
// acknowledged. The nodes still hold those revocations, apply them, and write them
// back. Users who did nothing in that second stay logged in.
func TestFaultPromotedReplica(t *testing.T) {
	fault(t)
	master := inMemory(t, "--repl-diskless-sync-delay", "0")
	link := testserver.NewProxy(t, master.Addr)
	replica := testserver.RedisReplica(t, &testserver.Server{Addr: link.Addr})
	w, ways := proxied(t, patient, master)
	carol, bob := w.Browser("carol"), w.Browser("bob")
	var dead store.Position
	w.Run(func() {
		carol.Expect(t, "start", 200, 0)
		bob.Expect(t, "start", 200, 1)
		known := w.ExpectRevoke(t, 0, wafer.Revocation{Subjects: []string{"dave"}})
		eventually(t, "the replica to receive it", func() bool { return headOf(t, replica) >= known })
		link.Set(testserver.Refuse)
		w.Note("the replica is cut off")
		since := time.Now()
		time.Sleep(300 * time.Millisecond)
		dead = w.ExpectRevoke(t, 0, wafer.Revocation{Subjects: []string{"carol"}})
		time.Sleep(300 * time.Millisecond)
		w.Quiet(func() {
			w.Loses(since)
			master.Kill()
		})
		replica.RedisCommand(t, "REPLICAOF", "NO", "ONE")
		if got := headOf(t, replica); got < known || got >= dead {
			t.Fatalf("the replica's head is %d, want one from %d on and below %d, which it has lost", got, known, dead)
		}
		for _, way := range ways {
			way.Point(replica.Addr)
		}
		w.Note("the replica is promoted")
		w.Settle()
		bob.Expect(t, "read", 200, 0, 1, 2)
		time.Sleep(300 * time.Millisecond)
	})
	if c := cutoffs(t, replica, "carol"); c.Subject < dead {
		t.Errorf("carol is revoked up to %d, want what was lost, %d, written back", c.Subject, dead)
	}
	carol.Expect(t, "read", 401, 0)
}

// The server is out of memory: writes fail completely, reads go on, and everything
// goes on when there is room again.
func TestFaultOutOfMemory(t *testing.T) {
	fault(t)
	s := inMemory(t)
	w := world(t, patient, func(int) string { return s.Addr })
	alice := w.Browser("alice")
	alice.Expect(t, "start", 200, 0)
	alice.Expect(t, "commit", 200, 1)
	w.Run(func() {
		time.Sleep(300 * time.Millisecond)
		s.RedisCommand(t, "CONFIG", "SET", "maxmemory", "1mb")
		w.Note("no memory is left")
		full := time.Now()
		alice.Expect(t, "commit", 503, 0, 1, 2)
		if _, err := w.Revoke(0, wafer.Revocation{Subjects: []string{"bob"}}); wafer.Status(err) != 503 {
			t.Errorf("a revocation that nothing can be kept of: %v", err)
		}
		// Longer than MaxStaleness: the lists stay fresh by reading.
		for time.Since(full) < 1300*time.Millisecond {
			alice.Expect(t, "read", 200, 0, 1, 2)
			time.Sleep(50 * time.Millisecond)
		}
		s.RedisCommand(t, "CONFIG", "SET", "maxmemory", "0")
		w.Note("there is memory again")
		w.Settle()
		alice.Expect(t, "commit", 200, 0, 1, 2)
	})
}
