package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// Promise 8: bounded.

func TestPromise8_GoroutinesEndWithTheirSessions(t *testing.T) {
	w := newWorld(t)
	settle := func(most int) int {
		var n int
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
			if n = runtime.NumGoroutine(); n <= most || time.Now().After(deadline) {
				return n
			}
		}
	}
	before := runtime.NumGoroutine()
	for range 20 {
		n := w.node()
		b := w.browser().login(n, "alice", "a")
		w.clock.Move(testAccess)
		b.is(n, "alice: a")
		n.store.fail("Revoke")
		_ = b.do(n, end)
		n.stop()
	}
	w.nodes = nil
	if after := settle(before); after > before {
		t.Errorf("%d goroutines before, %d after 20 Sessions were closed", before, after)
	}
	n := w.node()
	settle(before + 2)
	if running := runtime.NumGoroutine(); running > before+2 {
		t.Errorf("one Sessions runs %d goroutines", running-before)
	}
	b := w.browser().login(n, "alice", "a")
	for range 500 {
		w.clock.Move(testAccess / 2)
		b.see(n)
	}
	if running := settle(before + 2); running > before+2 {
		t.Errorf("500 refreshes left %d goroutines", running-before)
	}
}

// Logouts that the store does not accept are kept for later, by one goroutine and
// each once, and a client that repeats its own drops nobody's. Their bound is tested
// in internal/node.
func TestPromise8_LogoutsInAnOutageAreBounded(t *testing.T) {
	const users, again = 1124, 2048
	w := newWorld(t)
	n := w.node()
	jars := make([]*browser, users)
	for i := range jars {
		jars[i] = w.browser().login(n, fmt.Sprint("user", i), "a")
	}
	w.pass(0)
	n.store.fail()
	before := runtime.NumGoroutine()
	for range again {
		wants(t, "End", jars[0].copy().do(n, end), wafer.ErrUnavailable)
	}
	for _, b := range jars {
		wants(t, "End", b.copy().do(n, end), wafer.ErrUnavailable)
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d logouts in an outage started %d goroutines", len(jars), after-before)
	}
	if dropped := n.count(wafer.KindAlarm, "too many logouts"); dropped != 0 {
		t.Errorf("%d logouts were dropped and reported", dropped)
	}
	for _, b := range jars { // all are in force here, kept or not
		if got := b.without(refreshCookie).peek(n); got != "401" {
			t.Fatalf("after a logout in an outage the cookie is %q", got)
		}
	}
	n.store.heal()
	ended := 0
	for deadline := time.Now().Add(2 * time.Minute); ended < users && !time.Now().After(deadline); time.Sleep(10 * time.Millisecond) {
		ended = 0
		for _, b := range jars {
			if b.family(w).State == store.Ended {
				ended++
			}
		}
	}
	if ended < users {
		t.Errorf("%d of %d logouts reached the store", ended, users)
	}
}

// Logouts are revocations like others: the list's limit holds for them too.
func TestPromise8_LogoutsDoNotOutgrowTheList(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
	for i := range 2500 {
		b := w.browser().login(n, fmt.Sprint("user", i), "a")
		if err := n.End(httptest.NewRecorder(), b.request()); err != nil {
			t.Fatal(err)
		}
		w.clock.Move(time.Millisecond)
	}
	w.pass(0)
	if h := n.Health(); h.Revocations > 1024 {
		t.Errorf("the list holds %d revocations, above a limit of 1024", h.Revocations)
	}
	b := w.browser().login(n, "alice", "a")
	b.is(n, "alice: a")
}

