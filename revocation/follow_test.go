package revocation_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

var errDown = errors.New("the store is down")

func TestFollow_Config(t *testing.T) {
	for name, c := range map[string]revocation.Config{
		"MaxStaleness below a second":    {MaxStaleness: time.Second - 1},
		"MaxStaleness below zero":        {MaxStaleness: -time.Second},
		"a Limit below 1,024":            {Limit: 1023},
		"a Limit below zero":             {Limit: -1},
		"a Timeout below zero":           {Timeout: -1},
		"MaxStaleness in no unit at all": {MaxStaleness: 30},
	} {
		d := newDouble()
		r, err := revocation.Follow(t.Context(), d, c)
		if err == nil || r != nil || !strings.HasPrefix(err.Error(), "revocation: ") {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if len(d.calls()) != 0 {
			t.Errorf("%s: the store was asked", name)
		}
	}
	for name, c := range map[string]revocation.Config{
		"the zero value": {}, "the least": {MaxStaleness: time.Second, Limit: 1024, Timeout: time.Millisecond},
	} {
		r, err := revocation.Follow(t.Context(), newDouble(), c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.State(time.Now()) != revocation.Fresh || r.Head() != 10 {
			t.Errorf("%s: %v, head %d", name, r.State(time.Now()), r.Head())
		}
		r.Close()
	}
}

// Follow returns when the whole log was read, in however many answers, and not
// before.
func TestPromise1_ReplicaReadsTheWholeLogFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		for i := range 2500 {
			d.add(ending(session(i), 0))
		}
		d.most = 400
		gate, queries := make(chan struct{}), 0
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			<-gate
			queries++
			return d.honest(ctx, q)
		})
		var r *revocation.Replica
		go func() { r = follow(t, d, revocation.Config{Timeout: time.Hour}) }()
		for n := range 7 { // 2,501 entries
			synctest.Wait()
			if r != nil {
				t.Fatalf("it follows after %d answers of 7", n)
			}
			gate <- struct{}{}
		}
		synctest.Wait()
		if r == nil {
			t.Fatalf("it does not follow after %d answers", queries)
		}
		d.onSince(nil)
		close(gate)
		now := time.Now()
		if r.State(now) != revocation.Fresh || r.Head() != d.head || r.Len() != 2500 {
			t.Errorf("%v, head %d of %d, %d entries", r.State(now), r.Head(), d.head, r.Len())
		}
		for i := range 2500 {
			at := store.Position(20 + 10*i)
			check(t, r, now, i, at-1, revocation.Revoked)
			check(t, r, now, i, at+1, revocation.Revoked) // an end covers every position
		}
		check(t, r, now, 9999, d.head+1, revocation.Ahead)
		check(t, r, now, 9999, 9, revocation.Revoked)
		asked := d.calls()
		for i, q := range asked[:7] {
			if want := store.Position(min(i*400, 2501) * 10); q.after.Position != want || q.wait != 0 || q.limit != store.MaxEntries {
				t.Errorf("query %d was %+v: want after %d", i, q, want)
			}
		}
		if age, ok := r.Confirmed(now.Add(time.Second)); !ok || age != time.Second {
			t.Errorf("confirmed %v ago, %v", age, ok)
		}
	})
}

func TestFollow_ReturnsTheLastErrorWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, n := newDouble(), 0
		d.onSince(func(context.Context, sinceCall) (store.Batch, error) {
			if n++; n > 5 {
				return store.Batch{}, errDown
			}
			return store.Batch{}, errors.New("another")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		r, err := revocation.Follow(ctx, d, revocation.Config{})
		if r != nil || !errors.Is(err, errDown) {
			t.Errorf("%v, %v", r, err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it took %v", took)
		}
		// If every query hangs, that is the error.
		d.onSince(func(ctx context.Context, _ sinceCall) (store.Batch, error) {
			<-ctx.Done()
			return store.Batch{}, ctx.Err()
		})
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		d.calls()
		if _, err = revocation.Follow(ctx, d, revocation.Config{Timeout: 3 * time.Second}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if n := len(d.calls()); n < 5 || n > 10 {
			t.Errorf("%d queries of 3s each in 30s", n)
		}
		// And a store that says there is more, and gives nothing, is an error
		// and not an endless loop.
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			return store.Batch{Log: store.ID{1}, Head: 50, More: true}, nil
		})
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		d.calls()
		if _, err = revocation.Follow(ctx, d, revocation.Config{}); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if n := len(d.calls()); n > 50 {
			t.Errorf("%d queries in 30s", n)
		}
		// A context that has ended already.
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		d.onSince(nil)
		if r, err := revocation.Follow(ctx, d, revocation.Config{}); r != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", r, err)
		}
	})
}

