package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// Promise 9: honest users stay logged in. A lost answer logs nobody out, and nobody
// is reported as a thief for it.

// honest fails the test if a node has reported a thief.
func (w *world) honest() {
	w.t.Helper()
	for _, n := range w.nodes {
		if n.count(wafer.KindReplayed, "") != 0 {
			w.t.Errorf("an honest client is reported as a thief: %v", n.observed())
		}
	}
}

// copies returns how many copies the nodes have reported for lost answers, and the
// most answers that were lost between two advances.
func (w *world) copies() (count, most int) {
	for _, n := range w.nodes {
		count += n.count(wafer.KindRefreshed, "a copy for a lost answer")
		for _, e := range n.observed() {
			most = max(most, e.Lost)
		}
	}
	return count, most
}

const day = 24 * time.Hour

// month lets sessions last for 30 days.
func month(c *wafer.Config[basket]) { c.MaxIdle, c.MaxAbsolute = 14*day, 30*day }

// A phone sleeps, wakes up, and makes some requests, several of them at once. For 30
// days it loses 30% of all answers. What arrives does so in any order. Two round trips
// of it never add up to the minute that the documentation names.
func TestPromise9_APhoneThatLosesAnswersForAMonth(t *testing.T) {
	forEachKind(t, testPhone)
}

// exchange is a request of the phone on its way, and then its answer.
type exchange struct {
	jar              *browser // as the phone sent it
	reaches, arrives time.Time
	answer           *answer // nil until the request has reached its node
}

func testPhone(t *testing.T, w *world) {
	rng := seeded(t)
	nodes := []*node{w.node(month), w.node(month)}
	b := w.browser().login(nodes[0], "alice", "", wafer.Limits(14*day, 30*day))
	begun := w.clock.Now()
	within := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

	committed := 0
	act := func(v *visit) {
		switch rng.IntN(8) {
		case 0:
			wants(t, "Save", v.n.Save(v.w, v.r, v.data()), nil)
		case 1:
			if err := v.n.Commit(v.w, v.r, basket{[]string{strconv.Itoa(committed + 1)}}); err == nil {
				committed++
			} else {
				wants(t, "Commit", err, wafer.ErrConflict)
			}
		}
	}
	var transit []*exchange
	// proceed lets the requests reach their nodes and the answers the phone.
	proceed := func() {
		now := w.clock.Now()
		transit = slices.DeleteFunc(transit, func(r *exchange) bool {
			if r.answer == nil && !r.reaches.After(now) {
				r.answer = r.jar.ask(nodes[rng.IntN(2)], func(v *visit) {
					if v.err != nil {
						t.Fatalf("after %v the phone is out: %v; %v %v", now.Sub(begun), v.err, nodes[0].observed(), nodes[1].observed())
					}
					act(v)
				})
			}
			if r.answer == nil || r.arrives.After(now) {
				return false
			}
			if rng.IntN(10) >= 3 {
				r.answer.b = b
				r.answer.arrive()
			}
			return true
		})
	}
	requests := 0
	for w.clock.Now().Sub(begun) < 30*day-10*time.Hour {
		w.pass(within([]time.Duration{time.Hour, 9 * time.Hour}[rng.IntN(8)/7]))
		for left := 2 + rng.IntN(8); left > 0 || len(transit) > 0; proceed() {
			now := w.clock.Now()
			if left > 0 && len(transit) < 4 {
				there := within(testGrace - time.Second)
				back := within(testGrace - time.Second - there)
				transit = append(transit, &exchange{jar: b.copy(), reaches: now.Add(there), arrives: now.Add(there + back)})
				left--
				requests++
			}
			step := within([]time.Duration{20 * time.Second, 4 * time.Minute}[rng.IntN(2)])
			for _, r := range transit {
				next := r.arrives
				if r.answer == nil {
					next = r.reaches
				}
				step = min(step, max(0, next.Sub(now)))
			}
			w.pass(step)
		}
	}
	if a := b.without(sessionCookie).ask(nodes[0], nil); committed == 0 || a.who != fmt.Sprint("alice: ", committed) {
		t.Errorf("at the end it is %q, want the last commit, %d", a.who, committed)
	}
	w.honest()
	count, most := w.copies()
	t.Logf("%d requests, %d commits, %d copies for lost answers, at most %d between two advances", requests, committed, count, most)
	if count < 50 {
		t.Errorf("%d copies: the phone has lost too little", count)
	}
}