// The cost of a client's request is bounded by the cost of its header.
func TestPromise8_OversizedInputIsCheap(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	n.freshen()
	big := strings.Repeat("A", 1<<20)
	for name, lines := range map[string][]string{
		"1 MB session cookie":   {sessionCookie + "=" + big},
		"1 MB refresh token":    {refreshCookie + "=wfr1_" + big},
		"1 MB of another":       {"theme=" + big},
		"1 MB of names":         {strings.Repeat("a; ", 1<<20/3)},
		"1 MB of duplicates":    {strings.Repeat(sessionCookie+"=A; ", 1<<20/18)},
		"1 MB beside good ones": {"theme=" + big, sessionCookie + "=" + b.cookies[sessionCookie]},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Cookie"] = lines
		const rounds = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		took := time.Hour // the fastest: others may have waited for the processor
		for range rounds {
			started := time.Now()
			_, _ = n.Attach(httptest.NewRecorder(), r)
			took = min(took, time.Since(started))
		}
		runtime.ReadMemStats(&after)
		if bytes := (after.TotalAlloc - before.TotalAlloc) / rounds; bytes > 32<<10 {
			t.Errorf("%s: %d bytes allocated for one request", name, bytes)
		}
		if took > 200*time.Millisecond {
			t.Errorf("%s: %v for one request", name, took)
		}
	}
}

// A bounded number of cookies under one name is tried.
func TestPromise8_DuplicatesAreBounded(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(0)
	for _, test := range []struct {
		junk int
		want string
	}{{0, "alice: a"}, {3, "alice: a"}, {4, "401"}, {3000, "401"}} {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		for i := range test.junk {
			r.Header.Add("Cookie", fmt.Sprintf("%s=junk%d; %s=junk%d", sessionCookie, i, refreshCookie, i))
		}
		r.Header.Add("Cookie", b.request().Header["Cookie"][0])
		r.Header.Add("Cookie", b.request().Header["Cookie"][1])
		seen := len(n.observed())
		if a := b.askWith(n, r, nil); a.who != test.want {
			t.Errorf("behind %d of junk it is %q, want %q", test.junk, a.who, test.want)
		}
		if tried := len(n.observed()) - seen; tried > 8 {
			t.Errorf("behind %d of junk %d values were tried", test.junk, tried)
		}
	}
}

// While the list is stale, a bounded number of queries is in flight, and
// queries about one session are coalesced.
func TestPromise8_QuestionsToTheStoreAreCoalesced(t *testing.T) {
	synctest.Test(t, testQueriesAreCoalesced)
}

func testQueriesAreCoalesced(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	n.freshen()
	n.store.fail("Since")
	w.clock.Move(testStaleness + time.Millisecond)
	asked, release := make(chan struct{}), make(chan struct{})
	n.store.before("Cutoffs", func() { close(asked); <-release })
	var wg sync.WaitGroup
	n.store.reset()
	for i := range 64 {
		if i == 1 {
			<-asked
		}
		wg.Go(func() {
			if got := b.peek(n); got != "alice: a" {
				t.Errorf("a request is %q", got)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	close(release)
	wg.Wait()
	if calls := n.store.calls()["Cutoffs"]; calls > 32 {
		t.Errorf("64 requests for one session called the store %d times", calls)
	}
}

// Close may be called by both a defer and a cleanup.
func TestPromise8_CloseTwice(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	n.Close()
	n.Close()
}

// One account that commits in a loop is one name in the list, whatever the
// number of its entries. Nobody else is refreshed for it.
func TestPromise8_OneAccountsCommitsMakeNobodyRefresh(t *testing.T) {
	forEachKind(t, func(t *testing.T, w *world) {
		n := w.node(func(c *wafer.Config[basket]) { c.MaxRevocations = 1024 })
		var others []*browser
		for i := range 10 {
			others = append(others, w.browser().login(n, fmt.Sprint("user", i), "x"))
		}
		mallory := w.browser().login(n, "mallory", "x")
		w.pass(0)
		for range 3 * 1024 {
			wants(t, "Commit", mallory.do(n, func(v *visit) error { return n.Commit(v.w, v.r, basket{}) }), nil)
		}
		w.pass(0)
		n.store.reset()
		for i, b := range others {
			b.is(n, fmt.Sprintf("user%d: x", i))
		}
		if calls := n.store.calls(); calls["Advance"] != 0 || calls["Family"] != 0 || n.Health().Floor != 0 {
			t.Errorf("the others' reads cost %v, the floor is %d", calls, n.Health().Floor)
		}
	})
}
