package faulttest_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/faulttest"
)

// Nodes keep every promise over a network that loses requests and answers, is down,
// and hangs. No browser has to be excused.
func TestFaultsOfANetwork(t *testing.T) {
	t.Parallel()
	f := newFlaky()
	w := faulttest.New(t, faulttest.Config{Open: f.open})
	w.Run(func() {
		time.Sleep(500 * time.Millisecond)
		w.Note("the network loses calls")
		f.loses.Store(10)
		time.Sleep(1500 * time.Millisecond)
		f.loses.Store(0)
		w.Note("the network is down")
		f.down.Store(true)
		time.Sleep(300 * time.Millisecond)
		f.down.Store(false)
		w.Restart(0)
		time.Sleep(200 * time.Millisecond)
		w.Note("the store hangs for longer than MaxStaleness")
		f.hangs.Store(true)
		time.Sleep(1500 * time.Millisecond)
		f.hangs.Store(false)
	})
	if w.Excused() != 0 {
		t.Errorf("%d browsers had to be excused", w.Excused())
	}
}
