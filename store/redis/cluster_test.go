package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// slotMove moves the slot of a store from one node of a Cluster to another.
type slotMove struct {
	t        *testing.T
	slot     int
	from, to *goredis.Client
	all      []*goredis.Client
	fromID   string
	toID     string
}

func newSlotMove(t *testing.T, nodes []*testserver.Server, name string) *slotMove {
	t.Helper()
	m := &slotMove{t: t}
	cluster := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	defer cluster.Close()
	n, err := cluster.ClusterKeySlot(t.Context(), "{"+name+"}:log").Result()
	must(t, err)
	m.slot = int(n)
	master, err := cluster.MasterForKey(t.Context(), "{"+name+"}:log")
	must(t, err)
	for _, node := range nodes {
		c := clientOf(t, node)
		id, err := c.ClusterMyID(t.Context()).Result()
		must(t, err)
		m.all = append(m.all, c)
		switch {
		case node.Addr == master.Options().Addr:
			m.from, m.fromID = c, id
		case m.to == nil:
			m.to, m.toID = c, id
		}
	}
	return m
}

func (m *slotMove) do(c *goredis.Client, args ...any) {
	m.t.Helper()
	if err := c.Do(m.t.Context(), args...).Err(); err != nil {
		m.t.Fatalf("%v: %v", args, err)
	}
}

func (m *slotMove) begin() {
	m.t.Helper()
	m.do(m.to, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.fromID)
	m.do(m.from, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.toID)
}

// keys returns the keys that are still at the source.
func (m *slotMove) keys() []string {
	m.t.Helper()
	list, err := m.from.ClusterGetKeysInSlot(m.t.Context(), m.slot, 10000).Result()
	must(m.t, err)
	return list
}

func (m *slotMove) move(key string) {
	m.t.Helper()
	host, port, _ := net.SplitHostPort(m.to.Options().Addr)
	m.do(m.from, "MIGRATE", host, port, key, 0, 5000)
}

func (m *slotMove) end() {
	m.t.Helper()
	m.do(m.to, "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID)
	for _, c := range m.all {
		m.do(c, "CLUSTER", "SETSLOT", m.slot, "NODE", m.toID)
	}
}

// TestPromise1_SlotMoves: while a Cluster moves the store's slot, key by key and in any
// order, a call is done completely or fails, and no revocation is overlooked. After
// the move the engine follows the slot.
func TestPromise1_SlotMoves(t *testing.T) {
	nodes := sharedCluster(t)
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}})
	defer client.Close()
	// The log's own key goes first, or last.
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprintf("log first %v", first), func(t *testing.T) {
			name := newName()
			db := open(t, client, redis.Options{Name: name})
			alive, cut, ended := create(t, db, "alice"), create(t, db, "bob"), create(t, db, "alice")
			_, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{ended}, Subjects: []string{"bob"}})
			must(t, err)
			m := newSlotMove(t, nodes, name)
			generation, failed, done := uint32(1), 0, 0
			acknowledged := 0
			look := func(whole bool) {
				t.Helper()
				answer := func(err error) bool {
					if err != nil {
						failed++
						if whole {
							t.Errorf("when the slot is whole: %v", err)
						}
						return false
					}
					done++
					return true
				}
				for id, want := range map[store.ID]store.State{alive: store.Alive, cut: store.CutOff, ended: store.Ended} {
					if s, err := db.Family(t.Context(), id); answer(err) && s.State != want {
						t.Fatalf("it is %v; want %v", s.State, want)
					}
				}
				if s, err := db.Advance(t.Context(), store.Advance{ID: cut, Generation: 1}); answer(err) && s.Outcome != store.Unwritten {
					t.Fatalf("somebody who was revoked was served: %v", s.Outcome)
				}
				if s, err := db.Advance(t.Context(), store.Advance{ID: alive, Generation: generation}); answer(err) {
					if s.Outcome != store.Written {
						t.Fatalf("advance: %v, %v", s.Outcome, s.State)
					}
					generation++
				}
				if c, err := db.Cutoffs(t.Context(), ended, "bob"); answer(err) && (c.Ending == 0 || c.Subject == 0) {
					t.Fatalf("cutoffs %+v", c)
				}
				if page, err := db.Families(t.Context(), store.Query{Subject: "alice", Limit: 10}); answer(err) && len(page.Families) != 1 {
					t.Fatalf("%d families; want 1", len(page.Families))
				}
				for _, r := range []store.Revocation{{Sessions: []store.ID{newID()}}, {Subjects: []string{"carl"}}} {
					if _, err := db.Revoke(t.Context(), r); answer(err) {
						acknowledged++
					}
				}
				_ = db.Tidy(t.Context())
			}
			look(true)
			m.begin()
			look(false)
			for len(m.keys()) > 0 {
				list := m.keys()
				next := list[0]
				for _, key := range list {
					if isLog := strings.HasSuffix(key, ":log"); isLog == first {
						next = key
						break
					}
				}
				m.move(next)
				look(false)
			}
			m.end()
			if failed == 0 {
				t.Error("nothing failed: was the slot moved?")
			}
			look(true)
			// Each acknowledged entry is there once, in one chain.
			b, err := db.Since(t.Context(), store.Cursor{}, store.MaxEntries, 0)
			must(t, err)
			previous := store.Position(0)
			for _, e := range b.Entries {
				if e.Previous != previous {
					t.Errorf("entry %d after %d names %d", e.Position, previous, e.Previous)
				}
				previous = e.Position
			}
			if n := len(b.Entries); n != 3+acknowledged || b.Head != previous {
				t.Errorf("%d entries up to %d, head %d; want %d", n, previous, b.Head, 3+acknowledged)
			}
			t.Logf("%d calls failed and %d were answered", failed, done)
		})
	}
}

