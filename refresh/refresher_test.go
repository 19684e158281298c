package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// bench is one family in a memory store, behind a double that counts calls,
// runs something before or after them, and loses answers.
type bench struct {
	*testing.T
	*refresh.Refresher
	mem *memory.Store
	id  store.ID

	mu     sync.Mutex
	now    time.Time
	calls  map[string]int
	before map[string]func() // of the next call
	after  map[string]func() error
	stall  bool // Advance waits for the end of its context first
}

var errLost = errors.New("the answer is lost")

func newBench(t *testing.T, p refresh.Policy) *bench {
	t.Helper()
	b := &bench{
		T: t, id: store.ID{1}, now: issued,
		calls: make(map[string]int), before: make(map[string]func()), after: make(map[string]func() error),
	}
	b.mem = memory.New(memory.Options{Now: b.clock})
	var err error
	if b.Refresher, err = refresh.New(b, p, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	b.create(b.id, false)
	return b
}

func (b *bench) create(id store.ID, native bool) {
	b.Helper()
	snap, err := b.mem.Create(context.Background(), store.Creation{
		ID: id, Subject: "alice", Native: native, Idle: 30 * time.Minute, Absolute: 12 * time.Hour,
	})
	if err != nil || snap.Outcome != store.Written {
		b.Fatal(snap.Outcome, err)
	}
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) call(method string, do func() (store.Snapshot, error)) (store.Snapshot, error) {
	b.mu.Lock()
	b.calls[method]++
	before, after := b.before[method], b.after[method]
	delete(b.before, method)
	delete(b.after, method)
	b.mu.Unlock()
	if before != nil {
		before()
	}
	snap, err := do()
	if after != nil {
		if fault := after(); fault != nil {
			return store.Snapshot{}, fault
		}
	}
	return snap, err
}

func (b *bench) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	if b.stall {
		<-ctx.Done()
	}
	method := "Advance"
	if a.PositionOnly {
		method = "Raise"
	}
	return b.call(method, func() (store.Snapshot, error) { return b.mem.Advance(ctx, a) })
}

func (b *bench) Forgive(ctx context.Context, id store.ID, generation uint32) (store.Snapshot, error) {
	return b.call("Forgive", func() (store.Snapshot, error) { return b.mem.Forgive(ctx, id, generation) })
}

func (b *bench) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return b.call("Family", func() (store.Snapshot, error) { return b.mem.Family(ctx, id) })
}

func (b *bench) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return b.call("Revoke", func() (store.Snapshot, error) { return b.mem.Revoke(ctx, r) })
}

// family reads the family without being counted.
func (b *bench) family() store.Snapshot {
	b.Helper()
	snap, err := b.mem.Family(context.Background(), b.id)
	if err != nil {
		b.Fatal(err)
	}
	return snap
}

func (b *bench) request(g uint32) refresh.Request {
	return refresh.Request{Family: b.id, Generation: g, Basis: store.MaxPosition}
}

// do presents a generation and checks the result and the calls that it took.
func (b *bench) do(g uint32, want refresh.Verdict, n uint32, calls map[string]int) refresh.Result {
	b.Helper()
	return b.doRequest(b.request(g), want, n, calls)
}

func (b *bench) doRequest(q refresh.Request, want refresh.Verdict, n uint32, calls map[string]int) refresh.Result {
	b.Helper()
	clear(b.calls)
	res, err := b.Do(context.Background(), q)
	if err != nil {
		b.Fatalf("generation %d: %v", q.Generation, err)
	}
	if res.Verdict != want || want == refresh.Issue && res.Snapshot.Family.Generation != n {
		b.Errorf("generation %d: %v (%s) at %d, want %v at %d", q.Generation, res.Verdict, res.Reason, res.Snapshot.Family.Generation, want, n)
	}
	if !maps.Equal(b.calls, calls) {
		b.Errorf("generation %d: it made the calls %v, want %v", q.Generation, b.calls, calls)
	}
	return res
}

var oneCall = map[string]int{"Advance": 1}

