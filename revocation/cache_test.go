package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// counted counts the queries that reach a double.
func counted(d *double) *atomic.Int64 {
	var n atomic.Int64
	d.onCutoffs(func(ctx context.Context, id store.ID, name string) (store.Cutoffs, error) {
		n.Add(1)
		return d.revoked(id, name), ctx.Err()
	})
	return &n
}

// confirm fails the test unless the cache's verdict, with the store if needed,
// is the wanted one. The result is cached when it returns.
func confirm(t testing.TB, c *revocation.Cache, n int, at store.Position, want revocation.Verdict) {
	t.Helper()
	v, err := c.Confirm(context.Background(), session(n), subject(n), at)
	if err != nil || v != want {
		t.Errorf("session %d at %d is %v, %v: want %v", n, at, v, err, want)
	}
	c.Settle()
}

// checks fails the test unless Check alone returns the wanted verdict.
func checks(t testing.TB, c *revocation.Cache, now time.Time, n int, at store.Position, want revocation.Verdict) {
	t.Helper()
	if got := c.Check(now, session(n), subject(n), at); got != want {
		t.Errorf("session %d at %d is %v: want %v", n, at, got, want)
	}
}

// Positions are cached, not verdicts: one result judges tokens of every
// position, and a token newer than it causes a query.
func TestCache_KeepsPositions(t *testing.T) {
	clock, d := newClock(), newDouble()
	d.add(ending(session(1), 0), superseding(session(2), 0), ofSubject(subject(3), 0)) // 20, 30, 40
	asked := counted(d)
	c := newCache(t, d, revocation.Config{Now: clock.Now})
	checks(t, c, clock.Now(), 1, 20, revocation.Unconfirmed)
	confirm(t, c, 1, 40, revocation.Revoked)
	for n := 2; n <= 4; n++ {
		confirm(t, c, n, 40, revocation.Good)
	}
	if asked.Load() != 4 {
		t.Errorf("%d queries about 4 sessions", asked.Load())
	}
	for _, want := range []struct {
		n  int
		at store.Position
		is revocation.Verdict
	}{
		{1, 19, revocation.Revoked}, {1, 20, revocation.Revoked}, {1, 40, revocation.Revoked}, {1, 41, revocation.Revoked},
		{2, 29, revocation.Expired}, {2, 30, revocation.Good},
		{3, 39, revocation.Revoked}, {3, 40, revocation.Good},
		{4, 9, revocation.Revoked}, {4, 10, revocation.Good}, {4, 41, revocation.Ahead},
	} {
		checks(t, c, clock.Now(), want.n, want.at, want.is)
	}
	// A revocation elsewhere, and a login right after it.
	p := d.add(ofSubject(subject(4), 0))
	checks(t, c, clock.Now(), 4, p-1, revocation.Ahead)
	confirm(t, c, 4, p, revocation.Good)
	checks(t, c, clock.Now(), 4, p-1, revocation.Revoked)
	if asked.Load() != 5 || c.Head() != p {
		t.Errorf("%d queries, head %d", asked.Load(), c.Head())
	}
	confirm(t, c, 4, p+1, revocation.Ahead) // the store does not know it either
}

// A cached result counts from the time its query was sent, for MaxStaleness.
func TestPromise1_CacheCountsFromTheQuestion(t *testing.T) {
	clock, d := newClock(), newDouble()
	c := newCache(t, d, revocation.Config{Now: clock.Now, MaxStaleness: 30 * time.Second})
	d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
		res := d.revoked(id, name)
		clock.move(20 * time.Second) // it sits in a socket
		return res, nil
	})
	confirm(t, c, 1, 10, revocation.Good)
	d.add(ending(session(1), 0))
	checks(t, c, clock.Now().Add(10*time.Second), 1, 10, revocation.Good)
	checks(t, c, clock.Now().Add(10*time.Second+1), 1, 10, revocation.Unconfirmed)
	if age, ok := c.Confirmed(clock.Now()); age != 20*time.Second || !ok {
		t.Errorf("the store answered %v ago, %v", age, ok)
	}
	// A result that took longer is an outage, and is not used later either.
	clock.move(time.Hour)
	d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
		res := d.revoked(id, name)
		clock.move(31 * time.Second)
		return res, nil
	})
	if v, err := c.Confirm(t.Context(), session(2), subject(2), 10); v != revocation.Unconfirmed || err == nil {
		t.Errorf("an answer of 31 s ago: %v, %v", v, err)
	}
	c.Settle()
	checks(t, c, clock.Now(), 2, 10, revocation.Unconfirmed)
}

