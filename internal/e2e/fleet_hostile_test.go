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

// hostile is one node behind a bad store, and one that reaches it well.
type hostile struct {
	t           *testing.T
	bad         *badStore
	here, there *wafer.Sessions[basket]
	alarms      atomic.Int64
	alice, bob  jar
}

const hostileTimeout = 2 * time.Second

// withHostile runs a test with alice, who is to be revoked, and bob, who is
// honest, logged in.
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

func (h *hostile) login(s *wafer.Sessions[basket], subject string) (j jar) {
	h.t.Helper()
	rec := httptest.NewRecorder()
	if err := s.Start(rec, httptest.NewRequest(http.MethodPost, "https://harness.example/", nil), subject, basket{}); err != nil {
		h.t.Fatal(err)
	}
	j.take(&reply{cookies: rec.Result().Cookies()})
	return j
}

// status is how the node judges a jar. The answer arrives.
func (h *hostile) status(j *jar) int {
	h.t.Helper()
	status, began := 0, time.Now()
	rec := httptest.NewRecorder()
	q := &query{session: j.session, refresh: j.refresh}
	h.here.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		status = http.StatusOK
		if _, err := h.here.Get(r.Context()); err != nil {
			status = wafer.Status(err)
		}
	})).ServeHTTP(rec, q.request())
	if d := time.Since(began); d > 3*hostileTimeout {
		h.t.Errorf("the request took %v", d)
	}
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge <= 0 {
			h.t.Errorf("the cookie %s is deleted", c.Name)
		}
	}
	j.take(&reply{cookies: rec.Result().Cookies()})
	return status
}

func (h *hostile) wants(j *jar, status int) {
	h.t.Helper()
	if got := h.status(j); got != status {
		h.t.Errorf("%v: the answer is %d, want %d", h.here.Health(), got, status)
	}
}

// refused fails the test if any part of the jar is accepted.
func (h *hostile) refused(j jar) {
	h.t.Helper()
	for what, part := range map[string]jar{"the jar": j, "the cookie": {session: j.session}, "the token": {refresh: j.refresh}} {
		if got := h.status(&part); got == http.StatusOK {
			h.t.Errorf("%s of the revoked session is accepted: %+v", what, h.here.Health())
		}
	}
}

// revoke revokes alice's session by the other node, and returns when that must
// be in force here.
func (h *hostile) revoke() time.Time {
	h.t.Helper()
	if _, err := h.there.Revoke(context.Background(), wafer.Revocation{Subjects: []string{"alice"}}); err != nil {
		h.t.Fatal(err)
	}
	return time.Now().Add(testStaleness)
}

// recovers fails the test unless the node is well by itself.
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
	always := func(s spoilt) func(string) spoilt { return func(string) spoilt { return s } }
	const sometimes = "every second answer is missing" // whose, is chance
	for name, c := range map[string]struct {
		spoil func(method string) spoilt
		lasts time.Duration
		worst int // that bob is told
	}{
		"hangs":                         {always(spoilt{hangs: true}), 4 * time.Minute, 503},
		"hangs past an access lifetime": {always(spoilt{hangs: true}), 12 * time.Minute, 503},
		"answers late":                  {always(spoilt{question: hostileTimeout / 4}), 12 * time.Minute, 200},
		"answers too late":              {always(spoilt{question: hostileTimeout + time.Second}), 12 * time.Minute, 503},
		"an error for an hour":          {always(spoilt{err: errFleet}), time.Hour, 503},
		"the same entries again":        {func(method string) spoilt { return spoilt{again: method == "Since"} }, 12 * time.Minute, 200},
		sometimes:                       {everySecond(spoilt{hangs: true}), 12 * time.Minute, 503},
	} {
		t.Run(name, func(t *testing.T) {
			withHostile(t, func(h *hostile) {
				h.bad.set(c.spoil)
				h.wants(&h.bob, 200) // the list is fresh still
				force, end, told := h.revoke(), time.Now().Add(c.lasts), make(map[int]int)
				for time.Now().Before(end) {
					time.Sleep(7 * time.Second)
					if time.Now().After(force) {
						h.refused(h.alice)
					}
					status := h.status(&h.bob)
					if told[status]++; status != 200 && status != c.worst {
						t.Errorf("bob is told %d", status)
					}
				}
				t.Log(told)
				if told[c.worst] == 0 && name != sometimes {
					t.Errorf("bob is told %v: the store is not as bad as the test says", told)
				}
				h.recovers()
			})
		})
	}
}

