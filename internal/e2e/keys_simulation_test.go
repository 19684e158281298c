package e2e_test

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// Three nodes run for 40 days over one store and one ring that rotates, while
// users log in, read and refresh all the time. No request is ever refused
// because of its key. At any instant one key is primary, the same on every
// node. Whatever is within its times can be opened on each of them.
func TestKeysSimulation(t *testing.T) {
	for _, c := range []keysCase{
		{name: "file, one node rotates", rotators: 1},
		{name: "file, all rotate", rotators: 3},
		{name: "store, all rotate", inStore: true, rotators: 3, tokens: true},
		{name: "file, an operator revokes", rotators: 3, revokes: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			random := seeded(t)
			synctest.Test(t, func(t *testing.T) {
				sim := newKeysSimulation(t, c, random)
				defer sim.close()
				days := rounds.Of(12, 40) // a key seals for 4 days at most, and opens for 7 more
				if raceEnabled {
					days = 10
				}
				sim.run(time.Now().Add(time.Duration(days) * 24 * time.Hour))
				sim.worth(days)
			})
		})
	}
}

type keysCase struct {
	name     string
	inStore  bool // the document is in the store itself
	rotators int  // nodes that rotate and prune by themselves
	revokes  bool // keys are revoked, too
	// tokens adds native clients. Only one case does so, since the ticker of
	// the cache of verified tokens takes most of the time of these tests.
	tokens bool
}

type keysSimulation struct {
	*testing.T
	keysCase
	random   *rand.Rand
	schedule keyring.Schedule
	nodes    []*keysNode
	operator *keyring.Ring
	events   keysEvents
	clients  int

	revoked     map[keyring.ID]bool
	lastRevoked time.Time
	planned     map[time.Time]bool // activations whose moment is tested

	primaries                                map[keyring.ID]bool
	logins, reads, opened, revocations, most int
	refreshed                                atomic.Int64
}

type keysNode struct {
	*wafer.Sessions[basket]
	ring    *keyring.Ring
	cookies *codec.Cookies
	tokens  *codec.RefreshTokens
	values  *codec.Values
}

func newKeysSimulation(t *testing.T, c keysCase, random *rand.Rand) *keysSimulation {
	sim := &keysSimulation{T: t, keysCase: c, random: random, revoked: map[keyring.ID]bool{}, planned: map[time.Time]bool{}, primaries: map[keyring.ID]bool{}}
	sim.schedule = keyring.Schedule{
		Seals: 6*time.Hour + sim.upTo(90*time.Hour).Truncate(time.Second),
		Life:  24*time.Hour + sim.upTo(6*24*time.Hour).Truncate(time.Second),
	}
	access := sim.schedule.Life / 8
	if random.IntN(2) == 0 {
		access = 30 * time.Minute
	}
	t.Logf("seals %v, life %v, access %v", sim.schedule.Seals, sim.schedule.Life, access)
	mem := memory.New(memory.Options{})
	var source keyring.Source = keyring.File(filepath.Join(t.TempDir(), "ring"))
	if c.inStore {
		source = mem
	}
	keeper, err := keyring.NewKeeper(newStaticSecret())
	if err != nil {
		t.Fatal(err)
	}
	if sim.operator, err = keyring.Create(t.Context(), source, keeper, time.Now(), sim.schedule); err != nil {
		t.Fatal(err)
	}
	var tokens *wafer.TokenConfig[basket]
	if c.tokens {
		tokens = &wafer.TokenConfig[basket]{Issuer: "https://harness.example", Audience: "https://harness.example/api"}
		sim.every(2*time.Hour, sim.native)
	}
	for range 3 {
		sim.open(source, keeper, mem, wafer.Config[basket]{
			Realm: testRealm, Access: access, Idle: sim.schedule.Life / 3, Absolute: sim.schedule.Life / 2,
			MaxIdle: sim.schedule.Life, MaxAbsolute: sim.schedule.Life, MaxStaleness: 10 * time.Minute,
			Tokens: tokens,
		})
	}
	sim.every(time.Hour, sim.login)
	sim.every(4*time.Hour, func() { sim.sealValue(sim.anyNode()) })
	for _, n := range sim.nodes[:c.rotators] {
		sim.every(90*time.Minute, func() { sim.rotate(n) })
	}
	if c.rotators > 1 {
		sim.every(2*time.Hour, func() { sim.rotate(sim.nodes...) })
	}
	sim.every(5*24*time.Hour, sim.rotateByHand)
	if c.revokes {
		sim.every(4*24*time.Hour, sim.revoke)
	}
	return sim
}