// A function that was frozen, or whose clock was set, shows it on one of the
// two clocks.
func TestPromise1_CacheThatWasFrozen(t *testing.T) {
	for name, moves := range map[string][2]time.Duration{
		"the wall clock alone went on":      {time.Hour, 0},
		"the monotonic clock alone went on": {0, time.Hour},
		"the wall clock was set back":       {-time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			clock, d := newSplitClock(), newDouble()
			c := newCache(t, d, revocation.Config{Now: clock.Now})
			confirm(t, c, 1, 10, revocation.Good)
			checks(t, c, clock.Now(), 1, 10, revocation.Good)
			d.add(ending(session(1), 0))
			clock.split(t, moves[0], moves[1])
			checks(t, c, clock.Now(), 1, 10, revocation.Unconfirmed)
			confirm(t, c, 1, 10, revocation.Revoked)
		})
	}
	clock, d := newClock(), newDouble() // no monotonic reading: the time that passed is unknown
	c := newCache(t, d, revocation.Config{Now: clock.Now})
	confirm(t, c, 1, 10, revocation.Good)
	clock.move(-time.Minute)
	checks(t, c, clock.Now(), 1, 10, revocation.Unconfirmed)
}

// A result that is found by the hash of another query is not used.
func TestPromise1_CacheComparesTheQuestion(t *testing.T) {
	clock, d := newClock(), newDouble()
	d.add(ending(session(2), 0), ofSubject("bob", 0)) // 20, 30
	c := newCache(t, d, revocation.Config{Now: clock.Now})
	confirm(t, c, 1, 10, revocation.Good)
	for _, with := range []struct {
		session store.ID
		subject string
	}{{session(2), subject(1)}, {session(1), "bob"}, {session(1), ""}} {
		if !c.Confuse(session(1), subject(1), with.session, with.subject) {
			t.Fatal("the answer was not kept: the test shows nothing")
		}
		if v := c.Check(clock.Now(), with.session, with.subject, 10); v != revocation.Unconfirmed {
			t.Errorf("another's answer made it %v", v)
		}
	}
}

// The cutoff of everyone and the floor from one result count for all sessions.
func TestPromise1_CacheJoinsWhatConcernsAll(t *testing.T) {
	clock, d := newClock(), newDouble()
	c := newCache(t, d, revocation.Config{Now: clock.Now})
	d.add(superseding(session(9), 0), superseding(session(9), 0)) // 20, 30
	confirm(t, c, 1, 25, revocation.Good)
	confirm(t, c, 2, 25, revocation.Good)
	d.drop(30)
	confirm(t, c, 3, 30, revocation.Good)
	checks(t, c, clock.Now(), 1, 25, revocation.Expired)
	checks(t, c, clock.Now(), 4, 25, revocation.Expired) // of which nothing is known
	if c.Floor() != 30 || c.ExpiredBelow(session(4)) != 30 {
		t.Errorf("floor %d, %d", c.Floor(), c.ExpiredBelow(session(4)))
	}
	p := d.add(everyone(0))
	confirm(t, c, 4, p, revocation.Good)
	checks(t, c, clock.Now(), 1, 30, revocation.Revoked)
	checks(t, c, clock.Now(), 5, 30, revocation.Revoked)
	clock.move(time.Hour)
	checks(t, c, clock.Now(), 2, 30, revocation.Revoked)
}

