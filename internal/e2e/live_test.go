package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// A bubble has its own time, which the nodes of these worlds follow. An hour
// costs nothing.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mem = memory.New(memory.Options{})
		f(t, w)
		for _, n := range w.nodes {
			n.stop()
		}
	})
}

func realTime(c *wafer.Config[basket]) { c.Now = time.Now }

// live opens a long-lived response. hangUp ends it from the client's side.
func (b *browser) live(n *node) (ctx context.Context, hangUp func()) {
	parent, hangUp := context.WithCancel(context.Background())
	b.t.Cleanup(hangUp)
	b.askWith(n, b.request().WithContext(parent), func(v *visit) { ctx = n.Live(v.r) }).arrive()
	return ctx, hangUp
}

// goesOn fails the test unless the response is still open.
func goesOn(t testing.TB, what string, ctx context.Context) {
	t.Helper()
	synctest.Wait()
	select {
	case <-ctx.Done():
		t.Errorf("%s: it ended: %v", what, ctx.Err())
	default:
		if ctx.Err() != nil {
			t.Errorf("%s: it is open, and its error is %v", what, ctx.Err())
		}
	}
}

// hasEnded fails the test unless the response has ended with that cause.
func hasEnded(t testing.TB, what string, ctx context.Context, cause error) {
	t.Helper()
	synctest.Wait()
	select {
	case <-ctx.Done():
		for _, err := range []error{ctx.Err(), context.Cause(ctx)} {
			if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: it ended with %v, want %v", what, err, cause)
			}
		}
	default:
		t.Errorf("%s: it is still open", what)
	}
}

func TestPromise1_LiveEndsWithItsSession(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		here, there := w.node(realTime), w.node(realTime)
		users := make(map[string]context.Context)
		jars := make(map[string]*browser)
		for _, name := range []string{"logout", "logout elsewhere", "session", "subject", "renewed", "stays"} {
			jars[name] = w.browser().login(here, name, "")
			users[name], _ = jars[name].live(here)
		}
		second, _ := jars["logout"].live(here) // another tab
		for name, ctx := range users {
			goesOn(t, name, ctx)
		}
		here.store.reset()
		wants(t, "End", jars["logout"].do(here, end), nil)
		hasEnded(t, "after a logout", users["logout"], wafer.ErrEnded)
		hasEnded(t, "the other tab", second, wafer.ErrEnded)
		wants(t, "End", jars["logout elsewhere"].do(there, end), nil)
		hasEnded(t, "after a logout on another node", users["logout elsewhere"], wafer.ErrEnded)
		there.revoke(wafer.Revocation{Sessions: []store.ID{store.ID(jars["session"].cookie(w).ID)}})
		hasEnded(t, "after its session was revoked", users["session"], wafer.ErrEnded)
		if calls := here.store.calls(); calls["Family"] != 0 {
			t.Errorf("an end is final, and the store was called: %v", calls)
		}
		there.revoke(wafer.Revocation{Subjects: []string{"subject"}})
		hasEnded(t, "after its subject was revoked", users["subject"], wafer.ErrEnded)
		wants(t, "Renew", jars["renewed"].do(there, renew), nil)
		hasEnded(t, "after the session was renewed", users["renewed"], wafer.ErrEnded)
		goesOn(t, "another session", users["stays"])
	})
}

func TestLive_EndOthersKeepsThisOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		here, there := w.node(realTime), w.node(realTime)
		this, other := w.browser().login(here, "alice", ""), w.browser().login(here, "alice", "")
		survives, _ := this.live(here)
		dies, _ := other.live(here)
		for _, n := range []*node{there, here} {
			here.store.reset()
			wants(t, "EndOthers", this.do(n, endOthers), nil)
			hasEnded(t, "the other session", dies, wafer.ErrEnded)
			goesOn(t, "this session", survives)
			if calls := here.store.calls()["Family"]; calls < 1 || calls > 2 {
				t.Errorf("the store was called %d times: want once for each of the subject's sessions", calls)
			}
		}
		wants(t, "End", this.do(there, end), nil)
		hasEnded(t, "after the logout", survives, wafer.ErrEnded)
	})
}

