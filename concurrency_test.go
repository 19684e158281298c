package wafer_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// flowSteps is how long the random tests of this package are.
var flowSteps = flag.Int("wafer.steps", 3000, "steps of each random flow")

// seeded returns a generator whose seed is printed if the test fails; set
// WAFER_SEED to run one again.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("WAFER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WAFER_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to run this again: WAFER_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// Promise 3: one successor.

func TestPromise3_ManyRequestsWithOneTokenGetOneGeneration(t *testing.T) {
	const many = 64
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	for want := uint32(2); want < 6; want++ {
		w.pass(testAccess)
		answers := make([]*answer, many)
		var ready, done sync.WaitGroup
		start := make(chan struct{})
		for i := range answers {
			ready.Add(1)
			done.Go(func() {
				at, jar := []*node{n, m}[i%2], b.copy()
				ready.Done()
				<-start
				answers[i] = jar.ask(at, nil)
			})
		}
		ready.Wait()
		close(start)
		done.Wait()
		for _, a := range answers {
			if a.who != "alice: a" {
				t.Fatalf("one of them is %q", a.who)
			}
			a.arrive()
			if g := a.b.token(w).Generation; g != want {
				t.Fatalf("one of them got generation %d, want %d", g, want)
			}
		}
		for _, a := range answers { // they arrive in some order
			a.b = b
			a.arrive()
		}
		if f := b.family(w).Family; f.Generation != want || f.Forgiven != 0 {
			t.Fatalf("the family is at generation %d, forgiven %d; want %d and 0", f.Generation, f.Forgiven, want)
		}
	}
	if n.count(wafer.KindReplayed, "")+m.count(wafer.KindReplayed, "") != 0 {
		t.Errorf("an honest browser was taken for a thief")
	}
}

// A token of two generations ago is a thief's, or the owner's after a theft:
// the family ends, and its cookies are dead on this node at once, news or not.
func TestPromise3_TokenOfTwoGenerationsAgoEndsTheFamily(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	thief := b.copy()
	for range 2 {
		w.pass(testAccess)
		b.is(n, "alice: a")
	}
	n.store.cutNews()
	m.store.cutNews()
	thief.is(n, "401")
	n.mustSee(wafer.KindReplayed, "")
	b.dead(n)
	if f := b.family(w); f.State != store.Ended {
		t.Errorf("the family is %v", f.State)
	}
	w.clock.Move(testStaleness + time.Millisecond)
	b.dead(m)
	thief.dead(m)
}

func TestPromise3_OneLostAnswerIsForgivenOnce(t *testing.T) {
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprint("strict ", strict), func(t *testing.T) {
			w := newWorld(t)
			n := w.node(func(c *wafer.Config[basket]) { c.StrictRotation = strict })
			b := w.browser().login(n, "alice", "a")
			w.pass(testAccess)
			b.ask(n, nil) // lost
			w.pass(testGrace - time.Millisecond)
			b.copy().is(n, "alice: a") // within the grace: not even forgiven
			if f := b.family(w).Family; f.Forgiven != 0 {
				t.Errorf("within the grace generation %d was forgiven", f.Forgiven)
			}
			w.pass(time.Millisecond)
			if strict {
				b.is(n, "401")
				n.mustSee(wafer.KindReplayed, "")
				b.dead(n)
				return
			}
			b.is(n, "alice: a")
			n.mustSee(wafer.KindRefreshed, "forgiven")
			w.pass(testAccess)
			b.is(n, "alice: a")
			w.pass(testAccess)
			b.ask(n, nil) // a second one is lost
			w.pass(testGrace)
			b.is(n, "401")
			n.mustSee(wafer.KindReplayed, "")
		})
	}
}

// The grace counts from the advance. Who presents the old token again and
// again does not extend it.
func TestPromise3_TheGraceIsNeverExtended(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.StrictRotation = true })
	b := w.browser().login(n, "alice", "a")
	thief := b.copy()
	w.pass(testAccess)
	b.is(n, "alice: a")
	for range 2 {
		w.pass(testGrace/2 - time.Millisecond)
		thief.copy().is(n, "alice: a")
	}
	w.pass(2 * time.Millisecond)
	thief.is(n, "401")
	b.dead(n)
}

