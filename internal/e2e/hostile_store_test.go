package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// A request that begins after Revoke returned on this node must not join a
// refresh flight that began before.
func TestAttack_JoinedFlightAfterRevoke(t *testing.T) {
	for _, kind := range []string{"subject", "everyone"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			b := w.browser().login(n, "alice", "a")
			w.pass(testAccess)
			second := make(chan string, 1)
			n.store.after("Advance", func() {
				if kind == "subject" {
					n.revoke(wafer.Revocation{Subjects: []string{"alice"}})
				} else {
					n.revoke(wafer.Revocation{Everyone: true})
				}
				c := b.copy()
				go func() { second <- c.peek(n) }()
				time.Sleep(100 * time.Millisecond)
			})
			b.peek(n)
			if got := <-second; got != "401" {
				t.Errorf("a request that began after the revocation returned is %q", got)
			}
		})
	}
}

// pairedStore creates and revokes in two stores. After restored is set, it
// answers from the second.
type pairedStore struct {
	*memory.Store
	b        *memory.Store
	only     atomic.Bool // only the first store is written to
	restored atomic.Bool
}

func (d *pairedStore) cur() *memory.Store {
	if d.restored.Load() {
		return d.b
	}
	return d.Store
}
func (d *pairedStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	if d.restored.Load() {
		return d.b.Create(ctx, c)
	}
	if !d.only.Load() {
		d.b.Create(ctx, c)
	}
	return d.Store.Create(ctx, c)
}
func (d *pairedStore) Revoke(ctx context.Context, c store.Revocation) (store.Snapshot, error) {
	if d.restored.Load() {
		return d.b.Revoke(ctx, c)
	}
	if !d.only.Load() {
		d.b.Revoke(ctx, c)
	}
	return d.Store.Revoke(ctx, c)
}
func (d *pairedStore) Advance(ctx context.Context, c store.Advance) (store.Snapshot, error) {
	return d.cur().Advance(ctx, c)
}
func (d *pairedStore) Family(ctx context.Context, c store.ID) (store.Snapshot, error) {
	return d.cur().Family(ctx, c)
}
func (d *pairedStore) Cutoffs(ctx context.Context, id store.ID, s string) (store.Cutoffs, error) {
	return d.cur().Cutoffs(ctx, id, s)
}
func (d *pairedStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	return d.cur().Since(ctx, after, limit, min(wait, 20*time.Millisecond))
}

// The store was restored from a backup. This node still holds the subject's
// revocation, which stays in force, as docs/threat-model.md says.
func TestAttack_RestoredBackupRefreshIgnoresOwnList(t *testing.T) {
	w := newWorld(t)
	d := &pairedStore{Store: w.mem, b: memory.New(memory.Options{Now: w.clock.Now})}
	s, err := wafer.New(context.Background(), w.ring, store.Store(d), wafer.Config[basket]{Realm: testRealm, Now: w.clock.Now, Observe: func(e wafer.Event) {
		if e.Kind == wafer.KindAlarm {
			t.Log(e.Kind, e.Reason, e.Err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rec := httptest.NewRecorder()
	if err := s.Start(rec, httptest.NewRequest("POST", "/", nil), "alice", basket{}); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		r := httptest.NewRequest("GET", "/", nil)
		for _, c := range rec.Result().Cookies() {
			r.AddCookie(c)
		}
		_, err := s.Attach(httptest.NewRecorder(), r)
		return fmt.Sprint(err)
	}
	w.clock.Move(time.Second)
	d.only.Store(true)
	if _, err := s.Revoke(context.Background(), wafer.Revocation{Subjects: []string{"alice"}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != wafer.ErrNoSession.Error() {
		t.Fatal("before the loss:", got)
	}
	d.restored.Store(true)
	time.Sleep(300 * time.Millisecond)
	if got := ask(); got != wafer.ErrNoSession.Error() {
		t.Errorf("after the loss, on a node that holds the revocation: %v", got)
	}
}

// An upgrade whose data is lost gets what Reload returns, not the zero T.
func TestAttack_UpgradeGetsZeroData(t *testing.T) {
	w := newWorld(t)
	var calls atomic.Int64
	n := w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(context.Context, *wafer.Session[basket]) (basket, error) {
			calls.Add(1)
			return basket{[]string{"reloaded"}}, nil
		}
	})
	b := w.browser().login(n, "alice", "a")
	b = b.without(sessionCookie)
	r := b.request()
	r.Header.Set("Upgrade", "websocket")
	a := b.askWith(n, r, nil)
	if a.who != "alice: reloaded" || calls.Load() != 1 {
		t.Errorf("%q, %d calls of Reload", a.who, calls.Load())
	}
}

// A client that adds Upgrade to every request is never refreshed. Reload must
// end its session all the same.
func TestAttack_UpgradeHeaderAvoidsReload(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(context.Context, *wafer.Session[basket]) (basket, error) {
			return basket{}, wafer.ErrEnded // disabled
		}
	})
	b := w.browser().login(n, "alice", "a")
	w.pass(testIdle - time.Minute)
	r := b.request()
	r.Method = "GET"
	r.Header.Set("Upgrade", "x")
	if a := b.askWith(n, r, nil); a.who != "401" {
		t.Errorf("%v after login, with Reload ending the session: %q", testIdle-time.Minute, a.who)
	}
}

// Any other error of Reload is an outage.
func TestAttack_ReloadErrArgument(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) {
		c.Reload = func(ctx context.Context, s *wafer.Session[basket]) (basket, error) {
			return basket{}, fmt.Errorf("roles: %w", store.ErrArgument)
		}
	})
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	if got := b.peek(n); got != "503" {
		t.Errorf("got %s", got)
	}
}

