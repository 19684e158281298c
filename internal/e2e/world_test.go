package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
	"github.com/waferkit/wafer/wafertest"
)

// The basis of the tests of promises and interleavings: a world of one store
// and one clock, nodes over it that can each be cut off, stalled or given false
// answers, and browsers whose answers arrive when the test says so, or never.

const (
	testRealm     = "harness.example/test"
	sessionCookie = "__Host-session"
	refreshCookie = "__Host-refresh"

	// The defaults that the tests rely on.
	testAccess    = 5 * time.Minute
	testGrace     = 30 * time.Second
	testIdle      = 30 * time.Minute
	testStaleness = 30 * time.Second
)

var testInstance = codec.Instance{Realm: testRealm, SessionCookie: sessionCookie}

// basket is the session data of the tests.
type basket struct {
	Items []string `cbor:"1,keyasint,omitempty"`
}

func (b basket) String() string { return strings.Join(b.Items, " ") }

func (b basket) with(item string) basket { return basket{append(slices.Clone(b.Items), item)} }

// world is one store, one ring and one clock.
type world struct {
	t     testing.TB
	clock *wafertest.Clock
	ring  *keyring.Ring
	mem   *memory.Store
	nodes []*node

	noReplica bool // the default of the nodes
}

// forEachKind runs a test in a world of nodes that follow the log, and in one
// of nodes without a replica of it.
func forEachKind(t *testing.T, test func(t *testing.T, w *world)) {
	for name, noReplica := range map[string]bool{"replica": false, "no replica": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.noReplica = noReplica
			test(t, w)
		})
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: wafertest.NewClock(time.Now().Round(0).Truncate(time.Second)), ring: newStaticRing(t)}
	w.mem = memory.New(memory.Options{Now: w.clock.Now})
	return w
}

func newStaticRing(t testing.TB) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Static(newStaticSecret())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func newStaticSecret() string {
	var secret [keyring.SecretSize]byte
	rand.Read(secret[:])
	return hex.EncodeToString(secret[:])
}

// node is one process of the application, with its own link to the store and
// its own clock.
type node struct {
	*wafer.Sessions[basket]
	world  *world
	store  *faultStore
	config wafer.Config[basket]

	mu     sync.Mutex
	events []wafer.Event
	closed sync.Once
}

// node starts a process of the application.
func (w *world) node(configure ...func(*wafer.Config[basket])) *node {
	w.t.Helper()
	n := &node{world: w, store: &faultStore{Store: w.mem, counts: make(map[string]int), down: make(map[string]bool)}}
	n.config = wafer.Config[basket]{Realm: testRealm, Now: w.clock.Now, NoReplica: w.noReplica}
	n.config.Observe = func(e wafer.Event) {
		n.mu.Lock()
		n.events = append(n.events, e)
		n.mu.Unlock()
	}
	for _, f := range configure {
		f(&n.config)
	}
	if n.config.Realm != testRealm { // a store belongs to one realm
		n.store.Store = memory.New(memory.Options{Now: w.clock.Now})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if n.Sessions, err = wafer.New(ctx, w.ring, n.store, n.config); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(n.stop)
	w.nodes = append(w.nodes, n)
	return n
}

// nodeOnItsOwnClock starts a process whose clock can be offset from the
// world's.
func (w *world) nodeOnItsOwnClock() (n *node, jump func(time.Duration)) {
	w.t.Helper()
	var offset atomic.Int64
	n = w.node(func(c *wafer.Config[basket]) {
		c.Now = func() time.Time { return w.clock.Now().Add(time.Duration(offset.Load())) }
	})
	return n, func(d time.Duration) { offset.Store(int64(d)) }
}

// stop ends the process, once.
func (n *node) stop() {
	n.closed.Do(func() {
		n.store.heal()
		n.Close()
	})
}

// pass advances the shared clock and then freshens the nodes that can reach the
// store.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.clock.Move(d)
	for _, n := range w.nodes {
		n.freshen()
	}
}

// freshen makes the node's replica fresh and complete if its store answers.
func (n *node) freshen() {
	n.world.t.Helper()
	if n.store.isDown("Since") {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := n.world.mem.Cutoffs(ctx, store.ID{}, "")
	if err == nil {
		err = n.WaitFor(ctx, c.Head)
	}
	if err != nil {
		n.world.t.Fatal(err)
	}
}

func (n *node) observed() []wafer.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events)
}

