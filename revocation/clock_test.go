package revocation_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// still returns a replica whose goroutine has stopped, so that only the test's
// own queries confirm it.
func still(t testing.TB, d *double, c revocation.Config) *revocation.Replica {
	t.Helper()
	r := follow(t, d, c)
	r.Close()
	return r
}

// An answer confirms as of the moment its query was sent: one that was two
// minutes under way, as after a pause of the process, proves nothing.
func TestPromise1_ReplicaIsConfirmedAsOfTheQuestion(t *testing.T) {
	d, c := newDouble(), newClock()
	r := still(t, d, revocation.Config{Now: c.Now})
	c.move(time.Minute)
	var delay time.Duration
	slow := func(ctx context.Context, q sinceCall) (store.Batch, error) {
		b, _ := d.batch(q)
		// While the answer sits in the socket, a session is ended.
		d.add(ending(session(1), 0))
		c.move(delay)
		return b, nil
	}
	d.onSince(slow)
	for name, ask := range map[string]func() error{
		"the goroutine's query": func() error { return r.Read(t.Context(), 0) },
		"CatchUp":               func() error { return r.CatchUp(t.Context()) },
	} {
		d.onSince(slow)
		delay = 2 * time.Minute
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		if s := r.State(c.Now()); s != revocation.Stale {
			t.Errorf("%s: an answer of two minutes ago made the replica %v", name, s)
		}
		check(t, r, c.Now(), 2, r.Head(), revocation.Unconfirmed)
		delay = 30 * time.Second
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		if s := r.State(c.Now()); s != revocation.Fresh {
			t.Errorf("%s: an answer of MaxStaleness ago made the replica %v", name, s)
		}
		if s := r.State(c.Now().Add(1)); s != revocation.Stale {
			t.Errorf("%s: and a nanosecond later %v", name, s)
		}
		// An answer that is older than the last one undoes nothing.
		d.onSince(nil)
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			b, _ := d.batch(q)
			d.onSince(nil)
			c.move(20 * time.Second)
			if err := r.CatchUp(ctx); err != nil {
				t.Error(err)
			}
			return b, nil
		})
		if err := r.Read(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if age, ok := r.Confirmed(c.Now()); age != 0 || !ok {
			t.Errorf("%s: a late answer set the confirmation back by %v", name, age)
		}
		c.move(time.Hour)
	}
}

// In Follow, too.
func TestPromise1_FirstReadingIsConfirmedAsOfItsLastQuestion(t *testing.T) {
	d, c := newDouble(), newClock()
	for i := range 30 {
		d.add(ending(session(i), 0))
	}
	d.most = 10
	d.onSince(func(_ context.Context, q sinceCall) (store.Batch, error) {
		c.move(20 * time.Second)
		b, _ := d.batch(q)
		return b, nil
	})
	r, err := revocation.Follow(t.Context(), d, revocation.Config{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	now := c.Now()
	d.onSince(func(ctx context.Context, _ sinceCall) (store.Batch, error) {
		<-ctx.Done()
		return store.Batch{}, ctx.Err()
	})
	defer r.Close()
	if age, ok := r.Confirmed(now); !ok || age < 20*time.Second || age > 20*time.Second {
		t.Errorf("confirmed %v ago, %v: want 20s, as of the last of four queries", age, ok)
	}
}

// The larger of wall and monotonic time elapsed counts.
func TestPromise1_ReplicaUnderClockJumps(t *testing.T) {
	const staleness = 30 * time.Second
	for _, c := range []struct {
		name            string
		wall, monotonic time.Duration
		want            revocation.State
		age             time.Duration
	}{
		{"nothing passes", 0, 0, revocation.Fresh, 0},
		{"both pass, just so", staleness, staleness, revocation.Fresh, staleness},
		{"both pass", staleness + 1, staleness + 1, revocation.Stale, staleness + 1},
		{"the machine slept: the monotonic clock stood still", time.Hour, time.Second, revocation.Stale, time.Hour},
		{"the wall clock was set forward", time.Hour, 0, revocation.Stale, time.Hour},
		{"the wall clock was set back by an hour, a minute passed", -time.Hour, time.Minute, revocation.Stale, time.Minute},
		{"the wall clock was set back by a minute, a minute passed", 0, time.Minute, revocation.Stale, time.Minute},
		{"the wall clock was set back by an hour, a second passed", -time.Hour, time.Second, revocation.Fresh, time.Second},
		{"the wall clock alone, just so", staleness, 0, revocation.Fresh, staleness},
		{"the wall clock alone", staleness + 1, 0, revocation.Stale, staleness + 1},
		{"the monotonic clock alone, just so", 0, staleness, revocation.Fresh, staleness},
		{"the monotonic clock alone", 0, staleness + 1, revocation.Stale, staleness + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, clock := newDouble(), newSplitClock()
			r := still(t, d, revocation.Config{Now: clock.Now, MaxStaleness: staleness})
			clock.split(t, c.wall, c.monotonic)
			if got := r.State(clock.Now()); got != c.want {
				t.Errorf("%v: want %v", got, c.want)
			}
			if age, _ := r.Confirmed(clock.Now()); age != c.age {
				t.Errorf("confirmed %v ago: want %v", age, c.age)
			}
			verdict := revocation.Good
			if c.want != revocation.Fresh {
				verdict = revocation.Unconfirmed
			}
			check(t, r, clock.Now(), 1, 10, verdict)
			// A new answer counts whatever the clock did, and for as long.
			clock.split(t, 0, 1)
			if err := r.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if age, ok := r.Confirmed(clock.Now()); age != 0 || !ok {
				t.Errorf("after an answer: confirmed %v ago", age)
			}
			check(t, r, clock.Now(), 1, 10, revocation.Good)
			clock.split(t, -time.Hour, staleness+1)
			check(t, r, clock.Now(), 1, 10, revocation.Unconfirmed)
		})
	}
}

// A clock without a monotonic reading that is set back: the age of the
// confirmation is unknown, so it must not count until the clock is where it
// was.
func TestPromise1_ReplicaUnderAWallClockSetBack(t *testing.T) {
	d, c := newDouble(), newClock()
	r := still(t, d, revocation.Config{Now: c.Now})
	c.move(-time.Hour)
	check(t, r, c.Now(), 1, 10, revocation.Unconfirmed)
	check(t, r, c.Now(), 1, 9, revocation.Revoked)
	// A new answer is from now, by this clock.
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, r, c.Now(), 1, 10, revocation.Good)
	c.move(10 * time.Minute) // no answers
	if s := r.State(c.Now()); s != revocation.Stale {
		t.Errorf("ten minutes after the last answer the replica is %v", s)
	}
}