func (sim *keysSimulation) open(source keyring.Source, keeper keyring.Keeper, mem *memory.Store, config wafer.Config[basket]) {
	n := new(keysNode)
	number := len(sim.nodes)
	config.Observe = func(e wafer.Event) {
		switch {
		case e.Kind == wafer.KindRefreshed:
			sim.refreshed.Add(1)
		case e.Kind == wafer.KindAlarm, e.Kind == wafer.KindUnavailable,
			errors.Is(e.Err, keyring.ErrUnknown), errors.Is(e.Err, keyring.ErrExpired),
			errors.Is(e.Err, keyring.ErrRevoked) && !sim.revokes:
			sim.Errorf("node %d at %v: %v: %s, %v", number, time.Now(), e.Kind, e.Reason, e.Err)
		}
	}
	var errs [5]error
	n.ring, errs[0] = keyring.Open(sim.Context(), source, keeper)
	n.Sessions, errs[1] = wafer.New(sim.Context(), n.ring, mem, config)
	n.cookies, errs[2] = codec.NewCookies(n.ring, testRealm, sessionCookie)
	n.tokens, errs[3] = codec.NewRefreshTokens(n.ring, testInstance)
	n.values, errs[4] = codec.NewValues(n.ring, codec.ValuesConfig{Realm: testRealm, Lifetime: sim.schedule.Life})
	if err := errors.Join(errs[:]...); err != nil {
		sim.Fatal(err)
	}
	sim.nodes = append(sim.nodes, n)
}

func (sim *keysSimulation) close() {
	for _, n := range sim.nodes {
		n.Close()
	}
}

func (sim *keysSimulation) anyNode() *keysNode { return sim.nodes[sim.random.IntN(len(sim.nodes))] }

func (sim *keysSimulation) upTo(d time.Duration) time.Duration {
	return time.Duration(1 + sim.random.Int64N(int64(d)))
}

// The driver: one goroutine lets the time pass and runs what is due.

type keysEvent struct {
	at time.Time
	do func()
}

type keysEvents []keysEvent

func (e keysEvents) Len() int           { return len(e) }
func (e keysEvents) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e keysEvents) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *keysEvents) Push(x any)        { *e = append(*e, x.(keysEvent)) }
func (e *keysEvents) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (sim *keysSimulation) at(at time.Time, do func()) { heap.Push(&sim.events, keysEvent{at, do}) }

// every repeats an action at random intervals of at most longest.
func (sim *keysSimulation) every(longest time.Duration, do func()) {
	sim.at(time.Now().Add(sim.upTo(longest)), func() {
		do()
		sim.every(longest, do)
	})
}

func (sim *keysSimulation) run(until time.Time) {
	for !sim.Failed() {
		e := heap.Pop(&sim.events).(keysEvent)
		if e.at.After(until) {
			return
		}
		time.Sleep(time.Until(e.at))
		sim.onePrimary()
		e.do()
		sim.onePrimary()
	}
	sim.FailNow()
}

// onePrimary checks that the nodes agree on the key that seals now. Only a
// revocation may be unknown to some, and for no longer than a poll.
func (sim *keysSimulation) onePrimary() {
	now := time.Now()
	recent := sim.revokes && now.Sub(sim.lastRevoked) <= ringPoll
	var first *keysNode
	for _, n := range sim.nodes {
		set := n.ring.Set()
		k, err := set.Primary(now)
		if err != nil {
			sim.Fatalf("%v: a node cannot seal: %v", now, err)
		}
		sim.primaries[k.ID()] = true
		sim.most = max(sim.most, len(set.Keys()))
		if first == nil {
			first = n
			continue
		}
		other := first.ring.Set()
		if want, err := other.Primary(now); err != nil || want.ID() != k.ID() && (!recent || other.Version() == set.Version()) {
			sim.Fatalf("%v: two primaries: %v of %v, and %v of %v", now, want, other, k, set)
		}
	}
	for _, k := range sim.operator.Set().Keys() {
		if at := k.Activates(); at.After(now) && !sim.planned[at] {
			sim.planned[at] = true
			for _, d := range []time.Duration{-time.Millisecond, 0, time.Nanosecond, time.Millisecond} {
				sim.at(at.Add(d), func() { // the last and the first values that two keys seal
					sim.sealValue(sim.anyNode())
					sim.login()
				})
			}
		}
	}
}

// Operators and timers.

