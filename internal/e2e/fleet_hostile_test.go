package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// hostile is one node behind a bad store, and another behind a working one.
type hostile struct {
	t           *testing.T
	bad         *badStore
	here, there *wafer.Sessions[basket]
	alarms      atomic.Int64
	alice, bob  cookies
}

const hostileTimeout = 2 * time.Second

// withHostile runs a test with two users logged in: alice, who will be revoked,
// and bob, who is honest.
func withHostile(t *testing.T, test func(h *hostile)) {
	ring := newStaticRing(t)
	synctest.Test(t, func(t *testing.T) {
		h := &hostile{t: t, bad: &badStore{}}
		inner := memory.New(memory.Options{})
		h.bad.Store = inner
		h.bad.inner.Store(inner)
		begin := func(db store.Store) *wafer.Sessions[basket] {
			s, err := wafer.New(t.Context(), ring, db, wafer.Config[basket]{
				Realm: testRealm, Idle: 3 * time.Hour, StoreTimeout: hostileTimeout,
				Observe: func(e wafer.Event) {
					if e.Kind == wafer.KindAlarm {
						h.alarms.Add(1)
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s
		}
		h.here, h.there = begin(h.bad), begin(inner)
		h.alice, h.bob = h.login(h.here, "alice"), h.login(h.here, "bob")
		time.Sleep(time.Second)
		h.wants(&h.alice, http.StatusOK)
		h.wants(&h.bob, http.StatusOK)
		test(h)
		h.bad.set(nil)
	})
}

func (h *hostile) login(s *wafer.Sessions[basket], subject string) (j cookies) {
	h.t.Helper()
	rec := httptest.NewRecorder()
	if err := s.Start(rec, httptest.NewRequest(http.MethodPost, "https://harness.example/", nil), subject, basket{}); err != nil {
		h.t.Fatal(err)
	}
	j.receive(&reply{cookies: rec.Result().Cookies()})
	return j
}

// status returns the status that the node gives to the cookies, and stores the
// cookies of the answer.
func (h *hostile) status(j *cookies) int {
	h.t.Helper()
	status, began := 0, time.Now()
	rec := httptest.NewRecorder()
	q := &request{session: j.session, refresh: j.refresh}
	h.here.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		status = http.StatusOK
		if _, err := h.here.Get(r.Context()); err != nil {
			status = wafer.Status(err)
		}
	})).ServeHTTP(rec, q.httpRequest())
	if d := time.Since(began); d > 3*hostileTimeout {
		h.t.Errorf("the request took %v", d)
	}
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge <= 0 {
			h.t.Errorf("the cookie %s is deleted", c.Name)
		}
	}
	j.receive(&reply{cookies: rec.Result().Cookies()})
	return status
}

func (h *hostile) wants(j *cookies, status int) {
	h.t.Helper()
	if got := h.status(j); got != status {
		h.t.Errorf("%v: the answer is %d, want %d", h.here.Health(), got, status)
	}
}

// refused fails the test if the cookies are accepted, together or each alone.
func (h *hostile) refused(j cookies) {
	h.t.Helper()
	for what, part := range map[string]cookies{"both": j, "the cookie": {session: j.session}, "the token": {refresh: j.refresh}} {
		if got := h.status(&part); got == http.StatusOK {
			h.t.Errorf("%s of the revoked session is accepted: %+v", what, h.here.Health())
		}
	}
}

// revoke revokes alice's sessions through the other node, and returns the time
// by which that must be in force here.
func (h *hostile) revoke() time.Time {
	h.t.Helper()
	if _, err := h.there.Revoke(context.Background(), wafer.Revocation{Subjects: []string{"alice"}}); err != nil {
		h.t.Fatal(err)
	}
	return time.Now().Add(testStaleness)
}