// A request reads its time first, and the replica may be confirmed before the
// request checks it. That does not count as a clock that was set back.
func TestReplica_TimeReadBeforeTheConfirmation(t *testing.T) {
	d, c := newDouble(), newSplitClock()
	r := still(t, d, revocation.Config{Now: c.Now})
	now := c.Now()
	c.split(t, time.Millisecond, time.Millisecond)
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, r, now, 1, 10, revocation.Good)
	if age, ok := r.Confirmed(now); age != 0 || !ok {
		t.Errorf("confirmed %v ago", age)
	}
	// Even if the wall clock was set right between the two.
	c.split(t, -time.Hour, time.Millisecond)
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, r, c.Now(), 1, 10, revocation.Good)
}

// The same with a replica that follows, a clock that jumps at random, and a
// store that is down now and then: whenever it is fresh, it was confirmed by a
// query that was sent within MaxStaleness of real time.
func TestPromise1_ReplicaIsFreshOnlyWhenItIs(t *testing.T) {
	skew := newSplitClock() // made outside of the bubble: it has a monotonic reading
	synctest.Test(t, func(t *testing.T) {
		r := random(t)
		const staleness = 10 * time.Second
		d := newDouble()
		began := time.Now()
		read := func() time.Time { // the machine's clock: skewed wall, true monotonic
			skew.mu.Lock()
			defer skew.mu.Unlock()
			return skew.now.Add(time.Since(began))
		}
		replica := follow(t, d, revocation.Config{MaxStaleness: staleness, Timeout: 4 * time.Second, Now: read})
		var asked atomic.Int64 // when the last query that was answered was sent
		asked.Store(int64(time.Since(began)))
		var down atomic.Bool
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			if down.Load() {
				return store.Batch{}, errDown
			}
			b, err := d.honest(ctx, q)
			if err == nil {
				asked.Store(int64(q.sent.Sub(began)))
			}
			return b, err
		})
		fresh, stale := 0, 0
		for range 20_000 {
			time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
			synctest.Wait()
			switch r.IntN(20) {
			case 0:
				down.Store(!down.Load())
			case 1:
				skew.split(t, time.Duration(r.IntN(120)-60)*time.Second, 0)
			}
			age := time.Since(began) - time.Duration(asked.Load())
			if replica.State(read()) == revocation.Fresh {
				if fresh++; age > staleness {
					t.Fatalf("fresh, and the last answered query was sent %v ago", age)
				}
			} else {
				stale++
			}
		}
		t.Logf("%d fresh, %d not", fresh, stale)
		if fresh < 1000 || stale < 1000 {
			t.Error("the test shows nothing")
		}
	})
}