// A native client loses 30% of all answers for 30 days. It repeats its request with
// the token that it has, after seconds or hours.
func TestPromise9_ANativeClientThatLosesAnswersForAMonth(t *testing.T) {
	rng := seeded(t)
	w := newWorld(t)
	nodes := []*node{w.node(withTokens(), month), w.node(withTokens(), month)}
	token := nodes[0].issue("alice", wafer.Limits(14*day, 30*day)).RefreshToken()
	begun, lost := w.clock.Now(), 0
	for w.clock.Now().Sub(begun) < 30*day-10*time.Hour {
		w.pass(time.Duration(rng.Int64N(int64([]time.Duration{time.Minute, 10 * time.Minute, 8 * time.Hour}[rng.IntN(3)]))))
		rec := nodes[rng.IntN(2)].refreshWith(token)
		if rec.Code != http.StatusOK {
			t.Fatalf("after %v and %d lost answers: %d %s; %v %v", w.clock.Now().Sub(begun), lost, rec.Code, rec.Body, nodes[0].observed(), nodes[1].observed())
		}
		if rng.IntN(10) < 3 {
			lost++
			continue
		}
		token = tokenAnswer(t, rec).RefreshToken
	}
	w.honest()
	if _, most := w.copies(); lost < 50 || most < 2 {
		t.Errorf("%d lost answers, at most %d copies between two advances: it has lost too little", lost, most)
	}
}

// The user aborts every third navigation before its answer arrives, or a prefetch is
// given up. At some paces every one of those is a refresh.
func TestPromise9_EveryThirdNavigationIsAborted(t *testing.T) {
	for _, pace := range []time.Duration{10 * time.Second, time.Minute, testAccess / 2, 6 * time.Minute, 20 * time.Minute} {
		t.Run(pace.String(), func(t *testing.T) {
			w := newWorld(t)
			nodes := []*node{w.node(), w.node()}
			b := w.browser().login(nodes[0], "alice", "a")
			hungUp, cancel := context.WithCancel(context.Background())
			cancel()
			for i := range int(11*time.Hour/pace) - 1 {
				w.pass(pace)
				n := nodes[i%2]
				if i%3 != 2 {
					b.is(n, "alice: a")
					continue
				}
				r := b.request().WithContext(hungUp)
				r.Header.Set("Sec-Purpose", "prefetch;prerender")
				if a := b.askWith(n, r, nil); a.who == "401" {
					t.Fatalf("navigation %d, which is aborted, is anonymous: %v", i, n.observed())
				}
			}
			w.honest()
			if count, _ := w.copies(); pace > testAccess && count < 5 {
				t.Errorf("%d copies for lost answers: too few were refreshes", count)
			}
		})
	}
}

// A page's own request is on its way while a prefetch refreshes.
func TestPromise9_APrefetchBesideAnOpenPage(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	for range 100 {
		w.pass(6 * time.Minute)
		page := b.copy()
		r := b.request()
		r.Header.Set("Sec-Purpose", "prefetch")
		b.askWith(n, r, nil).arrive()
		page.is(n, "alice: a")
		b.is(n, "alice: a")
	}
	w.honest()
}

// One token is presented for ten hours, and every answer is lost. Then one arrives,
// and the session goes on. All that several times in one session.
func TestPromise9_TheParentContinuesManyTimes(t *testing.T) {
	w := newWorld(t)
	n := w.node(month)
	b := w.browser().login(n, "alice", "a", wafer.Limits(day, 10*day))
	for round := range uint32(5) {
		w.pass(testAccess)
		for range 100 {
			b.copy().is(n, "alice: a")
			w.pass(6 * time.Minute)
		}
		b.is(n, "alice: a")
		if f := b.family(w).Family; f.Generation != round+2 || f.Copy != 100 || b.token(w).Copy != 100 {
			t.Fatalf("the family is at generation %d, copy %d, and the browser at copy %d; want %d, 100, 100", f.Generation, f.Copy, b.token(w).Copy, round+2)
		}
	}
	w.honest()
}

// Tabs that refresh at once get one successor, and one copy where its answer was lost.
func TestPromise9_TabsAtOnceAfterALostAnswer(t *testing.T) {
	const tabs = 16
	w := newWorld(t)
	nodes := []*node{w.node(), w.node()}
	b := w.browser().login(nodes[0], "alice", "a")
	for lost := range uint16(6) {
		w.pass(testAccess)
		var answers [tabs]*answer
		var all sync.WaitGroup
		for i := range answers {
			jar := b.copy()
			all.Go(func() { answers[i] = jar.ask(nodes[i%2], nil) })
		}
		all.Wait()
		for i, a := range answers {
			if a.who != "alice: a" {
				t.Fatalf("tab %d is %q", i, a.who)
			}
			a.arrive()
			if got := a.b.token(w); got.Generation != 2 || got.Copy != lost {
				t.Fatalf("after %d lost answers tab %d got %v", lost, i, got)
			}
		}
		if lost == 5 { // these are not
			for _, a := range answers {
				a.b = b
				a.arrive()
			}
		}
	}
	w.pass(testAccess)
	b.is(nodes[0], "alice: a")
	if g := b.token(w).Generation; g != 3 {
		t.Errorf("generation %d, want 3", g)
	}
	w.honest()
}

// The device falls back to the jar of before the last refresh: it was switched off
// before that was on its disk. This happens every evening for a month.
func TestPromise9_TheJarIsRolledBackByOneRefresh(t *testing.T) {
	w := newWorld(t)
	n := w.node(month)
	b := w.browser().login(n, "alice", "a", wafer.Limits(14*day, 30*day))
	for range 29 {
		for range 20 {
			w.pass(10 * time.Minute)
			b.is(n, "alice: a")
		}
		w.pass(10 * time.Minute)
		disk := b.copy()
		b.is(n, "alice: a") // a refresh
		for range 3 {
			w.pass(time.Minute)
			b.is(n, "alice: a")
		}
		*b = *disk
		w.pass(20 * time.Hour)
	}
	b.is(n, "alice: a")
	w.honest()
	if count, _ := w.copies(); count != 29 {
		t.Errorf("%d copies in 29 evenings", count)
	}
}

