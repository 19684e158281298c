package main

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

func TestKeysCreate(t *testing.T) {
	w := newKeysWorld(t)
	v := w.must("keys", "create", "--ring", "@ring", "--seals", "48h", "--life", "24h")
	if states(v.Keys) != "primary next" || v.Version != 1 || !v.Changed || v.Keeper != w.path("ring.key") {
		t.Errorf("%+v", v)
	}
	w.hide("ring.key")
	if info, err := os.Stat(w.path("ring.key")); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the key file: %v, %v", info, err)
	}
	if s := w.open("ring").Set().Schedule(); s != (keyring.Schedule{Seals: 48 * time.Hour, Life: 24 * time.Hour}) {
		t.Errorf("the schedule is %v", s)
	}
	before := w.read("ring")
	w.want(exitError, "there is a key set already", "keys", "create", "--ring", "@ring")
	if w.read("ring") != before {
		t.Error("a second create changed the ring")
	}
	w.want(exitDone, "Keep it apart", "keys", "create", "--ring", "@second")
	w.store()
	w.usage("keys create", "", "--ring @x --seals never", "--ring @x --keeper what:ever", "--ring @x --keeper file:", "--ring store: --store sqlite:@db", "--ring store: --store what:ever --keeper file:@k")
	w.absent("x.key")
}

// A ring whose key file is elsewhere must not get a new one, which would look
// like the right one.
func TestKeysCreateMakesNoKeyForARingThatIsThere(t *testing.T) {
	w := newKeysWorld(t)
	w.ring()
	if err := os.Rename(w.path("ring.key"), w.path("elsewhere")); err != nil {
		t.Fatal(err)
	}
	w.want(exitError, "there is a key set already", "keys", "create", "--ring", "@ring")
	w.absent("ring.key")
}

func TestKeysCreateUnderEveryKeeper(t *testing.T) {
	const phrase = "plank gravel ozone tulip harbor vest"
	local := strings.Repeat("5a", 32)
	for name, c := range map[string]struct {
		keeper string
		setUp  func(w *keysWorld)
	}{
		"a key file that is there": {"file:@k", func(w *keysWorld) { w.write("k", local+"\n", 0o600) }},
		"a variable":               {"env:RING_KEY", func(w *keysWorld) { w.vars["RING_KEY"] = local }},
		"a passphrase file":        {"passphrase:@p", func(w *keysWorld) { w.write("p", phrase+"\n", 0o600) }},
		"a passphrase variable":    {"passphrase:", func(w *keysWorld) { w.vars["WAFER_PASSPHRASE"] = phrase }},
		"a passphrase typed twice": {"passphrase:", func(w *keysWorld) { w.terminal, w.typed = true, phrase+"\n"+phrase+"\n" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newKeysWorld(t)
			w.hidden = []string{"gravel", local}
			c.setUp(w)
			a := w.want(exitDone, "Made a key set", "keys", "create", "--ring", "@ring", "--keeper", c.keeper)
			w.absent("ring.key")
			if w.terminal != strings.Contains(a.stderr, "again") {
				t.Errorf("asked %q", a.stderr)
			}
			w.typed = phrase + "\n"
			a = w.want(exitDone, "primary", "keys", "list", "--ring", "@ring", "--keeper", c.keeper)
			if w.terminal && a.stderr != "Passphrase of the ring: \n" {
				t.Errorf("asked %q", a.stderr)
			}
			w.want(exitError, "", "keys", "list", "--ring", "@ring")
		})
	}
}

