package main

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
)

// A ring that cannot be opened is an error that says why, for every command,
// and no command changes it.
func TestKeysOfASpoiltRing(t *testing.T) {
	for name, c := range map[string]struct {
		damage  func(w *keysWorld)
		message string
	}{
		"half written": {func(w *keysWorld) {
			b := w.read("ring")
			w.write("ring", b[:len(b)/2], 0o600)
		}, "not a whole ring file"},
		"a flipped bit": {func(w *keysWorld) {
			b := []byte(w.read("ring"))
			i := len(b) - 30
			b[i] = map[bool]byte{true: 'B', false: 'A'}[b[i] == 'A']
			w.write("ring", string(b), 0o600)
		}, "does not open"},
		"another version outside": {func(w *keysWorld) {
			w.write("ring", strings.Replace(w.read("ring"), "\n1\n", "\n7\n", 1), 0o600)
		}, "outer version"},
		"another keeper": {func(w *keysWorld) { w.write("ring.key", strings.Repeat("00", 32)+"\n", 0o600) }, "another key"},
		"two keys of one id": {func(w *keysWorld) {
			keeper, err := keyring.OpenKeeper(w.path("ring.key"))
			if err != nil {
				w.Fatal(err)
			}
			source := keyring.File(w.path("ring"))
			version, sealed, err := source.LoadKeys(w.Context())
			if err != nil {
				w.Fatal(err)
			}
			plain, err := keeper.Decrypt(w.Context(), sealed)
			if err != nil {
				w.Fatal(err)
			}
			ids := w.open("ring").Set().Keys()
			text := strings.ReplaceAll(string(plain), ids[0].ID().String(), ids[1].ID().String())
			text = strings.Replace(text, `"version":1`, `"version":2`, 1)
			if sealed, err = keeper.Encrypt(w.Context(), []byte(text)); err != nil {
				w.Fatal(err)
			}
			if ok, err := source.SwapKeys(w.Context(), version, sealed); !ok || err != nil {
				w.Fatal(ok, err)
			}
		}, "two keys have the id"},
		"a key file that others read": {func(w *keysWorld) { w.write("ring.key", w.read("ring.key"), 0o644) }, "chmod 600"},
		"no key file": {func(w *keysWorld) {
			if err := os.Remove(w.path("ring.key")); err != nil {
				w.Fatal(err)
			}
		}, "no such file"},
		"a folder": {func(w *keysWorld) {
			if err := os.Remove(w.path("ring")); err != nil {
				w.Fatal(err)
			}
			if err := os.Mkdir(w.path("ring"), 0o700); err != nil {
				w.Fatal(err)
			}
		}, "directory"},
		"unreadable": {func(w *keysWorld) {
			w.write("ring", w.read("ring"), 0o000)
			if f, err := os.Open(w.path("ring")); err == nil { // as root, who can read everything
				f.Close()
				w.write("ring", "", 0o000)
			}
		}, "ring"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && (strings.Contains(name, "read") || name == "a folder" || name == "no key file") {
				return // Windows has no such modes, and other messages
			}
			w := newKeysWorld(t)
			id := w.ring().Keys[0].ID
			w.store()
			_, entries := w.everyone()
			c.damage(w)
			content := func() string {
				b, _ := os.ReadFile(w.path("ring"))
				return string(b)
			}
			before := content()
			for _, words := range [][]string{
				{"list"}, {"rotate"}, {"rotate", "--if-older-than", "720h"}, {"prune"}, {"rewrap", "--to", "file:@new.key"},
				{"move", "--to", "@new"}, {"revoke", id, "--reason", "x", "--yes"},
				{"revoke", id, "--compromised", "--store", "sqlite:@db", "--reason", "x", "--yes"},
				{"revoke", "--all", "--store", "sqlite:@db", "--reason", "x", "--yes"},
				{"export-jwks", "--realm", "r", "--issuer", "i"},
			} {
				w.want(exitError, c.message, append(append([]string{"keys"}, words...), "--ring", "@ring")...)
			}
			if content() != before {
				t.Error("the ring was changed")
			}
			if _, n := w.everyone(); n != entries {
				t.Error("everyone was revoked, and no key")
			}
			w.absent("new.key")
			w.absent("new")
		})
	}
}

// A backup that is put back is refused by every process that has seen the newer
// document.
func TestKeysOfARestoredBackup(t *testing.T) {
	w := newKeysWorld(t)
	id := w.ring().Keys[0].ID
	backup := w.read("ring")
	w.must("keys", "revoke", id, "--ring", "@ring", "--reason", "x", "--yes")
	node := w.open("ring")
	w.write("ring", backup, 0o600)
	if err := node.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "went back") {
		t.Errorf("a node takes the backup: %v", err)
	}
}

// The operator's clock is an hour off. The keys take over an hour early or
// late, and everything that any node seals still opens on all.
func TestKeysRotateByAClockThatIsAnHourOff(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		w := newKeysWorld(t)
		w.ring()
		for hours := range 24 * 70 / 6 {
			at := keysEpoch.Add(2*time.Hour + time.Duration(hours)*6*time.Hour)
			w.now = at.Add(off)
			w.must("keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")
			set := w.open("ring").Set()
			right, err := set.Primary(at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := set.Key(right.ID(), w.now); err != nil {
				t.Fatalf("by a clock %v off, after %v: %v", off, at.Sub(keysEpoch), err)
			}
		}
		if n := len(w.open("ring").Set().Keys()); n > 4 {
			t.Errorf("by a clock %v off: %d keys", off, n)
		}
	}
}
