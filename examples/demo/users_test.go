package main

import (
	"context"
	"errors"
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

// An unknown user costs as much as a known one.
func TestUnknownUserTakesAsLong(t *testing.T) {
	u := newUsers(safeCost, "wafer", "alice")
	fastest := func(name string) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			u.verify(t.Context(), name, "guess")
			best = min(best, time.Since(start))
		}
		return best
	}
	if known, unknown := fastest("alice"), fastest("mallory"); unknown < known/5 || known < unknown/5 {
		t.Errorf("a known user takes %v, an unknown one %v", known, unknown)
	}
}
