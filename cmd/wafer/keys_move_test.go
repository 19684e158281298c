package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
)

func sameKeys(a, b []keyView) bool {
	return slices.EqualFunc(a, b, func(a, b keyView) bool {
		return a.ID == b.ID && a.State == b.State && a.Created.Equal(b.Created) && a.Activates.Equal(b.Activates) && a.Reason == b.Reason
	})
}

func TestKeysMoveThereAndBack(t *testing.T) {
	w := newKeysWorld(t)
	first := w.ring()
	w.must("keys", "revoke", first.Keys[0].ID, "--ring", "@ring", "--reason", "lost", "--yes")
	w.store()
	old := w.must("keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")
	before := w.read("ring")
	v := w.must("keys", "move", "--ring", "@ring", "--to", "store:", "--store", "sqlite:@db")
	if !sameKeys(old.Keys, v.Keys) || v.Version != old.Version || v.Keeper != "" {
		t.Errorf("%+v became %+v", old, v)
	}
	if w.read("ring") != before {
		t.Error("the old ring was changed")
	}
	inStore := []string{"--ring", "store:", "--store", "sqlite:@db", "--keeper", "file:@ring.key"}
	w.want(exitDone, "lost", append([]string{"keys", "list"}, inStore...)...)
	w.want(exitError, "store:: there is a key set already", "keys", "move", "--ring", "@ring", "--to", "store:", "--store", "sqlite:@db")

	// Back into a file, under a key of its own.
	back := w.must(append([]string{"keys", "move", "--to", "@back", "--to-keeper", "file:@back.key"}, inStore...)...)
	w.hide("back.key")
	if !sameKeys(old.Keys, back.Keys) || back.Keeper != w.path("back.key") {
		t.Errorf("%+v came back as %+v", old, back)
	}
	w.want(exitError, "does not open", "keys", "list", "--ring", "@back", "--keeper", "file:@ring.key")
	id, _ := keyring.ParseID(first.Keys[1].ID)
	if _, err := w.open("back").Set().Key(id, w.now); err != nil {
		t.Error(err)
	}
	// It is the same ring at the same version, so a store that has seen the one
	// takes nodes with the other.
	if a, b := w.open("ring").Set(), w.open("back").Set(); a.ID() != b.ID() || a.Version() != b.Version() {
		t.Errorf("version %d of ring %v came back as version %d of ring %v", a.Version(), a.ID(), b.Version(), b.ID())
	}
	w.want(exitDone, "Deploy every node", append([]string{"keys", "move", "--to", "@text"}, inStore...)...)
	w.usage("keys move", "", "--ring @ring", "--ring @ring --to @ring", "--ring store: --to store: --store sqlite:@db --keeper file:@ring.key",
		"--ring @ring --to @new --to-keeper what:ever", "--ring @ring --to store:", "--to @new")
	w.absent("new")
}

func TestKeysMoveThatIsRefusedMakesNothing(t *testing.T) {
	w := newKeysWorld(t)
	w.ring()
	w.write("taken", "not a ring", 0o600)
	w.want(exitError, "not a whole ring file", "keys", "move", "--ring", "@ring", "--to", "@taken", "--to-keeper", "file:@new.key")
	w.absent("new.key")
	w.want(exitError, "no key set there", "keys", "move", "--ring", "@none", "--keeper", "file:@ring.key", "--to", "@new")
	w.now = keysEpoch.Add(keyring.DefaultSeals - time.Minute)
	w.want(exitError, "takes over in 1m0s", "keys", "move", "--ring", "@ring", "--to", "@new")
	w.absent("new")
	w.want(exitError, "no store at", "keys", "move", "--ring", "@ring", "--to", "store:", "--store", "sqlite:@typo")
	w.absent("typo")
}

func TestKeysRewrap(t *testing.T) {
	w := newKeysWorld(t)
	first := w.ring()
	node := w.open("ring")
	v := w.must("keys", "rewrap", "--ring", "@ring", "--to", "file:@new.key")
	w.hide("new.key")
	if !sameKeys(first.Keys, v.Keys) || v.Version != 2 || v.Keeper != w.path("new.key") {
		t.Errorf("%+v became %+v", first, v)
	}
	w.want(exitError, "another key", "keys", "list", "--ring", "@ring")
	w.want(exitDone, "primary", "keys", "list", "--ring", "@ring", "--keeper", "file:@new.key")
	before := node.Set()
	if err := node.Reload(t.Context()); err == nil || node.Set() != before {
		t.Errorf("a node with the old keeper: %v", err)
	}
	// Back to a key that exists.
	w.want(exitDone, "Restart every node", "keys", "rewrap", "--ring", "@ring", "--keeper", "file:@new.key", "--to", "file:@ring.key")
	w.want(exitDone, "primary", "keys", "list", "--ring", "@ring")
	w.usage("keys rewrap", "", "--ring @ring", "--ring @ring --to what:ever", "--ring @ring --to file:@ring.key", "--ring @ring --keeper env:X --to env:X", "--ring @ring --to passphrase")
}

func TestKeysRewrapPassphrases(t *testing.T) {
	const one, two = "plank gravel ozone tulip harbor vest", "another phrase of several words"
	w := newKeysWorld(t)
	w.ring()
	w.hidden = append(w.hidden, "gravel", "several")
	w.want(exitError, "set WAFER_NEW_PASSPHRASE", "keys", "rewrap", "--ring", "@ring", "--to", "passphrase:")
	w.vars["WAFER_NEW_PASSPHRASE"] = one
	w.must("keys", "rewrap", "--ring", "@ring", "--to", "passphrase:")
	w.want(exitError, "set WAFER_PASSPHRASE", "keys", "list", "--ring", "@ring", "--keeper", "passphrase:")
	// Another passphrase, both typed: the old one once, the new one twice.
	w.vars, w.terminal, w.typed = map[string]string{}, true, one+"\n"+two+"\n"+two+"\n"
	a := w.want(exitDone, "sealed under passphrase:", "keys", "rewrap", "--ring", "@ring", "--keeper", "passphrase:", "--to", "passphrase:")
	if strings.Count(a.stderr, "assphrase of the ring: ") != 2 || !strings.Contains(a.stderr, "again") {
		t.Errorf("asked %q", a.stderr)
	}
	w.typed = one + "\n"
	w.want(exitError, "another passphrase", "keys", "list", "--ring", "@ring", "--keeper", "passphrase:")
	w.vars["WAFER_PASSPHRASE"] = two
	w.must("keys", "list", "--ring", "@ring", "--keeper", "passphrase:")
}
