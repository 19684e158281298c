package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/waferkit/wafer"
)

// Requests share nothing: sessions, requests and headers that a handler keeps do
// not change, whatever other requests are served later and whatever it writes
// into them.
func TestAttachedRequestsShareNothing(t *testing.T) {
	const users, rounds = 8, 40
	w := newWorld(t)
	n := w.node()
	type kept struct {
		subject string
		session *wafer.Session[basket]
		given   *http.Request
		request *http.Request
		header  http.Header
	}
	all := make([][]kept, users)
	var wg sync.WaitGroup
	for user := range users {
		subject := fmt.Sprintf("user %d", user)
		b := w.browser().login(n, subject, fmt.Sprintf("item-%d", user))
		wg.Go(func() {
			for range rounds {
				given, rec := b.request(), httptest.NewRecorder()
				request, err := n.Attach(rec, given)
				if err != nil {
					t.Error(err)
					return
				}
				session, err := n.Get(request.Context())
				if err != nil {
					t.Error(err)
					return
				}
				all[user] = append(all[user], kept{subject, session, given, request, rec.Header()})
			}
		})
	}
	wg.Wait()
	for user := range all {
		for i := range all[user] {
			k := &all[user][i]
			data, err := k.session.Data()
			if err != nil || k.session.Subject != k.subject || data.String() != fmt.Sprintf("item-%d", user) {
				t.Fatalf("%s: the session that was kept is %q with %q, %v", k.subject, k.session.Subject, data, err)
			}
			if session, err := n.Get(k.request.Context()); session != k.session {
				t.Fatalf("%s: the request that was kept has the session %v, %v: want %v", k.subject, session, err, k.session)
			}
			if _, err := n.Get(k.given.Context()); err == nil || k.request == k.given {
				t.Fatal("Attach changed the request that it was given")
			}
			if k.request.URL != k.given.URL || !slices.Equal(k.request.Header["Cookie"], k.given.Header["Cookie"]) {
				t.Fatal("the attached request is another")
			}
			vary, cache := k.header["Vary"], k.header["Cache-Control"]
			if !slices.Equal(vary, []string{"Cookie"}) || !slices.Equal(cache, []string{"no-store"}) {
				t.Fatalf("Vary %q, Cache-Control %q, after others wrote into theirs", vary, cache)
			}
			vary[0], cache[0] = "written", "written"
			if more := append(vary, "more"); cache[0] != "written" || len(more) != 2 {
				t.Fatal("what is added to Vary is written over Cache-Control")
			}
		}
	}
}