// recovers fails the test unless the node recovers by itself.
func (h *hostile) recovers() {
	h.t.Helper()
	h.bad.set(nil)
	time.Sleep(testStaleness)
	if state := h.here.Health(); state.State != "fresh" {
		h.t.Errorf("it has not recovered: %+v", state)
	}
	h.refused(h.alice)
	h.wants(&h.bob, http.StatusOK)
	before := h.bad.calls.Load()
	h.wants(&h.bob, http.StatusOK)
	if calls := h.bad.calls.Load() - before; calls != 0 {
		h.t.Errorf("reading makes %d calls of the store", calls)
	}
	again := h.login(h.here, "alice")
	h.wants(&again, http.StatusOK)
}

func TestPromise1And5_BadStore(t *testing.T) {
	always := func(s callFault) func(string) callFault { return func(string) callFault { return s } }
	const sometimes = "every second answer is missing" // which ones depends on chance
	for name, c := range map[string]struct {
		fault func(method string) callFault
		lasts time.Duration
		worst int // status that bob may get
	}{
		"hangs":                         {always(callFault{hangs: true}), 4 * time.Minute, 503},
		"hangs past an access lifetime": {always(callFault{hangs: true}), 12 * time.Minute, 503},
		"answers late":                  {always(callFault{delay: hostileTimeout / 4}), 12 * time.Minute, 200},
		"answers too late":              {always(callFault{delay: hostileTimeout + time.Second}), 12 * time.Minute, 503},
		"an error for an hour":          {always(callFault{err: errFleet}), time.Hour, 503},
		"the same entries again":        {func(method string) callFault { return callFault{fromStart: method == "Since"} }, 12 * time.Minute, 200},
		sometimes:                       {everySecond(callFault{hangs: true}), 12 * time.Minute, 503},
	} {
		t.Run(name, func(t *testing.T) {
			withHostile(t, func(h *hostile) {
				h.bad.set(c.fault)
				h.wants(&h.bob, 200) // the list is still fresh
				inForce, end, answers := h.revoke(), time.Now().Add(c.lasts), make(map[int]int)
				for time.Now().Before(end) {
					time.Sleep(7 * time.Second)
					if time.Now().After(inForce) {
						h.refused(h.alice)
					}
					status := h.status(&h.bob)
					if answers[status]++; status != 200 && status != c.worst {
						t.Errorf("bob gets %d", status)
					}
				}
				t.Log(answers)
				if answers[c.worst] == 0 && name != sometimes {
					t.Errorf("bob gets %v: the store is not as bad as the test says", answers)
				}
				h.recovers()
			})
		})
	}
}

// everySecond disturbs every second call of each method.
func everySecond(s callFault) func(string) callFault {
	count := make(map[string]int)
	return func(method string) callFault {
		if count[method]++; count[method]%2 == 0 {
			return callFault{}
		}
		return s
	}
}

// The answer that the follower waits for is older than the revocation, and
// arrives after the answer to a later query. It must undo nothing.
func TestPromise1And5_BadStore_AnswersOutOfOrder(t *testing.T) {
	withHostile(t, func(h *hostile) {
		t := h.t
		old, first := make(chan struct{}), true
		h.bad.set(func(method string) callFault {
			if method == "Since" && first {
				first = false
				return callFault{release: old}
			}
			return callFault{}
		})
		time.Sleep(testStaleness + time.Minute) // the follower's query was answered, and the answer is on its way
		h.revoke()
		carol := h.login(h.there, "carol")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.here.WaitFor(ctx, 1); err != nil { // it queries the log
			t.Fatal(err)
		}
		inForce := func() {
			t.Helper()
			h.refused(h.alice)
			before := h.bad.calls.Load()
			h.wants(&h.bob, 200)
			h.wants(&carol, 200)
			if calls := h.bad.calls.Load() - before; calls != 0 || h.here.Health().State != "fresh" {
				t.Errorf("%d calls of the store: %+v", calls, h.here.Health())
			}
		}
		inForce()
		close(old)
		synctest.Wait()
		inForce()
		if n := h.alarms.Load(); n != 0 {
			t.Errorf("%d alarms", n)
		}
		h.recovers()
	})
}

