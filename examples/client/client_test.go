package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// startDemo builds the demo and runs it on a free port.
func startDemo(t *testing.T, flags ...string) (url string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-ldflags=-w", "-o", binary, "../demo").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, append([]string{"-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data")}, flags...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, _ := bufio.NewReader(out).ReadString('\n')
	if url = regexp.MustCompile(`http://\S+`).FindString(line); url == "" {
		t.Fatalf("it printed %q: %s", line, &log)
	}
	return url
}

// losing delivers requests and loses as many answers as it is told to.
type losing struct{ refreshes, lose atomic.Int32 }

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.URL.Path == "/session/refresh" {
		l.refreshes.Add(1)
		if l.lose.Add(-1) >= 0 {
			resp.Body.Close()
			return nil, errors.New("the answer was lost")
		}
	}
	return resp, err
}

func TestClient(t *testing.T) {
	const access = 4 * time.Second
	url := startDemo(t, "-access", access.String(), "-grace", "1s", "-idle", "1m", "-remember", "24h")
	file := filepath.Join(t.TempDir(), "deep", "tokens.json")
	ctx := t.Context()
	call := func(stdin string, args ...string) (string, error) {
		var out bytes.Buffer
		err := run(ctx, append([]string{"-url", url, "-tokens", file}, args...), strings.NewReader(stdin), &out)
		return out.String(), err
	}
	if _, err := call("", "whoami"); !errors.Is(err, errLoggedOut) {
		t.Errorf("before the login: %v", err)
	}
	if _, err := call("guess\n", "login", "alice"); err == nil {
		t.Error("a wrong password logs in")
	}
	if out, err := call("wafer\n", "login", "alice"); err != nil || out != "logged in as alice\n" {
		t.Fatal(out, err)
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file of tokens: %v, %v", info.Mode(), err)
	}
	session := regexp.MustCompile(`^alice, for "shop", in session ([0-9a-f]{32})\n$`)
	first, err := call("", "whoami")
	if err != nil || !session.MatchString(first) {
		t.Fatal(first, err)
	}

	// The access token is due, since it is not used for its last five seconds.
	// Two answers in a row are lost, and the session goes on.
	c := newClient(url, file, time.Now)
	transport := new(losing)
	c.http.Transport = transport
	before, err := c.tokens.read()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(access / 2) // until there is a successor
	transport.lose.Store(2)
	me, err := c.whoami(ctx)
	if err != nil || !strings.Contains(first, me.ID) || me.Subject != "alice" {
		t.Fatalf("after two lost answers: %+v, %v", me, err)
	}
	if n := transport.refreshes.Load(); n != 3 {
		t.Errorf("%d refreshes", n)
	}
	after, err := c.tokens.read()
	if err != nil || after.Refresh == before.Refresh {
		t.Errorf("no new refresh token was kept: %v", err)
	}

	// A program that was killed before it stored the answer has the old token.
	if err := c.tokens.write(before); err != nil {
		t.Fatal(err)
	}
	if again, err := call("", "whoami"); err != nil || again != first {
		t.Errorf("with the token of before: %q, %v", again, err)
	}

	if out, err := call("", "logout"); err != nil || out != "logged out\n" {
		t.Error(out, err)
	}
	if err := c.tokens.write(after); err != nil { // a copy
		t.Fatal(err)
	}
	if _, err := call("", "whoami"); !errors.Is(err, errLoggedOut) {
		t.Errorf("a copy after the logout: %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("tokens that are worth nothing are kept: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"login"}, {"login", "a", "b"}, {"whoami", "x"}, {"nothing"}} {
		if err := run(context.Background(), args, strings.NewReader(""), io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
