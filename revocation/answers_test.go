package revocation_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// held is an answer that is made when its query is sent and given when the test
// releases it.
type held struct {
	q       sinceCall
	b       store.Batch
	err     error
	deliver chan struct{}
}

// holder holds every answer of a double until it is released.
type holder struct {
	mu  sync.Mutex
	all []*held
}

func (h *holder) hold(t *testing.T, d *double) {
	t.Cleanup(func() { // what a failed test leaves behind
		d.onSince(nil)
		for h.len() > 0 {
			close(h.take(0).deliver)
		}
	})
	d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
		a := &held{q: q, deliver: make(chan struct{})}
		a.b, _ = d.batch(q)
		h.mu.Lock()
		h.all = append(h.all, a)
		h.mu.Unlock()
		<-a.deliver
		return a.b, a.err
	})
}

// take removes the i-th answer that is held.
func (h *holder) take(i int) *held {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.all[i]
	h.all = append(h.all[:i:i], h.all[i+1:]...)
	return a
}

func (h *holder) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// Two queries overlap, and the later one is answered first: nothing is lost,
// nothing is applied twice, and neither head nor confirmation goes back.
func TestReplica_AnswersOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		everyones := 0
		d := newDouble()
		r := still(t, d, revocation.Config{BeforeEveryone: func(context.Context) error { everyones++; return nil }})
		everyones = 0
		var h holder
		h.hold(t, d)
		read := func() {
			go func() {
				if err := r.Read(context.Background(), time.Hour); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		d.add(ending(session(1), 0), everyone(0)) // 20, 30
		read()
		time.Sleep(5 * time.Second)
		d.add(superseding(session(2), 0)) // 40
		read()
		time.Sleep(5 * time.Second)
		close(h.take(1).deliver) // the later one
		synctest.Wait()
		if age, _ := r.Confirmed(time.Now()); r.Head() != 40 || age != 5*time.Second || everyones != 1 {
			t.Errorf("head %d, confirmed %v ago, everyone %d times", r.Head(), age, everyones)
		}
		check(t, r, time.Now(), 2, 39, revocation.Expired)
		close(h.take(0).deliver) // the earlier one, late
		synctest.Wait()
		if age, _ := r.Confirmed(time.Now()); r.Head() != 40 || age != 5*time.Second || everyones != 1 {
			t.Errorf("late: head %d, confirmed %v ago, everyone %d times", r.Head(), age, everyones)
		}
		check(t, r, time.Now(), 3, 40, revocation.Good)
		check(t, r, time.Now(), 1, 29, revocation.Revoked)
	})
}

// Any number of queries overlap; answers come in any order, hold any number of
// entries, or are lost; the floor rises meanwhile. At any moment the list holds
// exactly the log up to the head, above the floor.
func TestPromise1_ReplicaUnderAnyOrderOfAnswers(t *testing.T) {
	for range 5 {
		synctest.Test(t, testAnyOrderOfAnswers)
	}
}