func TestDo_TheCommonCaseIsOneCall(t *testing.T) {
	b := newBench(t, lax)
	age := time.Duration(0)
	for g := uint32(1); g < 5; g++ {
		res := b.do(g, refresh.Issue, g, oneCall)
		if res.Advanced {
			t.Errorf("generation %d advanced at once", g)
		}
		b.pass(half - ms - age)
		b.do(g, refresh.Issue, g, oneCall)
		b.pass(ms)
		res = b.do(g, refresh.Issue, g+1, oneCall)
		if !res.Advanced || res.Forgiven {
			t.Errorf("generation %d: advanced %v, forgiven %v", g, res.Advanced, res.Forgiven)
		}
		b.do(g, refresh.Issue, g+1, oneCall) // at once again
		age = grace - ms
		b.pass(age)
		b.do(g, refresh.Issue, g+1, oneCall) // within the grace
	}
}

// A generation that is issued again carries the family's position, which only
// rises by what is written.
func TestDo_IssuingAgainLeavesThePosition(t *testing.T) {
	b := newBench(t, lax)
	at := b.family().Family.Position
	b.revoke("bob") // the head rises
	res := b.do(1, refresh.Issue, 1, oneCall)
	if got := res.Snapshot.Family.Position; got != at {
		t.Errorf("issued again at position %d, want the stored %d", got, at)
	}
	if res.Snapshot.Head <= at {
		t.Errorf("the head is %d: the test shows nothing", res.Snapshot.Head)
	}
	b.pass(half)
	res = b.do(1, refresh.Issue, 2, oneCall)
	if got := res.Snapshot.Family.Position; got != res.Snapshot.Head {
		t.Errorf("advanced at position %d, want the head %d", got, res.Snapshot.Head)
	}
}

func (b *bench) revoke(subject string) store.Position {
	b.Helper()
	snap, err := b.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{subject}})
	if err != nil {
		b.Fatal(err)
	}
	return snap.Entry
}

func TestDo_ForgivesALostAnswerOnce(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	b.do(1, refresh.Issue, 2, oneCall) // lost
	b.pass(grace)
	res := b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Forgive": 1})
	if !res.Forgiven || res.Advanced || res.Snapshot.Family.Forgiven != 1 || !res.Snapshot.Family.Issued.Equal(b.clock()) {
		t.Errorf("forgiven %v, advanced %v: %+v", res.Forgiven, res.Advanced, res.Snapshot.Family)
	}
	issuedAt := b.clock()
	b.pass(grace + time.Second)
	res = b.do(1, refresh.Issue, 2, oneCall) // the second tab, late as well
	if res.Forgiven || !res.Snapshot.Family.Issued.Equal(issuedAt) {
		t.Errorf("the second tab was recorded: %+v", res.Snapshot.Family)
	}
	b.pass(half)
	b.do(2, refresh.Issue, 3, oneCall) // lost as well
	b.pass(grace)
	res = b.do(2, refresh.Replay, 0, map[string]int{"Advance": 1, "Revoke": 1})
	if res.Reason != refresh.ReasonReplay || res.Entry == 0 {
		t.Errorf("the second lost answer: %+v", res)
	}
	if s := b.family(); s.State != store.Ended {
		t.Errorf("the family is %v", s.State)
	}
	res = b.do(3, refresh.Refuse, 0, oneCall)
	if res.Reason != refresh.ReasonEnded {
		t.Errorf("after the replay: %v", res.Reason)
	}
	head := b.family().Head
	b.do(2, refresh.Refuse, 0, oneCall)
	if b.family().Head != head {
		t.Errorf("replaying an ended family appended to the log")
	}
}

func TestDo_StrictForgivesNothing(t *testing.T) {
	b := newBench(t, strict)
	b.pass(half)
	b.do(1, refresh.Issue, 2, oneCall)
	b.pass(grace)
	b.do(1, refresh.Replay, 0, map[string]int{"Advance": 1, "Revoke": 1})
}

func TestDo_TwoGenerationsAgoEndsTheFamily(t *testing.T) {
	b := newBench(t, lax)
	for g := uint32(1); g < 3; g++ {
		b.pass(half)
		b.do(g, refresh.Issue, g+1, oneCall)
	}
	at := b.family().Family.Position
	res := b.do(1, refresh.Replay, 0, map[string]int{"Advance": 1, "Revoke": 1})
	if res.Entry <= at {
		t.Errorf("it ended at %d: cookies at %d survive", res.Entry, at)
	}
	if s := b.family(); s.State != store.Ended {
		t.Errorf("the family is %v", s.State)
	}
}

