package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// Promise 3: a refresh token is good until its successor is used.

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
		if f := b.family(w).Family; f.Generation != want || f.Copy != 0 {
			t.Fatalf("the family is at generation %d, copy %d; want %d and 0", f.Generation, f.Copy, want)
		}
	}
	if n.count(wafer.KindReplayed, "")+m.count(wafer.KindReplayed, "") != 0 {
		t.Errorf("an honest browser was taken for a thief")
	}
}

// A token of two generations ago belongs to a thief, or to the owner after a
// theft. The family ends, and its cookies are dead on this node at once, even
// if no entries arrive.
func TestPromise3_TokenOfTwoGenerationsAgoEndsTheFamily(t *testing.T) {
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "a")
	thief := b.copy()
	for range 2 {
		w.pass(testAccess)
		b.is(n, "alice: a")
	}
	n.store.cutLog()
	m.store.cutLog()
	thief.is(n, "401")
	n.wantEvent(wafer.KindReplayed, "")
	b.dead(n)
	if f := b.family(w); f.State != store.Ended {
		t.Errorf("the family is %v", f.State)
	}
	w.clock.Move(testStaleness + time.Millisecond)
	b.dead(m)
	thief.dead(m)
}

// Within the grace a retry gets the same successor. Later each one gets a copy of
// its own, and whichever of them is used is good. From then on every other is theft,
// and so is the token that led to them.
func TestPromise3_GoodUntilItsSuccessorIsUsed(t *testing.T) {
	for used := range 4 {
		for other := range 5 {
			if used != other {
				t.Run(fmt.Sprintf("copy %d, then %d", used, other), func(t *testing.T) { testSuccessorIsUsed(t, used, other) })
			}
		}
	}
}

// testSuccessorIsUsed makes four successors of one token, uses one, and then another.
// 4 is the token itself.
func testSuccessorIsUsed(t *testing.T, used, other int) {
	w := newWorld(t)
	n := w.node()
	parent := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	jars := []*browser{parent.copy()}
	jars[0].is(n, "alice: a")
	w.pass(testGrace - time.Millisecond)
	again := parent.copy()
	again.is(n, "alice: a")
	if again.token(w) != jars[0].token(w) {
		t.Errorf("within the grace the successor is %v, and then %v", jars[0].token(w), again.token(w))
	}
	w.pass(time.Millisecond)
	for range 3 {
		next := parent.copy()
		next.is(n, "alice: a")
		jars = append(jars, next)
		w.pass(testGrace)
	}
	for i, jar := range jars {
		if got := jar.token(w); got.Generation != 2 || int(got.Copy) != i {
			t.Errorf("copy %d is %v", i, got)
		}
	}
	jars = append(jars, parent)
	w.pass(testAccess)
	b := jars[used]
	b.is(n, "alice: a")
	if f := b.family(w).Family; f.Generation != 3 || int(f.Used) != used {
		t.Errorf("the family is at generation %d, and copy %d was used; want 3 and %d", f.Generation, f.Used, used)
	}
	if n.count(wafer.KindReplayed, "") != 0 {
		t.Error("an honest browser is taken for a thief")
	}
	jars[other].is(n, "401")
	n.wantEvent(wafer.KindReplayed, "")
	b.dead(n)
}

// Under StrictRotation a lost answer ends the session once the grace is over.
func TestPromise3_StrictRotation(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.StrictRotation = true })
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	b.ask(n, nil) // lost
	w.pass(testGrace - time.Millisecond)
	b.copy().is(n, "alice: a")
	w.pass(time.Millisecond)
	b.is(n, "401")
	n.wantEvent(wafer.KindReplayed, "")
	b.dead(n)
}

// The grace counts from the advance. Presenting the old token repeatedly does
// not extend it.
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

// Tabs that refresh at once, with answers in any order, are one honest browser,
// even if they fall on both sides of an advance.
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
	if f := b.family(w).Family; f.Generation != 7 || f.Copy != 0 {
		t.Errorf("generation %d, copy %d: want 7 and 0", f.Generation, f.Copy)
	}
}

// An answer that brings the presented generation must not bring its token. It
// may arrive after the answer with the next one, and would put the older token
// back for good.
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

// While no answer is lost, a family advances at most once in half an access
// lifetime, whatever is presented.
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

// An upgrade cannot carry cookies. It is served as it stands by the current token
// or the one before it, however late, and nothing is written.
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
		if g, f := after.Family, before.Family; g.Generation != f.Generation || g.Issued != f.Issued || g.Copy != f.Copy || g.Position != f.Position || before.State != after.State {
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
	upgrade(old, "alice: a", nil)
	w.pass(testAccess)
	upgrade(old, "alice: a", nil)
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

// The same if the family has committed since: what a late token gets must not
// depend on the data beside it.
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
	a := old.askWith(n, r, nil)
	if f := b.family(w).Family; a.who != "alice: a c" || len(a.setCookies()) != 0 || f.Generation != 2 || f.Copy != 0 {
		t.Errorf("the upgrade is %q with %v, and the family at (%d, %d); want alice: a c, no cookie, (2, 0)", a.who, a.setCookies(), f.Generation, f.Copy)
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

// If two tabs commit at once, one gets a conflict, and no update is lost.
func TestPromise3_ConcurrentCommitsLoseNothing(t *testing.T) {
	const tabs = 16
	w := newWorld(t)
	n, m := w.node(), w.node()
	b := w.browser().login(n, "alice", "")
	w.pass(time.Second)
	var mu sync.Mutex // guards the browser's cookies
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
