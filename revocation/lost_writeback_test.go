package revocation_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// The store accepts all that was lost and then fails for a moment, before this
// node has read what it wrote. The lost revocations must not stay above every
// position for ever.
func TestPromise5_OutageRightAfterTheWriteBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		d := &restorer{double: newDouble()}
		for range 5 {
			d.add(superseding(session(99), 0))
		}
		var cut atomic.Bool
		r := follow(t, d, revocation.Config{Observe: rec.observe, Restore: func(ctx context.Context, what store.Restoration) (store.Snapshot, error) {
			snap, err := d.Restore(ctx, what)
			if err == nil && cut.CompareAndSwap(true, false) {
				d.onSince(func(context.Context, sinceCall) (store.Batch, error) {
					return store.Batch{}, errors.New("a moment's outage")
				})
			}
			return snap, err
		}})
		safe := d.add(ofSubject(subject(3), 0))
		d.add(ofSubject(subject(2), 0))
		synctest.Wait()
		cut.Store(true)
		d.regrow(safe, r.Head()+100)
		time.Sleep(15 * time.Second)
		d.onSince(nil)
		time.Sleep(5 * time.Minute)
		at := d.add(superseding(session(50), 0))
		time.Sleep(time.Second)
		check(t, r, time.Now(), 2, at, revocation.Good)
		d.took()
		time.Sleep(5 * time.Minute)
		if calls := d.took(); len(calls) != 0 {
			t.Errorf("it goes on to write back: %d calls, the last of %d entries", len(calls), len(calls[len(calls)-1].Entries))
		}
		if last := rec.take(); len(last) == 0 || last[len(last)-1].Restored != 1 {
			t.Errorf("in the end it told %+v", last)
		}
	})
}

// A log goes back and cannot be written. It drops old entries, and goes back
// once more. The entries of the first loss are still lost.
func TestPromise1_LogThatWentBackTwiceUnwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &restorer{double: newDouble(), fails: true}
		for range 5 {
			d.add(superseding(session(99), 0))
		}
		r := follow(t, d, revocation.Config{Restore: d.Restore})
		safe := d.add(ofSubject(subject(3), 0))
		d.add(ofSubject(subject(2), 0))
		synctest.Wait()
		p := d.regrow(safe, r.Head()+100)
		time.Sleep(time.Second)
		check(t, r, time.Now(), 2, p, revocation.Revoked)
		d.drop(p - 10) // the lost one's position is below
		p = d.add(superseding(session(98), 0))
		time.Sleep(time.Second)
		check(t, r, time.Now(), 2, p, revocation.Revoked)

		p = d.regrow(p-10, p+100)
		time.Sleep(time.Minute)
		check(t, r, time.Now(), 2, p, revocation.Revoked)
		if f := (store.Family{ID: session(2), Subject: subject(2), Birth: 15, Position: p}); !r.Dead(&f) {
			t.Error("a family that the first loss covers is not known to be dead")
		}
		d.fail(false)
		time.Sleep(time.Minute)
		if found := d.after(p, store.KindSubject); len(found) != 1 {
			t.Errorf("written back: %+v", found)
		}
	})
}

// This node logs a user out everywhere else while it reloads a log that went
// back. Entries that the store has accepted since the answer that ends the
// reload are not lost, and the session that was reborn goes on.
func TestPromise5_RevokedHereWhileTheLogIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		for range 5 {
			d.add(superseding(session(99), 0))
		}
		r := still(t, d, revocation.Config{})
		d.add(ending(session(1), 0))
		if err := r.Read(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		d.regrow(60, 200)
		if err := r.Read(t.Context(), 0); !errors.Is(err, revocation.ErrRollback) {
			t.Fatal(err)
		}
		var h holder
		h.hold(t, d)
		go func() { _ = r.Read(context.Background(), 0) }()
		synctest.Wait()
		d.onSince(nil)
		reborn := d.add(ofSubject(subject(2), 0))
		r.Apply(ofSubject(subject(2), reborn))
		close(h.take(0).deliver)
		synctest.Wait()
		if err := r.Read(t.Context(), 0); err != nil || r.State(time.Now()) != revocation.Fresh {
			t.Fatal(err, r.State(time.Now()))
		}
		check(t, r, time.Now(), 2, reborn, revocation.Good)
		if r.Dead(&store.Family{ID: session(2), Subject: subject(2), Birth: reborn, Position: reborn}) {
			t.Error("the session that survived is dead")
		}
		check(t, r, time.Now(), 1, reborn, revocation.Revoked)
	})
}
