package faulttest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// T has the methods of [testing.TB] that a World uses. A test of the observer passes
// its own T to see the failures.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
}

// Config configures [New]. Open is required, and all else has a default. Access must
// be at least 4 × Grace, and Grace must be longer than three calls of the store may
// take, so that no answer is late enough to need an excuse.
type Config struct {
	// Open opens a handle of the engine for a node. It is called again when the
	// node restarts. The closer, unless nil, is closed with the node.
	Open func(node int) (store.Store, io.Closer, error)

	Nodes     int // default 3
	Residents int // browsers whose sessions nobody ends; default 8; negative for none
	Guests    int // browsers that are revoked and log out; default 8; negative for none

	Access       time.Duration // default 4 s
	Grace        time.Duration // default 1 s
	MaxStaleness time.Duration // default 1 s, the least that wafer accepts
	StoreTimeout time.Duration // default 300 ms
	Idle         time.Duration // default 2 min
	// Late is how long the store may still perform a call after it returned an
	// error: as long as a test delays one. Default StoreTimeout.
	Late time.Duration
	// Recovery is how long after a fault everything must have recovered by
	// itself. [World.Report] shows how long it took. Default MaxStaleness and a
	// minute, which only nodes that do not recover exceed, even on a slow machine.
	Recovery time.Duration
	// Seed seeds the choices of browsers, operator and thieves. Default a random
	// one. It is logged, though real time matters as much.
	Seed uint64
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	count := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
		*n = max(*n, 0)
	}
	set(&c.Access, 4*time.Second)
	set(&c.Grace, time.Second)
	set(&c.MaxStaleness, time.Second)
	set(&c.StoreTimeout, 300*time.Millisecond)
	set(&c.Idle, 2*time.Minute)
	set(&c.Late, c.StoreTimeout)
	set(&c.Recovery, c.MaxStaleness+time.Minute)
	count(&c.Nodes, 3)
	count(&c.Residents, 8)
	count(&c.Guests, 8)
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	return c
}

// pace is how much slower browsers and operator act by default than in CI. Their load
// costs more processor time than the rest of a fault test, and a slower world still
// has hundreds of requests a second.
var pace = time.Duration(rounds.Of(3, 1))

// World holds the nodes, their users and the observer. Its methods report failures to
// the T of [New].
type World struct {
	t         T
	config    Config
	ring      *keyring.Ring
	began     time.Time
	nodes     []*node
	residents []*Browser
	guests    []*Browser
	numbers   atomic.Int64 // of logins
	actors    atomic.Uint64
	running   atomic.Bool
	gate      sync.RWMutex // locked for writing by Quiet

	observer
}

// New starts the nodes. The end of the test stops them. If a node cannot be started,
// New fails t and returns nil.
func New(t T, config Config) *World {
	t.Helper()
	w := &World{t: t, config: config.withDefaults(), began: time.Now()}
	w.observer.init(w)
	var err error
	if w.ring, err = keyring.Static(strings.Repeat("5a", keyring.SecretSize)); err != nil {
		t.Errorf("faulttest: %v", err)
		return nil
	}
	t.Cleanup(w.close)
	for i := range w.config.Nodes {
		n := &node{world: w, number: i}
		w.nodes = append(w.nodes, n)
		if err := n.start(); err != nil {
			t.Errorf("faulttest: node %d: %v", i, err)
			return nil
		}
	}
	for i := range w.config.Residents {
		b := w.Browser(fmt.Sprint("resident", i))
		b.resident = true
		w.residents = append(w.residents, b)
	}
	for i := range w.config.Guests {
		b := w.Browser("")
		b.guest = fmt.Sprint("guest", i/2)
		w.guests = append(w.guests, b)
	}
	return w
}

func (w *World) close() {
	for _, n := range w.nodes {
		n.mu.Lock()
		n.stop()
		n.mu.Unlock()
	}
}

// Run calls faults while browsers, operator and thieves use the nodes, and then
// settles and logs the report.
func (w *World) Run(faults func()) {
	w.t.Helper()
	stop := make(chan struct{})
	var load sync.WaitGroup
	for _, b := range slices.Concat(w.residents, w.guests) {
		load.Go(func() { w.browse(b, stop) })
	}
	load.Go(func() { w.operate(stop) })
	for node := range w.nodes {
		for range thieves {
			load.Go(func() { w.steal(node, stop) })
		}
	}
	w.running.Store(true)
	defer func() {
		// Deferred, since faults may end the test.
		w.running.Store(false)
		close(stop)
		load.Wait()
	}()
	faults()
	w.Settle()
	w.t.Logf("%s", w.Report())
}

// Quiet runs f while nobody makes a request, after all nodes have applied all earlier
// revocations. Use it within Run, when every node is healthy. If a store loses entries
// during a revocation that only one node has seen, it can assign the same position
// again, and that node cannot detect it.
func (w *World) Quiet(f func()) {
	w.t.Helper()
	w.gate.Lock()
	defer w.gate.Unlock()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		var at, most store.Position
		for i, n := range w.nodes {
			h := n.sessions.Health()
			if at = min(at, h.Position); i == 0 {
				at = h.Position
			}
			most = max(most, h.Head)
		}
		if at == most {
			break
		}
		if time.Since(began) > w.config.Recovery {
			w.t.Errorf("faulttest: Quiet: a node has applied %d, another knows of %d", at, most)
			return
		}
	}
	f()
}

// Settle checks that everything recovers after a fault. Call it when the fault is
// over, within Run or after it. Within Config.Recovery every node must serve every
// resident again. Settle then waits for MaxStaleness, and presents everything that
// was revoked before to every node.
func (w *World) Settle() {
	w.t.Helper()
	began := time.Now()
	for {
		unhealthy := w.unhealthy()
		if unhealthy == "" {
			break
		}
		if time.Since(began) > w.config.Recovery {
			w.mu.Lock()
			w.broken(nil, nil, "%v after the fault all is not well: %s", w.config.Recovery, unhealthy)
			w.mu.Unlock()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(began)
	// After that each node has read the log again, and nodes that hold entries
	// which the log has lost have written them back.
	time.Sleep(w.config.MaxStaleness + time.Millisecond)
	w.settled(took)
	w.presentAll()
}

// unhealthy describes a node that does not serve a resident, or returns "".
func (w *World) unhealthy() string {
	for _, b := range w.residents {
		b.mu.Lock()
		for i := range w.nodes {
			a := b.visit(i, "read")
			if a.status == 401 || b.login == nil {
				// The observer has judged it: it was revoked, or a promise is broken.
				a = b.visit(i, "start")
			}
			if a.status != 200 {
				b.mu.Unlock()
				return fmt.Sprintf("node %d answers %s with %d (%v); its list is %s", i, b.subject, a.status, a.err, w.nodes[i].state())
			}
		}
		b.mu.Unlock()
	}
	for i, n := range w.nodes {
		if state := n.state(); state != "fresh" {
			return fmt.Sprintf("the list of node %d is %s", i, state)
		}
	}
	return ""
}

// random returns a source of random numbers for one actor.
func (w *World) random() *rand.Rand {
	return rand.New(rand.NewPCG(w.config.Seed, w.actors.Add(1)))
}