// Tabs that refresh at once, with answers that come in any order, are one
// honest browser; also where they fall on both sides of an advance.
func TestPromise3_OverlappedTabs(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	for range 6 {
		w.pass(testAccess)
		first := b.ask(n, nil)
		w.pass(testGrace / 3)
		second := b.ask(m, nil)
		second.arrive()
		w.pass(testGrace / 3)
		third := b.ask(n, nil)
		first.arrive()
		fourth := b.ask(m, nil)
		third.arrive()
		fourth.arrive()
		for _, a := range []*answer{first, second, third, fourth} {
			if a.who != "alice: a" {
				t.Fatalf("a tab is %q", a.who)
			}
		}
	}
	if f := b.family(w).Family; f.Generation != 7 || f.Forgiven != 0 {
		t.Errorf("generation %d, forgiven %d: want 7 and 0", f.Generation, f.Forgiven)
	}
}

// An answer that brings the generation that was presented must not bring its
// token: it may arrive after the answer of the next one, and would put the
// older token back for good.
func TestPromise3_TheSameGenerationAgainBringsNoToken(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.StrictRotation = true })
	b := w.browser().login(n, "alice", "a")
	wants(t, "Commit", b.do(n, commit("c")), nil)
	w.pass(testAccess/2 - time.Second)
	again := b.without(sessionCookie).ask(n, nil)
	w.pass(time.Second)
	next := b.without(sessionCookie).ask(n, nil)
	again.b, next.b = b, b
	next.arrive()
	again.arrive()
	if g := b.token(w).Generation; g != 2 {
		t.Errorf("the jar is back at generation %d", g)
	}
	w.pass(testAccess)
	b.is(n, "alice: a c")
}

// A family advances at most once in half an access lifetime, whatever is
// presented.
func TestPromise3_AtMostOneAdvanceInHalfALifetime(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	id := store.ID(b.token(w).Family)
	w.pass(testAccess/2 - time.Millisecond)
	b.without(refreshCookie).is(n, "alice: a")
	wants(t, "Commit", b.do(n, commit("c")), nil) // needs no refresh
	old := b.copy()
	wants(t, "Commit", b.do(n, commit("d")), nil)
	if a := old.is(n, "alice: a c d"); len(a.setCookies()) == 0 {
		t.Errorf("a superseded cookie was not refreshed")
	}
	if g := w.family(id).Family.Generation; g != 1 {
		t.Errorf("generation %d before half a lifetime", g)
	}
	w.pass(time.Millisecond)
	wants(t, "Commit", b.do(n, commit("e")), nil)
	old.is(n, "alice: a c d e")
	if g := w.family(id).Family.Generation; g != 2 {
		t.Errorf("generation %d at half a lifetime", g)
	}
}

// An upgrade cannot carry cookies: it is served with the current generation or
// one within the grace, and nothing is written.
func TestPromise3_Upgrades(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	upgrade := func(b *browser, want string, do func(*visit)) {
		t.Helper()
		before := w.family(store.ID(b.token(w).Family))
		r := b.request()
		r.Header.Set("Connection", "keep-alive, Upgrade")
		r.Header.Set("Upgrade", "websocket")
		a := b.askWith(n, r, do)
		after := w.family(store.ID(b.token(w).Family))
		if a.who != want || len(a.setCookies()) != 0 {
			t.Errorf("an upgrade is %q and sets %v, want %q and nothing", a.who, a.setCookies(), want)
		}
		if g, f := after.Family, before.Family; g.Generation != f.Generation || g.Issued != f.Issued || g.Forgiven != f.Forgiven || g.Position != f.Position || before.State != after.State {
			t.Errorf("an upgrade changed the family: %+v is %+v", before, after)
		}
	}
	w.pass(testAccess)
	upgrade(b, "alice: a", func(v *visit) {
		wants(t, "Save in an upgrade", save("b")(v), wafer.ErrExpired)
		wants(t, "Commit in an upgrade", commit("b")(v), wafer.ErrExpired)
		wants(t, "Renew in an upgrade", renew(v), wafer.ErrExpired)
		wants(t, "EndOthers in an upgrade", endOthers(v), wafer.ErrExpired)
	})
	upgrade(b, "alice: a", nil) // as often as it likes
	old := b.copy()
	b.is(n, "alice: a")
	w.pass(testGrace - time.Millisecond)
	upgrade(old, "alice: a", nil)
	w.pass(time.Millisecond)
	upgrade(old, "401", nil) // it would have to be forgiven, which cannot be told
	b.is(n, "alice: a")
	w.pass(testAccess)
	b.is(n, "alice: a")
	r := old.request()
	r.Header.Set("Upgrade", "websocket")
	if a := old.askWith(n, r, nil); a.who != "401" {
		t.Errorf("a replay in an upgrade is %q", a.who)
	}
	b.dead(n)
}

