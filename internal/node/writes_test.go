package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// write is a write of a node, with what it revokes.
type write struct {
	// make makes the write. Its credential, if it has one, is at the position own.
	make    func(ctx context.Context, n *Node, own store.Position) error
	revoked []store.ID
	expired []store.ID
	spared  []store.ID
}

// writes are the writes that promise 1 is about.
var writes = map[string]write{
	"Start": {
		make: func(ctx context.Context, n *Node, own store.Position) error {
			c := creation(fresh, "alice")
			c.Ends, c.Above = [2]store.ID{a, b}, own
			_, err := n.Start(ctx, c)
			return err
		},
		revoked: []store.ID{a, b}, spared: []store.ID{c},
	},
	"Renew": {
		make: func(ctx context.Context, n *Node, own store.Position) error {
			c := creation(fresh, "alice")
			c.Renews, c.Above = &store.Renewal{ID: a, Basis: own}, own
			_, err := n.Renew(ctx, c, Renewal{})
			return err
		},
		revoked: []store.ID{a}, spared: []store.ID{b, c},
	},
	"Commit": {
		make: func(ctx context.Context, n *Node, own store.Position) error {
			_, err := n.Commit(ctx, store.Commit{ID: a, Basis: own, Value: []byte("sealed")})
			return err
		},
		expired: []store.ID{a}, spared: []store.ID{b, c},
	},
	"End": {
		make: func(ctx context.Context, n *Node, _ store.Position) error {
			return n.End(ctx, "logout", "alice", a, b)
		},
		revoked: []store.ID{a, b}, spared: []store.ID{c},
	},
	"EndOthers": {
		make: func(ctx context.Context, n *Node, own store.Position) error {
			_, err := n.EndOthers(ctx, "alice", store.Rebirth{ID: a, Basis: own}, "elsewhere")
			return err
		},
		revoked: []store.ID{a, b}, spared: []store.ID{c},
	},
	"Revoke": {
		make: func(ctx context.Context, n *Node, _ store.Position) error {
			_, err := n.Revoke(ctx, store.Revocation{Sessions: []store.ID{a}, Subjects: []string{"bob"}})
			return err
		},
		revoked: []store.ID{a, c}, spared: []store.ID{b},
	},
	"Revoke everyone": {
		make: func(ctx context.Context, n *Node, _ store.Position) error {
			_, err := n.Revoke(ctx, store.Revocation{Everyone: true})
			return err
		},
		revoked: []store.ID{a, b, c},
	},
}

// A write goes on after its client has hung up.
func TestPromise1_WritesOutliveTheClient(t *testing.T) {
	inBubbles(t, writes, func(t *testing.T, row write) {
		w := newWorld(t)
		before := w.db.head()
		if err := row.make(hungUp(t), w.Node, before); err != nil {
			t.Error(err)
		}
		if w.db.head() == before {
			t.Error("the store has no entry")
		}
	})
}

// A store that hangs holds a write up for the timeout only. That is an outage,
// even if the client has hung up.
func TestPromise1_WritesAreBounded(t *testing.T) {
	inBubbles(t, writes, func(t *testing.T, row write) {
		w := newWorld(t)
		w.db.hang()
		began := time.Now()
		if err := row.make(hungUp(t), w.Node, w.db.head()); !errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("%v, want unavailable", err)
		}
		if took := time.Since(began); took != timeout {
			t.Errorf("it took %v, want %v", took, timeout)
		}
		if got := w.reported(); len(got) != 1 {
			t.Errorf("reports %q, want one", got)
		}
	})
}

// A new entry exceeds what this node has seen the log reach. A store that went back
// would otherwise place it below cookies that are out there. The position of the
// credential is not exceeded, however high: whoever has a leaked key chooses it.
func TestPromise1_EntriesExceedWhatTheLogHasReached(t *testing.T) {
	inBubbles(t, writes, func(t *testing.T, row write) {
		for _, highest := range []store.Position{0, 2000} {
			for _, own := range []store.Position{0, 1000, 1e10, store.MaxAhead, store.MaxPosition / 2} {
				w := newWorld(t)
				before := w.db.head()
				w.Learn(before + highest)
				if err := row.make(t.Context(), w.Node, before+own); err != nil {
					t.Fatalf("its own at %d: %v", own, err)
				}
				for _, call := range w.db.made() {
					if !call.reads() && call.above != before+highest {
						t.Errorf("its own at %d: %s above %d, want %d", own, call.name, call.above, before+highest)
					}
				}
				for _, e := range w.db.entries(before) {
					if e.Position <= before+highest {
						t.Errorf("its own at %d: an entry at %d, want it above %d", own, e.Position, before+highest)
					}
				}
				if w.Highest() != w.db.head() {
					t.Errorf("its own at %d: the node takes %d for known, want the head, %d", own, w.Highest(), w.db.head())
				}
			}
		}
	})
}