// count returns the number of events of a kind whose reason contains text.
func (n *node) count(kind wafer.Kind, text string) int {
	c := 0
	for _, e := range n.observed() {
		if e.Kind == kind && strings.Contains(e.Reason, text) {
			c++
		}
	}
	return c
}

// wantEvent fails the test unless the node has reported such an event.
func (n *node) wantEvent(kind wafer.Kind, text string) {
	n.world.t.Helper()
	if n.count(kind, text) == 0 {
		n.world.t.Errorf("no event %q with the reason %q; there were %v", kind, text, n.observed())
	}
}

// revoke performs a revocation, which must be acknowledged.
func (n *node) revoke(r wafer.Revocation) store.Position {
	n.world.t.Helper()
	at, err := n.Revoke(context.Background(), r)
	if err != nil {
		n.world.t.Fatal(err)
	}
	return at
}

// browser is a jar for two cookies, without the rules of net/http/cookiejar.
type browser struct {
	t       testing.TB
	cookies map[string]string
}

func (w *world) browser() *browser { return &browser{w.t, make(map[string]string)} }

// copy returns a second jar with the same cookies: a tab's view at some moment,
// or a thief's.
func (b *browser) copy() *browser { return &browser{b.t, maps.Clone(b.cookies)} }

func (b *browser) without(name string) *browser {
	c := b.copy()
	delete(c.cookies, name)
	return c
}

func (b *browser) request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://harness.example/", nil)
	for _, name := range []string{sessionCookie, refreshCookie} {
		if value, found := b.cookies[name]; found {
			r.Header.Add("Cookie", name+"="+value)
		}
	}
	return r
}

// visit is a request while it is handled.
type visit struct {
	n   *node
	w   http.ResponseWriter
	r   *http.Request
	s   *wafer.Session[basket]
	err error // why s is nil
}

// data returns the data that the request began with.
func (v *visit) data() basket {
	v.n.world.t.Helper()
	if v.s == nil {
		v.n.world.t.Fatalf("the request has no session: %v", v.err)
	}
	data, err := v.s.Data()
	if err != nil {
		v.n.world.t.Fatal(err)
	}
	return data
}

// answer is a response on its way to the browser.
type answer struct {
	b     *browser
	n     *node
	rec   *httptest.ResponseRecorder
	who   string // how the request was judged: "alice: a b", "401", "503"
	id    store.ID
	begun error // the error of Get, before the handler ran
}

// ask makes a request with the current cookies. Its answer arrives when the
// test calls arrive. A handler may make further requests; those fall between
// this one's judgement and its answer.
func (b *browser) ask(n *node, do func(*visit)) *answer {
	return b.askWith(n, b.request(), do)
}

func (b *browser) askWith(n *node, r *http.Request, do func(*visit)) *answer {
	a := &answer{b: b, n: n, rec: httptest.NewRecorder()}
	n.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := n.Get(r.Context())
		a.begun = err
		if err != nil {
			a.who = fmt.Sprint(wafer.Status(err))
		} else {
			data, dataErr := s.Data()
			a.who, a.id = s.Subject+": "+data.String(), s.ID
			if dataErr != nil {
				a.who = dataErr.Error()
			}
		}
		if do != nil {
			do(&visit{n, w, r, s, err})
		}
	})).ServeHTTP(a.rec, r)
	return a
}

func (a *answer) setCookies() []*http.Cookie { return a.rec.Result().Cookies() }

// arrive gives the answer's cookies to the browser.
func (a *answer) arrive() *answer {
	for _, c := range a.setCookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(a.b.cookies, c.Name)
		} else {
			a.b.cookies[c.Name] = c.Value
		}
	}
	return a
}

// see reads, receives the answer, and returns how the node judged the browser.
func (b *browser) see(n *node) string { return b.ask(n, nil).arrive().who }

// peek is see with an answer that never arrives.
func (b *browser) peek(n *node) string { return b.ask(n, nil).who }

