package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// A node without a replica holds its own revocations. If the store loses one,
// the node refuses what it covers, also for a refresh that the store would
// serve, and writes it back when it next queries.
func TestPromise1_NoReplicaAndAStoreThatLost(t *testing.T) {
	for name, r := range map[string]wafer.Revocation{
		"a subject": {Subjects: []string{"somebody", "alice", "somebody else"}}, "everyone": {Everyone: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.noReplica = true
			pair := w.backedUpStore()
			n, other := w.node(), w.node()
			n.store.replace(pair)
			other.store.replace(pair)
			alice, bob := w.browser().login(n, "alice", "a"), w.browser().login(n, "bob", "b")
			pair.diverged.Store(true)
			w.clock.Move(time.Second)
			n.revoke(r)
			w.restoreBackup(pair)
			w.clock.Move(testAccess)
			if _, err := w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{"carol"}}); err != nil {
				t.Fatal(err)
			}
			alice.without(sessionCookie).is(n, "401") // the store would serve it
			if f := alice.family(w); f.Family.Generation != 1 && f.State == store.Alive {
				t.Error("a session that is dead was refreshed")
			}
			// A request with a cookie causes the query.
			again := w.browser().login(n, "alice", "again")
			again.is(n, "401")
			c, err := w.mem.Cutoffs(context.Background(), store.ID{}, "alice")
			if err != nil {
				t.Fatal(err)
			}
			if max(c.Subject, c.Everyone) < store.Position(again.cookie(w).Position) {
				t.Errorf("nothing was written back: %+v", c)
			}
			alice.dead(n, other)
			w.browser().login(n, "alice", "later").is(n, "alice: later")
			if !r.Everyone {
				bob.is(n, "bob: b")
			}
		})
	}
}

// New reads nothing, and by default the cache keeps fewer answers than a list
// keeps entries.
func TestConfig_NoReplica(t *testing.T) {
	w := newWorld(t)
	w.noReplica = true
	n := w.node()
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("New called the store %v", calls)
	}
	if h := n.Health(); h.State != "unknown" || h.Position != 0 || h.Age != 0 {
		t.Errorf("before the first request: %+v", h)
	}
	b := w.browser().login(n, "alice", "a")
	b.is(n, "alice: a")
	if h := n.Health(); h.State != "fresh" || h.Position == 0 || h.Position != h.Head || h.Revocations > 1 {
		t.Errorf("after an answer: %+v", h)
	}
	w.clock.Move(testStaleness + 1)
	if h := n.Health(); h.State != "stale" || h.Age != testStaleness+1 {
		t.Errorf("without a query: %+v", h)
	}
	if revocation.DefaultAnswers >= revocation.DefaultLimit {
		t.Error("the default is not smaller")
	}
}