// Its own revocations count at once, whatever any answer says, and for as long
// as they are above the floor.
func TestPromise1_CacheAppliesItsOwnAtOnce(t *testing.T) {
	clock, d := newClock(), newDouble()
	asked := counted(d)
	var applied []store.Entry
	c := newCache(t, d, revocation.Config{Now: clock.Now, Applied: func(e []store.Entry) { applied = append(applied, e...) }})
	for n := 1; n <= 4; n++ {
		confirm(t, c, n, 10, revocation.Good)
	}
	applied = nil
	c.Apply(ending(session(1), 15), ofSubject(subject(2), 15), superseding(session(3), 15))
	if len(applied) != 3 || !c.Ended(session(1)) || c.Ended(session(2)) || c.Ended(session(3)) || c.ExpiredBelow(session(3)) != 15 {
		t.Errorf("applied %v", applied)
	}
	for range 2 {
		checks(t, c, clock.Now(), 1, 10, revocation.Revoked)
		checks(t, c, clock.Now(), 2, 10, revocation.Revoked)
		checks(t, c, clock.Now(), 3, 10, revocation.Expired)
		clock.move(time.Hour) // without an answer too
	}
	for n, want := range []revocation.Verdict{1: revocation.Revoked, revocation.Revoked, revocation.Expired, revocation.Good} {
		if n > 0 {
			confirm(t, c, n, 10, want) // the store has not taken them
		}
	}
	if asked.Load() != 5 {
		t.Errorf("%d queries: what is known needs none", asked.Load())
	}
	c.Apply(everyone(16))
	checks(t, c, clock.Now(), 4, 15, revocation.Revoked)
}

// CatchUp and WaitFor: no result counts if its query may have been sent before.
func TestPromise1_CacheCatchesUp(t *testing.T) {
	clock, d := newClock(), newDouble()
	var all int
	c := newCache(t, d, revocation.Config{Now: clock.Now, Applied: func(e []store.Entry) {
		if e == nil {
			all++
		}
	}})
	for name, catchUp := range map[string]func(p store.Position) error{
		"CatchUp": func(store.Position) error { return c.CatchUp(t.Context()) },
		"WaitFor": func(p store.Position) error { return c.WaitFor(t.Context(), p) },
	} {
		confirm(t, c, 1, d.revoked(store.ID{}, "").Head, revocation.Good)
		checks(t, c, clock.Now(), 1, c.Head(), revocation.Good)
		p := d.add(ofSubject(subject(1), 0))
		all = 0
		if err := catchUp(p); err != nil {
			t.Fatal(name, err)
		}
		checks(t, c, clock.Now(), 1, p-1, revocation.Unconfirmed)
		confirm(t, c, 1, p-1, revocation.Revoked)
		confirm(t, c, 1, p, revocation.Good)
		checks(t, c, clock.Now(), 1, p, revocation.Good)
		if all != 1 {
			t.Errorf("%s: Applied was called %d times with nil", name, all)
		}
	}
}

// A query that was in flight when CatchUp was called is neither cached nor
// joined by later callers.
func TestPromise1_CacheCatchesUpWithAQuestionUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		c := newCache(t, d, revocation.Config{})
		gate, queries := make(chan struct{}), 0
		d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
			queries++
			res := d.revoked(id, name)
			if queries == 1 {
				<-gate
			}
			return res, nil
		})
		go confirm(t, c, 1, 10, revocation.Good) // called before
		synctest.Wait()
		d.add(ofSubject(subject(1), 0))
		if err := c.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			confirm(t, c, 1, 10, revocation.Revoked)
			close(done)
		}()
		synctest.Wait()
		close(gate)
		<-done
		checks(t, c, time.Now(), 1, 10, revocation.Revoked)
		if queries != 2 {
			t.Errorf("%d queries", queries)
		}
		c.Close()
	})
}

