package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

const timeout = 2 * time.Second

var policy = refresh.Policy{Access: 5 * time.Minute, Grace: 30 * time.Second}

// The families of these tests: a and b are alice's, c is bob's, fresh is a new
// one.
var a, b, c, fresh = store.ID{1}, store.ID{2}, store.ID{3}, store.ID{4}

// call is a call of the store that writes.
type call struct {
	name       string
	above      store.Position
	revocation store.Revocation // of a Revoke
	at         time.Time
}

// reads reports whether the call is one that writes nothing.
func (c call) reads() bool { return c.name == "Cutoffs" || c.name == "Since" || c.name == "Family" }

// fakeStore is a store in memory that records the calls that write. No entry
// reaches a follower of its log: a wait for entries lasts as long as its context.
type fakeStore struct {
	*memory.Store
	mu    sync.Mutex
	calls []call
	over  func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error)
}

// answer makes every call from now on go through over. Nil makes the store work.
func (f *fakeStore) answer(over func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = over
}

// fail makes every call from now on return an error at once. Nil makes the store
// work.
func (f *fakeStore) fail(err error) {
	if err == nil {
		f.answer(nil)
		return
	}
	f.answer(func(context.Context, func() (store.Snapshot, error)) (store.Snapshot, error) {
		return store.Snapshot{}, err
	})
}

// hang makes every call from now on wait until its context ends.
func (f *fakeStore) hang() {
	f.answer(func(ctx context.Context, _ func() (store.Snapshot, error)) (store.Snapshot, error) {
		<-ctx.Done()
		return store.Snapshot{}, ctx.Err()
	})
}

type callKey struct{}

// callOf returns the call that is answered.
func callOf(ctx context.Context) call { return ctx.Value(callKey{}).(call) }

// made returns the calls since it was called last.
func (f *fakeStore) made() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	made := f.calls
	f.calls = nil
	return made
}

func (f *fakeStore) do(ctx context.Context, c call, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
	c.at = time.Now()
	f.mu.Lock()
	f.calls = append(f.calls, c)
	over := f.over
	f.mu.Unlock()
	if over == nil {
		return perform()
	}
	return over(context.WithValue(ctx, callKey{}, c), perform)
}

func (f *fakeStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return f.do(ctx, call{name: "Create", above: c.Above}, func() (store.Snapshot, error) { return f.Store.Create(ctx, c) })
}

func (f *fakeStore) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return f.do(ctx, call{name: "Commit", above: c.Above}, func() (store.Snapshot, error) { return f.Store.Commit(ctx, c) })
}

func (f *fakeStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return f.do(ctx, call{name: "Revoke", above: r.Above, revocation: r}, func() (store.Snapshot, error) { return f.Store.Revoke(ctx, r) })
}

func (f *fakeStore) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return f.do(ctx, call{name: "Advance"}, func() (store.Snapshot, error) { return f.Store.Advance(ctx, a) })
}

func (f *fakeStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return f.do(ctx, call{name: "Family"}, func() (store.Snapshot, error) { return f.Store.Family(ctx, id) })
}

func (f *fakeStore) Families(ctx context.Context, q store.Query) (page store.Page, err error) {
	_, err = f.do(ctx, call{name: "Families"}, func() (snap store.Snapshot, err error) {
		page, err = f.Store.Families(ctx, q)
		return snap, err
	})
	return page, err
}

func (f *fakeStore) Cutoffs(ctx context.Context, session store.ID, subject string) (c store.Cutoffs, err error) {
	_, err = f.do(ctx, call{name: "Cutoffs"}, func() (snap store.Snapshot, err error) {
		c, err = f.Store.Cutoffs(ctx, session, subject)
		return snap, err
	})
	return c, err
}

func (f *fakeStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (b store.Batch, err error) {
	if wait > 0 {
		<-ctx.Done()
		return b, ctx.Err()
	}
	_, err = f.do(ctx, call{name: "Since"}, func() (snap store.Snapshot, err error) {
		b, err = f.Store.Since(ctx, after, limit, 0)
		return snap, err
	})
	return b, err
}

// head returns the head of the store's log.
func (f *fakeStore) head() store.Position {
	c, _ := f.Store.Cutoffs(context.Background(), store.ID{}, "")
	return c.Head
}

// entries returns the entries of the store's log after a position.
func (f *fakeStore) entries(after store.Position) (all []store.Entry) {
	var read store.Cursor
	for {
		b, _ := f.Store.Since(context.Background(), read, store.MaxEntries, 0)
		for _, e := range b.Entries {
			if read = e.Cursor(); e.Position > after {
				all = append(all, e)
			}
		}
		if !b.More {
			return all
		}
	}
}

// cursor returns the place of the last entry of the store's log.
func (f *fakeStore) cursor() store.Cursor {
	all := f.entries(0)
	return all[len(all)-1].Cursor()
}

// world is a node over a fake store. It records what the node reports, and the
// entries that it applies before the log brings them.
type world struct {
	*Node
	Revocations
	t      *testing.T
	db     *fakeStore
	reload func(ctx context.Context) error
	verify func(f *store.Family) error // nil: every row is as it was sealed

	mu      sync.Mutex
	reports []string
	applied []store.Entry
}

func (w *world) report(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, fmt.Sprintf(format, args...))
}

