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

// A log that went back, as an answer shows it: it is reported once, no earlier
// answer counts, and what this node holds and the log lacks applies to every
// position.
func TestPromise1_CacheOverALogThatWentBack(t *testing.T) {
	for name, goBack := range map[string]func(d *double){
		"a head that fell": func(d *double) { d.lose(60) },
		"another log":      func(d *double) { d.lose(60); d.become(store.ID{0: 0xd1}); d.add(superseding(session(9), 0)) },
		"another log that is longer": func(d *double) {
			d.lose(60)
			d.become(store.ID{0: 0xd1})
			for range 10 {
				d.add(superseding(session(9), 0))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var rec recorder
			clock, d := newClock(), newDouble()
			c := newCache(t, d, revocation.Config{Now: clock.Now, Observe: rec.observe})
			for range 7 {
				d.add(superseding(session(9), 0)) // 20 to 80
			}
			own := d.add(ofSubject(subject(1), 0)) // 90
			c.Apply(ofSubject(subject(1), own))
			end := d.add(ending(session(2), 0)) // 100
			c.Apply(ending(session(2), end))
			for n := range 5 {
				want := revocation.Good
				if n == 2 {
					want = revocation.Revoked
				}
				confirm(t, c, n, 100, want)
			}
			goBack(d)
			head := d.revoked(store.ID{}, "").Head
			checks(t, c, clock.Now(), 4, 50, revocation.Good) // the rollback is not noticed yet
			confirm(t, c, 5, 50, revocation.Good)
			events := rec.take()
			if len(events) != 1 || !errors.Is(events[0].Err, revocation.ErrRollback) || events[0].State != revocation.Unknown || events[0].Head != head {
				t.Fatalf("events: %+v", events)
			}
			if c.Head() != head || c.Highest() != max(head, 100) || c.State(clock.Now()) != revocation.Fresh {
				t.Errorf("head %d, highest %d, %v", c.Head(), c.Highest(), c.State(clock.Now()))
			}
			checks(t, c, clock.Now(), 4, 50, revocation.Unconfirmed)
			for head < 200 {
				head = d.add(superseding(session(9), 0))
			}
			confirm(t, c, 4, head, revocation.Good)
			// This node's own entries that the log lacks, by a query and then
			// by its cached result.
			for range 2 {
				confirm(t, c, 1, head, revocation.Revoked)
				checks(t, c, clock.Now(), 1, head, revocation.Revoked)
				confirm(t, c, 2, head, revocation.Revoked)
				checks(t, c, clock.Now(), 2, head, revocation.Revoked)
			}
			// Until it is written back.
			p := d.add(ofSubject(subject(1), 0))
			clock.move(time.Hour)
			confirm(t, c, 1, p, revocation.Good)
			confirm(t, c, 1, p-1, revocation.Revoked)
			if n := len(rec.take()); n != 0 {
				t.Errorf("%d events more", n)
			}
		})
	}
}

// Answers overtake each other. That shows nothing.
func TestCache_AnswersOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		d := newDouble()
		c := newCache(t, d, revocation.Config{Observe: rec.observe})
		var gates [10]chan struct{}
		slow := func(n int, want revocation.Verdict) (deliver func()) {
			gate := make(chan struct{})
			gates[n] = gate
			done := make(chan struct{})
			go func() {
				if v, err := c.Confirm(context.Background(), session(n), "", 10); v != want || err != nil {
					t.Errorf("session %d is %v, %v: want %v", n, v, err, want)
				}
				close(done)
			}()
			synctest.Wait()
			return func() { close(gate); <-done; synctest.Wait() }
		}
		d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
			res := d.revoked(id, name)
			if gate := gates[id[15]]; gate != nil {
				<-gate
			}
			return res, nil
		})
		first := slow(1, revocation.Good)
		d.add(superseding(session(8), 0), superseding(session(8), 0)) // 20, 30
		second := slow(2, revocation.Good)
		d.add(superseding(session(8), 0)) // 40
		confirm(t, c, 3, 40, revocation.Good)
		second()
		first()
		if events := rec.take(); len(events) != 0 || c.Head() != 40 {
			t.Errorf("head %d, events: %+v", c.Head(), events)
		}
		// Both are kept as of their own heads.
		for n, head := range map[int]store.Position{1: 10, 2: 30} {
			if v := c.Check(time.Now(), session(n), "", head); v != revocation.Good {
				t.Errorf("session %d at %d is %v", n, head, v)
			}
			if v := c.Check(time.Now(), session(n), "", head+1); v != revocation.Ahead {
				t.Errorf("session %d at %d is %v", n, head+1, v)
			}
		}
		// The log goes back while two are under way: one is from before.
		d.add(superseding(session(8), 0)) // 50
		before := slow(4, revocation.Good)
		d.lose(20)
		after := slow(5, revocation.Good)
		confirm(t, c, 6, 20, revocation.Good)
		if n := rolledBack(rec.take()); n != 1 {
			t.Errorf("%d alarms", n)
		}
		before()
		after()
		if n := len(rec.take()); n != 0 || c.Head() != 20 || c.Highest() != 50 {
			t.Errorf("%d events more, head %d, highest %d", n, c.Head(), c.Highest())
		}
		for n := range 7 { // none of them counts
			if v := c.Check(time.Now(), session(n), "", 10); v != revocation.Unconfirmed {
				t.Errorf("session %d is %v", n, v)
			}
		}
		// It goes back again, and that is another alarm.
		confirm(t, c, 7, 20, revocation.Good)
		d.lose(10)
		confirm(t, c, 6, 10, revocation.Good)
		if n := rolledBack(rec.take()); n != 1 {
			t.Errorf("%d alarms", n)
		}
		// Another log shows only in a query that is sent after an answer from
		// this one.
		old := slow(2, revocation.Good)
		d.become(store.ID{0: 0xd2})
		c.CatchUp(t.Context())
		confirm(t, c, 1, 10, revocation.Good)
		old()
		if n := rolledBack(rec.take()); n != 1 {
			t.Errorf("%d alarms", n)
		}
		c.Close()
	})
}

// An answer that was made late and came first proves nothing about one that was
// sent after it and made before. Nor does an answer of another log, if neither
// is known to be the later one.
func TestCache_AnswersMadeOutOfOrder(t *testing.T) {
	for _, another := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var rec recorder
			d := newDouble()
			c := newCache(t, d, revocation.Config{Observe: rec.observe})
			defer c.Close()
			late, early := make(chan struct{}), make(chan struct{})
			d.onCutoffs(func(_ context.Context, id store.ID, name string) (store.Cutoffs, error) {
				if id == session(1) { // made when it comes
					<-late
					return d.revoked(id, name), nil
				}
				res := d.revoked(id, name) // made when it is asked for
				<-early
				return res, nil
			})
			var all sync.WaitGroup
			all.Go(func() { confirm(t, c, 1, 10, revocation.Good) })
			synctest.Wait()
			all.Go(func() { confirm(t, c, 2, 10, revocation.Good) })
			synctest.Wait()
			d.add(superseding(session(8), 0)) // 20
			if another {
				d.become(store.ID{0: 0xd3})
			}
			close(late)
			synctest.Wait()
			close(early)
			all.Wait()
			if events := rec.take(); len(events) != 0 || c.Head() != 20 {
				t.Errorf("head %d, events: %+v", c.Head(), events)
			}
			want := revocation.Good
			if another {
				want = revocation.Unconfirmed
			}
			checks(t, c, time.Now(), 1, 20, revocation.Good)
			checks(t, c, time.Now(), 2, 10, want)
		})
	}
}