// is fails the test unless the browser is judged as want.
func (b *browser) is(n *node, want string) *answer {
	b.t.Helper()
	a := b.ask(n, nil).arrive()
	if a.who != want {
		b.t.Errorf("the browser is %q, want %q; events: %v", a.who, want, n.observed())
	}
	return a
}

// dead fails the test unless the nodes refuse everything in the jar: both
// cookies together, and each alone.
func (b *browser) dead(nodes ...*node) {
	b.t.Helper()
	for _, n := range nodes {
		for what, jar := range map[string]*browser{
			"the session cookie": b.without(refreshCookie), "the refresh token": b.without(sessionCookie), "the jar": b.copy(),
		} {
			if got := jar.peek(n); got != "401" {
				b.t.Errorf("%s is %q, want 401", what, got)
			}
		}
	}
}

// login starts a session and receives its cookies.
func (b *browser) login(n *node, subject string, items string, options ...wafer.StartOption) *browser {
	b.t.Helper()
	b.ask(n, func(v *visit) {
		if err := n.Start(v.w, v.r, subject, basket{strings.Fields(items)}, options...); err != nil {
			b.t.Fatal(err)
		}
	}).arrive()
	return b
}

// do makes a request, receives its answer, and returns act's error.
func (b *browser) do(n *node, act func(*visit) error) error {
	var err error
	b.ask(n, func(v *visit) { err = act(v) }).arrive()
	return err
}

// Acts of a handler.

func save(item string) func(*visit) error {
	return func(v *visit) error { return v.n.Save(v.w, v.r, v.data().with(item)) }
}

func commit(item string) func(*visit) error {
	return func(v *visit) error { return v.n.Commit(v.w, v.r, v.data().with(item)) }
}

func renew(v *visit) error     { return v.n.Renew(v.w, v.r) }
func endOthers(v *visit) error { return v.n.EndOthers(v.w, v.r) }
func end(v *visit) error       { return v.n.End(v.w, v.r) }

// wants fails the test unless an act returned the expected error.
func wants(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// token decodes the refresh token in the jar.
func (b *browser) token(w *world) codec.RefreshToken {
	b.t.Helper()
	tokens, err := codec.NewRefreshTokens(w.ring, testInstance)
	if err != nil {
		b.t.Fatal(err)
	}
	token, err := tokens.Parse(context.Background(), w.clock.Now(), b.cookies[refreshCookie])
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// cookie decodes the session cookie in the jar.
func (b *browser) cookie(w *world) codec.Session {
	b.t.Helper()
	s, _, err := w.cookies(b.t).Open(context.Background(), w.clock.Now(), b.cookies[sessionCookie])
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (w *world) cookies(t testing.TB) *codec.Cookies {
	t.Helper()
	c, err := codec.NewCookies(w.ring, testRealm, sessionCookie)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// seal makes a session cookie as only a holder of the ring can.
func (w *world) seal(s codec.Session) string {
	w.t.Helper()
	data, err := codec.MarshalData(basket{[]string{"sealed"}})
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := w.cookies(w.t).Seal(w.clock.Now(), &s, data)
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}

// mint makes a refresh token as only a holder of the ring can.
func (w *world) mint(family store.ID, generation uint32) string {
	w.t.Helper()
	return w.mintCopy(family, generation, 0)
}

// mintCopy mints the refresh token of a copy of a family's generation.
func (w *world) mintCopy(family store.ID, generation uint32, copied uint16) string {
	w.t.Helper()
	tokens, err := codec.NewRefreshTokens(w.ring, testInstance)
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := tokens.Mint(w.clock.Now(), codec.RefreshToken{Family: codec.ID(family), Generation: generation, Copy: copied})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// family reads a family past all faults.
func (w *world) family(id store.ID) store.Snapshot {
	w.t.Helper()
	snap, err := w.mem.Family(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return snap
}

func (b *browser) family(w *world) store.Snapshot {
	b.t.Helper()
	return w.family(store.ID(b.token(w).Family))
}

// errStore is the error of a store that is down.
var errStore = errors.New("harness: the store does not answer")

// faultStore is one node's link to the store. It counts calls, fails them,
// loses their answers, and delays them.
type faultStore struct {
	store.Store // the original one: see inner
	current     atomic.Pointer[store.Store]

	mu     sync.Mutex
	counts map[string]int
	down   map[string]bool // "" means everything
	once   []*interception
	logCut bool
}

// interception is what happens to the next call of a method.
type interception struct {
	method string
	lose   bool
	before func()
	after  func()
}

// inner returns the store behind this one.
func (f *faultStore) inner() store.Store {
	if s := f.current.Load(); s != nil {
		return *s
	}
	return f.Store
}

// replace puts another store behind this one.
func (f *faultStore) replace(s store.Store) { f.current.Store(&s) }

// fail makes methods fail until heal. Without arguments all methods fail.
func (f *faultStore) fail(methods ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(methods) == 0 {
		methods = []string{""}
	}
	for _, m := range methods {
		f.down[m] = true
	}
}

// cutLog makes only the long polls of the replica fail.
func (f *faultStore) cutLog() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logCut = true
}

// heal undoes fail and cutLog.
func (f *faultStore) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.down)
	f.logCut = false
}

func (f *faultStore) isDown(method string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down[""] || f.down[method]
}

func (f *faultStore) add(e *interception) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.once = append(f.once, e)
}

// lose performs the next call of a method and loses its answer.
func (f *faultStore) lose(method string) { f.add(&interception{method: method, lose: true}) }

// before runs act when the next call of a method was made and before the store
// has seen it. after runs act when the store has performed it and before the
// node has the answer. The caller waits meanwhile.
func (f *faultStore) before(method string, act func()) {
	f.add(&interception{method: method, before: act})
}
func (f *faultStore) after(method string, act func()) {
	f.add(&interception{method: method, after: act})
}

// calls returns the number of calls since reset by method, without the
// replica's long polls.
func (f *faultStore) calls() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

func (f *faultStore) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.counts)
}

