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

	"github.com/waferkit/wafer/codec"
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
	b.createWith(store.Creation{ID: id, Subject: "alice", Native: native, Idle: 30 * time.Minute, Absolute: 12 * time.Hour})
}

func (b *bench) createWith(c store.Creation) {
	b.Helper()
	snap, err := b.mem.Create(context.Background(), c)
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

func (b *bench) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return b.call("Reissue", func() (store.Snapshot, error) { return b.mem.Reissue(ctx, r) })
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
		if !res.Advanced || res.Reissued {
			t.Errorf("generation %d: advanced %v, reissued %v", g, res.Advanced, res.Reissued)
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

// Each lost answer is replaced by a copy of its own, any number of times. The
// retry within the grace of one gets the same.
func TestDo_ReplacesEachLostAnswer(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	b.do(1, refresh.Issue, 2, oneCall) // lost
	for k := uint16(1); k <= 10; k++ {
		b.pass(grace - ms)
		res := b.do(1, refresh.Issue, 2, oneCall)
		if res.Reissued || res.Snapshot.Family.Copy != k-1 {
			t.Errorf("within the grace: reissued %v: %+v", res.Reissued, res.Snapshot.Family)
		}
		b.pass(ms)
		res = b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Reissue": 1})
		if !res.Reissued || res.Advanced || res.Snapshot.Family.Copy != k || !res.Snapshot.Family.Issued.Equal(b.clock()) {
			t.Errorf("later: reissued %v, advanced %v: %+v", res.Reissued, res.Advanced, res.Snapshot.Family)
		}
		want := codec.RefreshToken{Family: codec.ID(b.id), Generation: 2, Copy: k}
		if got := res.Answer(codec.RefreshToken{Family: codec.ID(b.id), Generation: 1}); got != want {
			t.Errorf("the answer is %+v, want %+v", got, want)
		}
	}
}

// Once a copy is used for a refresh, the token that led to it ends the family, and
// so does every other copy.
func TestDo_ASuccessorInUseEndsTheOthers(t *testing.T) {
	for name, replayed := range map[string]refresh.Request{
		"the parent":      {Generation: 1},
		"an older copy":   {Generation: 2},
		"the newest copy": {Generation: 2, Copy: 2},
	} {
		b := newBench(t, lax)
		b.pass(half)
		b.do(1, refresh.Issue, 2, oneCall)
		for range 2 {
			b.pass(grace)
			b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Reissue": 1})
		}
		b.pass(half)
		used := b.request(2)
		used.Copy = 1
		if res := b.doRequest(used, refresh.Issue, 3, oneCall); res.Snapshot.Family.Used != 1 || res.Snapshot.Family.Copy != 0 {
			t.Errorf("%s: after the advance: %+v", name, res.Snapshot.Family)
		}
		b.doRequest(used, refresh.Issue, 3, oneCall) // a second tab
		replayed.Family, replayed.Basis = b.id, store.MaxPosition
		res := b.doRequest(replayed, refresh.Replay, 0, map[string]int{"Advance": 1, "Revoke": 1})
		if res.Reason != refresh.ReasonReplay || res.Entry == 0 {
			t.Errorf("%s: %+v", name, res)
		}
		if s := b.family(); s.State != store.Ended {
			t.Errorf("%s: the family is %v", name, s.State)
		}
		if res := b.do(3, refresh.Refuse, 0, oneCall); res.Reason != refresh.ReasonEnded {
			t.Errorf("%s: after the replay: %v", name, res.Reason)
		}
		head := b.family().Head
		b.doRequest(replayed, refresh.Refuse, 0, oneCall)
		if b.family().Head != head {
			t.Errorf("%s: replaying an ended family appended to the log", name)
		}
	}
}

// A token that is three copies behind advances although it is not due: the fork is
// resolved.
func TestDo_ALaggingTokenAdvances(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	b.do(1, refresh.Issue, 2, oneCall)
	for k := range 3 {
		if res := b.do(2, refresh.Issue, 2, oneCall); res.Advanced {
			t.Errorf("%d copies behind it advanced", k)
		}
		b.pass(grace)
		b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Reissue": 1})
	}
	if res := b.do(2, refresh.Issue, 3, oneCall); !res.Advanced {
		t.Errorf("three copies behind it did not advance: %+v", res.Snapshot.Family)
	}
}

// A client that has lost as many answers as there are copies is refused, and its
// family is left alone.
func TestDo_CopiesUsedUp(t *testing.T) {
	b := newBench(t, lax)
	b.id = store.ID{2}
	b.createWith(store.Creation{ID: b.id, Subject: "alice", Idle: time.Hour, Absolute: 48 * time.Hour})
	b.pass(half)
	b.advance(1)
	for k := range store.MaxCopy {
		b.pass(grace)
		if res, err := b.Do(context.Background(), b.request(1)); err != nil || !res.Reissued {
			t.Fatalf("after %d copies: %+v, %v", k, res, err)
		}
	}
	b.do(1, refresh.Issue, 2, oneCall) // within the grace of the last
	b.pass(grace)
	before := b.family()
	res := b.do(1, refresh.Refuse, 0, oneCall)
	if res.Reason != refresh.ReasonBroken {
		t.Errorf("refused for %q", res.Reason)
	}
	if after := b.family(); after.State != store.Alive || after.Head != before.Head || fmt.Sprint(after.Family) != fmt.Sprint(before.Family) {
		t.Errorf("the refusal changed %+v to %+v", before, after)
	}
	newest := b.request(2)
	newest.Copy = store.MaxCopy
	b.doRequest(newest, refresh.Issue, 2, oneCall)
}

// A clock that was set back leaves an issue time in the future. A family advances
// and replaces lost answers all the same, and the grace begins at the new time.
func TestDo_AClockThatWasSetBack(t *testing.T) {
	p := lax
	p.Skew = 5 * time.Second
	b := newBench(t, p)
	b.pass(half)
	b.do(1, refresh.Issue, 2, oneCall)
	b.pass(-p.Skew)
	b.do(1, refresh.Issue, 2, oneCall) // no more than nodes differ by
	b.do(2, refresh.Issue, 2, oneCall)
	b.pass(-time.Minute)
	if res := b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Reissue": 1}); !res.Reissued || !res.Snapshot.Family.Issued.Equal(b.clock()) {
		t.Errorf("the lost answer: %+v", res)
	}
	b.do(1, refresh.Issue, 2, oneCall) // within the grace of the copy
	b.pass(-time.Minute)
	if res := b.do(2, refresh.Issue, 3, oneCall); !res.Advanced || !res.Snapshot.Family.Issued.Equal(b.clock()) {
		t.Errorf("the advance: %+v", res)
	}
}

func TestDo_StrictReplacesNoLostAnswer(t *testing.T) {
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
	committed := b.commit()
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
	q.Basis = committed
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
	t.Run("reissued by another", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half)
		b.advance(1)
		b.pass(grace)
		b.before["Reissue"] = func() { b.reissue(1) }
		res := b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Reissue": 1})
		if res.Reissued || res.Snapshot.Family.Copy != 1 {
			t.Errorf("it claims the other's copy, or makes one more: %+v", res)
		}
	})
	t.Run("advanced while it is reissued", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half)
		b.advance(1)
		b.pass(half)
		b.before["Reissue"] = func() { b.advance(2) }
		b.do(1, refresh.Replay, 0, map[string]int{"Advance": 1, "Reissue": 1, "Revoke": 1})
	})
	t.Run("revoked while it is reissued", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half)
		b.advance(1)
		b.pass(grace)
		b.before["Reissue"] = func() { b.revoke("alice") }
		res := b.do(1, refresh.Refuse, 0, map[string]int{"Advance": 1, "Reissue": 1})
		if res.Reason != refresh.ReasonCutOff {
			t.Errorf("refused for %q", res.Reason)
		}
	})
	t.Run("committed while it is reissued", func(t *testing.T) {
		b := newBench(t, lax)
		b.pass(half)
		b.advance(1)
		b.pass(grace)
		b.before["Reissue"] = func() { b.commit() }
		q := b.request(1)
		q.Basis = b.family().Family.Position
		res := b.doRequest(q, refresh.Behind, 0, map[string]int{"Advance": 1, "Reissue": 1})
		if res.Reissued || b.family().Family.Copy != 0 {
			t.Errorf("a copy was made that cannot be answered: %+v", res)
		}
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

func (b *bench) reissue(g uint32) {
	b.Helper()
	snap, err := b.mem.Reissue(context.Background(), store.Reissue{ID: b.id, Generation: g, Basis: store.MaxPosition, Age: grace})
	if err != nil || snap.Outcome != store.Written {
		b.Errorf("reissue for %d: %v, %v", g, snap.Outcome, err)
	}
}

func (b *bench) commit() store.Position {
	b.Helper()
	snap, err := b.mem.Commit(context.Background(), store.Commit{ID: b.id, Basis: store.MaxPosition, Value: []byte("v")})
	if err != nil || snap.Outcome != store.Written {
		b.Fatal(snap.Outcome, err)
	}
	return snap.Entry
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
	b.after["Reissue"] = lose
	if _, err := b.Do(ctx, b.request(1)); !errors.Is(err, errLost) {
		t.Errorf("a lost Reissue: %v", err)
	}
	if res := b.do(1, refresh.Issue, 2, oneCall); res.Snapshot.Family.Copy != 1 {
		t.Errorf("after a lost Reissue: %+v", res.Snapshot.Family)
	}
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
		{"n-1, late", func(b *bench, _ *refresh.Request) { b.pass(half); b.advance(1); b.pass(grace) }, refresh.Issue, "", nil},
		{"n-1, late, behind a commit", func(b *bench, q *refresh.Request) {
			b.pass(half)
			b.advance(1)
			b.pass(grace)
			b.commit()
			q.Basis = 0
		}, refresh.Behind, "", nil},
		{"n, behind a commit", func(b *bench, q *refresh.Request) { b.commit(); q.Basis = 0 }, refresh.Behind, "", nil},
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
		if err != nil || res.Verdict != test.want || res.Reason != test.reason || res.Advanced || res.Reissued {
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
