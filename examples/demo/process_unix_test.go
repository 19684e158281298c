//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
)

// isDemo is the environment variable that makes this program the demo instead
// of its tests.
const isDemo = "WAFER_TEST_IS_DEMO"

// TestMain allows more parallel tests than there are processors, since these
// tests mostly wait: for access lifetimes to end and for lists to become stale.
// An explicit -parallel takes precedence.
func TestMain(m *testing.M) {
	if os.Getenv(isDemo) != "" {
		safeCost = cheap // these tests are not about the cost of a guess
		main()
		return
	}
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// process is a running demo.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	lines  chan string // the lines after the URL
	stderr bytes.Buffer
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, append([]string{"-addr", "127.0.0.1:0"}, args...)...), lines: make(chan string, 16)}
	p.cmd.Env = append(os.Environ(), isDemo+"=yes")
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", p.url, &p.stderr)
		}
	})
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	select {
	case line := <-p.lines:
		if p.url = regexp.MustCompile(`https?://\S+`).FindString(line); p.url == "" {
			t.Fatalf("it printed %q: %s", line, &p.stderr)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not serve")
	}
	return p
}

// end sends a signal and checks that the process ends well, without a further
// line.
func (p *process) end(signal os.Signal) {
	p.t.Helper()
	p.signal(signal)
	for line := range p.lines {
		p.t.Errorf("it printed more than its URL: %q", line)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%v ended it by %v: %s", signal, err, &p.stderr)
	}
}

// browser returns a patient browser: on a busy machine a process may wait for
// its store longer than StoreTimeout, and then honestly answers 503.
func (p *process) browser() *browser {
	return &browser{t: p.t, base: p.url, json: true, jar: map[string]string{}, patience: time.Minute}
}

