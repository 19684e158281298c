package keyring

import (
	"container/heap"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// seedVariable makes a random test run again: WAFER_SEED=… go test -run …
const seedVariable = "WAFER_SEED"

func seeds(t *testing.T, n int) []uint64 {
	if text := os.Getenv(seedVariable); text != "" {
		return []uint64{must(strconv.ParseUint(text, 10, 64))(t)}
	}
	var all []uint64
	for range n {
		all = append(all, rand.Uint64())
	}
	return all
}

// TestSimulation runs nodes for 200 days over one source, which each reloads
// within Lead, while operators rotate, revoke and prune at random. Everything
// that any node seals opens on every node for its whole life, unless its key was
// revoked.
func TestSimulation(t *testing.T) {
	for _, seed := range seeds(t, 2) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Logf("to see it again: %s=%d", seedVariable, seed)
			sim := newSimulation(t, seed)
			sim.run(day(200))
			t.Logf("%d seals, %d opened on every node, %d under revoked keys, version %d, %d keys at most",
				sim.seals, sim.opened, sim.refused, sim.nodes[0].Set().Version(), sim.mostKeys)
			if sim.opened < 1000 || sim.refused == 0 && sim.revocations > 20 || sim.nodes[0].Set().Version() < 20 {
				t.Error("the simulation shows nothing")
			}
		})
	}
}

type simulation struct {
	*testing.T
	random *rand.Rand
	now    time.Time
	events events
	source *memorySource
	nodes  []*Ring
	newest *Ring // reads before each use

	seals, opened, refused, revocations, mostKeys int
	everRevoked                                   map[ID]bool
}

type event struct {
	at time.Time
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	random := rand.New(rand.NewPCG(seed, 3))
	schedule := Schedule{
		Seals: 2*Lead + randomUpTo(random, 8*oneDay).Truncate(time.Second),
		Life:  time.Minute + randomUpTo(random, 12*oneDay).Truncate(time.Second),
	}
	t.Logf("seals %v, life %v", schedule.Seals, schedule.Life)
	first, source := newMemoryRing(t, schedule)
	sim := &simulation{T: t, random: random, now: epoch, source: source, everRevoked: make(map[ID]bool)}
	sim.nodes = append(sim.nodes, first)
	sim.newest = openRing(t, source)
	for range 3 {
		sim.nodes = append(sim.nodes, openRing(t, source))
	}
	for _, node := range sim.nodes {
		sim.every(Lead-time.Second, func() { sim.reload(node) })
		sim.every(8*time.Hour, func() { sim.seal(node) })
	}
	sim.every(12*time.Hour, func() { sim.operate("the timer", sim.timer) })
	sim.every(4*oneDay, func() { sim.operate("rotate", sim.rotate) })
	sim.every(8*oneDay, func() { sim.operate("revoke", sim.revoke) })
	sim.every(3*oneDay, func() { sim.operate("prune", sim.prune) })
	return sim
}

func randomUpTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(1 + random.Int64N(int64(d)))
}

// every repeats an action at random times that are at most longest apart.
func (sim *simulation) every(longest time.Duration, do func()) {
	var again func()
	again = func() {
		do()
		sim.after(randomUpTo(sim.random, longest), again)
	}
	sim.after(randomUpTo(sim.random, longest), again)
}

func (sim *simulation) after(d time.Duration, do func()) {
	heap.Push(&sim.events, event{sim.now.Add(d), do})
}

func (sim *simulation) run(until time.Time) {
	for {
		e := heap.Pop(&sim.events).(event)
		if e.at.After(until) {
			return
		}
		sim.now = e.at
		e.do()
	}
}

func (sim *simulation) reload(node *Ring) {
	if err := node.Reload(sim.Context()); err != nil {
		sim.Fatal(err)
	}
	sim.onePrimary(node.Set())
}

// onePrimary checks Primary against a second implementation of its rule.
func (sim *simulation) onePrimary(s *Set) {
	var best *Key
	count := 0
	for _, k := range s.keys {
		if k.revocation != nil || k.activates.After(sim.now) || !k.expires.IsZero() && !sim.now.Before(k.expires) {
			continue
		}
		switch {
		case best == nil || k.activates.After(best.activates):
			best, count = k, 1
		case k.activates.Equal(best.activates):
			count++
		}
	}
	if k, err := s.Primary(sim.now); count != 1 || err != nil || k != best {
		sim.Fatalf("day %v: %d primaries, Primary says %v, %v; the rule says %v", sim.now.Sub(epoch).Hours()/24, count, k, err, best)
	}
}

func (sim *simulation) seal(node *Ring) {
	k, err := node.Primary(sim.now)
	if err != nil {
		sim.Fatalf("%v cannot seal: %v", node, err)
	}
	sim.seals++
	life := max(2*time.Second, randomUpTo(sim.random, node.Life()))
	if sim.random.IntN(3) == 0 {
		life = node.Life()
	}
	sealed := sim.now
	sim.after(life-time.Second, func() { sim.open(k.ID(), sealed) })
}

func (sim *simulation) open(id ID, sealed time.Time) {
	for _, node := range sim.nodes {
		_, err := node.Set().Key(id, sim.now)
		if err == ErrUnknown { // what Ring.Key does, without its real-time wait
			sim.reload(node)
			_, err = node.Set().Key(id, sim.now)
		}
		switch {
		case sim.everRevoked[id]:
			// A node that has not reloaded yet may still open it.
		case err != nil:
			sim.Fatalf("sealed under %v at %v, at %v on a node: %v; %v", id, sealed.Sub(epoch), sim.now.Sub(epoch), err, node)
		}
	}
	if sim.everRevoked[id] {
		sim.refused++
		sim.reload(sim.newest)
		if _, err := sim.newest.Set().Key(id, sim.now); err == nil {
			sim.Fatalf("%v opens after its revocation", id)
		}
	} else {
		sim.opened++
	}
}

// operate changes the set through a random node, however stale its snapshot.
func (sim *simulation) operate(what string, do func(*Ring) error) {
	node := sim.nodes[sim.random.IntN(len(sim.nodes))]
	before := sim.source.version
	if err := do(node); err != nil {
		sim.Fatalf("%s: %v", what, err)
	}
	sim.onePrimary(node.Set())
	sim.mostKeys = max(sim.mostKeys, len(node.Set().keys))
	changed := sim.source.version != before
	if node.Set().next(sim.now) == nil && (what == "rotate" || what == "revoke" && changed) {
		sim.Fatalf("no next key after %s: %v", what, node)
	}
}

func (sim *simulation) timer(node *Ring) error {
	_, err := node.Rotate(sim.Context(), sim.now, node.Set().Schedule().Seals)
	return err
}

func (sim *simulation) rotate(node *Ring) error {
	_, err := node.Rotate(sim.Context(), sim.now, randomUpTo(sim.random, 3*oneDay)-oneDay)
	return err
}

func (sim *simulation) prune(node *Ring) error {
	_, err := node.Prune(sim.Context(), sim.now)
	return err
}

func (sim *simulation) revoke(node *Ring) error {
	sim.reload(node)
	sim.revocations++
	if sim.random.IntN(10) == 0 {
		for _, k := range node.Set().keys {
			sim.everRevoked[k.id] = true
		}
		return node.RevokeAll(sim.Context(), sim.now, "simulated")
	}
	keys := node.Set().keys
	k := keys[sim.random.IntN(len(keys))]
	sim.everRevoked[k.id] = true
	_, err := node.Revoke(sim.Context(), sim.now, k.id, "simulated")
	return err
}
