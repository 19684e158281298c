//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
)

// The demo maintains its ring. A ring that was left alone for a hundred days
// gets its next key, and loses the keys that are no longer needed, while the
// demo serves.
func TestProcessMaintainsItsRing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	ring, err := openRing(t.Context(), data, time.Now().Add(-100*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	old := ring.Set().Keys()
	p := start(t, "-data", data)
	b := p.browser().login("alice")
	deadline := time.Now().Add(time.Minute)
	for ring.Set().Version() < 3 { // rotated and pruned
		if time.Now().After(deadline) {
			t.Fatalf("the demo leaves its ring alone: %v: %s", ring, &p.stderr)
		}
		time.Sleep(20 * time.Millisecond)
		if err := ring.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	keys := ring.Set().Keys()
	if len(keys) != 2 || keys[0].ID() != old[1].ID() || keys[1].ID() == old[0].ID() {
		t.Fatalf("of %v the demo made %v", old, keys)
	}
	if lead := time.Until(keys[1].Activates()); lead < keyring.Lead-time.Minute {
		t.Errorf("the next key takes over in %v: want it published %v ahead", lead, keyring.Lead)
	}
	if v := b.me(); v.Subject != "alice" {
		t.Errorf("beside the rotation: %+v", v)
	}
	p.end(syscall.SIGTERM)
}