func TestDo_Refuses(t *testing.T) {
	for reason, prepare := range map[refresh.Reason]func(b *bench, q *refresh.Request){
		refresh.ReasonAbsent: func(_ *bench, q *refresh.Request) { q.Family = store.ID{9} },
		refresh.ReasonEnded: func(b *bench, _ *refresh.Request) {
			_, err := b.mem.Revoke(context.Background(), store.Revocation{Sessions: []store.ID{b.id}})
			if err != nil {
				b.Fatal(err)
			}
		},
		refresh.ReasonCutOff: func(b *bench, _ *refresh.Request) { b.revoke("alice") },
		refresh.ReasonIdle: func(b *bench, _ *refresh.Request) {
			b.pass(30 * time.Minute)
		},
		refresh.ReasonKind: func(_ *bench, q *refresh.Request) { q.Native = true },
	} {
		b := newBench(t, lax)
		q := b.request(1)
		prepare(b, &q)
		before := b.family()
		res := b.doRequest(q, refresh.Refuse, 0, oneCall)
		// A family past a limit may be gone by the time it is asked for.
		if res.Reason != reason && (reason != refresh.ReasonIdle || res.Reason != refresh.ReasonAbsent) {
			t.Errorf("%s: refused for %q", reason, res.Reason)
		}
		if after := b.family(); after.Head != before.Head || after.Family.Generation > before.Family.Generation {
			t.Errorf("%s: a refusal wrote", reason)
		}
	}
}

func TestDo_AheadRevokesNothing(t *testing.T) {
	b := newBench(t, lax)
	res := b.do(5, refresh.Ahead, 0, oneCall)
	if res.Reason != refresh.ReasonAhead {
		t.Errorf("ahead for %q", res.Reason)
	}
	b.do(1, refresh.Issue, 1, oneCall)
}

func TestDo_Behind(t *testing.T) {
	b := newBench(t, lax)
	before := b.family().Family.Position
	snap, err := b.mem.Commit(context.Background(), store.Commit{ID: b.id, Basis: before, Value: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{0, half} {
		b.pass(age)
		q := b.request(1)
		q.Basis = before
		res := b.doRequest(q, refresh.Behind, 0, oneCall)
		if string(res.Snapshot.Family.Value) != "v" || b.family().Family.Generation != 1 {
			t.Errorf("after %v: %+v", age, res.Snapshot.Family)
		}
	}
	q := b.request(1)
	q.Basis = snap.Entry
	b.doRequest(q, refresh.Issue, 2, oneCall)
}

func TestDo_RaisesBelowTheFloor(t *testing.T) {
	b := newBench(t, lax)
	at := b.family().Family.Position
	head := b.revoke("bob")
	q := b.request(1)
	q.Floor = at
	b.doRequest(q, refresh.Issue, 1, oneCall)
	q.Floor = at + 1
	res := b.doRequest(q, refresh.Issue, 1, map[string]int{"Advance": 1, "Raise": 1})
	if res.Snapshot.Family.Position != head || res.Advanced {
		t.Errorf("raised to %d, want the head %d", res.Snapshot.Family.Position, head)
	}
	if f := b.family().Family; f.Generation != 1 || !f.Issued.Equal(issued) {
		t.Errorf("raising changed the generation or its time: %+v", f)
	}
	b.doRequest(q, refresh.Issue, 1, oneCall)

	// A floor above the store's own head cannot be met: the store went back.
	// The family is served all the same, as high as the store can.
	q.Floor = head + 100
	if res := b.doRequest(q, refresh.Issue, 1, map[string]int{"Advance": 1, "Raise": 1}); res.Snapshot.Family.Position != head {
		t.Errorf("served at %d, want the head %d", res.Snapshot.Family.Position, head)
	}
}

// If the family changes between two calls, the verdict is reached anew.
func TestDo_ChangedInBetween(t *testing.T) {
	t.Run("advanced by another", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half)
		b.before["Advance"] = func() { b.advance(1) }
		res := b.do(1, refresh.Issue, 2, oneCall)
		if res.Advanced {
			t.Errorf("it claims the other's advance")
		}
	})
	t.Run("forgiven by another", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half)
		b.advance(1)
		b.pass(grace)
		b.before["Forgive"] = func() { _, _ = b.mem.Forgive(context.Background(), b.id, 1) }
		res := b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Forgive": 1})
		if res.Forgiven {
			t.Errorf("it claims the other's forgiveness")
		}
	})
	t.Run("advanced while it is forgiven", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half)
		b.advance(1)
		b.pass(half)
		b.before["Forgive"] = func() { b.advance(2) }
		b.do(1, refresh.Replay, 0, map[string]int{"Advance": 1, "Forgive": 1, "Revoke": 1})
	})
	t.Run("advanced while it is raised", func(t *testing.T) {
		b := newBench(t, lax)
		at := b.family().Family.Position
		b.revoke("bob")
		b.before["Raise"] = func() { b.pass(half); b.advance(1) }
		q := b.request(1)
		q.Floor = at + 1
		b.doRequest(q, refresh.Issue, 2, map[string]int{"Advance": 1, "Raise": 1})
	})
	t.Run("revoked while it is raised", func(t *testing.T) {
		b := newBench(t, lax)
		at := b.family().Family.Position
		b.revoke("bob")
		b.before["Raise"] = func() { b.revoke("alice") }
		q := b.request(1)
		q.Floor = at + 1
		res := b.doRequest(q, refresh.Refuse, 0, map[string]int{"Advance": 1, "Raise": 1})
		if res.Reason != refresh.ReasonCutOff {
			t.Errorf("refused for %q", res.Reason)
		}
	})
	t.Run("grown due while it is judged", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half - ms)
		b.after["Advance"] = func() error { b.pass(ms); return nil }
		b.do(1, refresh.Issue, 1, oneCall) // judged by the snapshot's clock alone
	})
}

