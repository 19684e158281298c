package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/sqlite"
)

// keysWorld is a directory with the files of the key commands, at a time that a
// test sets.
type keysWorld struct {
	*testing.T
	dir      string
	now      time.Time
	vars     map[string]string
	typed    string // at the terminal, if there is one
	terminal bool
	hidden   []string // must not be printed
}

// keysRun is the result of a run of the command line.
type keysRun struct {
	code           int
	stdout, stderr string
}

var keysEpoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newKeysWorld(t *testing.T) *keysWorld {
	return &keysWorld{T: t, dir: t.TempDir(), now: keysEpoch, vars: map[string]string{}}
}

func (w *keysWorld) path(name string) string { return filepath.Join(w.dir, name) }

// run runs the command line. A word that begins with @ is a file of the
// directory.
func (w *keysWorld) run(words ...string) keysRun {
	w.Helper()
	args := make([]string, len(words))
	for i, word := range words {
		if before, after, found := strings.Cut(word, "@"); found {
			word = before + w.path(after)
		}
		args[i] = word
	}
	var stdout, stderr bytes.Buffer
	code := run(w.Context(), &env{
		stdin: strings.NewReader(w.typed), stdout: &stdout, stderr: &stderr, terminal: w.terminal,
		getenv: func(name string) string { return w.vars[name] },
		now:    func() time.Time { return w.now },
	}, args)
	a := keysRun{code, stdout.String(), stderr.String()}
	for _, secret := range w.hidden {
		if strings.Contains(a.stdout+a.stderr, secret) {
			w.Fatalf("wafer %s prints a secret:\n%s%s", strings.Join(args, " "), a.stdout, a.stderr)
		}
	}
	return a
}

// must runs a command with --json, which must succeed, and returns its output.
func (w *keysWorld) must(words ...string) (v ringResult) {
	w.Helper()
	a := w.run(append(words, "--json")...)
	if a.code != exitDone || a.stderr != "" {
		w.Fatalf("wafer %s: %d: %s%s", strings.Join(words, " "), a.code, a.stdout, a.stderr)
	}
	if err := json.Unmarshal([]byte(a.stdout), &v); err != nil {
		w.Fatalf("%v in %s", err, a.stdout)
	}
	return v
}

// want runs a command, which must end with that code and print that message on
// the right channel.
func (w *keysWorld) want(code int, message string, words ...string) keysRun {
	w.Helper()
	a := w.run(words...)
	channel := a.stderr
	if code == exitDone {
		channel = a.stdout
	} else if a.stdout != "" {
		w.Errorf("wafer %s answers %q beside its error", strings.Join(words, " "), a.stdout)
	}
	if a.code != code || !strings.Contains(channel, message) {
		w.Errorf("wafer %s: code %d: %q; want code %d and %q", strings.Join(words, " "), a.code, a.stdout+"|"+a.stderr, code, message)
	}
	return a
}

// usage checks -h and wrong command lines.
func (w *keysWorld) usage(command string, wrong ...string) {
	w.Helper()
	words := strings.Fields(command)
	if a := w.run(append(words, "-h")...); a.code != exitDone || !strings.Contains(a.stderr, "example:\n  wafer "+command) || a.stdout != "" {
		w.Errorf("wafer %s -h: %d: %s", command, a.code, a.stderr)
	}
	for _, args := range append([]string{"--no-such-flag", "--ring @ring one-word-too many"}, wrong...) {
		if a := w.run(append(words, strings.Fields(args)...)...); a.code != exitUsage || !strings.Contains(a.stderr, "example:") || a.stdout != "" {
			w.Errorf("wafer %s %s: %d: %s", command, args, a.code, a.stderr)
		}
	}
}

// ring creates a ring file and its key file.
func (w *keysWorld) ring() ringResult {
	w.Helper()
	v := w.must("keys", "create", "--ring", "@ring")
	w.hide("ring.key")
	return v
}

// hide registers the content of a file, which must not be printed.
func (w *keysWorld) hide(name string) { w.hidden = append(w.hidden, strings.TrimSpace(w.read(name))) }

// store makes a store, as the application does.
func (w *keysWorld) store() {
	w.Helper()
	db, err := sqlite.Open(w.Context(), w.path("db"), sqlite.Options{})
	if err != nil {
		w.Fatal(err)
	}
	if err := db.Close(); err != nil {
		w.Fatal(err)
	}
}

func (w *keysWorld) openStore() *sqlite.Store {
	w.Helper()
	db, err := sqlite.Open(w.Context(), w.path("db"), sqlite.Options{})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { db.Close() })
	return db
}

func (w *keysWorld) open(name string) *keyring.Ring {
	w.Helper()
	keeper, err := keyring.OpenKeeper(w.path(name + ".key"))
	if err != nil {
		w.Fatal(err)
	}
	ring, err := keyring.Open(w.Context(), keyring.File(w.path(name)), keeper)
	if err != nil {
		w.Fatal(err)
	}
	return ring
}

func (w *keysWorld) read(name string) string {
	w.Helper()
	b, err := os.ReadFile(w.path(name))
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

func (w *keysWorld) write(name, content string, mode os.FileMode) {
	w.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), mode); err != nil {
		w.Fatal(err)
	}
	if err := os.Chmod(w.path(name), mode); err != nil {
		w.Fatal(err)
	}
}

func (w *keysWorld) absent(name string) {
	w.Helper()
	if _, err := os.Stat(w.path(name)); !os.IsNotExist(err) {
		w.Errorf("%s is there: %v", name, err)
	}
}

// states returns the states of keys, in order.
func states(keys []keyView) string {
	var all []string
	for _, k := range keys {
		all = append(all, k.State)
	}
	return strings.Join(all, " ")
}