type countingSource struct {
	keyring.Source
	loads atomic.Int64
}

func (c *countingSource) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	c.loads.Add(1)
	return c.Source.LoadKeys(ctx)
}

func dynamicRing(t *testing.T, w *world) (*keyring.Ring, *countingSource) {
	keeper, err := keyring.NewKeeper(newStaticSecret())
	if err != nil {
		t.Fatal(err)
	}
	src := &countingSource{Source: w.mem}
	ring, err := keyring.Create(context.Background(), src, keeper, w.clock.Now(), keyring.Schedule{})
	if err != nil {
		t.Fatal(err)
	}
	return ring, src
}

// Unknown key ids in one request cause one bounded reload.
func TestAttack_JunkKeyIDs(t *testing.T) { synctest.Test(t, testJunkKeyIDs) }

func testJunkKeyIDs(t *testing.T) {
	w := newWorld(t)
	ring, src := dynamicRing(t, w)
	w.ring = ring
	n := w.node()
	other := newWorld(t)
	var lines []string
	for range 4 {
		other.ring = newStaticRing(t)
		m := other.node()
		b := other.browser().login(m, "x", "")
		lines = append(lines, sessionCookie+"="+b.cookies[sessionCookie], refreshCookie+"="+b.cookies[refreshCookie])
	}
	src.loads.Store(0)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", strings.Join(lines, "; "))
	t0 := time.Now()
	n.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	d := time.Since(t0)
	t.Logf("judge: %v, %d loads", d, src.loads.Load())
	if d > time.Second || src.loads.Load() > 1 {
		t.Errorf("one request: %v and %d reloads", d, src.loads.Load())
	}
}

// Nothing is advanced if the answer cannot be sealed.
func TestAttack_NoPrimaryAdvances(t *testing.T) {
	w := newWorld(t)
	w.ring, _ = dynamicRing(t, w)
	n := w.node(func(c *wafer.Config[basket]) { c.StrictRotation = true })
	var off atomic.Int64
	bad := w.node(func(c *wafer.Config[basket]) {
		c.StrictRotation = true
		c.Now = func() time.Time { return w.clock.Now().Add(time.Duration(off.Load())) }
	})
	b := w.browser().login(n, "alice", "a")
	w.pass(testAccess)
	off.Store(int64(-24 * time.Hour)) // this node's clock is now before the first activation
	before := b.family(w).Family.Generation
	t.Log(b.see(bad))
	after := b.family(w).Family.Generation
	if after != before {
		t.Errorf("generation %d became %d with nothing to seal the answer by", before, after)
	}
	off.Store(0)
	w.pass(testGrace + time.Second)
	if got := b.see(n); got != "alice: a" {
		t.Errorf("the honest browser is %q; %v", got, n.observed())
	}
}