func TestLive_EveryoneIsNoQuestion(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		here, there := w.node(realTime), w.node(realTime)
		old, _ := w.browser().login(here, "alice", "").live(here)
		here.store.reset()
		there.revoke(wafer.Revocation{Everyone: true})
		hasEnded(t, "after everyone was revoked", old, wafer.ErrEnded)
		if calls := here.store.calls(); calls["Family"] != 0 {
			t.Errorf("the store was called: %v", calls)
		}
		after, _ := w.browser().login(here, "alice", "").live(here)
		time.Sleep(5 * time.Second)
		goesOn(t, "a login after it", after)
	})
}

// A revocation between the judgement of the request and Live.
func TestPromise1_LiveOfASessionRevokedMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		for name, r := range map[string]wafer.Revocation{"subject": {Subjects: []string{"alice"}}, "everyone": {Everyone: true}} {
			jar := w.browser().login(n, "alice", "")
			var ctx context.Context
			jar.ask(n, func(v *visit) {
				n.revoke(r)
				ctx = n.Live(v.r)
			})
			hasEnded(t, name, ctx, wafer.ErrEnded)
		}
		// Revoked without the node's knowledge: the node is stale and must
		// query.
		n.store.cutLog()
		jar := w.browser().login(n, "alice", "")
		if _, err := w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{"alice"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testStaleness + time.Second)
		var ctx context.Context
		r := jar.request()
		r, _ = n.Attach(httptest.NewRecorder(), r) // refused by the query
		ctx = n.Live(r)
		hasEnded(t, "of a refused request", ctx, wafer.ErrNoSession)
	})
}

func TestLive_Deadlines(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		idle := w.browser().login(n, "idle", "")
		used := w.browser().login(n, "used", "")
		waiting, _ := idle.live(n)
		going, _ := used.live(n)
		n.store.reset()
		for range 29 {
			time.Sleep(time.Minute)
			used.is(n, "used: ")
		}
		if calls := n.store.calls()["Family"]; calls != 0 {
			t.Errorf("before the deadline the store was called %d times", calls)
		}
		goesOn(t, "before the deadline", waiting)
		time.Sleep(time.Minute + 2*time.Second)
		hasEnded(t, "past the idle deadline", waiting, wafer.ErrExpired)
		goesOn(t, "refreshed by another request", going)
		if calls := n.store.calls()["Family"]; calls != 2 {
			t.Errorf("at the deadlines of two sessions the store was called %d times", calls)
		}
		for range 12 * 60 {
			time.Sleep(time.Minute)
			used.peek(n)
			used.ask(n, nil).arrive()
		}
		hasEnded(t, "past the absolute deadline", going, wafer.ErrExpired)
		if calls := n.store.calls()["Family"]; calls > 50 {
			t.Errorf("in twelve hours the store was called %d times", calls)
		}
	})
}

func TestPromise1_LiveInAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		jar := w.browser().login(n, "alice", "")
		ctx, _ := jar.live(n)
		n.store.fail()
		time.Sleep(testStaleness - time.Second)
		goesOn(t, "while the list is fresh", ctx)
		time.Sleep(5 * time.Second)
		hasEnded(t, "with a stale list, and no answer", ctx, wafer.ErrUnavailable)
		n.wantEvent(wafer.KindUnavailable, "1 live")
		n.store.heal()
		time.Sleep(testStaleness)
		again, _ := jar.live(n)
		goesOn(t, "when the store is back", again)

		// Only the log is cut: each session is queried now and then.
		n.store.fail("Since")
		n.store.cutLog()
		time.Sleep(testStaleness)
		n.store.reset()
		time.Sleep(4 * testStaleness)
		goesOn(t, "confirmed by asking", again)
		if calls := n.store.calls()["Family"]; calls < 3 || calls > 6 {
			t.Errorf("in four times MaxStaleness the store was called %d times", calls)
		}
		if _, err := w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{"alice"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testStaleness + 2*time.Second)
		hasEnded(t, "revoked while the log is cut", again, wafer.ErrEnded)
	})
}

