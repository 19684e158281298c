package main

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

func TestUsers(t *testing.T) {
	u := newUsers(safeCost, "wafer", "alice")
	for _, c := range []struct {
		name, text string
		want       bool
	}{{"alice", "wafer", true}, {"alice", "Wafer", false}, {"alice", "", false}, {"mallory", "wafer", false}, {"", "", false}} {
		if got, err := u.verify(t.Context(), c.name, c.text); got != c.want || err != nil {
			t.Errorf("%q, %q: %v, %v", c.name, c.text, got, err)
		}
	}
	before := u.byName["alice"]
	if ok, err := u.change(t.Context(), "alice", "guess", "new"); ok || err != nil || u.byName["alice"] != before {
		t.Errorf("changed by a guess: %v, %v", ok, err)
	}
	if ok, err := u.change(t.Context(), "mallory", "wafer", "new"); ok || err != nil || u.byName["mallory"] != nil {
		t.Errorf("changed for nobody: %v, %v", ok, err)
	}
	if ok, err := u.change(t.Context(), "alice", "wafer", "new"); !ok || err != nil {
		t.Errorf("not changed: %v, %v", ok, err)
	}
	if ok, _ := u.verify(t.Context(), "alice", "new"); !ok {
		t.Error("the new password is wrong")
	}
}

// A request that ends before its turn gets an outage, not a wrong password.
func TestUsersUnderLoad(t *testing.T) {
	u := newUsers(cheap, "wafer", "alice")
	for range cap(u.slots) {
		u.slots <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := u.verify(ctx, "alice", "wafer"); !errors.Is(err, wafer.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// An unknown user costs as much as a known one: a hash of the same cost is
// computed. The hash's memory shows that, however busy the machine is.
func TestUnknownUserTakesAsLong(t *testing.T) {
	u := newUsers(safeCost, "wafer", "alice")
	if known, unknown := u.byName["alice"].cost, u.nobody.cost; known != unknown {
		t.Errorf("a known user's hash costs %+v, an unknown one's %+v", known, unknown)
	}
	for _, name := range []string{"alice", "mallory"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		u.verify(t.Context(), name, "guess")
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used < uint64(safeCost.memory)<<10 {
			t.Errorf("a guess for %s used %d bytes, less than a hash", name, used)
		}
	}
}