// TestSlotMovesUnderWaiters: a caller that waits for entries while the slot moves gets
// them from the new node.
func TestSlotMovesUnderWaiters(t *testing.T) {
	nodes := sharedCluster(t)
	name := newName()
	// Two nodes of an application.
	var stores [2]*redis.Store
	for i := range stores {
		client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[i].Addr}})
		t.Cleanup(func() { client.Close() })
		stores[i] = open(t, client, redis.Options{Name: name})
	}
	began, err := stores[0].Since(t.Context(), store.Cursor{}, 10, 0)
	must(t, err)
	var got store.Batch
	var wait sync.WaitGroup
	// A call that is not woken lasts until the context ends.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	wait.Go(func() {
		for len(got.Entries) == 0 && ctx.Err() == nil {
			b, err := stores[0].Since(ctx, cursorAtHead(began), 10, time.Hour)
			if err == nil {
				got = b
			} else {
				time.Sleep(50 * time.Millisecond)
			}
		}
	})
	eventually(t, "the listener", stores[0].Listening)
	m := newSlotMove(t, nodes, name)
	m.begin()
	for _, key := range m.keys() {
		m.move(key)
	}
	m.end()
	_, err = stores[1].Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}})
	must(t, err)
	wait.Wait()
	if len(got.Entries) != 1 {
		t.Errorf("%d entries, %v", len(got.Entries), ctx.Err())
	}
}

func mustCutoffs(t testing.TB, db *redis.Store) store.Cutoffs {
	t.Helper()
	c, err := db.Cutoffs(context.Background(), store.ID{}, "")
	must(t, err)
	return c
}

// TestURLOfCluster: the URL of one node is enough.
func TestURLOfCluster(t *testing.T) {
	nodes := sharedCluster(t)
	for _, n := range nodes {
		db := openURL(t, "redis://"+n.Addr, newName())
		create(t, db, "alice")
		if d, err := db.Durability(t.Context()); err != nil || !d.Cluster {
			t.Errorf("%+v, %v", d, err)
		}
	}
	if _, err := redis.OpenURL(t.Context(), "redis://"+nodes[0].Addr+"/1", redis.Options{Logger: quiet}); err == nil || !strings.Contains(err.Error(), "database 0 alone") {
		t.Errorf("database 1 of a Cluster: %v", err)
	}
	// With a single-server client of a Cluster's node, the error names the right node.
	client := clientOf(t, nodes[0])
	found := false
	for range 8 {
		db, err := redis.Open(t.Context(), client, redis.Options{Name: newName(), Logger: quiet})
		if err == nil {
			closed(t, db)
			continue
		}
		found = true
		if _, moved := goredis.IsMovedError(err); !moved || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
	if !found {
		t.Error("a client of one node opened stores in all slots")
	}
}
