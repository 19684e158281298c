package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// current returns the request for a family that has not advanced yet.
func current(id store.ID) refresh.Request {
	return refresh.Request{Family: id, Generation: 1, Basis: store.MaxPosition}
}

// asked counts the calls of one name.
func asked(calls []call, name string) (n int) {
	for _, c := range calls {
		if c.name == name {
			n++
		}
	}
	return n
}

// A family that the node knows dead is asked about once more and then refused,
// however alive it is in the store.
func TestPromise1_RefreshOfAFamilyKnownDead(t *testing.T) {
	inBubbles(t, map[string]struct {
		applied []store.Entry // relative to the head
		dead    bool
	}{
		"nothing":           {nil, false},
		"ended":             {[]store.Entry{{Kind: store.KindSession, Session: a, Position: 1}}, true},
		"subject":           {[]store.Entry{{Kind: store.KindSubject, Subject: "alice", Position: 1}}, true},
		"everyone":          {[]store.Entry{{Kind: store.KindEveryone, Position: 1}}, true},
		"another ended":     {[]store.Entry{{Kind: store.KindSession, Session: b, Position: 1}}, false},
		"another subject":   {[]store.Entry{{Kind: store.KindSubject, Subject: "bob", Position: 1}}, false},
		"born at the entry": {[]store.Entry{{Kind: store.KindSubject, Subject: "alice", Position: 0}}, false},
	}, func(t *testing.T, row struct {
		applied []store.Entry
		dead    bool
	}) {
		w := newWorld(t)
		for _, e := range row.applied {
			e.Position += w.db.head()
			w.Revocations.Apply(e)
		}
		res, err := w.Refresh(t.Context(), current(a))
		n := asked(w.db.made(), "Advance")
		switch {
		case err != nil:
			t.Error(err)
		case row.dead && (res.Verdict != refresh.Refuse || res.Reason != ReasonLost || n != 2):
			t.Errorf("%v, %q after %d calls, want %q after 2", res.Verdict, res.Reason, n, ReasonLost)
		case !row.dead && (res.Verdict != refresh.Issue || n != 1):
			t.Errorf("%v, %q after %d calls, want it issued after 1", res.Verdict, res.Reason, n)
		}
	})
}

// A revocation may return while a refresh is in flight. The refresh's answer is
// then from before it, so the store is asked again. The store has lost nothing.
func TestPromise1_RevokedWhileARefreshIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		once := true
		w.db.answer(func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			snap, err := perform()
			if once {
				once = false
				if err := w.End(ctx, "logout", "alice", a); err != nil {
					t.Error(err)
				}
			}
			return snap, err
		})
		res, err := w.Refresh(t.Context(), current(a))
		if err != nil || res.Verdict != refresh.Refuse || res.Reason != refresh.ReasonEnded {
			t.Errorf("%v, %q, %v, want %q", res.Verdict, res.Reason, err, refresh.ReasonEnded)
		}
	})
}

// A refresh makes the node know the log's head.
func TestPromise1_RefreshLearnsTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.db.Store.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{b}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Refresh(t.Context(), current(a)); err != nil {
			t.Fatal(err)
		}
		if w.Highest() != w.db.head() {
			t.Errorf("the node knows %d, want %d", w.Highest(), w.db.head())
		}
	})
}

