package faulttest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// patience is how long a request is tried again. Only a hang reaches it.
const patience = 2 * time.Minute

// Expect fails the test unless each of the nodes answers the browser's act with
// the status want. Call it while the store is well. Even then a busy machine may
// let a store call run into its timeout, so a 503 is tried again unless it is what
// the test wants.
func (b *Browser) Expect(tb testing.TB, act string, want int, nodes ...int) {
	tb.Helper()
	for _, node := range nodes {
		if got := b.insist(node, act, want); got != want {
			tb.Errorf("node %d: %s: %d, want %d", node, act, got, want)
		}
	}
}

// insist makes a request again while it gets a 503 that the caller does not want.
func (b *Browser) insist(node int, act string, want int) int {
	got := b.Do(node, act)
	for began := time.Now(); got == http.StatusServiceUnavailable && want != got && time.Since(began) < patience; {
		time.Sleep(20 * time.Millisecond)
		got = b.Do(node, act)
	}
	return got
}

// ExpectRevoke is Revoke while the store is well: it tries again if the answer is a
// 503, and returns the position of the revocation that succeeded.
func (w *World) ExpectRevoke(tb testing.TB, node int, r wafer.Revocation) store.Position {
	tb.Helper()
	at, err := w.Revoke(node, r)
	for began := time.Now(); errors.Is(err, wafer.ErrUnavailable) && time.Since(began) < patience; {
		time.Sleep(20 * time.Millisecond)
		at, err = w.Revoke(node, r)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

// ExpectServedWhilePaused pauses the store's server and fails the test unless each
// node still answers 200 to the browser within half of MaxStaleness, by its list
// alone. It returns when the server was paused, and leaves it so. If the machine was
// too busy for the requests to be made in time, it resumes the server and tries again.
func (w *World) ExpectServedWhilePaused(tb testing.TB, b *Browser, pause, resume func()) (paused time.Time) {
	tb.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		pause()
		paused = time.Now()
		late := false
		for node := range w.nodes {
			got := b.Do(node, "read")
			after := time.Since(paused)
			if late = after > w.config.MaxStaleness/2; late { // the list may be stale
				break
			}
			if got != http.StatusOK {
				tb.Fatalf("node %d answers %d to a valid cookie %v after the server was paused", node, got, after)
			}
		}
		if !late {
			return paused
		}
		resume()
		w.Settle()
	}
	tb.Fatalf("the requests were not made within half of MaxStaleness for %v", patience)
	return paused
}

// NoneExcused fails the test if a browser had to log in again because of slow tabs.
// Call it after faults that are shorter than Config.Grace.
func (w *World) NoneExcused(tb testing.TB) {
	tb.Helper()
	if n := w.Excused(); n != 0 {
		tb.Errorf("%d browsers had to be excused", n)
	}
}