// begin counts a call and returns what happens to it.
func (f *faultStore) begin(method string) (*interception, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[method]++
	if f.down[""] || f.down[method] {
		return nil, errStore
	}
	for i, e := range f.once {
		if e.method == method {
			f.once = slices.Delete(f.once, i, i+1)
			return e, nil
		}
	}
	return &interception{}, nil
}

func through[R any](f *faultStore, method string, call func() (R, error)) (R, error) {
	var none R
	e, err := f.begin(method)
	if err != nil {
		return none, err
	}
	if e.before != nil {
		e.before()
	}
	r, err := call()
	if e.after != nil {
		e.after()
	}
	if e.lose {
		return none, errStore
	}
	return r, err
}

func (f *faultStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return through(f, "Create", func() (store.Snapshot, error) { return f.inner().Create(ctx, c) })
}

func (f *faultStore) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return through(f, "Advance", func() (store.Snapshot, error) { return f.inner().Advance(ctx, a) })
}

func (f *faultStore) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return through(f, "Commit", func() (store.Snapshot, error) { return f.inner().Commit(ctx, c) })
}

func (f *faultStore) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return through(f, "Reissue", func() (store.Snapshot, error) { return f.inner().Reissue(ctx, r) })
}

func (f *faultStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return through(f, "Family", func() (store.Snapshot, error) { return f.inner().Family(ctx, id) })
}

func (f *faultStore) Families(ctx context.Context, q store.Query) (store.Page, error) {
	return through(f, "Families", func() (store.Page, error) { return f.inner().Families(ctx, q) })
}

func (f *faultStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return through(f, "Revoke", func() (store.Snapshot, error) { return f.inner().Revoke(ctx, r) })
}

func (f *faultStore) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	return through(f, "Restore", func() (store.Snapshot, error) { return f.inner().Restore(ctx, r) })
}

func (f *faultStore) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	return through(f, "Cutoffs", func() (store.Cutoffs, error) { return f.inner().Cutoffs(ctx, session, subject) })
}

// Since gives no answer while the log is cut, not even to a query from before.
func (f *faultStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if wait > 0 {
		b, err := f.inner().Since(ctx, after, limit, wait)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.logCut || f.down[""] || f.down["Since"] {
			return store.Batch{}, errStore
		}
		return b, err
	}
	return through(f, "Since", func() (store.Batch, error) { return f.inner().Since(ctx, after, limit, wait) })
}
