package revocation_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// checker holds the methods that a Replica and a Cache have in common, and so
// those that the root package uses.
type checker interface {
	Check(now time.Time, session store.ID, subject string, at store.Position) revocation.Verdict
	Confirm(ctx context.Context, session store.ID, subject string, at store.Position) (revocation.Verdict, error)
	Ask(ctx context.Context, session store.ID, subject string, at store.Position) (revocation.Verdict, error)
	CatchUp(ctx context.Context) error
	WaitFor(ctx context.Context, p store.Position) error
	Apply(entries ...store.Entry)
	Learn(p store.Position)
	Floor() store.Position
	Len() int
	Close()
}

// kinds are the implementations under test: the replica, and the cache however
// little it holds.
var kinds = map[string]func(testing.TB, revocation.Source, revocation.Config) checker{
	"replica": func(t testing.TB, s revocation.Source, c revocation.Config) checker { return follow(t, s, c) },
	"cache":   func(t testing.TB, s revocation.Source, c revocation.Config) checker { return newCache(t, s, c) },
	"cache that keeps a part": func(t testing.TB, s revocation.Source, c revocation.Config) checker {
		cache := newCache(t, s, c)
		cache.KeepAtMost(conformSessions / 10)
		return cache
	},
	"cache that keeps nothing": func(t testing.TB, s revocation.Source, c revocation.Config) checker {
		cache := newCache(t, s, c)
		cache.KeepNothing()
		return cache
	},
}

// newCache returns a cache that lives as long as the test.
func newCache(t testing.TB, source revocation.Source, c revocation.Config) *revocation.Cache {
	t.Helper()
	cache, err := revocation.NewCache(source, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	return cache
}

const (
	conformSessions  = 120 // that are used at a time: others take their places
	conformSubjects  = 50
	conformStaleness = 30 * time.Second
	conformAccess    = 5 * time.Minute
)

// conformance is a store with its history, and two nodes of a kind over it.
type conformance struct {
	t      *testing.T
	random *rand.Rand
	db     *memory.Store
	nodes  [2]checker

	first   int // of the sessions that are used
	history []acknowledged
	seen    []store.Position // that the log has had
	counts  map[string]int
}

// acknowledged is a revocation whose call has returned to the caller.
type acknowledged struct {
	entry store.Entry
	by    checker // nil: by a node outside the test
	when  time.Time
}

func (a *acknowledged) names(n int) bool {
	switch a.entry.Kind {
	case store.KindEveryone:
		return true
	case store.KindSubject:
		return a.entry.Subject == subject(n%conformSubjects)
	}
	return a.entry.Session == session(n)
}

// TestPromise1_Conformance: random revocations, commits, drops and tokens, over
// a real store. A node's verdict is never laxer than its own revocations and
// everybody's of MaxStaleness ago, and never stricter than the store. When
// nothing has happened for MaxStaleness, it is [Judge]'s verdict on the store's
// own cutoffs.
func TestPromise1_Conformance(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &conformance{t: t, random: random(t), db: memory.New(memory.Options{}), counts: map[string]int{}}
				ctx := t.Context()
				_, err := c.db.Announce(ctx, store.Announcement{Access: conformAccess, Absolute: time.Hour, MaxStaleness: conformStaleness})
				must(t, err)
				for i := range c.nodes {
					c.nodes[i] = open(t, c.db, revocation.Config{MaxStaleness: conformStaleness})
				}
				for n := range conformSessions {
					c.create(n)
				}
				c.note()
				for step := range smaller(20_000, 4) {
					if step%16 == 0 {
						c.create(c.first + conformSessions)
						c.first++
					}
					c.step()
					if every := smaller(1000, 4); step%every == every-1 {
						c.settle()
					}
				}
				t.Log(c.counts)
				for _, what := range []string{"unconfirmed", "revoked", "expired", "good", "settled revoked", "settled expired", "settled good"} {
					follows, keeps := name == "replica", name != "cache that keeps nothing"
					if c.counts[what] == 0 && (what != "unconfirmed" || !follows) && (what != "good" || keeps) {
						t.Errorf("%q never happened: the test shows nothing", what)
					}
				}
				for i := range c.nodes {
					c.nodes[i].Close()
				}
			})
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *conformance) create(n int) {
	_, err := c.db.Create(c.t.Context(), store.Creation{ID: session(n), Subject: subject(n % conformSubjects), Idle: 24 * time.Hour, Absolute: 24 * time.Hour})
	must(c.t, err)
}

