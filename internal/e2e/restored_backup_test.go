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

// twins are a store and its backup: until backUp both take every write, and
// goBack puts the backup in the store's place.
type twins struct {
	store, backup *memory.Store
	apart         atomic.Bool
	restored      atomic.Bool
}

func (w *world) twins() *twins {
	return &twins{store: w.mem, backup: memory.New(memory.Options{Now: w.clock.Now})}
}

func (t *twins) now() *memory.Store {
	if t.restored.Load() {
		return t.backup
	}
	return t.store
}

// goBack is a restore from the backup.
func (w *world) goBack(t *twins) {
	t.restored.Store(true)
	w.mem = t.backup
}

func both[A any](t *twins, ctx context.Context, what A, write func(*memory.Store, context.Context, A) (store.Snapshot, error)) (store.Snapshot, error) {
	if !t.apart.Load() {
		if snap, err := write(t.backup, ctx, what); err != nil {
			return snap, err
		}
	}
	return write(t.now(), ctx, what)
}

func (t *twins) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return both(t, ctx, c, (*memory.Store).Create)
}
func (t *twins) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return both(t, ctx, a, (*memory.Store).Advance)
}
func (t *twins) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return both(t, ctx, c, (*memory.Store).Commit)
}
func (t *twins) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return both(t, ctx, r, (*memory.Store).Revoke)
}
func (t *twins) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	return both(t, ctx, r, (*memory.Store).Restore)
}
func (t *twins) Forgive(ctx context.Context, id store.ID, generation uint32) (store.Snapshot, error) {
	return t.now().Forgive(ctx, id, generation)
}
func (t *twins) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return t.now().Family(ctx, id)
}
func (t *twins) Families(ctx context.Context, subject string, limit int) ([]store.Family, error) {
	return t.now().Families(ctx, subject, limit)
}
func (t *twins) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
	return t.now().Since(ctx, after, limit, wait)
}
func (t *twins) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	return t.now().Cutoffs(ctx, session, subject)
}
func (t *twins) Announce(ctx context.Context, a store.Announcement) error {
	if err := t.backup.Announce(ctx, a); err != nil {
		return err
	}
	return t.store.Announce(ctx, a)
}
func (t *twins) LoadKeys(ctx context.Context) (uint64, []byte, error) { return t.now().LoadKeys(ctx) }
func (t *twins) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	return t.now().SwapKeys(ctx, version, document)
}

// A store is restored from a backup of before the revocations. The nodes that
// hold them go on to refuse what they cover, also what the restored store
// would mint now, and write them back; from then on every node refuses it.
// Nobody else is logged out.
func TestPromise1_RestoredFromABackup(t *testing.T) {
	for name, r := range map[string]wafer.Revocation{
		"a subject": {Subjects: []string{"alice"}}, "a session": {}, "everyone": {Everyone: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			pair := w.twins()
			here, also, late := w.node(), w.node(), w.node()
			for _, n := range w.nodes {
				n.store.replace(pair)
			}
			// The replicas begin again, on the pair.
			alice, bob := w.browser().login(here, "alice", "a"), w.browser().login(here, "bob", "b")
			w.pass(time.Second)
			if name == "a session" {
				r.Sessions = []store.ID{store.ID(alice.cookie(w).ID)}
			}
			late.store.fail() // cut off from here on: it holds none of it
			pair.apart.Store(true)
			w.clock.Move(time.Second)
			here.revoke(r)
			w.pass(time.Second)
			alice.dead(here, also)
			w.clock.Move(time.Second)

			w.goBack(pair)
			// Others go on in the restored store, past all that was.
			w.clock.Move(testAccess / 2)
			if _, err := w.mem.Revoke(context.Background(), store.Revocation{Subjects: []string{"carol"}}); err != nil {
				t.Fatal(err)
			}
			alice.dead(here) // by its refresh token too, which the store would serve
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
			here.mustSee(wafer.KindAlarm, "")
			if here.count(wafer.KindAlarm, "lost 1 revocations")+also.count(wafer.KindAlarm, "lost 1 revocations") == 0 {
				t.Error("nobody was told how many the log had lost")
			}
			b, err := w.mem.Since(context.Background(), 0, store.MaxEntries, 0)
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
