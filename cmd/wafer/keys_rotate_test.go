package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
)

func TestKeysRotate(t *testing.T) {
	w := newKeysWorld(t)
	first := w.ring()
	v := w.must("keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")
	if v.Changed || v.Version != 1 {
		t.Errorf("a young key was rotated: %+v", v)
	}
	w.want(exitDone, "Nothing to do", "keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")

	w.now = w.now.Add(24 * time.Hour)
	v = w.must("keys", "rotate", "--ring", "@ring")
	if !v.Changed || len(v.Keys) != 2 || !v.Keys[1].Activates.Equal(w.now.Add(keyring.Lead)) || v.Keys[1].ID != first.Keys[1].ID {
		t.Errorf("by hand: %+v", v)
	}
	if v = w.must("keys", "rotate", "--ring", "@ring"); v.Changed {
		t.Errorf("again: %+v", v)
	}
	w.now = w.now.Add(keyring.Lead)
	v = w.must("keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")
	if !v.Changed || states(v.Keys) != "opens primary next" {
		t.Errorf("after the takeover: %+v", v)
	}
	w.want(exitDone, "primary", "keys", "rotate", "--ring", "@ring")
	w.usage("keys rotate", "", "--ring @ring --if-older-than -1h", "--ring @ring --if-older-than soon")
	w.want(exitError, "no key set there", "keys", "rotate", "--ring", "@other", "--keeper", "file:@ring.key")
	w.absent("other")
}

// A crontab line for half a year: one new key a month, published ahead, and old
// keys disappear when nothing under them is alive.
func TestKeysRotateInACrontab(t *testing.T) {
	w := newKeysWorld(t)
	w.ring()
	sealed := map[string]bool{}
	for range 2 * 180 {
		v := w.must("keys", "rotate", "--ring", "@ring", "--if-older-than", "720h")
		if len(v.Keys) > 4 || !strings.Contains(states(v.Keys), "primary next") {
			t.Fatalf("after %v: %s", w.now.Sub(keysEpoch), states(v.Keys))
		}
		for _, k := range v.Keys {
			if k.State == "primary" {
				sealed[k.ID] = true
			}
		}
		w.now = w.now.Add(12 * time.Hour)
	}
	if len(sealed) < 5 || len(sealed) > 7 {
		t.Errorf("%d keys sealed in 180 days", len(sealed))
	}
}

func TestKeysPrune(t *testing.T) {
	w := newKeysWorld(t)
	first := w.ring()
	w.now = w.now.Add(59 * 24 * time.Hour)
	if v := w.must("keys", "prune", "--ring", "@ring"); v.Changed || len(v.Keys) != 2 {
		t.Errorf("pruned too much: %+v", v)
	}
	w.want(exitDone, "Nothing to do", "keys", "prune", "--ring", "@ring")
	w.now = w.now.Add(2 * 24 * time.Hour)
	v := w.must("keys", "prune", "--ring", "@ring")
	if !v.Changed || len(v.Keys) != 1 || v.Keys[0].ID != first.Keys[1].ID {
		t.Errorf("%+v", v)
	}
	w.usage("keys prune", "")
}

// keysChildVariable makes the test binary run a command line, one word per
// line.
const keysChildVariable = "WAFER_KEYS_TEST_CHILD"

func TestKeysChild(t *testing.T) {
	line := os.Getenv(keysChildVariable)
	if line == "" {
		return // it is not a child
	}
	e := newEnv()
	e.now = func() time.Time { return keysEpoch.Add(31 * 24 * time.Hour) }
	os.Exit(run(t.Context(), e, strings.Split(line, "\n")))
}

// Processes that rotate at once make one key, over a file and over a store.
func TestKeysRotateByProcessesAtOnceMakesOneKey(t *testing.T) {
	for _, ring := range []string{"file", "store"} {
		t.Run(ring, func(t *testing.T) {
			w := newKeysWorld(t)
			args := []string{"--ring", w.path("ring"), "--keeper", "file:" + w.path("ring.key")}
			if ring == "store" {
				w.store()
				args = []string{"--ring", "store:", "--store", "sqlite:" + w.path("db"), "--keeper", "file:" + w.path("ring.key")}
			}
			w.must(append([]string{"keys", "create"}, args...)...)
			line := strings.Join(append([]string{"keys", "rotate", "--json", "--if-older-than", "720h"}, args...), "\n")
			var group sync.WaitGroup
			answers := make(chan ringResult, 4)
			for range cap(answers) {
				group.Go(func() {
					c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKeysChild$")
					c.Env = append(os.Environ(), keysChildVariable+"="+line)
					out, err := c.Output()
					var v ringResult
					if err == nil {
						err = json.Unmarshal(out, &v)
					}
					if err != nil {
						t.Errorf("%v: %s", err, out)
					}
					answers <- v
				})
			}
			group.Wait()
			close(answers)
			changed := 0
			for v := range answers {
				if v.Changed {
					changed++
				}
				if v.Version != 2 || len(v.Keys) != 3 {
					t.Errorf("a process says %+v", v)
				}
			}
			if changed != 1 {
				t.Errorf("%d processes changed the set", changed)
			}
		})
	}
}