func TestProcess(t *testing.T) {
	t.Parallel() // it mostly waits
	data := filepath.Join(t.TempDir(), "data")

	p := start(t, "-data", data)
	b := p.browser().login("alice")
	b.post("/cart", "item", "ink").decode(t, 200, &me{})
	var first health
	b.get("/healthz").decode(t, 200, &first)
	p.end(syscall.SIGTERM)
	for _, secret := range []string{b.jar["__Host-session"], b.jar["__Host-refresh"], "wafer:ink"} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Error("a secret is in the log")
		}
	}

	// A second start continues with the same ring and the same sessions.
	p = start(t, "-data", data)
	b.base = p.url
	if v := b.me(); v.Subject != "alice" || v.Data.Cart["ink"] != 1 {
		t.Errorf("after a restart: %+v", v)
	}
	p.end(syscall.SIGTERM)

	// The memory engine starts empty, so the old cookies are authentic and
	// dead.
	const access = time.Second
	p = start(t, "-data", data, "-store", "memory:", "-max-sessions", "1", "-access", access.String(), "-idle", "1m", "-absolute", "1h", "-remember", "24h", "-grace", "100ms")
	old := b
	b = p.browser()
	var second health
	b.get("/healthz").decode(t, 200, &second)
	if second.Key != first.Key || first.Key == "" || second.State != "fresh" {
		t.Errorf("first %+v, second %+v", first, second)
	}
	old.base = p.url
	old.dead("a cookie from before the restart")
	b.login("bob")
	p.browser().post("/login", "user", "bob", "password", "wafer").is(t, 409, "conflict")
	before := b.jar["__Host-refresh"]
	time.Sleep(access)
	b.me()
	if b.jar["__Host-refresh"] == before {
		t.Error("nothing was refreshed after the access lifetime")
	}
	p.end(os.Interrupt)

	p = start(t, "-data", data, "-tls")
	if !strings.HasPrefix(p.url, "https://127.0.0.1:") {
		t.Errorf("with -tls it serves %s", p.url)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Get(p.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	p.end(syscall.SIGTERM)
}

// Two demos share one data directory. A session that one revokes is soon dead
// on the other. After SIGKILL and a restart, a live browser's session
// continues, and a revoked one stays dead.
func TestTwoProcessesOnOneFile(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	// Without the notification by the file they would query every 15 min.
	flags := []string{"-data", data, "-max-staleness", "2h"}
	one, two := start(t, flags...), start(t, flags...)
	leaving, staying := one.browser().login("alice"), one.browser().login("bob")
	for _, b := range []*browser{leaving, staying} {
		b.at(two).me()
	}
	copied := leaving.copy()
	leaving.insist(func() answer { return leaving.post("/logout") }).ok(t)
	copied.at(one).dead("a copy after the logout, where it was made")
	deadline := time.Now().Add(time.Minute)
	for copied.at(two).get("/me").status != http.StatusUnauthorized {
		if time.Now().After(deadline) {
			t.Fatal("a minute after the logout the other process still accepts the session")
		}
		time.Sleep(10 * time.Millisecond)
	}

	for _, p := range []*process{one, two} {
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.cmd.Wait()
	}
	again := start(t, "-data", data)
	if v := staying.at(again).me(); v.Subject != "bob" {
		t.Errorf("after SIGKILL and a restart: %+v", v)
	}
	copied.at(again).dead("a copy of the revoked session after SIGKILL and a restart")
	again.end(syscall.SIGTERM)
}

// A process that was stopped for longer than MaxStaleness must treat its list
// as stale on its first request. No request with a cookie that was revoked
// meanwhile is accepted, neither one that waited in the socket nor one on an
// older connection. Its live answer ends: as revoked or, if a query was under
// way when the process was stopped and had no answer in time, as unavailable.
func TestStoppedProcess(t *testing.T) {
	t.Parallel() // it mostly waits
	data := filepath.Join(t.TempDir(), "data")
	const staleness = time.Second
	flags := []string{"-data", data, "-max-staleness", staleness.String()}
	one, two := start(t, flags...), start(t, flags...)
	for round := range rounds.Of(2, 3) {
		alice, bob := one.browser().login("alice"), one.browser().login("bob")
		alice.base, bob.base = two.url, two.url
		alice.me()
		live := alice.listen(t)
		if event := live.next(t); event != "tick" {
			t.Fatalf("event %q", event)
		}
		stolen := alice.copy()
		admin := one.browser()
		two.stopBeside(admin)
		const clients = 50
		answers := make(chan int, 2*clients)
		ask := func() { answers <- stolen.get("/me").status }
		for range clients {
			go ask() // these wait in the socket of the stopped process
		}
		time.Sleep(staleness / 2)
		if round%2 == 0 {
			alice.base = one.url
			alice.insist(func() answer { return alice.post("/logout") }).ok(t)
		} else {
			admin.insist(func() answer { return admin.post("/admin/revoke", "subject", "alice", "reason", "a test") }).ok(t)
		}
		time.Sleep(2 * staleness)
		two.signal(syscall.SIGCONT)
		for range clients {
			go ask()
		}
		for range 2 * clients {
			if status := <-answers; status != http.StatusUnauthorized && status != http.StatusServiceUnavailable {
				t.Errorf("round %d: a request with the revoked cookie got %d", round, status)
			}
		}
		live.ends(t, "revoked", "unavailable")
		if v := bob.me(); v.Subject != "bob" {
			t.Errorf("another user is %+v", v)
		}
	}
	for _, p := range []*process{one, two} {
		p.end(syscall.SIGTERM)
	}
}

// stopBeside stops the process while it does not hold the file's lock, with
// which it would keep every other process from writing. That shows in a login
// of the administrator at another process.
func (p *process) stopBeside(admin *browser) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; p.signal(syscall.SIGCONT) {
		p.stop()
		switch a := admin.tryLogin("admin"); {
		case a.status == http.StatusOK:
			return
		case a.status != http.StatusServiceUnavailable, time.Now().After(deadline):
			p.t.Fatalf("login beside a stopped process: %v", a)
		}
	}
}

// stop returns once every thread of the process has stopped. An answer before
// that would be no fault.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	for {
		var status syscall.WaitStatus
		switch _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); {
		case err == syscall.EINTR:
		case err != nil:
			p.t.Fatal(err)
		case !status.Stopped():
			p.t.Fatalf("it ended instead of stopping: %s", &p.stderr)
		default:
			return
		}
	}
}

func (p *process) signal(signal os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}