// A store that hangs keeps no response open for longer than it takes to query
// all of them.
func TestPromise1_LiveWithAHangingStore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		jar := w.browser().login(n, "alice", "")
		var all []context.Context
		for range 200 {
			ctx, _ := w.browser().login(n, "somebody", "").live(n)
			all = append(all, ctx)
		}
		ctx, _ := jar.live(n)
		all = append(all, ctx)
		n.store.replace(hangingStore{w.mem})
		n.store.fail("Since")
		n.store.cutLog()
		time.Sleep(testStaleness + testStaleness/3 + 5*time.Second)
		for _, ctx := range all {
			hasEnded(t, "behind a store that hangs", ctx, wafer.ErrUnavailable)
		}
		n.wantEvent(wafer.KindUnavailable, "live responses")
	})
}

// hangingStore answers no Family before its caller gives up.
type hangingStore struct{ store.Store }

func (s hangingStore) Family(ctx context.Context, _ store.ID) (store.Snapshot, error) {
	<-ctx.Done()
	return store.Snapshot{}, ctx.Err()
}

func TestLive_EndsWithItsRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		jar := w.browser().login(n, "alice", "")
		ctx, hangUp := jar.live(n)
		other, _ := jar.live(n)
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		hangUp()
		if !errors.Is(ctx.Err(), context.Canceled) || errors.Is(ctx.Err(), wafer.ErrEnded) {
			t.Errorf("at once its error is %v", ctx.Err())
		}
		time.Sleep(time.Second + time.Millisecond)
		for _, c := range []context.Context{ctx, derived} {
			select {
			case <-c.Done():
			default:
				t.Error("a second after the request ended it is still open")
			}
		}
		goesOn(t, "another tab", other)
	})
}

func TestLive_WithoutASession(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		ctx, _ := w.browser().live(n)
		hasEnded(t, "anonymous", ctx, wafer.ErrNoSession)
		jar := w.browser().login(n, "alice", "")
		n.store.fail()
		time.Sleep(testStaleness + 5*time.Second)
		ctx, _ = jar.live(n)
		hasEnded(t, "in an outage", ctx, wafer.ErrUnavailable)
		if err := n.Live(httptest.NewRequest("GET", "/", nil)).Err(); err == nil || wafer.Status(err) != 500 {
			t.Errorf("of a request that was not attached: %v", err)
		}
	})
}

func TestLive_Close(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		jar := w.browser().login(n, "alice", "")
		ctx, _ := jar.live(n)
		n.stop()
		hasEnded(t, "after Close", ctx, wafer.ErrUnavailable)
		ctx, _ = jar.live(n)
		hasEnded(t, "opened after Close", ctx, wafer.ErrUnavailable)
	})
}

func TestLive_DerivedContexts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		jar := w.browser().login(n, "alice", "")
		ctx, _ := jar.live(n)
		goroutines := runtime.NumGoroutine()
		if text := fmt.Sprint(ctx); strings.Contains(text, jar.cookies[sessionCookie]) || text == "" {
			t.Error("it prints the request's cookies")
		}
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		short, cancelShort := context.WithCancel(ctx)
		called, stopped := make(chan bool, 1), false
		context.AfterFunc(ctx, func() { called <- true })
		stop := context.AfterFunc(ctx, func() { stopped = true })
		// So many that goroutines of other tests, which end meanwhile, hide
		// nothing.
		const many = 1000
		for range many {
			_, cancel := context.WithCancel(ctx)
			defer cancel()
		}
		if n := runtime.NumGoroutine() - goroutines; n > many/2 {
			t.Errorf("derived contexts cost %d goroutines", n)
		}
		if !stop() || stop() {
			t.Error("stop does not say what it did")
		}
		cancelShort()
		if short.Err() == nil || ctx.Err() != nil {
			t.Error("a derived context ends what it is derived from")
		}
		wants(t, "End", jar.do(n, end), nil)
		hasEnded(t, "a derived context", derived, wafer.ErrEnded)
		if synctest.Wait(); len(called) != 1 || stopped {
			t.Error("AfterFunc")
		}
		late := make(chan bool, 1)
		stop = context.AfterFunc(ctx, func() { late <- true })
		if synctest.Wait(); len(late) != 1 || stop() {
			t.Error("AfterFunc of an ended context")
		}
	})
}