// The ring is reloaded before a result that revokes everyone anew is used. If
// it cannot be reloaded, that is an outage, and nothing is cached.
func TestPromise1_CacheBeforeEveryone(t *testing.T) {
	errRing := errors.New("the ring could not be reloaded")
	clock, d := newClock(), newDouble()
	var calls int
	var fail bool
	var c *revocation.Cache
	before := revocation.Unconfirmed
	c = newCache(t, d, revocation.Config{Now: clock.Now, BeforeEveryone: func(ctx context.Context) error {
		calls++
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("it has no deadline")
		}
		// Not in force yet, anywhere.
		checks(t, c, clock.Now(), 7, c.Head(), before)
		if fail {
			return errRing
		}
		return nil
	}})
	confirm(t, c, 1, 10, revocation.Good)
	confirm(t, c, 2, 10, revocation.Good)
	if calls != 1 {
		t.Errorf("for the log's first entry it was called %d times", calls)
	}
	clock.move(time.Hour)
	p := d.add(everyone(0))
	fail, calls = true, 0
	for n := 1; n <= 2; n++ {
		if v, err := c.Confirm(t.Context(), session(n), subject(n), p); v != revocation.Unconfirmed || !errors.Is(err, errRing) {
			t.Errorf("%v, %v", v, err)
		}
	}
	c.Settle()
	checks(t, c, clock.Now(), 1, p, revocation.Unconfirmed)
	if calls != 2 || c.Head() != 10 {
		t.Errorf("called %d times, head %d", calls, c.Head())
	}
	fail, calls = false, 0
	confirm(t, c, 1, p, revocation.Good)
	confirm(t, c, 2, p-1, revocation.Revoked)
	if calls != 1 {
		t.Errorf("called %d times", calls)
	}
	// The ring was not reloaded for an entry that this node itself applied
	// first.
	p = d.add(everyone(0))
	c.Apply(everyone(p))
	before = revocation.Revoked
	confirm(t, c, 1, p, revocation.Good)
	before = revocation.Unconfirmed
	if calls != 2 {
		t.Errorf("called %d times", calls)
	}
	// An entry that was dropped before this node read it may have revoked
	// everyone.
	p = d.add(superseding(session(8), 0))
	d.drop(p)
	confirm(t, c, 3, p, revocation.Good)
	confirm(t, c, 4, p, revocation.Good)
	if calls != 3 {
		t.Errorf("called %d times", calls)
	}
}

// A missing answer is an outage for tokens that need one.
func TestPromise5_CacheInAnOutage(t *testing.T) { synctest.Test(t, testCacheInAnOutage) }

func testCacheInAnOutage(t *testing.T) {
	clock, d := newClock(), newDouble()
	c := newCache(t, d, revocation.Config{Now: clock.Now, MaxStaleness: time.Second})
	if s := c.State(clock.Now()); s != revocation.Unknown {
		t.Errorf("before the first answer it is %v", s)
	}
	confirm(t, c, 1, 10, revocation.Good)
	d.onCutoffs(func(context.Context, store.ID, string) (store.Cutoffs, error) {
		return store.Cutoffs{Head: 1000}, errDown
	})
	confirm(t, c, 1, 10, revocation.Good) // by what is kept
	for n, at := range []store.Position{2: 10, 1: 11} {
		if v, err := c.Confirm(t.Context(), session(n), subject(n), at); at != 0 && (v != revocation.Unconfirmed || !errors.Is(err, errDown)) {
			t.Errorf("session %d at %d: %v, %v", n, at, v, err)
		}
	}
	if s := c.State(clock.Now()); s != revocation.Fresh || c.Head() != 10 {
		t.Errorf("it is %v, its head %d", s, c.Head())
	}
	clock.move(time.Second + 1)
	if s := c.State(clock.Now()); s != revocation.Stale {
		t.Errorf("it is %v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.WaitFor(ctx, 10); !errors.Is(err, errDown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitFor: %v", err)
	}
}

