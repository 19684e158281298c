package revocation_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// begun returns a log of 10 to 60 and a replica that follows it in a bubble.
func begun(t *testing.T, c revocation.Config, restore func(*restorer) func(context.Context, store.Restoration) (store.Snapshot, error)) (*restorer, *revocation.Replica) {
	d := &restorer{double: newDouble()}
	for range 5 {
		d.add(superseding(session(99), 0))
	}
	c.Restore = d.Restore
	if restore != nil {
		c.Restore = restore(d)
	}
	return d, follow(t, d, c)
}

// While a loss is written back, the log goes back again and another thing is
// lost: that one stays until it is written back too.
func TestPromise1_LogThatGoesBackWhileItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *revocation.Replica
		var again atomic.Bool
		d, replica := begun(t, revocation.Config{}, func(d *restorer) func(context.Context, store.Restoration) (store.Snapshot, error) {
			return func(ctx context.Context, what store.Restoration) (store.Snapshot, error) {
				snap, err := d.Restore(ctx, what)
				if again.CompareAndSwap(true, false) {
					if err := r.CatchUp(ctx); err != nil {
						t.Errorf("CatchUp: %v", err)
					}
					d.add(ofSubject(subject(7), 0))
					if err := r.CatchUp(ctx); err != nil {
						t.Errorf("CatchUp: %v", err)
					}
					d.lose(60)
					_ = r.CatchUp(ctx)
					d.fail(true)
					if err := r.CatchUp(ctx); err != nil {
						t.Errorf("CatchUp: %v", err)
					}
				}
				return snap, err
			}
		})
		r = replica
		d.add(ofSubject(subject(2), 0))
		synctest.Wait()
		again.Store(true)
		d.lose(60)
		_ = r.CatchUp(t.Context())
		time.Sleep(time.Second)
		for _, n := range []int{2, 7} {
			check(t, r, time.Now(), n, 60, revocation.Revoked)
			if !r.Dead(&store.Family{ID: session(n), Subject: subject(n), Birth: 1000, Position: 1000}) {
				t.Errorf("subject %d counts as lost no more", n)
			}
		}
		d.fail(false)
		time.Sleep(time.Minute)
		for _, n := range []int{2, 7} {
			if c := d.revoked(session(n), subject(n)); c.Subject < 70 {
				t.Errorf("of subject %d the log has %+v", n, c)
			}
		}
	})
}

// Many entries are written back without a pause between the parts. A write that
// hangs is abandoned after Timeout, so that the log is read on.
func TestPromise8_WritesBackInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 2*store.MaxEntries + 1
		var hangs atomic.Bool
		d, r := begun(t, revocation.Config{Timeout: time.Second}, func(d *restorer) func(context.Context, store.Restoration) (store.Snapshot, error) {
			return func(ctx context.Context, what store.Restoration) (store.Snapshot, error) {
				if hangs.Load() {
					began := time.Now()
					<-ctx.Done()
					if took := time.Since(began); took != time.Second {
						t.Errorf("a restoration may take %v", took)
					}
					return store.Snapshot{}, ctx.Err()
				}
				return d.Restore(ctx, what)
			}
		})
		for i := range many {
			d.add(ending(session(i), 0))
		}
		synctest.Wait()
		hangs.Store(true)
		d.regrow(60, r.Head()+100)
		time.Sleep(20 * time.Second)
		p := d.add(ofSubject(subject(3), 0))
		time.Sleep(10 * time.Second)
		if r.Head() != p {
			t.Errorf("while nothing is written back it has read up to %d: want %d", r.Head(), p)
		}
		hangs.Store(false)
		began := time.Now()
		for n := 0; n < 3; time.Sleep(time.Millisecond) {
			n += len(d.took())
			if time.Since(began) > 6500*time.Millisecond { // a pause, and what hung last
				t.Fatalf("after %v, %d of 3 parts are written", time.Since(began), n)
			}
		}
	})
}

// A log that goes back is reloaded at once, even if the replica is waiting for
// entries at that moment.
func TestReplica_ReadsAnewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, r := begun(t, revocation.Config{}, nil)
		d.add(ending(session(1), 0))
		time.Sleep(time.Second)
		d.lose(60)
		if err := r.CatchUp(t.Context()); !errors.Is(err, revocation.ErrRollback) {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := r.State(time.Now()); s != revocation.Fresh {
			t.Errorf("it is %v", s)
		}
		time.Sleep(time.Second)
		if calls := d.took(); len(calls) != 1 {
			t.Errorf("%d restorations", len(calls))
		}
	})
}

