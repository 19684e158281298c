package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// Promise 4: reading writes nothing.

func TestPromise4_ReadingNeedsNoStoreAndSetsNoCookie(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(b *browser, r *http.Request)
	}{
		{"both cookies", func(*browser, *http.Request) {}},
		{"3,000 pairs before them", func(b *browser, r *http.Request) {
			r.Header.Set("Cookie", strings.Repeat("a=b; ", 3000)+r.Header.Get("Cookie"))
			r.Header["Cookie"] = []string{strings.Repeat("a=b; ", 3000) + sessionCookie + "=" + b.cookies[sessionCookie] + "; " + refreshCookie + "=" + b.cookies[refreshCookie]}
		}},
		{"3,000 headers", func(b *browser, r *http.Request) {
			for range 3000 {
				r.Header.Add("Cookie", "a=b")
			}
		}},
		{"a junk duplicate first", func(b *browser, r *http.Request) {
			r.Header["Cookie"] = append([]string{sessionCookie + "=junk; " + refreshCookie + "=junk"}, r.Header["Cookie"]...)
		}},
		{"no refresh token", func(b *browser, r *http.Request) { r.Header["Cookie"] = r.Header["Cookie"][:1] }},
		{"an upgrade", func(b *browser, r *http.Request) {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			b := w.browser().login(n, "alice", "a")
			for range 5 {
				w.pass(testAccess/6 - time.Second)
				r := b.request()
				test.edit(b, r)
				n.store.reset()
				a := b.askWith(n, r, nil)
				if a.who != "alice: a" {
					t.Fatalf("the request is %q", a.who)
				}
				if calls := n.store.calls(); len(calls) != 0 {
					t.Errorf("reading made calls of the store: %v", calls)
				}
				if len(a.setCookies()) != 0 {
					t.Errorf("reading set %v", a.setCookies())
				}
			}
		})
	}
}

// The same without a login, and with junk cookies.
func TestPromise4_AnonymousRequestsNeedNoStore(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	good := w.browser().login(n, "alice", "a")
	n.freshen()
	for _, stale := range []bool{false, true} {
		if stale {
			n.store.fail("Since")
			w.clock.Move(time.Minute)
		}
		for _, value := range []string{"", "junk", good.cookies[sessionCookie] + "A", good.cookies[refreshCookie][1:]} {
			b := w.browser()
			b.cookies[sessionCookie], b.cookies[refreshCookie] = value, value
			n.store.reset()
			if a := b.ask(n, nil); a.who != "401" || len(a.setCookies()) != 0 {
				t.Errorf("it is %q and sets %v", a.who, a.setCookies())
			}
			if calls := n.store.calls(); len(calls) != 0 {
				t.Errorf("an anonymous request made calls of the store: %v", calls)
			}
		}
	}
}

// A Save causes no store call either, and sets only the session cookie.
func TestPromise4_SaveNeedsNoStore(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	n.store.reset()
	a := b.ask(n, func(v *visit) {
		wants(t, "Save", save("b")(v), nil)
		wants(t, "Save", save("c")(v), nil) // replaces
		if s, err := n.Get(v.r.Context()); err != nil {
			t.Error(err)
		} else if data, _ := s.Data(); data.String() != "a c" {
			t.Errorf("Get does not see the request's own Save: %v", data)
		}
	})
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("Save made calls of the store: %v", calls)
	}
	if set := a.setCookies(); len(set) != 1 || set[0].Name != sessionCookie {
		t.Errorf("Save set %v", set)
	}
}