// The store comes back empty at the same address. A new log trusts no older
// cookie: everyone who was logged in has to log in again, and nobody who was
// revoked is accepted.
func TestPromise1And5_BadStore_ComesBackEmpty(t *testing.T) {
	for _, downFor := range []time.Duration{0, time.Minute, 10 * time.Minute} {
		t.Run(fmt.Sprint(downFor), func(t *testing.T) {
			withHostile(t, func(h *hostile) {
				h.revoke()
				time.Sleep(time.Second)
				h.refused(h.alice)
				h.bad.set(func(string) callFault { return callFault{err: errFleet} })
				time.Sleep(downFor)
				h.bad.inner.Store(memory.New(memory.Options{}))
				h.bad.set(nil)
				deadline := time.Now().Add(testStaleness)
				for time.Now().Before(deadline) {
					h.refused(h.alice)
					h.status(&h.bob)
					time.Sleep(time.Second)
				}
				if h.alarms.Load() == 0 {
					t.Error("no alarm reports that the log was rolled back")
				}
				h.refused(h.bob) // the new log's first entry revokes everyone
				h.bob = h.login(h.here, "bob")
				h.recovers()
			})
		})
	}
}

// The process is paused for two minutes while an answer waits in its socket,
// and alice is revoked meanwhile. At the first request after the pause the node
// must notice that its list is stale. It then queries the store, or answers
// 503.
func TestPromise1And5_BadStore_PausedForTwoMinutes(t *testing.T) {
	const paused = 2 * time.Minute
	for _, c := range []struct {
		name   string
		method string // whose answers wait
		first  string // what runs first after waking: "answer" or "request"
	}{
		{"entries, and the request is first", "Since", "request"},
		{"entries, and the answer is first", "Since", "answer"},
	} {
		for _, reachable := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, ", the store answers: ", reachable), func(t *testing.T) {
				withHostile(t, func(h *hostile) {
					release := make(chan struct{})
					h.bad.set(func(method string) callFault {
						if method == c.method {
							return callFault{release: release}
						}
						return callFault{}
					})
					time.Sleep(testStaleness / 2) // the answer is in the socket
					h.revoke()
					time.Sleep(paused)
					h.bad.set(func(method string) callFault {
						if method == "Since" || !reachable {
							return callFault{hangs: true}
						}
						return callFault{}
					})
					if c.first == "answer" {
						close(release)
						synctest.Wait()
					}
					if state := h.here.Health(); state.State == "fresh" {
						t.Errorf("after the pause its list is fresh: %+v", state)
					}
					h.refused(h.alice)
					want := http.StatusOK
					if !reachable {
						want = http.StatusServiceUnavailable
					}
					h.wants(&h.bob, want)
					if c.first == "request" {
						close(release)
					}
					h.recovers()
				})
			})
		}
	}
}

// A request is paused while the answer to its own query waits. A two-minute-old
// answer of the store must admit nobody.
func TestPromise1And5_BadStore_RequestPausedForTwoMinutes(t *testing.T) {
	for _, c := range []struct {
		method string
		due    bool // a refresh is due
	}{{"Cutoffs", false}, {"Advance", true}} {
		t.Run(c.method, func(t *testing.T) {
			withHostile(t, func(h *hostile) {
				if c.due {
					time.Sleep(testAccess)
				}
				release, cut := make(chan struct{}), callFault{err: errFleet}
				h.bad.set(func(method string) callFault {
					switch method {
					case "Since":
						return cut
					case c.method:
						return callFault{release: release}
					}
					return callFault{}
				})
				if !c.due {
					time.Sleep(testStaleness + 11*time.Second) // the node's list is stale
				}
				h.alice.expire()
				status := make(chan int)
				go func() {
					q := &request{session: h.alice.session, refresh: h.alice.refresh}
					got := 0
					h.here.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						if got = 200; r != nil {
							if _, err := h.here.Get(r.Context()); err != nil {
								got = wafer.Status(err)
							}
						}
					})).ServeHTTP(httptest.NewRecorder(), q.httpRequest())
					status <- got
				}()
				synctest.Wait()
				h.revoke()
				time.Sleep(2 * time.Minute)
				close(release)
				if got := <-status; got != http.StatusServiceUnavailable {
					t.Errorf("the request is answered %d: want 503", got)
				}
				h.refused(h.alice)
				h.recovers()
			})
		})
	}
}