// some returns one of the sessions that are used, a few of them mostly.
func (c *conformance) some() int {
	n := c.random.IntN(conformSessions)
	if c.random.IntN(4) > 0 {
		n %= 8
	}
	return c.first + n
}

func (c *conformance) note() store.Position {
	head := c.truth(0).Head
	c.seen = append(c.seen, head)
	return head
}

// truth returns the store's cutoffs of a session.
func (c *conformance) truth(n int) store.Cutoffs {
	res, err := c.db.Cutoffs(context.Background(), session(n), subject(n%conformSubjects))
	must(c.t, err)
	return res
}

func (c *conformance) step() {
	node := c.nodes[c.random.IntN(2)]
	switch k := c.random.IntN(100); {
	case k < 2:
		c.revoke(node)
	case k < 6:
		c.revoke(nil)
	case k < 10:
		c.commit(node)
	case k == 10 && c.random.IntN(4) == 0:
		must(c.t, node.WaitFor(c.t.Context(), c.note()))
	case k < 20:
		time.Sleep(time.Duration(c.random.Int64N(int64(6 * time.Second))))
	default:
		c.look(node)
	}
}

// revoke revokes as the root package does: own sessions are applied, and for
// subjects and everyone the node catches up. Other nodes notify no one.
func (c *conformance) revoke(node checker) {
	ctx, n := c.t.Context(), c.some()
	e := store.Entry{Kind: store.KindSession, Session: session(n)}
	r := store.Revocation{Sessions: []store.ID{e.Session}}
	switch k := c.random.IntN(100); {
	case k < 2:
		e, r = store.Entry{Kind: store.KindEveryone}, store.Revocation{Everyone: true}
	case k < 40:
		e = store.Entry{Kind: store.KindSubject, Subject: subject(n % conformSubjects)}
		r = store.Revocation{Subjects: []string{e.Subject}}
	}
	snap, err := c.db.Revoke(ctx, r)
	must(c.t, err)
	if snap.Outcome != store.Written {
		return // it was ended before
	}
	e.Position = snap.Entry
	if node != nil {
		node.Learn(snap.Head)
		if e.Kind == store.KindSession || c.random.IntN(4) == 0 {
			node.Apply(e)
		} else {
			must(c.t, node.CatchUp(ctx))
		}
	}
	c.acknowledge(e, node)
}

// commit supersedes the cookies of a session that lives.
func (c *conformance) commit(node checker) {
	n := c.some()
	snap, err := c.db.Commit(c.t.Context(), store.Commit{ID: session(n), Basis: store.MaxPosition, Value: []byte{1}})
	must(c.t, err)
	if snap.Outcome != store.Written {
		return
	}
	e := store.Entry{Kind: store.KindSuperseding, Session: session(n), Position: snap.Entry}
	if c.random.IntN(2) == 0 {
		node = nil
	} else {
		node.Apply(e)
	}
	c.acknowledge(e, node)
}

func (c *conformance) acknowledge(e store.Entry, by checker) {
	c.note()
	c.history = append(c.history, acknowledged{e, by, time.Now()})
}

// token returns a session and the position of a token that it may have.
func (c *conformance) token() (n int, at store.Position) {
	back := 1 + c.random.IntN(4)
	if c.random.IntN(4) == 0 {
		back = 1 + c.random.IntN(200)
	}
	return c.some(), c.seen[max(0, len(c.seen)-back)] - store.Position(c.random.IntN(2))
}

// judge returns a node's verdict on a token.
func (c *conformance) judge(node checker, n int, at store.Position) revocation.Verdict {
	v := node.Check(time.Now(), session(n), subject(n%conformSubjects), at)
	c.counts[v.String()]++
	if v == revocation.Unconfirmed || v == revocation.Ahead {
		var err error
		v, err = node.Confirm(c.t.Context(), session(n), subject(n%conformSubjects), at)
		must(c.t, err)
	}
	return v
}

