package revocation_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Check's verdict on each kind of token in each state.
func TestCheck_InEveryState(t *testing.T) {
	clock := newClock()
	d := newDouble()
	d.add(ending(session(1), 0), superseding(session(2), 0), ofSubject(subject(3), 0), superseding(session(4), 0), ending(session(4), 0)) // 20 to 60
	d.drop(10)
	r := still(t, d, revocation.Config{Now: clock.Now})
	type row struct {
		n          int
		at         store.Position
		fresh, not revocation.Verdict
	}
	rows := []row{
		{1, 19, revocation.Revoked, revocation.Revoked},
		{1, 20, revocation.Revoked, revocation.Revoked},
		{2, 29, revocation.Expired, revocation.Expired},
		{2, 30, revocation.Good, revocation.Unconfirmed},
		{3, 39, revocation.Revoked, revocation.Revoked},
		{3, 40, revocation.Good, revocation.Unconfirmed},
		{4, 49, revocation.Revoked, revocation.Revoked},
		{4, 59, revocation.Revoked, revocation.Revoked},
		{4, 60, revocation.Revoked, revocation.Revoked},
		{4, store.MaxPosition, revocation.Revoked, revocation.Revoked},
		{5, 9, revocation.Expired, revocation.Expired},
		{5, 10, revocation.Good, revocation.Unconfirmed},
		{5, 60, revocation.Good, revocation.Unconfirmed},
		{5, 61, revocation.Ahead, revocation.Unconfirmed},
		{5, store.MaxPosition, revocation.Ahead, revocation.Unconfirmed},
	}
	in := func(state revocation.State) {
		t.Helper()
		if got := r.State(clock.Now()); got != state {
			t.Fatalf("it is %v: want %v", got, state)
		}
		for _, c := range rows {
			want := c.not
			if state == revocation.Fresh {
				want = c.fresh
			}
			check(t, r, clock.Now(), c.n, c.at, want)
		}
	}
	in(revocation.Fresh)
	clock.move(time.Hour)
	in(revocation.Stale)
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	in(revocation.Fresh)
	d.become(store.ID{0: 0xee})
	if err := r.CatchUp(t.Context()); err == nil {
		t.Fatal("another log")
	}
	in(revocation.Unknown)
}

// Entries that this node applies before the log brings them count at once, in
// every state, and still when the log has brought them, or others.
func TestPromise1_ReplicaAppliesItsOwnAtOnce(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now})
	r.Apply(ending(session(1), 11), ofSubject(subject(2), 11), superseding(session(3), 11))
	for range 3 {
		check(t, r, clock.Now(), 1, 10, revocation.Revoked)
		check(t, r, clock.Now(), 2, 10, revocation.Revoked)
		check(t, r, clock.Now(), 3, 10, revocation.Expired)
		clock.move(time.Minute)
	}
	if r.Head() != 10 {
		t.Errorf("head %d", r.Head())
	}
	d.add(ending(session(1), 0)) // at 20
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, r, clock.Now(), 1, 19, revocation.Revoked)
	check(t, r, clock.Now(), 2, 10, revocation.Revoked)
	check(t, r, clock.Now(), 2, 11, revocation.Good)
}

// A reader is interrupted while the replica, which was stale, catches up: it
// must not combine the old list with the new state.
func TestPromise1_CheckWhileTheReplicaCatchesUp(t *testing.T) {
	clock := newClock()
	d := newDouble()
	r := still(t, d, revocation.Config{Now: clock.Now})
	// round is one check: a session that is ended, at a position that the
	// replica has reached.
	type round struct {
		n   int
		now time.Time
	}
	var current atomic.Pointer[round]
	current.Store(&round{0, clock.Now()})
	var stop atomic.Bool
	var readers sync.WaitGroup
	var seen [5]atomic.Int64
	readers.Go(func() {
		for !stop.Load() {
			c := current.Load()
			v := r.Check(c.now, session(c.n), slowSubject, 10)
			seen[v].Add(1)
			if c.n > 0 && v != revocation.Unconfirmed && v != revocation.Revoked {
				t.Errorf("in round %d: a session that was ended before the replica was fresh is %v", c.n, v)
				stop.Store(true)
			}
		}
	})
	for n := 1; n <= rounds.Of(100, 1000) && !stop.Load(); n++ {
		clock.move(time.Hour) // stale
		d.add(ending(session(n), 0))
		current.Store(&round{n, clock.Now()})
		for before := seen[revocation.Unconfirmed].Load(); seen[revocation.Unconfirmed].Load() < before+2 && !stop.Load(); {
			time.Sleep(10 * time.Microsecond)
		}
		if err := r.CatchUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		for before := seen[revocation.Revoked].Load(); seen[revocation.Revoked].Load() < before+2 && !stop.Load(); {
			time.Sleep(10 * time.Microsecond)
		}
	}
	stop.Store(true)
	readers.Wait()
}

// Check takes no lock: neither an answer that is being applied nor a writer of
// the list makes it wait. And it allocates nothing.
func TestCheck_TakesNoLock(t *testing.T) {
	clock := newClock()
	d := newDouble()
	d.add(ending(session(1), 0))
	inside, leave := make(chan struct{}), make(chan struct{})
	first := true
	r := still(t, d, revocation.Config{Now: clock.Now, BeforeEveryone: func(context.Context) error {
		if !first {
			inside <- struct{}{}
			<-leave
		}
		first = false
		return nil
	}})
	d.add(everyone(0))
	done := make(chan error)
	go func() { done <- r.Read(context.Background(), 0) }()
	<-inside // the lock of applying is held
	release := r.List().HoldWriters()
	check(t, r, clock.Now(), 1, 19, revocation.Revoked)
	check(t, r, clock.Now(), 2, 20, revocation.Good)
	if r.Head() != 20 || r.Floor() != 0 {
		t.Errorf("head %d, floor %d", r.Head(), r.Floor())
	}
	if n := testing.AllocsPerRun(100, func() { r.Check(clock.now, session(2), "alice", 20) }); n != 0 {
		t.Errorf("Check allocates %v times", n)
	}
	release()
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