// The context of Follow bounds the first reading alone.
func TestFollow_OutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		ctx, cancel := context.WithCancel(t.Context())
		r, err := revocation.Follow(ctx, d, revocation.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cancel()
		time.Sleep(time.Hour)
		p := d.add(ending(session(1), 0))
		synctest.Wait()
		if r.Head() != p || r.State(time.Now()) != revocation.Fresh {
			t.Errorf("head %d, %v", r.Head(), r.State(time.Now()))
		}
		check(t, r, time.Now(), 1, p-1, revocation.Revoked)
	})
}

// An entry is here at once: the store is waiting with the answer.
func TestReplica_WaitsForNews(t *testing.T) {
	for _, staleness := range []time.Duration{time.Second, 30 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			d := newDouble()
			r := follow(t, d, revocation.Config{MaxStaleness: staleness})
			for range 20 {
				time.Sleep(staleness)
				p := d.add(superseding(session(1), 0))
				synctest.Wait()
				if r.Head() != p {
					t.Fatalf("head %d: want %d", r.Head(), p)
				}
				check(t, r, time.Now(), 1, p-1, revocation.Expired)
			}
			for _, q := range d.calls()[1:] {
				if q.wait <= 0 || q.wait > staleness/8 {
					t.Fatalf("it asked for a wait of %v: want at most an eighth of %v", q.wait, staleness)
				}
			}
		})
	}
}

// Whenever the store goes away, a replica that was well goes on for three
// quarters of MaxStaleness at least.
func TestReplica_OutlivesAnOutage(t *testing.T) {
	const staleness = 4 * time.Second
	for offset := range 50 {
		synctest.Test(t, func(t *testing.T) {
			d := newDouble()
			down := make(chan struct{})
			d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				select {
				case <-down:
					cancel()
				default:
				}
				go func() {
					select {
					case <-down:
						cancel()
					case <-ctx.Done():
					}
				}()
				return d.honest(ctx, q)
			})
			r := follow(t, d, revocation.Config{MaxStaleness: staleness})
			time.Sleep(10*time.Second + time.Duration(offset)*staleness/50)
			close(down)
			time.Sleep(staleness * 3 / 4)
			if s := r.State(time.Now()); s != revocation.Fresh {
				t.Errorf("%v into an outage, at %d/50: %v", staleness*3/4, offset, s)
			}
			time.Sleep(staleness/4 + time.Millisecond)
			if s := r.State(time.Now()); s == revocation.Fresh {
				t.Errorf("%v into an outage: still fresh", staleness)
			}
		})
	}
}

// On a quiet log a replica is fresh at every moment.
func TestReplica_StaysFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		d := newDouble()
		r := follow(t, d, revocation.Config{MaxStaleness: 3 * time.Second, Observe: rec.observe})
		for range 2000 {
			time.Sleep(97 * time.Millisecond)
			if s := r.State(time.Now()); s != revocation.Fresh {
				t.Fatal(s)
			}
		}
		if n := len(d.calls()); n < 450 || n > 600 {
			t.Errorf("%d queries in 194s, of 375ms each", n)
		}
		if e := rec.take(); len(e) != 0 {
			t.Errorf("%+v", e)
		}
	})
}

// In an outage it becomes stale when MaxStaleness is over, says so once, backs
// off, and is fresh again when the store is back.
func TestReplica_Outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const staleness = 30 * time.Second
		var rec recorder
		d := newDouble()
		d.add(ending(session(1), 0)) // at 20
		r := follow(t, d, revocation.Config{MaxStaleness: staleness, Observe: rec.observe})
		confirmed := time.Now()
		synctest.Wait()
		d.onSince(func(context.Context, sinceCall) (store.Batch, error) { return store.Batch{}, errDown })
		d.add(superseding(session(2), 0)) // at 30: ends the wait, and is read
		synctest.Wait()
		d.calls()

		time.Sleep(staleness - time.Since(confirmed))
		if s := r.State(time.Now()); s != revocation.Fresh {
			t.Errorf("after MaxStaleness: %v", s)
		}
		check(t, r, time.Now(), 3, 30, revocation.Good)
		time.Sleep(time.Nanosecond)
		if s := r.State(time.Now()); s != revocation.Stale {
			t.Errorf("a nanosecond later: %v", s)
		}
		// Revoked and expired tokens are so in every state.
		check(t, r, time.Now(), 1, 19, revocation.Revoked)
		check(t, r, time.Now(), 2, 29, revocation.Expired)
		check(t, r, time.Now(), 3, 30, revocation.Unconfirmed)
		check(t, r, time.Now(), 3, 31, revocation.Unconfirmed)
		if age, ok := r.Confirmed(time.Now()); !ok || age != staleness+1 {
			t.Errorf("confirmed %v ago, %v", age, ok)
		}
		time.Sleep(10 * time.Minute)
		events := rec.take()
		if len(events) != 2 || events[0].State != revocation.Fresh || events[1].State != revocation.Stale ||
			!errors.Is(events[0].Err, errDown) || !errors.Is(events[1].Err, errDown) || events[1].Head != 30 {
			t.Errorf("events: %+v", events)
		}
		var last time.Duration
		asked := d.calls()
		for i := range asked[1:] {
			between := asked[i+1].sent.Sub(asked[i].sent)
			most := min(50*time.Millisecond<<min(i+1, 10), staleness/6) // the first was before
			if between < most/2 || between > most {
				t.Fatalf("pause %d took %v: want half of %v to all of it", i, between, most)
			}
			if i > 20 && between == last {
				t.Fatalf("pauses %d and %d are both %v: no jitter", i-1, i, between)
			}
			last = between
		}
		if len(asked) < 100 {
			t.Errorf("%d attempts in 10 minutes", len(asked))
		}

		p := d.add(ending(session(3), 0))
		d.onSince(nil)
		time.Sleep(staleness / 6)
		synctest.Wait()
		check(t, r, time.Now(), 3, p-1, revocation.Revoked)
		check(t, r, time.Now(), 4, p, revocation.Good)
		events = rec.take()
		if len(events) != 1 || events[0].State != revocation.Fresh || events[0].Err != nil || events[0].Head != p {
			t.Errorf("events: %+v", events)
		}
	})
}

