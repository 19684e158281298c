package revocation_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// network is a node's way to the store: it is slow, loses queries and answers,
// and is down for a while.
type network struct {
	*double
	mu     sync.Mutex
	random *rand.Rand
	down   bool
}

func (n *network) draw(limit int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return -1
	}
	return n.random.IntN(limit)
}

func (n *network) set(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

// travel takes its time, and may not arrive.
func (n *network) travel(ctx context.Context) error {
	switch k := n.draw(100); {
	case k < 0:
		return errDown
	case k < 5: // lost
		<-ctx.Done()
		return ctx.Err()
	case k < 15: // late, and maybe after the caller gave up: the answer is taken all the same
		time.Sleep(time.Duration(n.draw(15_000)+1) * time.Millisecond)
	default:
		time.Sleep(time.Duration(n.draw(100)+1) * time.Millisecond)
	}
	return nil
}

func (n *network) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if err := n.travel(ctx); err != nil {
		return store.Batch{}, err
	}
	b, err := n.double.Since(context.WithoutCancel(ctx), after, min(limit, 20), wait)
	if err != nil {
		return b, err
	}
	return b, n.travel(ctx)
}

func (n *network) Cutoffs(ctx context.Context, id store.ID, name string) (store.Cutoffs, error) {
	if err := n.travel(ctx); err != nil {
		return store.Cutoffs{}, err
	}
	c := n.revoked(id, name)
	return c, n.travel(ctx)
}

// Three nodes behind bad networks follow one log that drops its entries, with
// lists that drop theirs. A token that a node accepts, by its replica or by a
// query, was not revoked MaxStaleness ago, nor ever by the node itself.
func TestPromise1_NodesAcceptNothingRevokedMaxStalenessAgo(t *testing.T) {
	for range 3 {
		synctest.Test(t, testNodes)
	}
}

func testNodes(t *testing.T) {
	const staleness, sessions = 10 * time.Second, 300
	r := random(t)
	d := newDouble()
	type node struct {
		*revocation.Replica
		net *network
		own map[int]store.Position // revoked by this node
	}
	var nodes []*node
	for range 3 {
		net := &network{double: d, random: rand.New(rand.NewPCG(r.Uint64(), 0))}
		n := &node{follow(t, net, revocation.Config{MaxStaleness: staleness, Timeout: 4 * time.Second, Limit: 1024}), net, map[int]store.Position{}}
		nodes = append(nodes, n)
	}
	type revoked struct {
		at   store.Position
		when time.Time
	}
	revocations := map[int][]revoked{} // of a session, or its subject
	ended := map[int]bool{}
	var counts [5]int
	good, asked, waited := 0, 0, 0
	judge := func(how string, n *node, s int, at store.Position, when time.Time) {
		good++
		if own := n.own[s]; own > at {
			t.Fatalf("%s: this node revoked session %d at %d, and a token at %d is good", how, s, own, at)
		}
		for _, x := range revocations[s] {
			if x.at > at && when.Sub(x.when) > staleness {
				t.Fatalf("%s: session %d was revoked at %d %v ago, and a token at %d is good", how, s, x.at, when.Sub(x.when), at)
			}
		}
	}
	for range 6000 {
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		n := nodes[r.IntN(len(nodes))]
		s := r.IntN(sessions)
		d.mu.Lock()
		at := d.head - min(d.head, 10*store.Position(r.IntN(200)))
		d.mu.Unlock()
		switch k := r.IntN(100); {
		case k < 35: // revoke
			for range 1 + r.IntN(3) {
				s := r.IntN(sessions)
				e := ofSubject(subject(s), 0)
				if !ended[s] && r.IntN(2) == 0 {
					e = superseding(session(s), 0)
					if r.IntN(20) == 0 {
						e, ended[s] = ending(session(s), 0), true
					}
				}
				e.Position = d.add(e)
				revocations[s] = append(revocations[s], revoked{e.Position, time.Now()})
				if r.IntN(2) == 0 || n.CatchUp(context.Background()) != nil {
					n.Apply(e)
				}
				n.own[s] = e.Position
			}
		case k < 38:
			n.net.set(r.IntN(2) == 0)
		case k < 40:
			d.drop(at)
		case k < 45: // a caller that asks the store
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if n.WaitFor(ctx, at) == nil {
				if waited++; n.Head() < at {
					t.Fatalf("WaitFor(%d) returned at %d", at, n.Head())
				}
			}
			cancel()
		default:
			now := time.Now()
			v := n.Check(now, session(s), subject(s), at)
			counts[v]++
			if v == revocation.Good {
				judge("Check", n, s, at, now)
			}
			if v == revocation.Unconfirmed {
				if v, err := n.Ask(context.Background(), session(s), subject(s), at); err == nil && v == revocation.Good {
					asked++
					judge("Ask", n, s, at, time.Now())
				}
			}
		}
	}
	t.Logf("%d good, %d of these by asking; %d waited; unconfirmed, behind, revoked, expired, good: %v", good, asked, waited, counts)
	if good < 100 || asked == 0 || waited == 0 || min(counts[0], counts[1], counts[2], counts[3]) == 0 {
		t.Error("the test shows nothing")
	}
	for _, n := range nodes {
		n.net.set(false)
	}
	time.Sleep(2 * time.Minute)
	for i, n := range nodes {
		d.mu.Lock()
		head := d.head
		d.mu.Unlock()
		if n.Head() != head {
			t.Errorf("node %d ends at %d, the log at %d", i, n.Head(), head)
		}
	}
}