// rotate is a timer's call, on all these nodes at once.
func (sim *keysSimulation) rotate(nodes ...*keysNode) {
	now := time.Now()
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			_, err := n.ring.Rotate(context.Background(), now, sim.schedule.Seals)
			if _, pruneErr := n.ring.Prune(context.Background(), now); err != nil || pruneErr != nil {
				sim.Errorf("%v: %v, %v", now, err, pruneErr)
			}
		})
	}
	all.Wait()
	sim.reloadOperator()
}

// rotateByHand rotates as soon as every node can have the next key.
func (sim *keysSimulation) rotateByHand() {
	if _, err := sim.operator.Rotate(context.Background(), time.Now(), 0); err != nil {
		sim.Fatal(err)
	}
}

func (sim *keysSimulation) reloadOperator() {
	if err := sim.operator.Reload(context.Background()); err != nil {
		sim.Fatal(err)
	}
}

func (sim *keysSimulation) revoke() {
	sim.reloadOperator()
	keys := sim.operator.Set().Keys()
	k := keys[sim.random.IntN(len(keys))]
	if sim.random.IntN(2) == 0 {
		k, _ = sim.operator.Primary(time.Now())
	}
	if _, err := sim.operator.Revoke(context.Background(), time.Now(), k.ID(), "simulated"); err != nil {
		sim.Fatal(err)
	}
	id := k.ID()
	sim.revoked[id], sim.lastRevoked = true, time.Now()
	sim.revocations++
	sim.at(time.Now().Add(ringPoll), func() {
		for i, n := range sim.nodes {
			if _, err := n.ring.Set().Key(id, time.Now()); errors.Is(err, keyring.ErrRevoked) || errors.Is(err, keyring.ErrUnknown) {
				continue
			}
			sim.Errorf("node %d opens a poll later what key %v sealed, which was revoked", i, id)
		}
	})
}

// Users.

// keysClient is a browser that returns until its session is over.
type keysClient struct {
	name    string
	browser *browser
	under   map[string]keyring.ID // the key that sealed each cookie
	sealed  keyring.ID            // the key that sealed the family, at the login
	until   time.Time             // the session's deadline unless it is refreshed
}

func (sim *keysSimulation) login() {
	sim.clients++
	sim.logins++
	p := &keysClient{name: fmt.Sprintf("user %d", sim.clients), browser: &browser{sim.T, map[string]string{}}, under: map[string]keyring.ID{}}
	var options []wafer.StartOption
	if sim.random.IntN(3) > 0 { // "remember me"
		absolute := sim.schedule.Life
		if sim.random.IntN(2) == 0 {
			absolute -= sim.upTo(absolute / 4)
		}
		options = append(options, wafer.Limits(absolute, absolute))
	}
	sim.request(p, func(n *keysNode, w http.ResponseWriter, r *http.Request) {
		if err := n.Start(w, r, p.name, basket{[]string{p.name}}, options...); err != nil {
			sim.Fatal(err)
		}
		s, err := n.Get(r.Context())
		if err != nil {
			sim.Fatal(err)
		}
		p.until = s.Deadline()
	})
	sim.comeAgain(p)
}

// comeAgain plans the next visit, mostly within a day, sometimes at the last
// moment. So there are also reads near the end of sessions that an operator
// ends early.
func (sim *keysSimulation) comeAgain(p *keysClient) {
	left := time.Until(p.until) - time.Second
	if left <= 0 {
		return
	}
	switch sim.random.IntN(4) {
	case 0: // the last moment
	case 1:
		left = sim.upTo(left)
	default:
		left = sim.upTo(min(left, 24*time.Hour))
	}
	sim.at(time.Now().Add(left), func() { sim.visit(p) })
}

func (sim *keysSimulation) visit(p *keysClient) {
	if sim.revoked[p.under[sessionCookie]] || sim.revoked[p.under[refreshCookie]] || sim.revoked[p.sealed] {
		return // a new login is due
	}
	sim.reads++
	sim.request(p, func(n *keysNode, _ http.ResponseWriter, r *http.Request) {
		s, err := n.Get(r.Context())
		if err != nil || s.Subject != p.name {
			sim.Fatalf("%v: %s, whose session lives until %v, is %v: %v", time.Now(), p.name, p.until, s, err)
		}
		p.until = s.Deadline()
	})
	sim.comeAgain(p)
}

