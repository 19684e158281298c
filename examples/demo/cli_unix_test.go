//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The operator's command line works on the ring and the store of the running
// demo. The demo serves without interruption, and revoked sessions are dead.
func TestCommandLineBesideTheDemo(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, "-data", data, "-max-staleness", "2s")
	wafer := commandLine{t, buildWafer(t), []string{"--ring", filepath.Join(data, "ring")}, []string{"--store", "sqlite:" + filepath.Join(data, "wafer.db")}}
	alice, bob := p.browser().login("alice"), p.browser().login("bob")
	defer p.end(syscall.SIGTERM)
	defer alwaysServing(t, p)()

	first := wafer.keys()
	if got := p.key(); got != first.id("primary") {
		t.Fatalf("the demo seals under %s; keys list: %+v", got, first)
	}
	wafer.run(wafer.ring, "keys", "rotate")
	rotated := wafer.keys()
	if rotated.Version <= first.Version || rotated.id("primary") != first.id("primary") || rotated.id("next") != first.id("next") {
		t.Errorf("keys rotate made %+v of %+v", rotated, first)
	}
	alive(t, bob, "bob")
	alive(t, p.browser().login("bob"), "bob")

	wafer.run(wafer.store, "revoke", "--subject", "alice", "--reason", "a test", "--yes", "--wait")
	alice.dead("alice's session, which the command line revoked and waited for")
	alive(t, bob, "bob")

	// A key id that is unknown to the demo makes it reload. Otherwise it would
	// reload within a minute.
	wafer.run(wafer.ring, "keys", "revoke", first.id("primary"), "--reason", "a test", "--yes")
	p.showUnknownKey()
	if got := p.key(); got != first.id("next") {
		t.Errorf("after a revocation the demo seals under %s, want the next key, %s", got, first.id("next"))
	}
	bob.dead("a session under a revoked key")
	bob = p.browser().login("bob")
	alive(t, bob, "bob")

	// After a compromise the log makes the demo reload: no poll is waited for.
	second := wafer.keys()
	wafer.run(slices.Concat(wafer.ring, wafer.store), "keys", "revoke", second.id("primary"), "--compromised", "--reason", "a test", "--yes")
	deadline := time.Now().Add(time.Minute)
	for p.key() == second.id("primary") {
		if time.Now().After(deadline) {
			t.Fatal("the demo still seals under a compromised key")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got, now := p.key(), wafer.keys(); got != now.id("primary") || now.id("next") == "" {
		t.Errorf("the demo seals under %s; keys list: %+v", got, now)
	}
	bob.dead("a session under a compromised key")
	alive(t, p.browser().login("bob"), "bob")
}

// commandLine is the built command, with the flags for ring and store.
type commandLine struct {
	t           *testing.T
	binary      string
	ring, store []string
}

// run runs a command, which must succeed, and returns its output.
func (c commandLine) run(where []string, args ...string) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.binary, slices.Concat(args, where)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("wafer %q: %v\n%s%s", args, err, out, &stderr)
	}
	return out
}

// keyList is the output of keys list.
type keyList struct {
	Version uint64
	Keys    []struct{ ID, State string }
}

// id returns the key in a state, or "".
func (l keyList) id(state string) string {
	for _, k := range l.Keys {
		if k.State == state {
			return k.ID
		}
	}
	return ""
}

func (c commandLine) keys() (l keyList) {
	c.t.Helper()
	if err := json.Unmarshal(c.run(c.ring, "keys", "list", "--json"), &l); err != nil {
		c.t.Fatal(err)
	}
	return l
}

// key returns the key that the demo seals under.
func (p *process) key() string {
	p.t.Helper()
	var h health
	p.browser().get("/healthz").decode(p.t, http.StatusOK, &h)
	return h.Key
}

// showUnknownKey makes a request with a cookie under a key that no ring has.
func (p *process) showUnknownKey() {
	p.t.Helper()
	sealed := make([]byte, 200)
	sealed[0] = 1 // the version of the format; a key id of zeros follows
	b := p.browser()
	b.jar["__Host-session"] = base64.RawURLEncoding.EncodeToString(sealed)
	if a := b.get("/me"); a.status != http.StatusUnauthorized {
		p.t.Errorf("a cookie under an unknown key got %d", a.status)
	}
}

func alive(t *testing.T, b *browser, subject string) {
	t.Helper()
	if v := b.me(); v.Subject != subject {
		t.Errorf("the browser is %+v, want %s", v, subject)
	}
}

// alwaysServing requests the front page in a loop. The returned function ends
// the loop, and fails the test unless each answer was good.
func alwaysServing(t *testing.T, p *process) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var requests sync.WaitGroup
	answers := 0
	requests.Go(func() {
		for ctx.Err() == nil || answers < 10 { // fewer show nothing
			resp, err := http.Get(p.url + "/")
			if err != nil {
				t.Errorf("the demo does not answer: %v", err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("the front page is %d", resp.StatusCode)
			}
			answers++
			time.Sleep(5 * time.Millisecond)
		}
	})
	return func() {
		cancel()
		requests.Wait()
		http.DefaultClient.CloseIdleConnections()
	}
}

func buildWafer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "wafer")
	// Unlike go build, go run caches the linked program.
	cmd := exec.Command("go", "run", "-exec", "cp", ".", binary)
	cmd.Dir = filepath.Join("..", "..", "cmd", "wafer")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	return binary
}