// The node knows the log's head when a write returns, though the log has not
// brought it yet. A log that later lacks it went back.
func TestPromise1_TheHeadIsLearnt(t *testing.T) {
	inBubbles(t, writes, func(t *testing.T, row write) {
		w := newWorld(t)
		before := w.db.head()
		if err := row.make(t.Context(), w.Node, before); err != nil {
			t.Fatal(err)
		}
		head := w.db.head()
		if got := w.Highest(); got != head || head == before {
			t.Errorf("the node knows %d of a log that went from %d to %d", got, before, head)
		}
		if got := w.Head(); got != before {
			t.Errorf("the log was read up to %d: the test must hold it up at %d", got, before)
		}
	})
}

// This node refuses the revoked sessions when a write returns, whatever the age of
// their cookies, and before the log brings the entry. It refuses no others.
func TestPromise1_RefusedWhenTheCallReturns(t *testing.T) {
	for name, newWorld := range map[string]func(*testing.T) *world{"replica": newWorld, "no replica": newWorldWithoutReplica} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, writes, func(t *testing.T, row write) {
				w := newWorld(t)
				before := w.db.head()
				// Another node has written, and cookies were minted since.
				elsewhere := store.Revocation{Sessions: []store.ID{{99}}, Above: before + 1000}
				if _, err := w.db.Store.Revoke(t.Context(), elsewhere); err != nil {
					t.Fatal(err)
				}
				newest := w.db.head()
				if err := row.make(t.Context(), w.Node, before); err != nil {
					t.Fatal(err)
				}
				for _, at := range []store.Position{before, newest} {
					for _, id := range row.revoked {
						if v := w.verdict(id, at); v != revocation.Revoked {
							t.Errorf("the cookie of %d at %d is %v", id[0], at, v)
						}
					}
					for _, id := range row.expired {
						if v := w.verdict(id, at); v != revocation.Expired {
							t.Errorf("the cookie of %d at %d is %v", id[0], at, v)
						}
					}
				}
				for _, id := range row.spared {
					if v := w.verdict(id, before); v == revocation.Revoked || v == revocation.Expired {
						t.Errorf("the cookie of %d is %v", id[0], v)
					}
				}
				// A cookie that is minted from a family that lives on is good.
				for _, id := range []store.ID{a, b, c} {
					snap := w.family(id)
					v := w.verdict(id, snap.Family.Position)
					if refused := v == revocation.Revoked || v == revocation.Expired; snap.State == store.Alive && (refused || w.Dead(&snap.Family)) {
						t.Errorf("the living family %d is %v, dead: %v", id[0], v, w.Dead(&snap.Family))
					}
				}
			})
		})
	}
}

