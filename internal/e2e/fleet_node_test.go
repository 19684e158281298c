package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

const (
	fleetNodes     = 50
	fleetAccess    = 4 * time.Minute
	fleetIdle      = 15 * time.Minute
	fleetAbsolute  = 90 * time.Minute
	fleetGrace     = 30 * time.Second
	fleetStaleness = 30 * time.Second
	fleetSkew      = 5 * time.Second
)

// tally is the session data of the fleet: whose it is, which version, and how
// many commits are in it.
type tally struct {
	Login   int `cbor:"1,keyasint"`
	Version int `cbor:"2,keyasint"`
	Commits int `cbor:"3,keyasint"`
}

// fleet is the nodes, the store, and what lies between them.
type fleet struct {
	t       *testing.T
	random  *rand.Rand // of the driver alone, anew for each step
	salt    uint64     // of the network's mishaps
	began   time.Time
	ring    *keyring.Ring
	mem     *memory.Store
	nodes   [fleetNodes]*member
	truth   *truth
	writing sync.Mutex
	late    sync.WaitGroup // writes that are performed when their caller has given up
	probes  sync.WaitGroup
	storm   atomic.Int64 // how many of 10,000 calls meet with a mishap

	now      atomic.Int64 // the step
	numbers  atomic.Uint64
	versions atomic.Int64
	logins   atomic.Int64

	persons []*person
	dead    []jar // of revoked sessions
	unknown []jar // of those whose revocation returned an error
	loot    []jar // a thief's

	mu       sync.Mutex
	counts   map[string]int
	trace    []string
	measured []*measurement
}

// member is one node: process after process.
type member struct {
	fleet   *fleet
	number  int
	offset  time.Duration // of its clock
	way     *way
	process atomic.Pointer[process]
}

type process struct {
	*wafer.Sessions[tally]
	handler http.Handler
	life    int
}

func newFleet(t *testing.T, ring *keyring.Ring, random *rand.Rand) *fleet {
	f := &fleet{t: t, random: random, salt: random.Uint64(), began: time.Now(), ring: ring, mem: memory.New(memory.Options{}), counts: make(map[string]int)}
	f.truth = newTruth(f)
	for i := range f.nodes {
		// The first two are as far apart as clocks may be.
		offset := time.Duration(random.Int64N(int64(2*fleetSkew)+1)) - fleetSkew
		if i < 2 {
			offset = fleetSkew * time.Duration(2*i-1)
		}
		m := &member{fleet: f, number: i, offset: offset}
		m.way = &way{Store: f.mem, fleet: f, node: i}
		f.nodes[i] = m
		m.start()
	}
	return f
}

// start starts the node's process, after the end of the one before.
func (m *member) start() {
	m.way.heal()
	life := 1
	if p := m.process.Load(); p != nil {
		p.Close()
		life = p.life + 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s, err := wafer.New(ctx, m.fleet.ring, m.way, wafer.Config[tally]{
		Realm: testRealm, Access: fleetAccess, Idle: fleetIdle, Absolute: fleetAbsolute,
		Grace: fleetGrace, MaxStaleness: fleetStaleness, Skew: fleetSkew,
		Now:     func() time.Time { return time.Now().Add(m.offset) },
		Observe: m.observe,
	})
	if err != nil {
		m.fleet.t.Fatal(err)
	}
	p := &process{Sessions: s, life: life}
	p.handler = s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(requestKey{}).(*query).act(w, r)
	}))
	m.process.Store(p)
}

func (m *member) observe(e wafer.Event) {
	m.fleet.count("events: " + string(e.Kind))
	if e.Kind == wafer.KindReplica && e.Reason == "stale" {
		m.fleet.count("a node grew stale")
	}
	if e.Kind == wafer.KindAlarm {
		// The store never goes back here, and no honest cookies are mixed.
		m.fleet.note("node %d raises the alarm: %s %v", m.number, e.Reason, e.Err)
		m.fleet.count("alarms: " + e.Reason)
	}
}

func (f *fleet) offset(node int) time.Duration { return f.nodes[node].offset }

func (f *fleet) since(t time.Time) time.Duration { return t.Sub(f.began) }

func (f *fleet) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[what]++
}

func (f *fleet) note(format string, values ...any) {
	line := fmt.Sprintf("%v ", f.since(time.Now())) + fmt.Sprintf(format, values...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trace = append(f.trace, line)
}

// tell returns the counts whose names begin with a prefix.
func (f *fleet) tell(prefix string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(f.counts)) {
		if strings.HasPrefix(what, prefix) {
			fmt.Fprintf(&b, "\n  %7d %s", f.counts[what], strings.TrimPrefix(what, prefix))
		}
	}
	return b.String()
}

// ask begins a request to a node as its observer sees it.
func (f *fleet) ask(node int, session, refresh, note string) *query {
	p := f.nodes[node].process.Load()
	q := &query{
		number: f.numbers.Add(1), key: fmt.Sprint(f.now.Load(), " ", node, " ", note), node: node, process: p, life: p.life, begin: time.Now(), note: note,
		session: session, refresh: refresh, observer: f.truth,
	}
	q.turn = f.truth.turns.Add(1)
	return q
}

func (q *query) context() context.Context {
	return context.WithValue(context.Background(), requestKey{}, q)
}

func (q *query) request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://harness.example/", nil).WithContext(q.context())
	if q.session != "" {
		r.Header.Add("Cookie", sessionCookie+"="+q.session)
	}
	if q.refresh != "" {
		r.Header.Add("Cookie", refreshCookie+"="+q.refresh)
	}
	return r
}