func (c *conformance) look(node checker) {
	n, at := c.token()
	v := c.judge(node, n, at)
	ended, truth := false, c.truth(n)
	for i := range c.history {
		a := &c.history[i]
		if !a.names(n) {
			continue
		}
		inForce := a.by == node || time.Since(a.when) > conformStaleness
		covers := a.entry.Position > at
		if a.entry.Kind == store.KindSession {
			ended = true
			// An end covers every position, until it is dropped.
			covers = covers || a.entry.Position > max(truth.Floor, node.Floor())
		}
		if v == revocation.Good && inForce && covers {
			c.t.Fatalf("session %d at %d is good: the %v entry at %d is %v old, by this node: %v", n, at, a.entry.Kind, a.entry.Position, time.Since(a.when), a.by == node)
		}
	}
	// A node may remember an end that the store has dropped.
	if want := revocation.Judge(truth, at); want == revocation.Good && v != revocation.Good && !(ended && v == revocation.Revoked) {
		c.t.Fatalf("session %d at %d is %v, and good by the store", n, at, v)
	}
}

// settle waits until everything is in force, and compares all.
func (c *conformance) settle() {
	time.Sleep(conformStaleness + 1)
	for _, node := range c.nodes {
		for range 4 * conformSessions {
			n, at := c.token()
			truth := c.truth(n)
			want, got := revocation.Judge(truth, at), c.judge(node, n, at)
			// An outdated token may also be revoked, or may have been. Only its
			// family decides, and a node that holds the one cutoff need not
			// hold the other.
			refused := func(v revocation.Verdict) bool { return v == revocation.Revoked || v == revocation.Expired }
			outdated := at < max(truth.Floor, truth.Superseding, node.Floor())
			ended := got == revocation.Revoked && slices.ContainsFunc(c.history, func(a acknowledged) bool {
				return a.entry.Kind == store.KindSession && a.names(n) && a.entry.Position <= truth.Floor
			})
			if got != want && !(outdated && refused(got) && refused(want)) && !ended {
				c.t.Fatalf("session %d at %d is %v, and by the store %v: %+v", n, at, got, want, truth)
			}
			c.counts["settled "+got.String()]++
		}
	}
}

// One program of fixed steps, in which every verdict is known, for each kind.
func TestConformance_EachKindOfRevocation(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, db := t.Context(), memory.New(memory.Options{})
				node := kinds[name](t, db, revocation.Config{MaxStaleness: conformStaleness})
				defer node.Close()
				says := func(what string, n int, at store.Position, want revocation.Verdict) {
					t.Helper()
					v, err := node.Confirm(ctx, session(n), subject(n), at)
					if err != nil || v != want {
						t.Errorf("%s: session %d at %d is %v, %v: want %v", what, n, at, v, err, want)
					}
				}
				revoke := func(r store.Revocation) store.Position {
					snap, err := db.Revoke(ctx, r)
					must(t, err)
					return snap.Entry
				}
				res, err := db.Cutoffs(ctx, store.ID{}, "")
				must(t, err)
				at := res.Head
				for n := range 4 {
					says("before", n, at, revocation.Good)
				}
				says("a position that the store never had", 1, at+1, revocation.Ahead)
				one := revoke(store.Revocation{Sessions: []store.ID{session(1)}})
				two := revoke(store.Revocation{Subjects: []string{subject(2)}})
				time.Sleep(conformStaleness + 1)
				says("a session", 1, one-1, revocation.Revoked)
				says("a session", 1, one, revocation.Revoked)
				says("a session", 1, two, revocation.Revoked)
				says("a subject", 2, two-1, revocation.Revoked)
				says("a subject", 2, two, revocation.Good)
				says("another", 3, at, revocation.Good)
				all := revoke(store.Revocation{Everyone: true})
				says("a login after it", 3, all, revocation.Good) // newer than any answer: asked about
				says("everyone", 3, all-1, revocation.Revoked)
				says("everyone", 1, all-1, revocation.Revoked)
				three := revoke(store.Revocation{Sessions: []store.ID{session(3)}})
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				must(t, node.WaitFor(ctx, three))
				says("what was waited for", 3, three-1, revocation.Revoked)
				if err := node.WaitFor(ctx, three+1); err == nil || ctx.Err() == nil {
					t.Errorf("WaitFor a position that the log never reaches: %v", err)
				}
			})
		})
	}
}
