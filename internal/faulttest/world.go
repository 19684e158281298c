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

// T is what of [testing.TB] a World uses: a test of the observer brings its own,
// and sees what fails.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
}

// Config configures [New]. Open is required, all else has a default. Access
// must be at least 4 × Grace, and Grace longer than three uses of the store may
// take, so that no answer comes late enough to need an excuse.
type Config struct {
	// Open opens node's own handle of the engine. It is called again when the
	// node is restarted. The closer, unless nil, is closed with the node.
	Open func(node int) (store.Store, io.Closer, error)

	Nodes     int // default 3
	Residents int // browsers whose sessions nobody ends; default 8; below 0: none
	Guests    int // browsers that are revoked and log out; default 8; below 0: none

	Access       time.Duration // default 4 s
	Grace        time.Duration // default 1 s
	MaxStaleness time.Duration // default 1 s, the least that wafer takes
	StoreTimeout time.Duration // default 300 ms
	Idle         time.Duration // default 2 min
	// Late is for how long the store may still perform a call that returned an
	// error: as long as a test keeps one on its way. Default StoreTimeout.
	Late time.Duration
	// Recovery is how long after a fault all must be well again by itself.
	// [World.Report] says how long it took. Default MaxStaleness and a minute,
	// which only nodes that do not recover reach, however slow the machine.
	Recovery time.Duration
	// Seed of what browsers, operator and thief choose. Default: a random one.
	// It is logged, though real time decides as much.
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

// pace is how much slower everybody acts by default than in CI. What they do
// costs the processor more than all that a fault test does besides, and a slower
// world still has hundreds of requests in each second.
var pace = time.Duration(rounds.Of(3, 1))

// World is the nodes, those who use them, and the observer.
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
	gate      sync.RWMutex // closed while all is to be quiet

	observer
}

// New starts the nodes. The test's end stops them. A node that cannot be
// started fails t, and New returns nil.
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

// Run lets everybody use the nodes while faults runs, then settles. If the
// world is broken already it does nothing.
func (w *World) Run(faults func()) {
	w.t.Helper()
	stop := make(chan struct{})
	var load sync.WaitGroup
	for _, b := range slices.Concat(w.residents, w.guests) {
		load.Go(func() { w.live(b, stop) })
	}
	load.Go(func() { w.operate(stop) })
	for node := range w.nodes {
		for range thieves {
			load.Go(func() { w.steal(node, stop) })
		}
	}
	w.running.Store(true)
	defer func() {
		// Also where faults ends the test.
		w.running.Store(false)
		close(stop)
		load.Wait()
	}()
	faults()
	w.Settle()
	w.t.Logf("%s", w.Report())
}

// Quiet runs f while nobody asks anything of a node, and all nodes have applied
// what was revoked before. Use it within Run, when all is well. A store that
// loses something in the middle of a revocation that a single node knows of can
// take its position again, which that node then cannot see.
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

// Settle is called when a fault is over, within Run or after it. Within
// Recovery every node must serve every resident again. Then it waits for
// MaxStaleness, and everything that was revoked before is presented to every
// node.
func (w *World) Settle() {
	w.t.Helper()
	began := time.Now()
	for {
		unwell := w.unwell()
		if unwell == "" {
			break
		}
		if time.Since(began) > w.config.Recovery {
			w.mu.Lock()
			w.broken(nil, nil, "%v after the fault all is not well: %s", w.config.Recovery, unwell)
			w.mu.Unlock()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(began)
	// By now each node has looked at the log again, and what that had lost is
	// written back by those who hold it.
	time.Sleep(w.config.MaxStaleness + time.Millisecond)
	w.settled(took)
	w.presentAll()
}

// unwell says which node does not serve whom, or "".
func (w *World) unwell() string {
	for _, b := range w.residents {
		b.mu.Lock()
		for i := range w.nodes {
			a := b.visit(i, "read")
			if a.status == 401 || b.login == nil {
				// Judged already: it was revoked, or else a promise is broken.
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

// random returns an actor's own source.
func (w *World) random() *rand.Rand {
	return rand.New(rand.NewPCG(w.config.Seed, w.actors.Add(1)))
}