func TestKeysCreateUnderAKeeperThatIsNone(t *testing.T) {
	w := newKeysWorld(t)
	w.hidden = []string{"short one", "plank gravel"}
	w.write("short", "short one\n", 0o600)
	w.write("seen", "plank gravel ozone tulip harbor vest\n", 0o644)
	for keeper, message := range map[string]string{
		"passphrase:":       "nobody is there to ask",
		"passphrase:@short": "at least 15",
		"passphrase:@none":  "no such file",
		"env:NOT_SET":       "is empty",
	} {
		w.want(exitError, message, "keys", "create", "--ring", "@ring", "--keeper", keeper)
	}
	if runtime.GOOS != "windows" {
		w.want(exitError, "chmod 600", "keys", "create", "--ring", "@ring", "--keeper", "passphrase:@seen")
	}
	w.terminal, w.typed = true, "plank gravel ozone tulip harbor vest\nplank gravel ozone tulip harbor west\n"
	w.want(exitError, "not the same", "keys", "create", "--ring", "@ring", "--keeper", "passphrase:")
	w.typed = "short one\nshort one\n"
	w.want(exitError, "at least 15", "keys", "create", "--ring", "@ring", "--keeper", "passphrase:")
	w.absent("ring")
}

// An application with secrets in variables gets a ring. Whatever its nodes have
// sealed opens until it expires, and both kinds of node accept each other's
// credentials meanwhile.
func TestKeysCreateFromStaticSecretsLogsNobodyOut(t *testing.T) {
	w := newKeysWorld(t)
	first, second := strings.Repeat("1f", 32), strings.Repeat("2e", 32)
	w.hidden = []string{first, second}
	w.vars["NEW"], w.vars["OLD"] = first, second
	now := func() time.Time { return w.now }
	values := func(ring *keyring.Ring) *codec.Values {
		v, err := codec.NewValues(ring, codec.ValuesConfig{Realm: "test", Lifetime: 20 * 24 * time.Hour, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	static := func(secrets ...string) *codec.Values {
		ring, err := keyring.Static(secrets...)
		if err != nil {
			t.Fatal(err)
		}
		return values(ring)
	}
	seal := func(v *codec.Values) string {
		sealed, err := v.Seal("name", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	opens := func(who string, v *codec.Values, sealed string) {
		t.Helper()
		if _, err := v.Open(context.Background(), "name", sealed); err != nil {
			t.Errorf("%s after %v: %v", who, w.now.Sub(keysEpoch), err)
		}
	}
	byOld := seal(static(second))
	w.now = w.now.Add(time.Hour)
	nodes := static(first, second)
	before := seal(nodes)

	w.vars["EMPTY"] = ""
	w.want(exitError, "variable 2", "keys", "create", "--ring", "@ring", "--from-env", "NEW,EMPTY")
	w.vars["SHORT"] = first[1:]
	w.hidden = append(w.hidden, first[1:])
	w.want(exitError, "", "keys", "create", "--ring", "@ring", "--from-env", "SHORT")
	w.absent("ring")
	v := w.must("keys", "create", "--ring", "@ring", "--from-env", "NEW, OLD")
	if states(v.Keys) != "opens primary next" {
		t.Fatalf("%+v", v.Keys)
	}
	imported := values(w.open("ring"))
	opens("the old secret's", imported, byOld)
	opens("the static nodes'", imported, before)
	w.now = w.now.Add(29 * 24 * time.Hour)
	opens("a static node's", imported, seal(nodes))
	opens("a new node's", nodes, seal(imported))
	w.now = keysEpoch.Add(20*24*time.Hour - time.Second)
	opens("the old secret's at its end", imported, byOld)

	// After the takeover the ring goes on by itself, and the last credentials
	// sealed under the static secrets still open.
	w.now = keysEpoch.Add(30 * 24 * time.Hour)
	late := seal(nodes)
	w.now = w.now.Add(19 * 24 * time.Hour)
	w.must("keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")
	opens("the last of the static nodes'", values(w.open("ring")), late)
	w.now = w.now.Add(40 * 24 * time.Hour)
	w.must("keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")
	for _, k := range w.open("ring").Set().Keys() {
		if k.Created().IsZero() {
			t.Errorf("%v is kept for ever", k)
		}
	}
}
