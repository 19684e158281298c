package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// everyone returns the position of the last revocation of everyone, and the
// number of entries in the log.
func (w *keysWorld) everyone() (store.Position, int) {
	w.Helper()
	db := w.openStore()
	defer db.Close()
	c, err := db.Cutoffs(w.Context(), store.ID{}, "")
	if err != nil {
		w.Fatal(err)
	}
	b, err := db.Since(w.Context(), store.Cursor{}, 1000, 0)
	if err != nil {
		w.Fatal(err)
	}
	return c.Everyone, len(b.Entries)
}

func TestKeysRevokeAlone(t *testing.T) {
	w := newKeysWorld(t)
	first := w.ring()
	w.store()
	_, entries := w.everyone()
	id := first.Keys[0].ID
	w.now = w.now.Add(time.Hour)
	v := w.must("keys", "revoke", id, "--ring", "@ring", "--store", "sqlite:@db", "--reason", "disk thrown away", "--yes")
	if states(v.Keys) != "revoked primary next" || v.Keys[0].Reason != "disk thrown away" || v.Keys[1].ID != first.Keys[1].ID || v.Position != 0 || !v.Changed {
		t.Errorf("%+v", v)
	}
	if _, n := w.everyone(); n != entries {
		t.Error("the log was written to without --compromised")
	}
	if v = w.must("keys", "revoke", id, "--ring", "@ring", "--reason", "again", "--yes"); v.Changed || v.Keys[0].Reason != "disk thrown away" {
		t.Errorf("again: %+v", v)
	}
	w.want(exitDone, "Revoked key "+id, "keys", "revoke", "--ring", "@ring", "--reason", "flags first", "--yes", id)
	w.want(exitError, "the ring has no key 00000000", "keys", "revoke", "00000000", "--ring", "@ring", "--reason", "x", "--yes")
	w.want(exitDone, "next reload", "keys", "revoke", id, "--ring", "@ring", "--reason", "x", "--yes")
	w.usage("keys revoke", "", "--ring @ring --yes --reason x", id+" --ring @ring --yes", "XYZ --ring @ring --yes --reason x",
		id+" --all --ring @ring --store sqlite:@db --yes --reason x", id+" "+id+" --ring @ring --yes --reason x",
		id+" --compromised --ring @ring --yes --reason x", "--all --ring @ring --yes --reason x",
		id+" --ring @ring --yes --reason "+strings.Repeat("x", 256), id+" --ring @ring --yes --reason \xff", id+" --ring @ring --yes --reason x --actor \xff")
}

func TestKeysRevokeIsConfirmed(t *testing.T) {
	w := newKeysWorld(t)
	id := w.ring().Keys[0].ID
	w.store()
	_, entries := w.everyone()
	before := w.read("ring")
	for _, more := range [][]string{{id}, {id, "--compromised"}, {"--all"}} {
		words := append(append([]string{"keys", "revoke"}, more...), "--ring", "@ring", "--store", "sqlite:@db", "--reason", "x")
		w.terminal, w.typed = false, "y\n"
		w.want(exitNo, "say --yes", words...)
		for _, typed := range []string{"", "\n", "n\n", "yes please\n"} {
			w.terminal, w.typed = true, typed
			w.want(exitNo, "Nothing was changed", words...)
		}
	}
	if _, n := w.everyone(); n != entries || w.read("ring") != before {
		t.Fatal("something was revoked without a yes")
	}
	w.typed = "y\n"
	a := w.want(exitDone, "revoked", "keys", "revoke", id, "--ring", "@ring", "--reason", "x")
	if !strings.Contains(a.stderr, "Revoke key "+id+"? ") {
		t.Errorf("asked %q", a.stderr)
	}
}

func TestKeysRevokeCompromised(t *testing.T) {
	w := newKeysWorld(t)
	first := w.ring()
	w.store()
	before, _ := w.everyone()
	node := w.open("ring")
	w.now = w.now.Add(time.Hour)
	v := w.must("keys", "revoke", first.Keys[0].ID, "--compromised", "--ring", "@ring", "--store", "sqlite:@db", "--reason", "backup on a share", "--actor", "olga", "--yes")
	if states(v.Keys) != "revoked primary next" || v.Keys[1].ID != first.Keys[1].ID {
		t.Errorf("%+v", v)
	}
	after, _ := w.everyone()
	if after <= before || uint64(after) != v.Position {
		t.Errorf("everyone was revoked at %d before, is at %d now, and the answer says %d", before, after, v.Position)
	}
	entries := entriesAbove(t, w.openStore(), before)
	if e := entries[len(entries)-1]; e.Kind != store.KindEveryone || e.Reason != "backup on a share" || e.Actor != "olga" {
		t.Errorf("the entry is %+v", e)
	}
	if err := node.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, _ := keyring.ParseID(first.Keys[0].ID)
	if _, err := node.Key(t.Context(), id, w.now); err != keyring.ErrRevoked {
		t.Errorf("a node takes the key: %v", err)
	}
	// A mistyped store is noticed before anything is done.
	ring := w.read("ring")
	w.want(exitError, "no store at", "keys", "revoke", v.Keys[1].ID, "--compromised", "--ring", "@ring", "--store", "sqlite:@typo", "--reason", "x", "--yes")
	if w.read("ring") != ring {
		t.Error("the key was revoked although there is no such store")
	}
	w.absent("typo")
}

