package e2e_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/rounds"
)

// The node reads no entries, but its writes work. A client that logs in and out
// in a loop must not grow the list without bound.
func TestAttack_ListKeepsItsLimitWithoutNews(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
	n.store.fail("Since")
	time.Sleep(50 * time.Millisecond)
	for i := range rounds.Of(5000, 20000) {
		b := w.browser().login(n, "user", "a")
		if err := n.End(httptest.NewRecorder(), b.request()); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			w.clock.Move(time.Second)
		}
	}
	runtime.GC()
	if h := n.Health(); h.Revocations > 2048 {
		t.Errorf("the list holds %d revocations, above a limit of 1024; %+v", h.Revocations, h)
	}
}

// A client that hangs up while it waits for another request's flight is not an
// outage to report, and the flight goes on for the other.
func TestAttack_HangUpIsNoOutage(t *testing.T) { synctest.Test(t, testHangUpIsNoOutage) }

func testHangUpIsNoOutage(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	impatient := b.copy().request()
	n.store.after("Advance", func() {
		ctx, hangUp := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, hangUp)
		if _, err := n.Attach(httptest.NewRecorder(), impatient.WithContext(ctx)); !errors.Is(err, wafer.ErrUnavailable) {
			t.Errorf("a client that hung up while it waited gets %v", err)
		}
	})
	b.is(n, "alice: a")
	if reported := n.count(wafer.KindUnavailable, ""); reported != 0 {
		t.Errorf("%d outages were reported", reported)
	}
}