func (b *bench) advance(g uint32) {
	b.Helper()
	snap, err := b.mem.Advance(context.Background(), store.Advance{ID: b.id, Generation: g, Basis: store.MaxPosition, Age: half})
	if err != nil || snap.Outcome != store.Written {
		b.Errorf("advance from %d: %v, %v", g, snap.Outcome, err)
	}
}

// A lost answer of the store is an outage; presenting the token again finds one
// consistent result.
func TestDo_LostAnswers(t *testing.T) {
	ctx := context.Background()
	lose := func() error { return errLost }
	b := newBench(t, lax)
	b.pass(half)
	b.after["Advance"] = lose
	if res, err := b.Do(ctx, b.request(1)); !errors.Is(err, errLost) || res.Verdict != refresh.Refuse {
		t.Errorf("a lost Advance: %+v, %v", res, err)
	}
	b.do(1, refresh.Issue, 2, oneCall)
	b.pass(grace)
	b.after["Forgive"] = lose
	if _, err := b.Do(ctx, b.request(1)); !errors.Is(err, errLost) {
		t.Errorf("a lost Forgive: %v", err)
	}
	b.do(1, refresh.Issue, 2, oneCall)
	b.pass(half)
	b.do(2, refresh.Issue, 3, oneCall)
	b.after["Revoke"] = lose
	if _, err := b.Do(ctx, b.request(1)); !errors.Is(err, errLost) {
		t.Errorf("a lost Revoke: %v", err)
	}
	if res := b.do(1, refresh.Refuse, 0, oneCall); res.Reason != refresh.ReasonEnded {
		t.Errorf("after a lost Revoke: %v", res.Reason)
	}
}

func TestDo_SharesOneFlight(t *testing.T) { synctest.Test(t, testSharesOneFlight) }

