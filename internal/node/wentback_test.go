package node

import (
	"context"
	"errors"
	"testing"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// A node that takes a position for known which the log is days away from goes on from
// the log's own head, and its write is made all the same.
func TestPromise1_WritesOverALogFarBelow(t *testing.T) {
	for name, newWorld := range map[string]func(*testing.T) *world{"replica": newWorld, "no replica": newWorldWithoutReplica} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, writes, func(t *testing.T, row write) {
				w := newWorld(t)
				before := w.db.head()
				far := before + 3*store.MaxAhead
				w.Learn(far)
				w.Apply(store.Entry{Kind: store.KindSubject, Subject: "carol", Position: far})
				if err := row.make(t.Context(), w.Node, before); err != nil {
					t.Fatal(err)
				}
				entries := w.db.entries(before)
				if len(entries) == 0 || w.db.head() > before+1e9 {
					t.Errorf("%d entries, and the log went from %d to %d", len(entries), before, w.db.head())
				}
				if w.Highest() != w.db.head() {
					t.Errorf("the node takes %d for known, and the log is at %d", w.Highest(), w.db.head())
				}
				for _, id := range row.revoked {
					if v := w.verdict(id, before); v != revocation.Revoked {
						t.Errorf("the cookie of %d is %v", id[0], v)
					}
				}
				if n := asked(w.db.made(), "Since"); w.Revocations.State(entries[0].Time) == revocation.Fresh && name == "replica" && n == 0 {
					t.Error("the replica is fresh: it does not read the log anew")
				}
				if err := w.CatchUp(t.Context()); err != nil {
					t.Fatal(err)
				}
				// A login of the subject whose revocation was far above is not
				// refused for ever.
				snap, err := w.Start(t.Context(), creation(store.ID{77}, "dora"))
				if err != nil || w.Dead(&snap.Family) {
					t.Errorf("a login after it: %v, dead: %v", err, w.Dead(&snap.Family))
				}
				for _, r := range w.reported() {
					if r[:5] == "alarm" {
						t.Error(r)
					}
				}
			})
		})
	}
}

// A store that refuses its own head is an outage, and an alarm.
func TestWritesThatAreRefusedTwice(t *testing.T) {
	inBubbles(t, writes, func(t *testing.T, row write) {
		w := newWorld(t)
		w.db.answer(func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			if callOf(ctx).reads() {
				return perform()
			}
			return store.Snapshot{}, store.ErrAbove
		})
		if err := row.make(t.Context(), w.Node, w.db.head()); !errors.Is(err, sentinel.ErrUnavailable) || !errors.Is(err, store.ErrAbove) {
			t.Errorf("%v, want unavailable", err)
		}
		wrote := 0
		for _, c := range w.db.made() {
			if !c.reads() {
				wrote++
			}
		}
		alarms := 0
		for _, r := range w.reported() {
			if r[:5] == "alarm" {
				alarms++
			}
		}
		if wrote != 2 || alarms == 0 {
			t.Errorf("%d attempts, %d alarms: want 2, and one at least", wrote, alarms)
		}
		w.db.answer(nil)
	})
}

// The end of a replayed family is a write like any other.
func TestPromise3_ReplayOverALogFarBelow(t *testing.T) {
	inBubbles(t, map[string]bool{"refresh": false, "look": true}, func(t *testing.T, look bool) {
		w := newWorld(t)
		for g := uint32(1); g <= 2; g++ {
			if s, err := w.db.Store.Advance(t.Context(), store.Advance{ID: a, Generation: g, Basis: store.MaxPosition}); err != nil || s.Outcome != store.Written {
				t.Fatal(s.Outcome, err)
			}
		}
		w.Learn(w.db.head() + 3*store.MaxAhead)
		call := w.Refresh
		if look {
			call = w.Look
		}
		if _, err := call(t.Context(), current(a)); err != nil || w.family(a).State != store.Ended {
			t.Errorf("%v; the family is %v", err, w.family(a).State)
		}
	})
}