// everySecond spoils every second call of each method.
func everySecond(s spoilt) func(string) spoilt {
	count := make(map[string]int)
	return func(method string) spoilt {
		if count[method]++; count[method]%2 == 0 {
			return spoilt{}
		}
		return s
	}
}

// The answer that the follower waits for is from before the revocation, and
// comes after the one to a later question. It takes nothing back.
func TestPromise1And5_BadStore_AnswersOutOfOrder(t *testing.T) {
	withHostile(t, func(h *hostile) {
		t := h.t
		old, first := make(chan struct{}), true
		h.bad.set(func(method string) spoilt {
			if method == "Since" && first {
				first = false
				return spoilt{answer: old}
			}
			return spoilt{}
		})
		time.Sleep(testStaleness + time.Minute) // the follower's question was answered, and the answer is on its way
		h.revoke()
		carol := h.login(h.there, "carol")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.here.WaitFor(ctx, 1); err != nil { // it asks for news
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

// The store comes back empty, behind the same address. A new log trusts no
// cookie from before: whoever was logged in logs in again, and nobody who was
// revoked comes back.
func TestPromise1And5_BadStore_ComesBackEmpty(t *testing.T) {
	for _, downFor := range []time.Duration{0, time.Minute, 10 * time.Minute} {
		t.Run(fmt.Sprint(downFor), func(t *testing.T) {
			withHostile(t, func(h *hostile) {
				h.revoke()
				time.Sleep(time.Second)
				h.refused(h.alice)
				h.bad.set(func(string) spoilt { return spoilt{err: errFleet} })
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
					t.Error("no operator was told that the log went back")
				}
				h.refused(h.bob) // the new log's first entry revokes everyone
				h.bob = h.login(h.here, "bob")
				h.recovers()
			})
		})
	}
}

// The process is paused for two minutes while an answer sits in its socket,
// and alice is revoked. On the first request after waking, the node knows that
// its list is stale: it asks the store, or says 503.
func TestPromise1And5_BadStore_PausedForTwoMinutes(t *testing.T) {
	const paused = 2 * time.Minute
	for _, c := range []struct {
		name   string
		method string // whose answers sit
		first  string // what runs first after waking: "answer" or "request"
	}{
		{"news, and the request is first", "Since", "request"},
		{"news, and the answer is first", "Since", "answer"},
	} {
		for _, reachable := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, ", the store answers: ", reachable), func(t *testing.T) {
				withHostile(t, func(h *hostile) {
					sits := make(chan struct{})
					h.bad.set(func(method string) spoilt {
						if method == c.method {
							return spoilt{answer: sits}
						}
						return spoilt{}
					})
					time.Sleep(testStaleness / 2) // the answer is in the socket
					h.revoke()
					time.Sleep(paused)
					h.bad.set(func(method string) spoilt {
						if method == "Since" || !reachable {
							return spoilt{hangs: true}
						}
						return spoilt{}
					})
					if c.first == "answer" {
						close(sits)
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
						close(sits)
					}
					h.recovers()
				})
			})
		}
	}
}

// A request is paused while the answer to its own question sits: what the
// store said two minutes ago admits nobody.
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
				sits, deaf := make(chan struct{}), spoilt{err: errFleet}
				h.bad.set(func(method string) spoilt {
					switch method {
					case "Since":
						return deaf
					case c.method:
						return spoilt{answer: sits}
					}
					return spoilt{}
				})
				if !c.due {
					time.Sleep(testStaleness + 11*time.Second) // its list is stale
				}
				h.alice.fresh()
				status := make(chan int)
				go func() {
					q := &query{session: h.alice.session, refresh: h.alice.refresh}
					got := 0
					h.here.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						if got = 200; r != nil {
							if _, err := h.here.Get(r.Context()); err != nil {
								got = wafer.Status(err)
							}
						}
					})).ServeHTTP(httptest.NewRecorder(), q.request())
					status <- got
				}()
				synctest.Wait()
				h.revoke()
				time.Sleep(2 * time.Minute)
				close(sits)
				if got := <-status; got != http.StatusServiceUnavailable {
					t.Errorf("the request is answered %d: want 503", got)
				}
				h.refused(h.alice)
				h.recovers()
			})
		})
	}
}