// Promise 4 on the real clock: requests and the replica's confirmations overlap
// all the time.
func TestPromise4_ReadingNeedsNoStoreUnderARealClock(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.Now = time.Now })
	b := w.browser().login(n, "alice", "a")
	n.freshen()
	n.store.reset()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // entries for the replica, without the counter
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _ = w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{fmt.Sprint(i % 100)}})
			}
		}
	})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for range 1500 {
				if a := b.ask(n, nil); a.who != "alice: a" || len(a.setCookies()) != 0 {
					t.Errorf("a reader is %q and sets %v", a.who, a.setCookies())
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	wg.Wait()
	if calls := n.store.calls(); len(calls) != 0 {
		t.Errorf("readers made calls of the store: %v", calls)
	}
}

// Random flows. A browser does anything, its answers come late or never, the
// store fails, and others revoke. Throughout:
//
//   - a node that has a session's end never accepts the session again;
//   - every error is one of ours, and none is answered by a 500;
//   - only End takes a cookie away;
//   - a request never gets somebody else's session.
func TestPromise1And5_RandomFlows(t *testing.T) { forEachKind(t, testRandomFlows) }

func testRandomFlows(t *testing.T, w *world) {
	rng := seeded(t)
	nodes := []*node{w.node(), w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) { return s.Data() }
	})}
	type record struct {
		subject string
		dead    map[*node]bool // acknowledged there
		all     time.Time      // from then on it is dead everywhere; zero if it was not ended
	}
	sessions := make(map[store.ID]*record)
	kill := func(id store.ID, at *node) {
		if l := sessions[id]; l != nil {
			l.dead[at] = true
			if all := w.clock.Now().Add(testStaleness); l.all.IsZero() || all.Before(l.all) {
				l.all = all
			}
		}
	}
	killSubject := func(subject string, at *node, but store.ID) {
		for id, l := range sessions {
			if id != but && (subject == "" || l.subject == subject) {
				kill(id, at)
			}
		}
	}
	// The sessions that an act creates are read from the request's own session.
	born := func(v *visit) {
		if s, err := v.n.Get(v.r.Context()); err == nil && sessions[s.ID] == nil {
			sessions[s.ID] = &record{subject: s.Subject, dead: make(map[*node]bool)}
		}
	}
	subjects := []string{"alice", "bob", "carol"}
	var jars []*browser
	for range 4 {
		jars = append(jars, w.browser())
	}
	var late []*answer
	counts := make(map[string]int)

	for range *flowSteps {
		b, n := jars[rng.IntN(len(jars))], nodes[rng.IntN(len(nodes))]
		switch p := rng.IntN(100); {
		case p < 15:
			w.pass(time.Duration(rng.Int64N(int64(2 * time.Minute))))
			continue
		case p < 16:
			w.clock.Move(time.Duration(rng.Int64N(int64(20 * time.Minute))))
			continue
		case p < 18:
			n.store.fail()
			continue
		case p < 26:
			n.store.heal()
			n.freshen()
			continue
		case p < 28:
			n.store.lose([]string{"Create", "Advance", "Commit", "Reissue", "Revoke", "Family"}[rng.IntN(6)])
			continue
		case p < 32 && len(late) > 0:
			i := rng.IntN(len(late))
			late[i].arrive()
			late = append(late[:i], late[i+1:]...)
			continue
		case p < 33: // a thief copies the cookies, or one of them
			from := jars[rng.IntN(len(jars))]
			name := []string{sessionCookie, refreshCookie}[rng.IntN(2)]
			if rng.IntN(2) == 0 {
				*b = *from.copy()
			} else if value, found := from.cookies[name]; found {
				b.cookies[name] = value
			}
			continue
		case p < 34:
			r, subject := wafer.Revocation{Everyone: true}, ""
			if rng.IntN(20) > 0 {
				subject = subjects[rng.IntN(len(subjects))]
				r = wafer.Revocation{Subjects: []string{subject}}
			}
			if _, err := n.Revoke(context.Background(), r); err == nil {
				killSubject(subject, n, store.ID{})
				counts["revoked"]++
			}
			continue
		}

		acts := []string{"read", "read", "read", "read", "read", "read", "save", "save", "commit", "commit", "renew", "others", "start", "end"}
		if len(b.cookies) == 0 || b.peek(n) == "401" {
			acts = []string{"read", "save", "start", "start"}
		}
		act := acts[rng.IntN(len(acts))]
		now := w.clock.Now()
		a := b.ask(n, func(v *visit) {
			if v.s != nil {
				l := sessions[v.s.ID]
				switch {
				case l == nil:
					t.Fatalf("a session that nobody began: %v", v.s)
				case l.subject != v.s.Subject:
					t.Fatalf("%v was %s's, and is %s's", v.s, l.subject, v.s.Subject)
				case l.dead[n]:
					t.Fatalf("%s: a session that this node ended was accepted", act)
				case !l.all.IsZero() && now.After(l.all):
					t.Fatalf("%s: a session that ended %v ago was accepted", act, now.Sub(l.all)+testStaleness)
				}
				counts["accepted"]++
			}
			var err error
			item := []string{"x", "y", "z"}[rng.IntN(3)]
			switch act {
			case "save":
				err = n.Save(v.w, v.r, basket{[]string{item}})
			case "commit":
				err = n.Commit(v.w, v.r, basket{[]string{item}})
			case "renew":
				if err = n.Renew(v.w, v.r); err == nil {
					kill(v.s.ID, n)
				}
			case "others":
				if err = n.EndOthers(v.w, v.r); err == nil || wafer.Status(err) == 401 && v.s != nil {
					but := store.ID{}
					if err == nil {
						but = v.s.ID
					}
					killSubject(v.s.Subject, n, but)
				}
			case "start":
				old := v.s
				if err = n.Start(v.w, v.r, subjects[rng.IntN(len(subjects))], basket{[]string{item}}); err == nil && old != nil {
					kill(old.ID, n)
				}
			case "end":
				old := v.s
				if err = n.End(v.w, v.r); old != nil && err == nil {
					kill(old.ID, n)
				}
			}
			if err == nil {
				born(v)
				counts[act]++
			} else if status := wafer.Status(err); status == http.StatusInternalServerError {
				t.Fatalf("%s: %v", act, err)
			} else if act != "end" && len(v.w.Header()["Set-Cookie"]) != 0 && v.s == nil {
				t.Fatalf("%s failed with %v and wrote %v", act, err, v.w.Header()["Set-Cookie"])
			}
		})
		if a.who == "500" || a.rec.Code == http.StatusInternalServerError {
			t.Fatalf("%s: answered by a 500: %v", act, a.begun)
		}
		for _, c := range a.setCookies() {
			if (c.MaxAge <= 0 || c.Value == "") && act != "end" {
				t.Fatalf("%s took a cookie away: %v", act, c)
			}
		}
		switch p := rng.IntN(10); {
		case p < 7:
			a.arrive()
		case p < 9:
			late = append(late, a)
			if len(late) > 6 {
				late = late[1:]
			}
		} // else it is lost
	}
	t.Log(counts)
	for _, what := range []string{"accepted", "save", "commit", "renew", "others", "start", "end", "revoked"} {
		if counts[what] < *flowSteps/1000 {
			t.Errorf("%q happened %d times: the flow shows little", what, counts[what])
		}
	}
}