// Close ends the goroutines of NewCache, at any moment. Calls meanwhile or
// later do no harm, and get no cached result.
func TestCache_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		c := newCache(t, newDouble(), revocation.Config{})
		confirm(t, c, 1, 10, revocation.Good)
		checks(t, c, time.Now(), 1, 10, revocation.Good)
		c.Close()
		checks(t, c, time.Now(), 1, 10, revocation.Unconfirmed)
		if v, err := c.Confirm(t.Context(), session(1), subject(1), 10); v != revocation.Good || err != nil || c.Len() != 0 {
			t.Errorf("%v, %v, %d answers", v, err, c.Len())
		}
		c.Close()
	})
	for range smaller(40, 4) {
		c := newCache(t, newDouble(), revocation.Config{})
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				for n := range 200 {
					if v, err := c.Confirm(t.Context(), session(n), "", 10); v != revocation.Good || err != nil {
						t.Errorf("%v, %v", v, err)
					}
					for range 64 { // as many as ristretto gathers before it looks at them
						c.Check(time.Now(), session(n), "", 10)
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		users.Go(c.Close)
		users.Go(c.Close)
		users.Wait()
	}
}

// A cache holds no more results than its limit, in no more memory than NewCache
// states.
func TestPromise8_CacheIsBounded(t *testing.T) {
	const limit = 20_000
	long := strings.Repeat("s", store.MaxSubject-8)
	for _, name := range []string{"", long} {
		clock, d := newClock(), newDouble()
		empty := heap()
		c := newCache(t, d, revocation.Config{Limit: limit, Now: clock.Now})
		start := heap() - empty
		for n := range 3 * limit {
			whole := fmt.Sprintf("%s%08d", name, n) + strings.Repeat("x", 1000)
			// The subject is a part of a longer text, as of a request.
			if _, err := c.Ask(t.Context(), session(n), whole[:len(name)+8], 10); err != nil {
				t.Fatal(err)
			}
			if n%1000 == 0 {
				c.Settle()
			}
		}
		c.Settle()
		got := heap() - empty
		each := float64(got-start) / float64(c.Len())
		t.Logf("empty: %d KB; %d answers: %d KB, %.0f bytes each, of which %d are the answer and %d its subject",
			start>>10, c.Len(), got>>10, each, revocation.ResultSize, len(name)+8)
		if c.Len() > limit || c.Len() < limit/2 || got-start > limit*700 || name == "" && got-start > limit*450 {
			t.Errorf("%d answers take %d bytes", c.Len(), got)
		}
		if start > 300<<10+limit*60 {
			t.Errorf("an empty cache takes %d bytes", start)
		}
		runtime.KeepAlive(c)
		c.Close()
	}
}

func TestNewCache_Refuses(t *testing.T) {
	for _, config := range []revocation.Config{{MaxStaleness: 1}, {Limit: 1023}, {Limit: -1}, {Timeout: -1}} {
		if c, err := revocation.NewCache(newDouble(), config); err == nil || c != nil {
			t.Errorf("%+v: %v", config, err)
		}
	}
}

// Readers, writers and callers of CatchUp at once: a node never accepts again
// what it has revoked.
func TestPromise1_CacheUnderConcurrency(t *testing.T) {
	d := newDouble()
	c := newCache(t, d, revocation.Config{Limit: 1024})
	c.KeepAtMost(50)
	const sessions = 100
	var below [sessions]atomic.Uint64 // revoked here, acknowledged
	var good, revoked, kept atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			r := random(t)
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := r.IntN(sessions)
				least := store.Position(below[n].Load())
				at := least + store.Position(r.IntN(60)) - min(30, least)
				v := c.Check(time.Now(), session(n), subject(n), at)
				if v == revocation.Good {
					kept.Add(1)
				}
				if v == revocation.Unconfirmed || v == revocation.Ahead {
					var err error
					if v, err = c.Confirm(t.Context(), session(n), subject(n), at); err != nil {
						t.Error(err)
						return
					}
				}
				switch {
				case v == revocation.Good && at < least:
					t.Errorf("session %d at %d is good, revoked at %d", n, at, least)
					return
				case v == revocation.Good:
					good.Add(1)
				case v == revocation.Revoked:
					revoked.Add(1)
				}
			}
		})
	}
	r := random(t)
	for i := range smaller(1200, 4) {
		n := r.IntN(sessions)
		switch i % 3 {
		case 0: // as a logout
			p := d.add(superseding(session(n), 0))
			c.Apply(superseding(session(n), p))
			below[n].Store(uint64(p))
		case 1: // as a subject
			p := d.add(ofSubject(subject(n), 0))
			if err := c.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			below[n].Store(uint64(p))
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
	close(stop)
	all.Wait()
	t.Logf("%d good, %d of these by what was kept, %d revoked", good.Load(), kept.Load(), revoked.Load())
	if min(good.Load(), kept.Load(), revoked.Load()) == 0 {
		t.Error("the test shows nothing")
	}
}