func testAnyOrderOfAnswers(t *testing.T) {
	r := random(t)
	var rec recorder
	d := newDouble()
	everyones := 0
	replica := still(t, d, revocation.Config{Observe: rec.observe, BeforeEveryone: func(context.Context) error { everyones++; return nil }})
	var h holder
	h.hold(t, d)
	type named struct {
		at   store.Position
		kind store.Kind
	}
	truth := map[int]named{} // the last entry that names a session or its subject
	ended := map[int]bool{}
	want := 1 // of everyone, and of gaps where there may have been one
	lastEveryone := store.Position(10)
	for range 4000 {
		switch k := r.IntN(100); {
		case k < 30:
			n := r.IntN(200)
			var e store.Entry
			switch {
			case r.IntN(50) == 0:
				e = everyone(0)
				want++
			case ended[n] || r.IntN(3) == 0:
				e = ofSubject(subject(n), 0)
			case r.IntN(3) == 0:
				e = superseding(session(n), 0)
			default:
				e, ended[n] = ending(session(n), 0), true
			}
			at := d.add(e)
			if e.Kind == store.KindEveryone {
				lastEveryone = at
			} else {
				truth[n] = named{at, e.Kind}
			}
		case k < 60:
			d.most = 1 + r.IntN(6)
			if r.IntN(4) == 0 {
				d.most = 0
			}
			go func() { _ = replica.Read(context.Background(), time.Hour) }()
			synctest.Wait()
		case k < 95:
			if n := h.len(); n > 0 {
				a := h.take(r.IntN(n))
				if r.IntN(10) == 0 {
					a.err = errDown
				}
				before := replica.Head()
				close(a.deliver)
				synctest.Wait()
				if replica.Head() < before {
					t.Fatalf("the head fell from %d to %d", before, replica.Head())
				}
			}
		case k < 97:
			d.drop(d.head - store.Position(r.IntN(1000)))
			want++
		default:
			time.Sleep(time.Second)
		}
		n := r.IntN(200)
		c := replica.List().Cutoffs(session(n), subject(n))
		if e, found := truth[n]; found && e.at <= replica.Head() && max(c.Subject, c.Ending, c.Superseding, c.Floor) < e.at {
			t.Fatalf("session %d: %+v: want the %v at %d", n, c, e.kind, e.at)
		}
		if lastEveryone <= replica.Head() && max(c.Everyone, c.Floor) < lastEveryone {
			t.Fatalf("everyone: %+v: want %d", c, lastEveryone)
		}
	}
	d.onSince(nil)
	d.most = 0
	if err := replica.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for h.len() > 0 { // the last ones come too late for anything
		close(h.take(0).deliver)
		synctest.Wait()
	}
	for n := range 200 {
		got, want := replica.List().Cutoffs(session(n), subject(n)), d.revoked(session(n), subject(n))
		if got.Floor != want.Floor || got.Head != want.Head {
			t.Fatalf("floor %d, head %d: want %d, %d", got.Floor, got.Head, want.Floor, want.Head)
		}
		if f := got.Floor; above(got.Subject, f) != above(want.Subject, f) || above(got.Ending, f) != above(want.Ending, f) ||
			want.Ending == 0 && above(got.Superseding, f) != above(want.Superseding, f) {
			t.Fatalf("session %d: %+v: want %+v", n, got, want)
		}
	}
	if everyones > want || everyones < 2 {
		t.Errorf("BeforeEveryone was called %d times for %d entries and gaps", everyones, want)
	}
	for _, e := range rec.take() {
		if errors.Is(e.Err, revocation.ErrRollback) {
			t.Fatalf("an honest log: %v", e.Err)
		}
	}
}

// above returns a position, or 0 if the floor covers it.
func above(p, floor store.Position) store.Position {
	if p <= floor {
		return 0
	}
	return p
}