// Something in front passes on one Set-Cookie of two. The session goes on. Where the
// session cookie is the one that is dropped, its data must come from elsewhere: from
// Commit or Reload. Without them the user has to log in again, and is no thief for it.
func TestPromise9_AProxyThatDropsOneSetCookie(t *testing.T) {
	reload := func(c *wafer.Config[basket]) {
		c.Reload = func(context.Context, *wafer.Session[basket]) (basket, error) { return basket{[]string{"a"}}, nil }
	}
	for name, row := range map[string]struct {
		drops     string
		configure func(*wafer.Config[basket])
		commits   bool
		out       bool
	}{
		"the refresh token":                         {drops: refreshCookie},
		"the session cookie":                        {drops: sessionCookie, out: true},
		"the session cookie, and there is Reload":   {drops: sessionCookie, configure: reload},
		"the session cookie of a committed session": {drops: sessionCookie, commits: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node(func(c *wafer.Config[basket]) {
				if row.configure != nil {
					row.configure(c)
				}
			})
			b := w.browser().login(n, "alice", "a")
			if row.commits {
				wants(t, "Commit", b.do(n, func(v *visit) error { return n.Commit(v.w, v.r, v.data()) }), nil)
			}
			out := false
			for range 100 {
				w.pass(6 * time.Minute)
				a := b.ask(n, nil)
				if out = a.who == "401"; out {
					n.wantEvent(wafer.KindRefused, "the session's data is lost")
					break
				}
				if a.who != "alice: a" {
					t.Fatalf("the browser is %q: %v", a.who, n.observed())
				}
				kept := b.cookies[row.drops]
				if a.arrive(); len(a.setCookies()) == 2 {
					b.cookies[row.drops] = kept
				}
			}
			if out != row.out {
				t.Errorf("it has to log in again: %v, want %v", out, row.out)
			}
			if f := b.family(w); f.State != store.Alive {
				t.Errorf("the family is %v", f.State)
			}
			w.honest()
		})
	}
}

// A client that uses no answer is refused after 4,095 copies, as a broken one: nothing
// is written, no cookie is touched, and the session lives.
func TestPromise9_CopiesUsedUp(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	b.ask(n, nil) // lost
	for range store.MaxCopy {
		if snap, err := w.mem.Reissue(context.Background(), store.Reissue{ID: store.ID(b.token(w).Family), Generation: 1}); err != nil || snap.Outcome != store.Written {
			t.Fatal(snap.Outcome, err)
		}
	}
	last := b.copy()
	last.is(n, "alice: a") // within the grace of the last copy
	if got := last.token(w).Copy; got != store.MaxCopy {
		t.Fatalf("the last copy is %d", got)
	}
	w.pass(testGrace)
	before := b.family(w).Family
	if a := b.is(n, "401"); len(a.setCookies()) != 0 {
		t.Errorf("a refusal touched cookies: %v", a.setCookies())
	}
	n.wantEvent(wafer.KindRefused, string(refresh.ReasonBroken))
	if f := b.family(w); f.State != store.Alive || f.Family.Copy != before.Copy || !f.Family.Issued.Equal(before.Issued) {
		t.Errorf("the family is %v and %+v, and was %+v", f.State, f.Family, before)
	}
	w.honest()
	last.is(n, "alice: a")
	w.pass(testAccess)
	last.is(n, "alice: a")
	if f := b.family(w).Family; f.Generation != 3 || f.Copy != 0 {
		t.Errorf("after the next advance it is at generation %d, copy %d", f.Generation, f.Copy)
	}
}

// The limit that the documentation names. Answers were lost, and two overlapping round
// trips add up to more than a minute: one puts an older copy back while a request with
// a newer one is still on its way.
func TestVerySlowAnswersCanLookLikeTheft(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	p := n.issue("alice")
	w.pass(testAccess)
	n.refreshed(p.RefreshToken()) // lost
	var copies []string
	for range 4 {
		w.pass(testGrace)
		copies = append(copies, n.refreshed(p.RefreshToken()).RefreshToken)
	}
	// The last answer arrives, and the client sends its next request, which is slow.
	// Then the first answer arrives, 90 s after its request, and the client goes on
	// with that. Its copy is three behind, so the family advances.
	if next := n.refreshed(copies[0]).RefreshToken; next != w.mint(p.Session, 3) {
		t.Error("the family has not advanced")
	}
	w.honest()
	wantOAuth(t, "the slow request", n.refreshWith(copies[3]), 400, "invalid_grant")
	n.wantEvent(wafer.KindReplayed, "")
	if state := w.family(p.Session).State; state != store.Ended {
		t.Errorf("the session is %v", state)
	}
}