func testSharesOneFlight(t *testing.T) {
	const many = 64
	b := newBench(t, lax)
	b.pass(half)
	reached, release := make(chan struct{}), make(chan struct{})
	b.before["Advance"] = func() { close(reached); <-release }
	var wg sync.WaitGroup
	present := func() {
		res, err := b.Do(context.Background(), b.request(1))
		if err != nil || res.Verdict != refresh.Issue || res.Snapshot.Family.Generation != 2 {
			t.Errorf("%+v, %v", res, err)
		}
	}
	wg.Go(present)
	<-reached
	for range many - 1 {
		wg.Go(present)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Do(gone, b.request(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a waiter that hung up got %v", err)
	}
	time.Sleep(20 * time.Millisecond) // most join the flight by then
	close(release)
	wg.Wait()
	if calls := b.calls["Advance"]; calls > many/2 {
		t.Errorf("%d requests at once made %d calls", many, calls)
	}
	if g := b.family().Family.Generation; g != 2 {
		t.Errorf("the family is at generation %d", g)
	}
}

// A client that hangs up does not stop a write that has begun.
func TestDo_RunsOnWithoutItsClient(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	ctx, cancel := context.WithCancel(context.Background())
	b.before["Advance"] = cancel
	res, err := b.Do(ctx, b.request(1))
	if err != nil || !res.Advanced {
		t.Errorf("%+v, %v", res, err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if res, err := b.Look(cancelled, b.request(2)); err != nil || res.Verdict != refresh.Issue {
		t.Errorf("Look: %+v, %v", res, err)
	}
}

func TestDo_EndsWithItsTimeout(t *testing.T) {
	b := newBench(t, lax)
	slow, err := refresh.New(b, lax, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	b.stall = true
	if _, err := slow.Do(context.Background(), b.request(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past its timeout: %v", err)
	}
}

// Look writes nothing, whatever it finds, but the end of a replayed family.
func TestLook(t *testing.T) {
	commit := func(b *bench) {
		if _, err := b.mem.Commit(context.Background(), store.Commit{ID: b.id, Basis: store.MaxPosition, Value: []byte("v")}); err != nil {
			b.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(b *bench, q *refresh.Request)
		want    refresh.Verdict
		reason  refresh.Reason
		calls   map[string]int
	}{
		{"n", func(*bench, *refresh.Request) {}, refresh.Issue, "", nil},
		{"n, due", func(b *bench, _ *refresh.Request) { b.pass(half) }, refresh.Issue, "", nil},
		{"n, below the floor", func(b *bench, q *refresh.Request) { q.Floor = b.revoke("bob") }, refresh.Issue, "", nil},
		{"n-1, within the grace", func(b *bench, _ *refresh.Request) { b.pass(half); b.advance(1); b.pass(grace - ms) }, refresh.Issue, "", nil},
		{"n-1, late", func(b *bench, _ *refresh.Request) { b.pass(half); b.advance(1); b.pass(grace) }, refresh.Refuse, refresh.ReasonUpgrade, nil},
		{"n-1, late, behind a commit", func(b *bench, q *refresh.Request) {
			b.pass(half)
			b.advance(1)
			b.pass(grace)
			commit(b)
			q.Basis = 0
		}, refresh.Refuse, refresh.ReasonUpgrade, nil},
		{"n, behind a commit", func(b *bench, q *refresh.Request) { commit(b); q.Basis = 0 }, refresh.Behind, "", nil},
		{"ahead", func(_ *bench, q *refresh.Request) { q.Generation = 2 }, refresh.Ahead, refresh.ReasonAhead, nil},
		{"absent", func(_ *bench, q *refresh.Request) { q.Family = store.ID{9} }, refresh.Refuse, refresh.ReasonAbsent, nil},
		{"cut off", func(b *bench, _ *refresh.Request) { b.revoke("alice") }, refresh.Refuse, refresh.ReasonCutOff, nil},
		{"replay", func(b *bench, _ *refresh.Request) {
			b.pass(half)
			b.advance(1)
			b.pass(half)
			b.advance(2)
		}, refresh.Replay, refresh.ReasonReplay, map[string]int{"Revoke": 1}},
	} {
		b := newBench(t, lax)
		q := b.request(1)
		test.prepare(b, &q)
		clear(b.calls)
		before := b.family()
		res, err := b.Look(context.Background(), q)
		if err != nil || res.Verdict != test.want || res.Reason != test.reason || res.Advanced || res.Forgiven {
			t.Errorf("%s: %+v, %v; want %v, %q", test.name, res, err, test.want, test.reason)
		}
		calls := map[string]int{"Family": 1}
		maps.Copy(calls, test.calls)
		if !maps.Equal(b.calls, calls) {
			t.Errorf("%s: it made the calls %v, want %v", test.name, b.calls, calls)
		}
		after := b.family()
		if test.want == refresh.Replay {
			if after.State != store.Ended || res.Entry == 0 {
				t.Errorf("%s: the family is %v, the entry at %d", test.name, after.State, res.Entry)
			}
		} else if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%s: it changed the family from %+v to %+v", test.name, before, after)
		}
	}
	b := newBench(t, lax)
	b.after["Family"] = func() error { return errLost }
	if _, err := b.Look(context.Background(), b.request(1)); !errors.Is(err, errLost) {
		t.Errorf("an outage: %v", err)
	}
}