// An entry that was dropped from the log before this node read it may have
// named any session, so each is queried.
func TestPromise1_LiveBelowTheFloor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		revoked, _ := w.browser().login(n, "alice", "").live(n)
		stays, _ := w.browser().login(n, "bob", "").live(n)
		// The node reads no entries for a while, but it can query.
		n.store.fail("Since")
		n.store.cutLog()
		ctx := context.Background()
		if _, err := w.mem.Revoke(ctx, store.Revocation{Subjects: []string{"alice"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testStaleness / 2)
		log, err := w.mem.Since(ctx, store.Cursor{}, store.MaxEntries, 0)
		if err != nil || log.More {
			t.Fatal(log.More, err)
		}
		n.store.replace(droppedStore{w.mem, store.Cursor{Position: log.Head, ID: log.HeadID}})
		n.store.heal()
		time.Sleep(testStaleness / 2)
		hasEnded(t, "revoked by an entry that was dropped", revoked, wafer.ErrEnded)
		goesOn(t, "another", stays)
	})
}

// droppedStore is a store whose entries up to floor are dropped.
type droppedStore struct {
	store.Store
	floor store.Cursor
}

func (s droppedStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if after.Position < s.floor.Position {
		b, err := s.Store.Since(ctx, s.floor, limit, 0)
		b.Floor = s.floor.Position
		if after != (store.Cursor{}) {
			b.Broken, b.Entries, b.More = true, nil, false
		}
		return b, err
	}
	b, err := s.Store.Since(ctx, after, limit, wait)
	b.Floor = max(b.Floor, s.floor.Position)
	return b, err
}

// Many live responses cost no goroutine each and less than 500 bytes each, and
// one revocation of everyone ends them all without a query.
// (ManyLivesOfOneSubject shows that the time grows with their number and not
// with its square.)
func TestPromise8_ManyLives(t *testing.T) {
	many := rounds.Of(10_000, 100_000)
	if raceEnabled {
		many = 10_000
	}
	w := newWorld(t)
	w.mem = memory.New(memory.Options{})
	n := w.node(realTime)
	type open struct {
		ctx  context.Context
		live context.Context
	}
	all := make([]open, 0, many)
	requests := make([]*visit, 0, many)
	for i := range many {
		// Fewer logins would cost less time, and several responses per session
		// less memory. So every response has its own session.
		parent, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		jar := w.browser().login(n, "subject "+string(rune('a'+i%26)), "")
		jar.askWith(n, jar.request().WithContext(parent), func(v *visit) { requests = append(requests, v) })
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	goroutines, before := runtime.NumGoroutine(), heap()
	for _, v := range requests {
		all = append(all, open{v.r.Context(), n.Live(v.r)})
	}
	each := (int64(heap()) - int64(before)) / int64(many)
	t.Logf("%d bytes each", each)
	if each >= 500 && !raceEnabled {
		t.Errorf("a live context costs %d bytes", each)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 2 {
		t.Errorf("%d live contexts cost %d goroutines", many, more)
	}
	n.store.reset()
	n.revoke(wafer.Revocation{Everyone: true})
	for _, o := range all {
		select {
		case <-o.live.Done():
		case <-time.After(2 * time.Minute):
			t.Fatal("one is still open after 2 minutes")
		}
	}
	calls := maps.Clone(n.store.calls())
	delete(calls, "Revoke")
	delete(calls, "Since")
	if len(calls) > 0 {
		t.Errorf("the store was called: %v", calls)
	}
	runtime.KeepAlive(requests)
}