// request makes a request with the client's cookies to a random node and stores
// the answer's cookies. Each of them is checked again shortly before it
// expires.
func (sim *keysSimulation) request(p *keysClient, do func(n *keysNode, w http.ResponseWriter, r *http.Request)) {
	n := sim.anyNode()
	under, _ := n.ring.Primary(time.Now())
	rec := httptest.NewRecorder()
	n.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { do(n, w, r) })).ServeHTTP(rec, p.browser.request())
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge < 0 {
			sim.Fatalf("%v: %s lost the cookie %s", time.Now(), p.name, c.Name)
		}
		p.browser.cookies[c.Name], p.under[c.Name] = c.Value, under.ID()
		if p.sealed == (keyring.ID{}) {
			p.sealed = under.ID()
		}
		if c.Name == refreshCookie {
			sim.openLater(under, p.until, c.Name, func(n *keysNode) error {
				_, err := n.tokens.Parse(context.Background(), time.Now(), c.Value)
				return err
			})
			continue
		}
		header, _, err := n.cookies.Open(context.Background(), time.Now(), c.Value)
		if err != nil {
			sim.Fatal(err)
		}
		alone := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		alone.Header.Set("Cookie", c.Name+"="+c.Value)
		sim.openLater(under, slices.MinFunc([]time.Time{header.Access, header.Idle, header.Absolute}, time.Time.Compare), c.Name, func(n *keysNode) error {
			_, err := n.Check(alone)
			return err
		})
		// Past its access lifetime it still carries the data for a refresh.
		sim.openLater(under, header.Deadline(), c.Name, func(n *keysNode) error {
			_, _, err := n.cookies.Open(context.Background(), time.Now(), c.Value)
			return err
		})
	}
}

// native logs a native client in, whose tokens must be good for their whole
// lifetime.
func (sim *keysSimulation) native() {
	n := sim.anyNode()
	under, _ := n.ring.Primary(time.Now())
	pair, err := n.Issue(context.Background(), "native", wafer.Limits(sim.schedule.Life, sim.schedule.Life))
	if err != nil {
		sim.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://harness.example/api", nil)
	r.Header.Set("Authorization", "Bearer "+pair.AccessToken())
	sim.openLater(under, time.Now().Add(pair.ExpiresIn), "access token", func(n *keysNode) error {
		rec := httptest.NewRecorder()
		n.Bearer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			return fmt.Errorf("status %d", rec.Code)
		}
		return nil
	})
	sim.openLater(under, time.Now().Add(sim.schedule.Life), "native refresh token", func(n *keysNode) error {
		_, err := n.tokens.Parse(context.Background(), time.Now(), pair.RefreshToken())
		return err
	})
}

// sealValue seals a value for all of the ring's Life, the longest time there
// is.
func (sim *keysSimulation) sealValue(n *keysNode) {
	under, _ := n.ring.Primary(time.Now())
	sealed, err := n.values.Seal("value", []byte("kept"))
	if err != nil {
		sim.Fatal(err)
	}
	sim.openLater(under, time.Now().Add(sim.schedule.Life+time.Second-5*time.Millisecond), "value", func(n *keysNode) error {
		_, err := n.values.Open(context.Background(), "value", sealed)
		return err
	})
}

// openLater checks, a second before until, whether every node still opens what
// was sealed under a key.
func (sim *keysSimulation) openLater(under *keyring.Key, until time.Time, what string, open func(n *keysNode) error) {
	sealed := time.Now()
	sim.at(until.Add(-time.Second), func() {
		if sim.revoked[under.ID()] {
			return
		}
		for i, n := range sim.nodes {
			if err := open(n); err != nil {
				sim.Errorf("%v: the %s that key %v sealed at %v does not open on node %d: %v", time.Now(), what, under.ID(), sealed, i, err)
			}
		}
		sim.opened++
	})
}

// worth fails a simulation that shows nothing.
func (sim *keysSimulation) worth(days int) {
	sim.Logf("%d logins, %d reads, %d refreshes, %d things opened at the last moment on each node, %d primaries, %d revocations, %d keys at most, version %d",
		sim.logins, sim.reads, sim.refreshed.Load(), sim.opened, len(sim.primaries), sim.revocations, sim.most, sim.operator.Set().Version())
	least := int(time.Duration(days-5) * 24 * time.Hour / sim.schedule.Seals)
	if sim.logins < 30*days || sim.reads < 30*days || sim.refreshed.Load() < int64(10*days) || sim.opened < 50*days || len(sim.primaries) < least || sim.revokes && sim.revocations < days/5 {
		sim.Error("the simulation shows nothing")
	}
}
