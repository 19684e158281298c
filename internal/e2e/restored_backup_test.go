package e2e_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// backedUpStore is a store and its backup. Both take every write until diverged
// is set. restoreBackup puts the backup in the store's place.
type backedUpStore struct {
	store, backup *memory.Store
	diverged      atomic.Bool
	restored      atomic.Bool
}

func (w *world) backedUpStore() *backedUpStore {
	return &backedUpStore{store: w.mem, backup: memory.New(memory.Options{Now: w.clock.Now})}
}

func (t *backedUpStore) now() *memory.Store {
	if t.restored.Load() {
		return t.backup
	}
	return t.store
}

// restoreBackup restores the backup.
func (w *world) restoreBackup(t *backedUpStore) {
	t.restored.Store(true)
	w.mem = t.backup
}

func both[A any](t *backedUpStore, ctx context.Context, what A, write func(*memory.Store, context.Context, A) (store.Snapshot, error)) (store.Snapshot, error) {
	if !t.diverged.Load() {
		if snap, err := write(t.backup, ctx, what); err != nil {
			return snap, err
		}
	}
	return write(t.now(), ctx, what)
}

func (t *backedUpStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return both(t, ctx, c, (*memory.Store).Create)
}
func (t *backedUpStore) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return both(t, ctx, a, (*memory.Store).Advance)
}
func (t *backedUpStore) Bind(ctx context.Context, b store.Binding) (store.Snapshot, error) {
	return both(t, ctx, b, (*memory.Store).Bind)
}
func (t *backedUpStore) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return both(t, ctx, c, (*memory.Store).Commit)
}
func (t *backedUpStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return both(t, ctx, r, (*memory.Store).Revoke)
}
func (t *backedUpStore) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	return both(t, ctx, r, (*memory.Store).Restore)
}
func (t *backedUpStore) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return both(t, ctx, r, (*memory.Store).Reissue)
}
func (t *backedUpStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return t.now().Family(ctx, id)
}
func (t *backedUpStore) Families(ctx context.Context, q store.Query) (store.Page, error) {
	return t.now().Families(ctx, q)
}
func (t *backedUpStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	return t.now().Since(ctx, after, limit, wait)
}
func (t *backedUpStore) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	return t.now().Cutoffs(ctx, session, subject)
}
func (t *backedUpStore) Announce(ctx context.Context, a store.Announcement) (store.Peers, error) {
	if peers, err := t.backup.Announce(ctx, a); err != nil {
		return peers, err
	}
	return t.store.Announce(ctx, a)
}
func (t *backedUpStore) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	return t.now().LoadKeys(ctx)
}
func (t *backedUpStore) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	return t.now().SwapKeys(ctx, version, document)
}

// A store is restored from a backup that is older than the revocations. The
// nodes that hold them continue to refuse what they cover, including what the
// restored store would mint now, and write them back. From then on every node
// refuses it. Nobody else is logged out.
func TestPromise1_RestoredFromABackup(t *testing.T) {
	for name, r := range map[string]wafer.Revocation{
		"a subject": {Subjects: []string{"alice"}}, "a session": {}, "everyone": {Everyone: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			pair := w.backedUpStore()
			here, also, late := w.node(), w.node(), w.node()
			for _, n := range w.nodes {
				n.store.replace(pair)
			}
			// The replicas restart on the pair.
			alice, bob := w.browser().login(here, "alice", "a"), w.browser().login(here, "bob", "b")
			w.pass(time.Second)
			if name == "a session" {
				r.Sessions = []store.ID{store.ID(alice.cookie(w).ID)}
			}
			late.store.fail() // in an outage from here on, so it has none of the entries
			pair.diverged.Store(true)
			w.clock.Move(time.Second)
			here.revoke(r)
			w.pass(time.Second)
			alice.dead(here, also)
			w.clock.Move(time.Second)

			w.restoreBackup(pair)
			// Others continue in the restored store, past all former positions.
			w.clock.Move(testAccess / 2)
			if _, err := w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{"carol"}}); err != nil {
				t.Fatal(err)
			}
			alice.dead(here) // its refresh token too, which the store would serve
			for _, n := range []*node{here, also} {
				n.store.reset()
				n.freshen()
			}
			late.store.heal()
			alice.dead(here, also)
			for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
				c, err := w.mem.Cutoffs(context.Background(), store.ID(alice.cookie(w).ID), "alice")
				if err != nil {
					t.Fatal(err)
				}
				if at := alice.cookie(w).Position; max(c.Ending, c.Subject, c.Everyone) > store.Position(at) {
					break
				}
				if time.Since(start) > 2*time.Minute {
					t.Fatalf("nothing is written back: %+v; %v", c, here.observed())
				}
			}
			w.pass(0)
			alice.dead(here, also, late)
			if name != "everyone" {
				bob.is(here, "bob: b")
				bob.is(late, "bob: b")
			}
			again := w.browser().login(here, "alice", "again")
			for _, n := range w.nodes {
				again.is(n, "alice: again")
			}
			if f := again.family(w); f.State != store.Alive {
				t.Errorf("a login after it is %v", f.State)
			}
			time.Sleep(50 * time.Millisecond)
			w.pass(time.Minute)
			for _, n := range w.nodes {
				again.is(n, "alice: again")
			}
			here.wantEvent(wafer.KindAlarm, "")
			if here.count(wafer.KindAlarm, "lost 1 revocations")+also.count(wafer.KindAlarm, "lost 1 revocations") == 0 {
				t.Error("no alarm says how many the log had lost")
			}
			b, err := w.mem.Since(context.Background(), store.Cursor{}, store.MaxEntries, 0)
			if err != nil {
				t.Fatal(err)
			}
			written := 0
			for _, e := range b.Entries {
				if e.Reason == "written back: the log had lost it" {
					written++
				}
			}
			if written != 1 {
				t.Errorf("two nodes wrote one revocation back %d times", written)
			}
		})
	}
}

// A store that was restored from a backup does not have the sessions that were
// begun since. Other nodes accept their cookies nevertheless, so a login in the
// place of such a session must end it on every node.
func TestPromise1_LoginInPlaceOfASessionThatTheStoreLost(t *testing.T) {
	for name, logHasGoneOn := range map[string]bool{"the log has gone on": true, "the log is at the backup's head": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			pair := w.backedUpStore()
			here, there := w.node(), w.node()
			for _, n := range w.nodes {
				n.store.replace(pair)
			}
			w.pass(2 * time.Minute) // new logs begin a minute ahead; from here on positions follow the clock
			pair.diverged.Store(true)
			here.revoke(wafer.Revocation{Subjects: []string{"carol"}}) // so the backup's head is below alice's position
			alice := w.browser().login(here, "alice", "a")
			w.pass(time.Second)
			w.restoreBackup(pair)
			goOn := func() {
				t.Helper()
				if _, err := w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{"dave"}}); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Second)
			}
			if logHasGoneOn {
				goOn()
				alice.is(there, "alice: a")
			}
			thief := alice.copy()
			alice.login(here, "bob", "b")
			goOn()
			thief.dead(here, there)
			for _, n := range w.nodes {
				alice.is(n, "bob: b")
			}
		})
	}
}