// Close takes at most StoreTimeout.
func TestAttack_CloseBound(t *testing.T) { synctest.Test(t, testCloseBound) }

func testCloseBound(t *testing.T) {
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.StoreTimeout = 200 * time.Millisecond })
	var bs []*browser
	for i := range 30 {
		bs = append(bs, w.browser().login(n, fmt.Sprint("u", i), ""))
	}
	n.store.fail("Revoke")
	for _, b := range bs {
		b.do(n, end)
	}
	n.store.heal()
	for range 40 {
		n.store.before("Revoke", func() { time.Sleep(100 * time.Millisecond) })
	}
	t0 := time.Now()
	n.Close()
	if d := time.Since(t0); d > 300*time.Millisecond {
		t.Errorf("Close took %v with a StoreTimeout of 200ms", d)
	}
}

// Check and Error must not distinguish an authentic token from a forged one.
func TestAttack_CheckOracle(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	dead := b.copy()
	n.revoke(wafer.Revocation{Subjects: []string{"alice"}})
	status := func(b *browser) int {
		rec := httptest.NewRecorder()
		r := b.request()
		if _, err := n.Check(r); err != nil {
			n.Error(rec, r, err)
		}
		return rec.Code
	}
	forged := dead.copy()
	forged.cookies[refreshCookie] = forged.cookies[refreshCookie][:58] + "A"
	forged.cookies[sessionCookie] = "x"
	if a, f := status(dead), status(forged); a != f {
		t.Errorf("revoked but authentic: %d, forged: %d", a, f)
	}
}

func TestAttack_MemorySweepFallsBehind(t *testing.T) {
	w := newWorld(t)
	w.node() // announces the lifetimes by which the log drops entries
	ctx := context.Background()
	for range 20 {
		ids := make([]store.ID, store.MaxEntries)
		for i := range ids {
			copy(ids[i][:], newStaticSecret())
		}
		w.mem.Revoke(ctx, store.Revocation{Sessions: ids})
		w.clock.Move(10 * time.Minute)
	}
	old := 0
	var after store.Cursor
	for {
		b, _ := w.mem.Since(ctx, after, store.MaxEntries, 0)
		for _, e := range b.Entries {
			after = store.Cursor{Position: e.Position, ID: e.ID}
			if e.Time.Before(w.clock.Now().Add(-20 * time.Minute)) {
				old++
			}
		}
		if !b.More {
			break
		}
	}
	if old > 1000 {
		t.Errorf("%d entries are older than four access lifetimes", old)
	}
}

// The observer reacts to an alarm by revoking.
func TestAttack_ObserveRevokesOnAlarm(t *testing.T) {
	w := newWorld(t)
	d := &pairedStore{Store: w.mem, b: memory.New(memory.Options{Now: w.clock.Now})}
	var s atomic.Pointer[wafer.Sessions[basket]]
	done := make(chan error, 1)
	ss, err := wafer.New(context.Background(), w.ring, store.Store(d), wafer.Config[basket]{Realm: testRealm, Now: w.clock.Now, Observe: func(e wafer.Event) {
		if e.Kind == wafer.KindAlarm && errors.Is(e.Err, e.Err) && s.Load() != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := s.Load().Revoke(ctx, wafer.Revocation{Everyone: true})
			done <- err
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Store(ss)
	d.restored.Store(true)
	select {
	case err := <-done:
		t.Log(err)
	case <-time.After(2 * time.Minute):
		t.Error("deadlock")
	}
}

// Data that is too large is an ErrTooLarge.
func TestAttack_VeryLarge(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	err := b.do(n, func(v *visit) error { return v.n.Save(v.w, v.r, basket{make([]string, 140_000)}) })
	if !errors.Is(err, wafer.ErrTooLarge) {
		t.Errorf("%d: %v", wafer.Status(err), err)
	}
}