// The families that a limit ended are refused when Start returns. Only the log
// names them.
func TestPromise1_StartRefusesTheOldestWhenItReturns(t *testing.T) {
	inBubbles(t, map[string]bool{"end the oldest": true, "none is too many": false}, func(t *testing.T, over bool) {
		w := newWorld(t)
		before := w.db.head()
		c := creation(fresh, "alice")
		c.EndOldest, c.Limit = true, 3
		if over {
			c.Limit = 1
		}
		if _, err := w.Start(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, id := range []store.ID{a, b} {
			if v := w.verdict(id, before); (v == revocation.Revoked) != over {
				t.Errorf("the cookie of %d is %v", id[0], v)
			}
		}
		read := 0
		for _, call := range w.db.made() {
			if call.name == "Since" {
				read++
			}
		}
		if (read > 0) != over {
			t.Errorf("the log was read %d times", read)
		}
	})
}

// Each outcome of a write has its error. Nothing is refused on this node unless
// the store wrote it.
func TestOutcomes(t *testing.T) {
	dead := errors.New("any outage") // stands for ErrUnavailable with one report
	for name, outcomes := range map[string]map[store.Outcome]error{
		"Start": {
			store.Early: sentinel.ErrNotBefore, store.Full: sentinel.ErrLimit,
			store.Taken: dead, store.Unwritten: dead, store.Behind: dead,
		},
		"Renew":     {store.Behind: sentinel.ErrConflict, store.Unwritten: sentinel.ErrEnded},
		"Commit":    {store.Behind: sentinel.ErrConflict, store.Unwritten: sentinel.ErrEnded},
		"EndOthers": {store.Behind: sentinel.ErrConflict},
	} {
		for outcome, want := range outcomes {
			inBubbles(t, map[string]error{name + " " + outcome.String(): want}, func(t *testing.T, want error) {
				w := newWorld(t)
				head := w.db.head() + 100
				w.db.answer(func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
					if callOf(ctx).reads() {
						return perform()
					}
					return store.Snapshot{Outcome: outcome, State: store.Alive, Head: head, Entry: head}, nil
				})
				reports := 0
				if want == dead {
					want, reports = sentinel.ErrUnavailable, 1
				}
				if err := writes[name].make(t.Context(), w.Node, w.db.head()); !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				if got := w.reported(); len(got) != reports {
					t.Errorf("reports %q, want %d", got, reports)
				}
				if len(w.applied) != 0 {
					t.Errorf("applied %v, though nothing was written", w.applied)
				}
				if w.Highest() != head {
					t.Errorf("the node knows %d, want the answer's head, %d", w.Highest(), head)
				}
			})
		}
	}
}

// calls are the calls of a node that ask the store once.
var calls = func() map[string]func(ctx context.Context, n *Node) error {
	all := map[string]func(ctx context.Context, n *Node) error{
		"Position": func(ctx context.Context, n *Node) error { _, err := n.Position(ctx); return err },
		"Family":   func(ctx context.Context, n *Node) error { _, err := n.Family(ctx, a); return err },
		"Families": func(ctx context.Context, n *Node) error {
			_, _, err := n.Families(ctx, store.Query{Subject: "alice", Limit: 10})
			return err
		},
		"Entries": func(ctx context.Context, n *Node) error { _, err := n.Entries(ctx, store.Cursor{}); return err },
		"Refresh": func(ctx context.Context, n *Node) error { _, err := n.Refresh(ctx, current(a)); return err },
		"Look":    func(ctx context.Context, n *Node) error { _, err := n.Look(ctx, current(a)); return err },
	}
	for name, row := range writes {
		all[name] = func(ctx context.Context, n *Node) error { return row.make(ctx, n, n.Highest()) }
	}
	return all
}()

// An outage is reported once. A hang-up is not reported. A bad argument is the
// caller's mistake and no outage.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err, want, not error
		reports        int
	}{
		"down":     {errors.New("down"), sentinel.ErrUnavailable, store.ErrArgument, 1},
		"late":     {context.DeadlineExceeded, sentinel.ErrUnavailable, store.ErrArgument, 1},
		"hung up":  {context.Canceled, sentinel.ErrUnavailable, store.ErrArgument, 0},
		"argument": {store.ErrArgument, store.ErrArgument, sentinel.ErrUnavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, calls, func(t *testing.T, call func(context.Context, *Node) error) {
				w := newWorld(t)
				w.db.fail(c.err)
				err := call(t.Context(), w.Node)
				if !errors.Is(err, c.want) || !errors.Is(err, c.err) || errors.Is(err, c.not) {
					t.Errorf("%v, want %v because of %v", err, c.want, c.err)
				}
				want := c.reports
				if errors.Is(c.err, store.ErrArgument) && strings.HasSuffix(t.Name(), "/End") {
					want = 2 // a logout that the store never takes is an alarm for each session
				}
				if got := w.reported(); len(got) != want {
					t.Errorf("reports %q, want %d", got, want)
				}
				w.db.fail(nil)
			})
		})
	}
}

// Every call of the store outlives the client and is bounded in time.
func TestCallsAreDetachedAndBounded(t *testing.T) {
	inBubbles(t, calls, func(t *testing.T, call func(context.Context, *Node) error) {
		w := newWorld(t)
		if err := call(hungUp(t), w.Node); err != nil {
			t.Error(err)
		}
		w = newWorld(t)
		w.db.hang()
		began := time.Now()
		if err := call(hungUp(t), w.Node); !errors.Is(err, sentinel.ErrUnavailable) || time.Since(began) != timeout {
			t.Errorf("%v after %v, want unavailable after %v", err, time.Since(began), timeout)
		}
		w.db.fail(nil)
	})
}