// A replay ends the family above what the node knows, and the node refuses it
// from the entry on when the call returns.
func TestPromise1_AReplayIsRefusedWhenTheCallReturns(t *testing.T) {
	inBubbles(t, map[string]func(*Node, context.Context, refresh.Request) (refresh.Result, error){
		"Refresh": (*Node).Refresh, "Look": (*Node).Look,
	}, func(t *testing.T, present func(*Node, context.Context, refresh.Request) (refresh.Result, error)) {
		w := newWorld(t)
		for g := range uint32(2) {
			if snap, err := w.db.Store.Advance(t.Context(), store.Advance{ID: a, Generation: g + 1}); err != nil || snap.Outcome != store.Written {
				t.Fatal(snap.Outcome, err)
			}
		}
		before := w.db.head()
		w.Learn(before + 1000)
		res, err := present(w.Node, hungUp(t), current(a))
		if err != nil || res.Verdict != refresh.Replay || res.Entry <= before+1000 {
			t.Fatalf("%v at %d, %v: want a replay above %d", res.Verdict, res.Entry, err, before+1000)
		}
		want := []store.Entry{{Kind: store.KindSession, Session: a, Position: res.Entry}}
		if !slices.Equal(w.applied, want) || !w.Ended(a) {
			t.Errorf("applied %v, want %v", w.applied, want)
		}
		if w.family(a).State != store.Ended {
			t.Error("the store has not ended it")
		}
		w.applied = nil
		res, err = present(w.Node, t.Context(), current(a))
		if err != nil || res.Verdict != refresh.Refuse || len(w.applied) != 0 {
			t.Errorf("once more: %v, %v, applied %v", res.Verdict, err, w.applied)
		}
	})
}

// Look serves a good token without a write. A refused one applies nothing.
func TestLookWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		time.Sleep(3 * time.Minute) // a refresh is due
		for id, want := range map[store.ID]refresh.Verdict{a: refresh.Issue, {9}: refresh.Refuse} {
			if res, err := w.Look(t.Context(), current(id)); err != nil || res.Verdict != want {
				t.Errorf("%v, %v, want %v", res.Verdict, err, want)
			}
		}
		if made := w.db.made(); len(made) != 2 || asked(made, "Family") != 2 || len(w.applied) != 0 {
			t.Errorf("calls %v, applied %v", made, w.applied)
		}
	})
}

// The answer about a long-lived response holds what this node knows against the
// store's word, and ends with the response.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if snap, err := w.Alive(t.Context(), a); err != nil || snap.State != store.Alive {
			t.Errorf("a living one: %v, %v", snap.State, err)
		}
		w.Revocations.Apply(store.Entry{Kind: store.KindSession, Session: a, Position: w.db.head() + 1})
		if snap, err := w.Alive(t.Context(), a); err != nil || snap.State != store.Ended {
			t.Errorf("one that the store has lost the end of: %v, %v", snap.State, err)
		}
		if _, err := w.Alive(hungUp(t), a); !errors.Is(err, context.Canceled) {
			t.Errorf("after the response: %v", err)
		}
		w.db.hang()
		began := time.Now()
		if _, err := w.Alive(t.Context(), a); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != timeout {
			t.Errorf("a store that hangs: %v after %v", err, time.Since(began))
		}
		w.wantReports()
	})
}

// Entries leaves out the entries that revoke nothing. A whole page of them is not
// the end of the log.
func TestEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		from := w.db.cursor()
		for range store.MaxEntries + 1 {
			if _, err := w.db.Store.Commit(t.Context(), store.Commit{ID: a, Basis: store.MaxPosition, Value: []byte("v")}); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := w.Entries(t.Context(), from); err != nil || len(found) != 0 {
			t.Errorf("of Commits alone: %v, %v", found, err)
		}
		at, err := w.Revoke(t.Context(), store.Revocation{Subjects: []string{"bob"}, Reason: "gone", Actor: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		found, err := w.Entries(t.Context(), from)
		if err != nil || len(found) != 1 || found[0].Position != at || found[0].Subject != "bob" || found[0].Reason != "gone" || found[0].Actor != "admin" {
			t.Errorf("%v, %v, want the one of bob at %d", found, err, at)
		}
		if found, err := w.Entries(t.Context(), w.db.cursor()); err != nil || len(found) != 0 {
			t.Errorf("after it: %v, %v", found, err)
		}
	})
}

// A position that this node does not reach in time is an outage.
func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.Node.WaitFor(t.Context(), w.db.head()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Node.WaitFor(ctx, w.db.head()+1); !errors.Is(err, sentinel.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a position that the log does not have: %v", err)
		}
	})
}

// A policy that takes honest clients for thieves makes no node.
func TestNewChecksThePolicy(t *testing.T) {
	bad := policy
	bad.Grace = bad.Access
	if n, err := New(Config{Policy: bad, Timeout: timeout}); n != nil || err == nil {
		t.Errorf("%v, %v", n, err)
	}
}