func TestKeysRevokeAll(t *testing.T) {
	w := newKeysWorld(t)
	w.store()
	first := w.must("keys", "create", "--ring", "store:", "--store", "sqlite:@db", "--keeper", "file:@k")
	w.hide("k")
	before, _ := w.everyone()
	w.now = w.now.Add(time.Hour)
	v := w.must("keys", "revoke", "--all", "--ring", "store:", "--store", "sqlite:@db", "--keeper", "file:@k", "--reason", "document leaked", "--yes")
	if states(v.Keys) != "revoked primary revoked next" {
		t.Errorf("%s", states(v.Keys))
	}
	for _, k := range v.Keys {
		old := k.ID == first.Keys[0].ID || k.ID == first.Keys[1].ID
		if old != (k.State == "revoked") {
			t.Errorf("%+v", k)
		}
	}
	if after, _ := w.everyone(); after <= before || uint64(after) != v.Position {
		t.Errorf("everyone: %d, then %d; reported %d", before, after, v.Position)
	}
}

// damagesAtPrompt answers yes, and damages something first.
type damagesAtPrompt struct {
	damage func()
	r      io.Reader
}

func (s *damagesAtPrompt) Read(b []byte) (int, error) {
	if s.damage != nil {
		s.damage()
		s.damage = nil
	}
	return s.r.Read(b)
}

// If the second half fails, the first stands, and the message contains the
// command to run again, which does the rest.
func TestKeysRevokeWhoseSecondHalfFails(t *testing.T) {
	w := newKeysWorld(t)
	id := w.ring().Keys[0].ID
	w.now = w.now.Add(time.Hour)
	w.store()
	_, entries := w.everyone()
	db, err := os.ReadFile(w.path("db"))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"keys", "revoke", id, "--compromised", "--ring", w.path("ring"), "--store", "sqlite:" + w.path("db"), "--reason", "it's bad; $(rm x)"}
	var stdout, stderr strings.Builder
	e := &env{stdout: &stdout, stderr: &stderr, terminal: true, getenv: func(string) string { return "" }, now: func() time.Time { return w.now }}
	e.stdin = &damagesAtPrompt{r: strings.NewReader("y\n"), damage: func() {
		if err := os.WriteFile(w.path("db"), []byte(strings.Repeat("junk", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
	}}
	code := run(t.Context(), e, args)
	message := stderr.String()
	want := "  wafer keys revoke " + id + " --compromised --ring " + w.path("ring") + " --store sqlite:" + w.path("db") + ` --reason 'it'\''s bad; $(rm x)' --yes` + "\n"
	if code != exitError || stdout.String() != "" || !strings.Contains(message, "key "+id+": revoked. Everyone: NOT revoked: ") || !strings.HasSuffix(message, want) {
		t.Fatalf("%d: %s%s\nwant at the end %s", code, stdout.String(), message, want)
	}
	if k := viewKeys(w.open("ring").Set(), w.now)[0]; k.ID != id || k.State != "revoked" {
		t.Errorf("the key: %+v", k)
	}
	for _, rest := range []string{"db-wal", "db-shm"} {
		os.Remove(w.path(rest))
	}
	if err := os.WriteFile(w.path("db"), db, 0o600); err != nil { // the disk is repaired
		t.Fatal(err)
	}
	v := w.must(append(args[:len(args):len(args)], "--yes")...)
	if _, n := w.everyone(); n != entries+1 || v.Position == 0 || states(v.Keys) != "revoked primary next" {
		t.Errorf("run again: %+v, %d entries after %d", v, n, entries)
	}
}

// ^C before the first half prevents both halves; after it, both are done.
func TestKeysRevokeIsNotCutInHalf(t *testing.T) {
	for _, atPrompt := range []bool{true, false} {
		w := newKeysWorld(t)
		w.store()
		id := w.ring().Keys[0].ID
		before, _ := w.everyone()
		ring := w.read("ring")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		answered := false
		var stderr strings.Builder
		e := &env{stdout: io.Discard, stderr: &stderr, terminal: true, getenv: func(string) string { return "" }}
		e.stdin = &damagesAtPrompt{r: strings.NewReader("y\n"), damage: func() {
			if answered = true; atPrompt {
				cancel()
			}
		}}
		e.now = func() time.Time {
			if answered { // the first half begins
				cancel()
			}
			return w.now
		}
		code := run(ctx, e, []string{"keys", "revoke", id, "--compromised", "--ring", w.path("ring"), "--store", "sqlite:" + w.path("db"), "--reason", "x"})
		after, _ := w.everyone()
		want := !atPrompt
		if key, all := w.read("ring") != ring, after > before; key != want || all != want || (code == exitDone) != want {
			t.Errorf("^C at the prompt %v: the key is revoked: %v; everyone: %v; code %d: %s", atPrompt, key, all, code, &stderr)
		}
	}
}

// A first half that fails leaves the second undone, and the message says what
// to run again.
func TestKeysRevokeWhoseFirstHalfFails(t *testing.T) {
	w := newKeysWorld(t)
	w.store()
	w.ring()
	before, _ := w.everyone()
	whole := w.read("ring")
	var stderr strings.Builder
	e := &env{stdout: io.Discard, stderr: &stderr, terminal: true, getenv: func(string) string { return "" }, now: func() time.Time { return w.now }}
	e.stdin = &damagesAtPrompt{r: strings.NewReader("y\n"), damage: func() { w.write("ring", whole[:100], 0o600) }}
	code := run(t.Context(), e, []string{"keys", "revoke", "--all", "--ring", w.path("ring"), "--store", "sqlite:" + w.path("db"), "--reason", "x"})
	if after, _ := w.everyone(); code != exitError || after != before || !strings.Contains(stderr.String(), "not a whole ring file") ||
		!strings.Contains(stderr.String(), "wafer keys revoke --all --ring ") {
		t.Errorf("%d: %s; everyone at %d, then %d", code, &stderr, before, after)
	}
}