// Dropped entries leave a gap that the floor explains, whether some remain or
// all are gone, after an outage of any length.
func TestPromise1_GapsThatTheFloorExplains(t *testing.T) {
	for name, c := range map[string]struct {
		more  int            // entries that come after the replica's cursor, 210
		floor store.Position // dropped up to here
		later int            // entries after that
	}{
		"nothing is dropped":                 {30, 0, 0},
		"only what is known is dropped":      {30, 100, 0},
		"just up to the cursor":              {30, 210, 0},
		"just above the cursor":              {30, 220, 0},
		"a part of what is new":              {30, 300, 0},
		"all but one":                        {30, 500, 0},
		"everything":                         {30, 510, 0},
		"everything, and nothing was new":    {0, 210, 0},
		"everything, and new ones came then": {30, 510, 3},
		"many batches of it":                 {5000, 30000, 10},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			var rec recorder
			d := newDouble()
			for i := range 20 {
				d.add(ending(session(i), 0))
			}
			r := still(t, d, revocation.Config{Observe: rec.observe, Now: clock.Now})
			if r.Head() != 210 {
				t.Fatal(r.Head())
			}
			clock.move(24 * time.Hour)
			for i := range c.more {
				d.add(ending(session(20+i), 0))
			}
			d.drop(c.floor)
			for i := range c.later {
				d.add(ending(session(20+c.more+i), 0))
			}
			if err := r.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r.State(clock.Now()) != revocation.Fresh || r.Head() != d.head || r.Floor() != d.floor {
				t.Errorf("%v, head %d of %d, floor %d of %d", r.State(clock.Now()), r.Head(), d.head, r.Floor(), d.floor)
			}
			for i := range 20 + c.more + c.later {
				at := store.Position(20 + 10*i)
				if v := r.Check(clock.Now(), session(i), subject(i), at-1); v != revocation.Revoked && (v != revocation.Expired || at > d.floor) {
					t.Fatalf("the token that entry %d revokes is %v", at, v)
				}
			}
			// An entry that was dropped unread makes the replica read the log anew,
			// and say so once.
			e := rec.take()
			anew := c.floor > 210
			if anew && (len(e) != 1 || e[0].State != revocation.Fresh || e[0].Err != nil || e[0].Lost != 0) || !anew && len(e) != 0 {
				t.Errorf("%+v", e)
			}
		})
	}
}

// The floor is in force before the head says that everything up to it is: in
// between, what was dropped unread would count as never written.
func TestPromise1_FloorBeforeHead(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now})
	p := d.add(ending(session(1), 0))
	d.drop(p)
	if err := r.Read(context.Background(), 0); err != nil || r.State(clock.Now()) != revocation.Unknown {
		t.Fatalf("%v, %v: want it to read the log anew", r.State(clock.Now()), err)
	}
	release := r.List().HoldWriters()
	done := make(chan error)
	asked := make(chan struct{})
	d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
		defer close(asked)
		b, _ := d.batch(q)
		return b, nil
	})
	go func() { done <- r.Read(context.Background(), 0) }()
	<-asked
	for range 200 {
		if r.Head() >= p && r.Floor() < p {
			t.Errorf("the head is %d, the floor %d: the entry at %d was dropped unread", r.Head(), r.Floor(), p)
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	check(t, r, clock.Now(), 1, p-1, revocation.Expired)
}

// And an entry is in the list before the head says so.
func TestPromise1_EntriesBeforeHead(t *testing.T) {
	clock := newClock()
	d := newDouble()
	var r *revocation.Replica
	held := make(chan func(), 1)
	r = still(t, d, revocation.Config{Now: clock.Now, BeforeEveryone: func(context.Context) error {
		if r != nil {
			held <- r.List().HoldWriters() // what follows is applied when this is released
		}
		return nil
	}})
	d.add(ending(session(1), 0))
	p := d.add(everyone(0))
	done := make(chan error)
	go func() { done <- r.Read(context.Background(), 0) }()
	release := <-held
	for range 100 {
		if r.Head() >= p {
			t.Errorf("the head is %d before the entry there is in the list", r.Head())
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	check(t, r, clock.Now(), 2, p-1, revocation.Revoked)
	check(t, r, clock.Now(), 2, p, revocation.Good)
}

// An entry of a kind that this program does not know might be a revocation: it
// stops the replica, and the store is asked about each session.
func TestPromise1_ReplicaPassesNoKindOver(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now})
	for _, kind := range []store.Kind{0, store.KindName + 1, 255} {
		d := newDouble()
		r := still(t, d, revocation.Config{Now: clock.Now})
		known := d.add(ending(session(1), 0))
		d.add(store.Entry{Kind: kind, Session: session(2)}, ending(session(3), 0))
		for range 3 {
			if err := r.CatchUp(t.Context()); err == nil {
				t.Errorf("an entry of %v was passed over", kind)
			}
		}
		check(t, r, clock.Now(), 1, known-1, revocation.Revoked)
		check(t, r, clock.Now().Add(time.Minute), 4, 10, revocation.Unconfirmed)
	}
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
}