// The same where the family has committed since: what a late token gets must
// not depend on the data beside it.
func TestPromise3_UpgradeWithALateTokenAndDataFromBeforeACommit(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	old := b.copy()
	wants(t, "Commit", b.do(n, commit("c")), nil)
	w.pass(testAccess)
	b.is(n, "alice: a c")
	w.pass(testGrace)
	r := old.request()
	r.Header.Set("Upgrade", "websocket")
	if a := old.askWith(n, r, nil); a.who != "401" {
		t.Errorf("an upgrade with a token that was not forgiven is %q, want 401", a.who)
	}
}

// Two flights with different data behind one token: each keeps its own.
func TestPromise3_SharedFlightKeepsEachRequestsData(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	w.pass(time.Second)
	saved := b.copy()
	wants(t, "Save", saved.do(n, save("b")), nil)
	w.pass(testAccess)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for jar, want := range map[*browser]string{b: "alice: a", saved: "alice: a b"} {
				a := jar.ask(n, nil)
				a.b = jar.copy()
				a.arrive()
				if again := a.b.see(n); a.who != want || again != want {
					t.Errorf("a request is %q and then %q, want %q", a.who, again, want)
				}
			}
		})
	}
	wg.Wait()
}

// Of two tabs that commit at once, one is told to start again, and no update
// is lost.
func TestPromise3_ConcurrentCommitsLoseNothing(t *testing.T) {
	const tabs = 16
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "")
	w.pass(time.Second)
	var mu sync.Mutex // of the jar
	var wg sync.WaitGroup
	for i := range tabs {
		wg.Go(func() {
			for {
				mu.Lock()
				jar := b.copy()
				mu.Unlock()
				var err error
				a := jar.ask([]*node{n, m}[i%2], func(v *visit) { err = commit(fmt.Sprint("i", i))(v) })
				mu.Lock()
				a.b = b
				a.arrive()
				mu.Unlock()
				if err == nil {
					return
				}
				if wafer.Status(err) != http.StatusConflict {
					t.Errorf("Commit: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	w.pass(0)
	a := b.ask(n, nil)
	for i := range tabs {
		if !strings.Contains(a.who+" ", fmt.Sprint(" i", i, " ")) {
			t.Errorf("the update of tab %d is lost: %q", i, a.who)
		}
	}
}

// Promise 4 under a real clock: requests and the replica's confirmations cross
// each other all the time.
func TestPromise4_ReadingNeedsNoStoreUnderARealClock(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.Now = time.Now })
	b := w.browser().login(n, "alice", "a")
	n.freshen()
	n.store.reset()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // news for the replica, past the counter
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
//   - what was ended is never accepted again by a node that knows;
//   - no error is anything but one of ours, and nothing is answered by a 500;
//   - no cookie is ever taken away but by End;
//   - a request is never somebody else's.
func TestPromise1And5_RandomFlows(t *testing.T) {
	rng := seeded(t)
	w := newWorld(t)
	nodes := []*node{w.node(), w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(_ context.Context, s *wafer.Session[basket]) (basket, error) { return s.Data() }
	})}
	type life struct {
		subject string
		dead    map[*node]bool // acknowledged there
		all     time.Time      // dead everywhere from then on; zero: not
	}
	lives := make(map[store.ID]*life)
	kill := func(id store.ID, at *node) {
		if l := lives[id]; l != nil {
			l.dead[at] = true
			if all := w.clock.Now().Add(testStaleness); l.all.IsZero() || all.Before(l.all) {
				l.all = all
			}
		}
	}
	killSubject := func(subject string, at *node, but store.ID) {
		for id, l := range lives {
			if id != but && (subject == "" || l.subject == subject) {
				kill(id, at)
			}
		}
	}
	// Which sessions an act creates is read from the request's own session.
	born := func(v *visit) {
		if s, err := v.n.Get(v.r.Context()); err == nil && lives[s.ID] == nil {
			lives[s.ID] = &life{subject: s.Subject, dead: make(map[*node]bool)}
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
			n.store.lose([]string{"Create", "Advance", "Commit", "Forgive", "Revoke", "Family"}[rng.IntN(6)])
			continue
		case p < 32 && len(late) > 0:
			i := rng.IntN(len(late))
			late[i].arrive()
			late = append(late[:i], late[i+1:]...)
			continue
		case p < 33: // a thief copies a jar, or one cookie of it
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
				l := lives[v.s.ID]
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

// An honest browser with prompt answers keeps its session for as long as the
// limits last, whatever overlaps, and loses no committed data.
func TestPromise3_HonestBrowserIsNeverLoggedOut(t *testing.T) {
	rng := seeded(t)
	w := newWorld(t)
	nodes := []*node{w.node(), w.node()}
	const prompt = testGrace / 2
	for requests := 0; requests < *flowSteps; {
		b := w.browser().login(nodes[0], "alice", "")
		w.pass(time.Second)
		begun := w.clock.Now()
		type flying struct {
			*answer
			due time.Time
		}
		var sky []flying
		committed := 0
		for w.clock.Now().Sub(begun) < 11*time.Hour && requests < *flowSteps {
			now := w.clock.Now()
			for i := 0; i < len(sky); i++ {
				if !sky[i].due.After(now) || rng.IntN(4) == 0 {
					sky[i].arrive()
					sky = append(sky[:i], sky[i+1:]...)
					i--
				}
			}
			if len(sky) < 4 {
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
				sky = append(sky, flying{a, now.Add(time.Duration(rng.Int64N(int64(prompt))))})
			}
			step := time.Duration(rng.Int64N(int64(prompt)))
			if len(sky) == 0 && rng.IntN(3) == 0 {
				step = time.Duration(rng.Int64N(int64(20 * time.Minute)))
			}
			for _, f := range sky {
				step = min(step, max(0, f.due.Sub(now)))
			}
			w.pass(step)
		}
		for _, f := range sky {
			f.arrive()
		}
		if got, want := b.see(nodes[0]), fmt.Sprint("alice: ", committed); committed > 0 && got != want {
			t.Errorf("at the end it is %q, want the last commit, %q", got, want)
		}
		if f := b.family(w).Family; f.Forgiven != 0 {
			t.Errorf("generation %d was forgiven: none had to be", f.Forgiven)
		}
	}
}

// Promise 8: bounded.

func TestPromise8_GoroutinesEndWithTheirSessions(t *testing.T) {
	w := newWorld(t)
	settle := func(most int) int {
		var n int
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
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
	settle(before + 1)
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

// Logouts that the store does not take are kept for later, in a bounded number
// and by one goroutine.
func TestPromise8_LogoutsInAnOutageAreBounded(t *testing.T) {
	const bound, more = 1024, 100
	w := newWorld(t)
	n := w.node()
	jars := make([]*browser, bound+more)
	for i := range jars {
		jars[i] = w.browser().login(n, fmt.Sprint("user", i), "a")
	}
	w.pass(0)
	n.store.fail()
	before := runtime.NumGoroutine()
	for _, b := range jars {
		wants(t, "End", b.copy().do(n, end), wafer.ErrUnavailable)
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d logouts in an outage started %d goroutines", len(jars), after-before)
	}
	if dropped := n.count(wafer.KindAlarm, "too many logouts"); dropped != more {
		t.Errorf("%d logouts were dropped and reported, want %d", dropped, more)
	}
	for _, b := range jars { // all are in force here, kept or not
		if got := b.without(refreshCookie).peek(n); got != "401" {
			t.Fatalf("after a logout in an outage the cookie is %q", got)
		}
	}
	n.store.heal()
	ended := 0
	for deadline := time.Now().Add(20 * time.Second); ended < bound && !time.Now().After(deadline); time.Sleep(10 * time.Millisecond) {
		ended = 0
		for _, b := range jars {
			if b.family(w).State == store.Ended {
				ended++
			}
		}
	}
	if ended < bound {
		t.Errorf("%d of %d logouts reached the store", ended, bound)
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

// What a client sends costs what its header cost already, and no more.
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
		started := time.Now()
		for range rounds {
			_, _ = n.Attach(httptest.NewRecorder(), r)
		}
		took := time.Since(started) / rounds
		runtime.ReadMemStats(&after)
		if bytes := (after.TotalAlloc - before.TotalAlloc) / rounds; bytes > 32<<10 {
			t.Errorf("%s: %d bytes allocated for one request", name, bytes)
		}
		if took > 200*time.Millisecond {
			t.Errorf("%s: %v for one request", name, took)
		}
	}
}

// Of several cookies under one name a bounded number is tried.
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

// While the list is stale a bounded number of questions is under way, and
// those about one session are one.
func TestPromise8_QuestionsToTheStoreAreCoalesced(t *testing.T) {
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
		t.Errorf("64 requests for one session asked the store %d times", calls)
	}
}

// Close may be called by a defer and by a cleanup.
func TestPromise8_CloseTwice(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	n.Close()
	n.Close()
}
