package wafer_test

import (
	"context"
	"testing"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// forgetful is a store that was put back to before everyone was revoked, and
// has grown since.
type forgetful struct{ store.Store }

func (f forgetful) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	c, err := f.Store.Cutoffs(ctx, session, subject)
	c.Everyone = 1
	return c, err
}

// What the store has lost, a node without a replica holds against its cookies
// and before a refresh, until it is revoked again.
func TestPromise1_NoReplicaAndAStoreThatLost(t *testing.T) {
	w := newWorld(t)
	w.noReplica = true
	n := w.node()
	n.revoke(wafer.Revocation{Everyone: true})
	b := w.browser().login(n, "alice", "a")
	b.is(n, "alice: a")
	n.store.Store = forgetful{w.mem}
	w.pass(testStaleness)
	if a := b.is(n, "401"); len(a.setCookies()) != 0 {
		t.Errorf("cookies were taken away: %v", a.setCookies())
	}
	w.pass(testAccess)
	b.is(n, "401")
	n.mustSee(wafer.KindAlarm, "lost")
	if f := b.family(w).Family; f.Generation != 1 {
		t.Errorf("it was advanced to generation %d", f.Generation)
	}
	n.store.Store = w.mem
	b.is(n, "alice: a")
}

// An outage before a refresh is none after it: nothing is advanced.
func TestPromise5_NoReplicaAdvancesNothingItCannotJudge(t *testing.T) {
	w := newWorld(t)
	w.noReplica = true
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	n.store.fail("Cutoffs")
	b.is(n, "503")
	if f := b.family(w).Family; f.Generation != 1 {
		t.Errorf("it was advanced to generation %d", f.Generation)
	}
}

// New reads nothing, and by default keeps fewer answers than a list entries.
func TestConfig_NoReplica(t *testing.T) {
	w := newWorld(t)
	w.noReplica = true
	n := w.node()
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("New asked the store %v", calls)
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
		t.Errorf("when nobody asked: %+v", h)
	}
	if revocation.DefaultAnswers >= revocation.DefaultLimit {
		t.Error("the default is not smaller")
	}
}