// Applied gets the entries that are applied. It gets nil once the log has gone
// back, once the losses are known, and if entries were dropped unread, but not
// during the first read.
func TestReplica_TellsWhatIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []store.Position // 0: anything
		c := revocation.Config{Applied: func(entries []store.Entry) {
			mu.Lock()
			defer mu.Unlock()
			if entries == nil {
				heard = append(heard, 0)
			}
			for _, e := range entries {
				heard = append(heard, e.Position)
			}
		}}
		want := func(when string, positions ...store.Position) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if len(heard) != len(positions) {
				t.Fatalf("%s: %v: want %v", when, heard, positions)
			}
			for i := range heard {
				if heard[i] != positions[i] {
					t.Fatalf("%s: %v: want %v", when, heard, positions)
				}
			}
			heard = nil
		}
		d := newDouble()
		for range 4 {
			d.add(superseding(session(99), 0))
		}
		d.drop(20)
		r := still(t, d, c)
		want("the first reading", 30, 40, 50)
		read := func() error { return r.Read(t.Context(), 0) }
		d.add(ofSubject(subject(1), 0))
		_ = read()
		want("news", 60)
		_ = read()
		want("none")
		d.lose(50)
		if err := read(); !errors.Is(err, revocation.ErrRollback) {
			t.Fatal(err)
		}
		want("it went back", 0)
		_ = read()
		want("what is lost is known", 30, 40, 50, 0)
		d.add(superseding(session(99), 0), superseding(session(99), 0), superseding(session(99), 0))
		d.drop(70)
		_ = read()
		want("two were dropped unread: it is read anew", 0)
		_ = read()
		want("what is left", 80, 0)
	})
}

// Revocations by this node, one in each round trip, keep a reload from ending
// for a bounded number of round trips.
func TestPromise8_ReadingAnewEndsBesideRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		d.add(superseding(session(99), 0), ending(session(1), 0))
		r := still(t, d, revocation.Config{})
		d.lose(20)
		if err := r.Read(t.Context(), 0); !errors.Is(err, revocation.ErrRollback) {
			t.Fatal(err)
		}
		queries := 0
		d.onSince(func(ctx context.Context, q sinceCall) (store.Batch, error) {
			queries++
			b, err := d.honest(ctx, q)
			p := d.add(ending(session(100+queries), 0))
			r.Apply(ending(session(100+queries), p))
			return b, err
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 20 {
			_ = r.Read(ctx, 0)
		}
		if r.State(time.Now()) != revocation.Fresh || queries > 20 {
			t.Errorf("after %d queries it is %v", queries, r.State(time.Now()))
		}
		if !r.Dead(&store.Family{ID: session(1), Subject: subject(1), Birth: 500, Position: 500}) {
			t.Error("what is lost does not count")
		}
	})
}

// Two losses, neither written back: both count, except for what another node
// has written back in between.
func TestPromise1_TwoLosses(t *testing.T) {
	for name, by := range map[string]func(d *double, p store.Position) store.Position{
		"nobody":          nil,
		"written back":    func(d *double, _ store.Position) store.Position { return d.add(ofSubject(subject(2), 0)) },
		"everyone, later": func(d *double, _ store.Position) store.Position { return d.add(everyone(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, r := begun(t, revocation.Config{}, nil)
				d.fail(true)
				d.add(ofSubject(subject(2), 0)) // 70
				synctest.Wait()
				p := d.regrow(60, 200)
				time.Sleep(time.Second)
				check(t, r, time.Now(), 2, p, revocation.Revoked)
				kept := p
				if by != nil {
					kept = by(d.double, p)
				}
				p = d.add(ofSubject(subject(5), 0))
				time.Sleep(10 * time.Second)
				p = d.regrow(kept, p+100)
				time.Sleep(10 * time.Second)
				if r.State(time.Now()) != revocation.Fresh {
					t.Fatal("it is not fresh")
				}
				check(t, r, time.Now(), 5, p, revocation.Revoked)
				want := revocation.Revoked
				if by != nil {
					want = revocation.Good
				}
				check(t, r, time.Now(), 2, p, want)
			})
		})
	}
}