// reported returns the reports since it was called last.
func (w *world) reported() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	reports := w.reports
	w.reports = nil
	return reports
}

func (w *world) Unavailable(id store.ID, err error) { w.report("unavailable %d", id[0]) }

func (w *world) Alarm(id store.ID, _ store.Position, reason string, err error) {
	w.report("alarm %d: %s", id[0], reason)
}

// known records what a node applies.
type known struct {
	Revocations
	world *world
}

func (k known) Apply(entries ...store.Entry) {
	k.world.mu.Lock()
	k.world.applied = append(k.world.applied, entries...)
	k.world.mu.Unlock()
	k.Revocations.Apply(entries...)
}

// observed reports what a node does.
type observed struct{ *world }

func (o observed) Ended(id store.ID, reason string, _ store.Position) {
	o.report("ended %d: %s", id[0], reason)
}

func (o observed) Revoked(id store.ID, reason string, _ store.Position) {
	o.report("revoked %d: %s", id[0], reason)
}

// newWorld returns a node that holds a replica, whose follower is held up after
// the first catch-up. Call it in a bubble.
func newWorld(t *testing.T) *world {
	return newWorldOver(t, func(db store.Store) (Revocations, error) {
		// Its follower waits for an eighth of MaxStaleness before it asks again.
		return revocation.Follow(t.Context(), db, revocation.Config{MaxStaleness: 100 * 24 * time.Hour})
	})
}

// newWorldWithoutReplica returns a node that holds no replica.
func newWorldWithoutReplica(t *testing.T) *world {
	return newWorldOver(t, func(db store.Store) (Revocations, error) { return revocation.NewCache(db, revocation.Config{}) })
}

func newWorldOver(t *testing.T, revocations func(store.Store) (Revocations, error)) *world {
	t.Helper()
	w := &world{t: t, db: &fakeStore{Store: memory.New(memory.Options{})}}
	w.reload = func(context.Context) error { return nil }
	for id, subject := range map[store.ID]string{a: "alice", b: "alice", c: "bob"} {
		if snap, err := w.db.Store.Create(t.Context(), creation(id, subject)); err != nil || snap.Outcome != store.Written {
			t.Fatal(snap.Outcome, err)
		}
	}
	known, err := w.revocations(revocations)
	if err != nil {
		t.Fatal(err)
	}
	w.Revocations = known
	w.Node, err = New(Config{
		Store: w.db, Revocations: known, Policy: policy, Timeout: timeout, MaxPending: maxPending, Observer: observed{w},
		Seals: seals{w}, Leeway: leeway, Now: time.Now, EngineNow: time.Now(),
		ReloadRing: func(ctx context.Context) error { return w.reload(ctx) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Node.Close)
	w.db.made()
	return w
}

// leeway is twice the skew of clocks.
const leeway = 10 * time.Second

// seals are a world's seals. They are apart from their rows, which tests make
// without.
type seals struct{ w *world }

func (s seals) Seal(time.Time, *store.Family) (store.Seal, error) { return store.Seal{}, nil }

func (s seals) Verify(_ context.Context, _ time.Time, f *store.Family) error {
	if s.w.verify == nil {
		return nil
	}
	return s.w.verify(f)
}

func (w *world) revocations(revocations func(store.Store) (Revocations, error)) (Revocations, error) {
	r, err := revocations(w.db)
	return known{r, w}, err
}

func creation(id store.ID, subject string) store.Creation {
	return store.Creation{ID: id, Subject: subject, Idle: time.Hour, Absolute: 12 * time.Hour}
}

// family returns a family as the store has it.
func (w *world) family(id store.ID) store.Snapshot {
	w.t.Helper()
	snap, err := w.db.Store.Family(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return snap
}

// verdict returns what the node knows of a cookie that was minted at a position.
func (w *world) verdict(id store.ID, at store.Position) revocation.Verdict {
	return w.Revocations.Check(time.Now(), id, w.family(id).Family.Subject, at)
}

// wantReports compares the reports since the last call.
func (w *world) wantReports(want ...string) {
	w.t.Helper()
	if got := w.reported(); !slices.Equal(got, want) {
		w.t.Errorf("reports %q, want %q", got, want)
	}
}

// inBubbles runs a test for each row, in a bubble of its own.
func inBubbles[R any](t *testing.T, rows map[string]R, test func(t *testing.T, row R)) {
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, row) })
		})
	}
}

// hungUp returns the context of a client that hung up.
func hungUp(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
