package wafer_test

import (
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// the way by which news come is broken, writes work: a client that logs in
// and out in a loop grows the list without bound.
func TestAttack_ListOutgrowsItsLimitWithoutNews(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
	n.store.fail("Since")
	time.Sleep(50 * time.Millisecond)
	for i := range 20000 {
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

// a client that hangs up while it waits for another's flight is no outage.
func TestAttack_HangUpIsReportedAsOutage(t *testing.T) {
	t.Skip()
}
