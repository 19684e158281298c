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

// tally is the session data of the fleet: the login it belongs to, its version,
// and the number of commits in it.
type tally struct {
	Login   int `cbor:"1,keyasint"`
	Version int `cbor:"2,keyasint"`
	Commits int `cbor:"3,keyasint"`
}

// fleet is the nodes, the store, and the network between them.
type fleet struct {
	t         *testing.T
	random    *rand.Rand // the driver's; new for each step
	salt      uint64     // of the network's faults
	began     time.Time
	ring      *keyring.Ring
	mem       *memory.Store
	nodes     [fleetNodes]*member
	oracle    *oracle
	writing   sync.Mutex
	late      sync.WaitGroup // writes that are performed after their caller has given up
	probes    sync.WaitGroup
	faultRate atomic.Int64 // calls of 10,000 that have a fault

	now      atomic.Int64 // the step
	numbers  atomic.Uint64
	versions atomic.Int64
	logins   atomic.Int64

	clients []*client
	revoked []cookies // of revoked sessions
	unknown []cookies // of sessions whose revocation returned an error
	stolen  []cookies // the thief's copies

	mu       sync.Mutex
	counts   map[string]int
	trace    []string
	measured []*measurement
}

// member is one node: a sequence of processes.
type member struct {
	fleet   *fleet
	number  int
	offset  time.Duration // of its clock
	link    *link
	process atomic.Pointer[process]
}

type process struct {
	*wafer.Sessions[tally]
	handler     http.Handler
	incarnation int
}

func newFleet(t *testing.T, ring *keyring.Ring, random *rand.Rand) *fleet {
	f := &fleet{t: t, random: random, salt: random.Uint64(), began: time.Now(), ring: ring, mem: memory.New(memory.Options{}), counts: make(map[string]int)}
	f.oracle = newOracle(f)
	for i := range f.nodes {
		// The clocks of the first two are as far apart as is allowed.
		offset := time.Duration(random.Int64N(int64(2*fleetSkew)+1)) - fleetSkew
		if i < 2 {
			offset = fleetSkew * time.Duration(2*i-1)
		}
		m := &member{fleet: f, number: i, offset: offset}
		m.link = &link{Store: f.mem, fleet: f, node: i}
		f.nodes[i] = m
		m.start()
	}
	return f
}

// start starts the node's process after closing the previous one.
func (m *member) start() {
	m.link.heal()
	incarnation := 1
	if p := m.process.Load(); p != nil {
		p.Close()
		incarnation = p.incarnation + 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s, err := wafer.New(ctx, m.fleet.ring, m.link, wafer.Config[tally]{
		Realm: testRealm, Access: fleetAccess, Idle: fleetIdle, Absolute: fleetAbsolute,
		Grace: fleetGrace, MaxStaleness: fleetStaleness, Skew: fleetSkew,
		Now:     func() time.Time { return time.Now().Add(m.offset) },
		Observe: m.observe,
	})
	if err != nil {
		m.fleet.t.Fatal(err)
	}
	p := &process{Sessions: s, incarnation: incarnation}
	p.handler = s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(requestKey{}).(*request).act(w, r)
	}))
	m.process.Store(p)
}

func (m *member) observe(e wafer.Event) {
	what := "events: " + string(e.Kind)
	if e.Kind == wafer.KindRefreshed {
		what += ", " + e.Reason
	}
	m.fleet.count(what)
	if e.Kind == wafer.KindReplica && e.Reason == "stale" {
		m.fleet.count("a node grew stale")
	}
	if e.Kind == wafer.KindReplayed {
		m.fleet.oracle.reported(e.Session, m.number)
	}
	if e.Kind == wafer.KindAlarm {
		// The store never loses entries here, and no honest client mixes
		// cookies.
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

// counted returns the counts whose names begin with a prefix, without it.
func (f *fleet) counted(prefix string) string {
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

// newRequest begins a request to a node, as the oracle follows it.
func (f *fleet) newRequest(node int, session, refresh, note string) *request {
	p := f.nodes[node].process.Load()
	q := &request{
		number: f.numbers.Add(1), key: fmt.Sprint(f.now.Load(), " ", node, " ", note), node: node, process: p, incarnation: p.incarnation, begin: time.Now(), note: note,
		session: session, refresh: refresh, oracle: f.oracle,
	}
	q.turn = f.oracle.turns.Add(1)
	return q
}

func (q *request) context() context.Context {
	return context.WithValue(context.Background(), requestKey{}, q)
}

func (q *request) httpRequest() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://harness.example/", nil).WithContext(q.context())
	if q.session != "" {
		r.Header.Add("Cookie", sessionCookie+"="+q.session)
	}
	if q.refresh != "" {
		r.Header.Add("Cookie", refreshCookie+"="+q.refresh)
	}
	return r
}