// An honest browser that gets its answers promptly keeps its session for as
// long as the limits last, whatever overlaps, and loses no committed data.
func TestPromise3_HonestBrowserIsNeverLoggedOut(t *testing.T) {
	forEachKind(t, testHonestBrowserIsNeverLoggedOut)
}

func testHonestBrowserIsNeverLoggedOut(t *testing.T, w *world) {
	rng := seeded(t)
	nodes := []*node{w.node(), w.node()}
	const prompt = testGrace / 2
	for requests := 0; requests < *flowSteps; {
		b := w.browser().login(nodes[0], "alice", "")
		w.pass(time.Second)
		begun := w.clock.Now()
		type transit struct {
			*answer
			due time.Time
		}
		var inTransit []transit
		committed := 0
		for w.clock.Now().Sub(begun) < 11*time.Hour && requests < *flowSteps {
			now := w.clock.Now()
			for i := 0; i < len(inTransit); i++ {
				if !inTransit[i].due.After(now) || rng.IntN(4) == 0 {
					inTransit[i].arrive()
					inTransit = append(inTransit[:i], inTransit[i+1:]...)
					i--
				}
			}
			if len(inTransit) < 4 {
				requests++
				a := b.ask(nodes[rng.IntN(2)], func(v *visit) {
					if v.err != nil {
						t.Fatalf("after %v the honest browser is out: %v; %v %v", now.Sub(begun), v.err, nodes[0].observed(), nodes[1].observed())
					}
					switch rng.IntN(12) {
					case 0:
						wants(t, "Save", v.n.Save(v.w, v.r, v.data()), nil)
					case 1:
						err := v.n.Commit(v.w, v.r, basket{[]string{strconv.Itoa(committed + 1)}})
						if err == nil {
							committed++
						} else {
							wants(t, "Commit", err, wafer.ErrConflict)
						}
					case 2:
						if err := v.n.EndOthers(v.w, v.r); err != nil {
							wants(t, "EndOthers", err, wafer.ErrConflict)
						}
					}
				})
				inTransit = append(inTransit, transit{a, now.Add(time.Duration(rng.Int64N(int64(prompt))))})
			}
			step := time.Duration(rng.Int64N(int64(prompt)))
			if len(inTransit) == 0 && rng.IntN(3) == 0 {
				step = time.Duration(rng.Int64N(int64(20 * time.Minute)))
			}
			for _, f := range inTransit {
				step = min(step, max(0, f.due.Sub(now)))
			}
			w.pass(step)
		}
		for _, f := range inTransit {
			f.arrive()
		}
		if got, want := b.see(nodes[0]), fmt.Sprint("alice: ", committed); committed > 0 && got != want {
			t.Errorf("at the end it is %q, want the last commit, %q", got, want)
		}
		if f := b.family(w).Family; f.Copy != 0 {
			t.Errorf("%d answers count as lost, and none was", f.Copy)
		}
	}
}