// Two replicas do not come back as one.
func TestReplica_BacksOffWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var doubles [2]*double
		for i := range doubles {
			d := newDouble()
			doubles[i] = d
			follow(t, d, revocation.Config{})
			synctest.Wait()
			d.onSince(func(context.Context, sinceCall) (store.Batch, error) { return store.Batch{}, errDown })
			d.add(everyone(0))
		}
		time.Sleep(time.Minute)
		a, b := doubles[0].calls(), doubles[1].calls()
		same := 0
		for i := 3; i < min(len(a), len(b)); i++ {
			if a[i].sent.Equal(b[i].sent) {
				same++
			}
		}
		if same > 1 {
			t.Errorf("%d attempts of %d at the same time", same, len(a))
		}
	})
}

// "Two lost answers in a row do not make a healthy replica stale."
func TestReplica_LostAnswers(t *testing.T) {
	for _, lost := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			d := newDouble()
			r := follow(t, d, revocation.Config{})
			time.Sleep(time.Minute)
			left := lost
			d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
				if left > 0 {
					left--
					<-ctx.Done()
					return store.Batch{}, ctx.Err()
				}
				return d.honest(ctx, q)
			})
			for range 600 {
				time.Sleep(100 * time.Millisecond)
				if s := r.State(time.Now()); s != revocation.Fresh {
					age, _ := r.Confirmed(time.Now())
					t.Fatalf("%d answers were lost, and the replica is %v: it was confirmed %v ago", lost, s, age)
				}
			}
		})
	}
}

// After Close it asks no more, and grows stale.
func TestReplica_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		d.add(ending(session(1), 0))
		goroutines := runtime.NumGoroutine()
		r := follow(t, d, revocation.Config{})
		time.Sleep(time.Minute)
		r.Close()
		r.Close()
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Errorf("%d goroutines, %d before", n, goroutines)
		}
		d.calls()
		d.add(ending(session(2), 0))
		check(t, r, time.Now(), 2, 29, revocation.Ahead)
		time.Sleep(30*time.Second + 1)
		if s := r.State(time.Now()); s != revocation.Stale {
			t.Error(s)
		}
		check(t, r, time.Now(), 2, 20, revocation.Unconfirmed)
		check(t, r, time.Now(), 1, 19, revocation.Revoked)
		if n := len(d.calls()); n != 0 {
			t.Errorf("%d queries after Close", n)
		}
	})
	// Close waits for a query that does not end with its context.
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := follow(t, d, revocation.Config{})
		synctest.Wait()
		gate := make(chan struct{})
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			<-gate
			return d.honest(context.WithoutCancel(ctx), q)
		})
		d.add(everyone(0))
		synctest.Wait()
		closed := make(chan struct{})
		go func() {
			r.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		close(gate)
		<-closed
	})
	// Also from the midst of BeforeEveryone.
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		var down atomic.Bool
		r := follow(t, d, revocation.Config{BeforeEveryone: func(ctx context.Context) error {
			if down.Load() {
				<-ctx.Done()
			}
			return ctx.Err()
		}})
		time.Sleep(time.Second)
		down.Store(true)
		d.add(everyone(0))
		synctest.Wait()
		began := time.Now()
		r.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		check(t, r, time.Now(), 1, 19, revocation.Ahead)
	})
}
