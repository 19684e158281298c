package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

func TestHTTPReloadIsCalledOnRefreshOnly(t *testing.T) {
	world := httpNewWorld(t)
	type account struct{ Role, Theme string }
	var calls []account
	role := "admin"
	s := httpSessions(t, world, wafer.Config[account]{
		Reload: func(_ context.Context, s *wafer.Session[account]) (account, error) {
			data, err := s.Data()
			calls = append(calls, data)
			if s.Subject != "alice" || s.ID.IsZero() {
				t.Errorf("Reload of session %v of %q", s.ID, s.Subject)
			}
			data.Role = role
			return data, err
		},
	})
	jar := httpLogin(t, s, "alice", account{"admin", "dark"})
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(s.Save(w, r, account{"admin", "light"}), s.Commit(w, r, account{"admin", "blue"}), s.Renew(w, r)); err != nil {
			t.Error(err)
		}
	})
	httpWant(t, "before", s, jar, "alice", account{"admin", "blue"})
	if len(calls) != 0 {
		t.Fatalf("Reload was called without a refresh: %v", calls)
	}
	role = "guest"
	world.clock.Move(6 * time.Minute)
	httpWant(t, "the refresh", s, jar, "alice", account{"guest", "blue"})
	if !slices.Equal(calls, []account{{"admin", "blue"}}) {
		t.Errorf("Reload saw %v", calls)
	}
	// Its result is sealed, so reading it calls nothing.
	role = "never seen"
	httpWant(t, "the next request", s, jar, "alice", account{"guest", "blue"})
	if len(calls) != 1 {
		t.Errorf("Reload was called %d times", len(calls))
	}
}

func TestHTTPReloadEnds(t *testing.T) {
	world := httpNewWorld(t)
	var answer error
	s := httpSessions(t, world, wafer.Config[string]{
		Reload: func(context.Context, *wafer.Session[string]) (string, error) { return "reloaded", answer },
	})
	jar := httpLogin(t, s, "alice", "data")
	id := httpWant(t, "login", s, jar, "alice", "data").ID
	world.clock.Move(6 * time.Minute)
	before, cookies := world.family(t, id), jar.clone()

	// Any other error is an outage: nothing is advanced, and no cookie is
	// touched.
	for _, answer = range []error{errors.New("the database is down"), wafer.ErrNoSession, context.Canceled} {
		w := jar.do(s.Require(httpWho(s)), nil)
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("Reload fails with %v: %d", answer, w.Code)
		}
	}
	if after := world.family(t, id); after.Family.Generation != before.Family.Generation || after.Family.Position != before.Family.Position || after.Head != before.Head {
		t.Errorf("a failing Reload changed the family from %v to %v", before, after)
	}
	if !maps.Equal(cookies, jar) {
		t.Error("a failing Reload touched the cookies")
	}
	if answer = nil; httpWant(t, "the next try", s, jar, "alice", "reloaded") != nil {
		if got := world.family(t, id).Family.Generation; got != 2 {
			t.Errorf("generation %d after the refresh, want 2", got)
		}
	}

	world.clock.Move(6 * time.Minute)
	answer = fmt.Errorf("account disabled: %w", wafer.ErrEnded)
	cookies = jar.clone()
	if w := jar.do(s.Require(httpWho(s)), nil); w.Code != http.StatusUnauthorized {
		t.Errorf("Reload ends: %d", w.Code)
	}
	if got := world.family(t, id).State; got != store.Ended {
		t.Errorf("the family is %v", got)
	}
	if !maps.Equal(cookies, jar) {
		t.Error("only Start and End take cookies away")
	}
	answer = nil
	httpWantError(t, "after Reload ended it", s, jar, wafer.ErrNoSession)
}

func TestHTTPReloadThatCannotBeSealedAdvancesNothing(t *testing.T) {
	world := httpNewWorld(t)
	var give any = strings.Repeat("x", 4096)
	s := httpSessions(t, world, wafer.Config[any]{
		Reload: func(context.Context, *wafer.Session[any]) (any, error) { return give, nil },
	})
	jar := httpLogin[any](t, s, "alice", "data")
	id := httpWant[any](t, "login", s, jar, "alice", "data").ID
	world.clock.Move(6 * time.Minute)
	httpWantError(t, "too large", s, jar, wafer.ErrUnavailable)
	give = make(chan int)
	httpWantError(t, "not encodable", s, jar, wafer.ErrUnavailable)
	if got := world.family(t, id).Family.Generation; got != 1 {
		t.Errorf("generation %d", got)
	}
}

func TestHTTPReloadAndALostSessionCookie(t *testing.T) {
	for _, reload := range []bool{false, true} {
		world := httpNewWorld(t)
		config := wafer.Config[string]{}
		if reload {
			config.Reload = func(_ context.Context, s *wafer.Session[string]) (string, error) {
				data, err := s.Data()
				return s.Subject + " had " + fmt.Sprintf("%q", data), err
			}
		}
		s := httpSessions(t, world, config)
		jar := httpLogin(t, s, "alice", "data")
		lost := jar.only(httpRefresh)
		before := lost.clone()
		if !reload {
			httpWantError(t, "no data to be had", s, lost, wafer.ErrNoSession)
			if !maps.Equal(lost, before) {
				t.Error("a refused request's cookies were touched")
			}
		} else {
			httpWant(t, "made anew", s, lost, "alice", `alice had ""`)
		}
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			if err := s.Commit(w, r, "committed"); err != nil {
				t.Error(err)
			}
		})
		lost = jar.only(httpRefresh)
		want := "committed"
		if reload {
			want = `alice had "committed"`
		}
		httpWant(t, "from the committed data", s, lost, "alice", want)
	}
}
