package revocation_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// roughStore fails now and then, and loses answers of what it has done. After it
// went back, positions are often taken again by other entries.
type roughStore struct {
	*double
	mu    sync.Mutex
	rnd   *rand.Rand
	rough bool
	calls int
}

func (s *roughStore) luck() (fails, loses bool, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if !s.rough {
		return false, false, 0
	}
	return s.rnd.IntN(5) == 0, s.rnd.IntN(5) == 0, time.Duration(s.rnd.IntN(3000)) * time.Millisecond
}

// append adds an entry above the head and above above.
func (s *roughStore) append(e store.Entry, above store.Position) store.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.double
	d.mu.Lock()
	defer d.mu.Unlock()
	p := max(d.head, above) + 1 + store.Position(s.rnd.IntN(3))
	e.Previous, e.Position, d.head = d.head, p, p
	d.entries = append(d.entries, e)
	close(d.appended)
	d.appended = make(chan struct{})
	return p
}

// write does what an honest store does with a restoration.
func (s *roughStore) write(r store.Restoration) (snap store.Snapshot, err error) {
	if err := r.Check(); err != nil {
		return snap, err
	}
	for _, e := range r.Entries {
		if c := s.revoked(e.Session, e.Subject); max(c.Subject, c.Everyone) < e.Position {
			s.append(e, r.Above)
		}
	}
	snap.Head = s.revoked(store.ID{}, "").Head
	return snap, nil
}

var errRough = errors.New("a rough store")

func (s *roughStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	fails, loses, takes := s.luck()
	if fails {
		return store.Batch{}, errRough
	}
	b, err := s.double.Since(ctx, after, limit, wait)
	time.Sleep(takes / 4) // it may be late
	if loses {
		return store.Batch{}, errRough
	}
	return b, err
}

func (s *roughStore) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	fails, loses, takes := s.luck()
	if fails {
		return store.Snapshot{}, errRough
	}
	time.Sleep(takes / 2)
	snap, err := s.write(r)
	time.Sleep(takes / 2)
	if loses || ctx.Err() != nil {
		return store.Snapshot{}, errRough
	}
	return snap, err
}

func (s *roughStore) become(rough bool) (calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls, s.calls = s.calls, 0
	s.rough = rough
	return calls
}

// entryBefore returns the position of the n-th last entry, but for the first.
func (s *roughStore) entryBefore(n int) store.Position {
	s.double.mu.Lock()
	defer s.double.mu.Unlock()
	return s.entries[max(1, len(s.entries)-1-n)].Position
}

// rememberer is a node with the tokens that its list has refused: the newest
// position of each subject, by its number.
type rememberer struct {
	*revocation.Replica
	mu      sync.Mutex
	numbers map[string]int
	seen    map[int]store.Position
}

func (n *rememberer) knows(who int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.numbers[subject(who)] = who
}

func (n *rememberer) applied(entries []store.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range entries {
		if e.Kind == store.KindSubject {
			who := n.numbers[e.Subject]
			n.seen[who] = max(n.seen[who], e.Position-1)
		}
	}
}

func (n *rememberer) all() map[int]store.Position {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.seen)
}

// A store goes back again and again, while nodes follow it, catch up, revoke,
// and write back, and it fails them half-way. Each node refuses throughout what
// it has seen revoked, and in the end every node does. In the end the log has
// it again, nothing is left to be written back, and a login after that is
// served.
func TestPromise1_LogThatGoesBackAtAnyMoment(t *testing.T) {
	seeds := random(t)
	for range smaller(60, 6) {
		seed := seeds.Uint64()
		synctest.Test(t, func(t *testing.T) { goesBackAtAnyMoment(t, seed) })
		if t.Failed() {
			t.Logf("world %d", seed)
			return
		}
	}
}

func goesBackAtAnyMoment(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := &roughStore{double: newDouble(), rnd: rand.New(rand.NewPCG(seed, 2))}
	s.most = 1 + rnd.IntN(8)
	for range 5 {
		s.append(superseding(session(99), 0), 0)
	}
	nodes := make([]*rememberer, 3)
	for i := range nodes {
		n := &rememberer{numbers: make(map[string]int), seen: make(map[int]store.Position)}
		n.Replica = follow(t, s, revocation.Config{Restore: s.Restore, Applied: n.applied})
		nodes[i] = n
	}
	var catching sync.WaitGroup
	next := 0
	holds := func(when string) {
		t.Helper()
		for i, n := range nodes {
			for who, at := range n.all() {
				if v := n.Check(time.Now(), session(who), subject(who), at); v != revocation.Revoked && v != revocation.Unconfirmed {
					t.Errorf("%s: node %d: subject %d at %d is %v", when, i, who, at, v)
				}
				if !n.Dead(&store.Family{ID: session(who), Subject: subject(who), Birth: at, Position: at}) {
					t.Errorf("%s: node %d: a family of subject %d born at %d is not dead", when, i, who, at)
				}
			}
		}
	}
	s.become(true)
	for range 60 {
		switch rnd.IntN(8) {
		case 0, 1, 2:
			for _, n := range nodes {
				n.knows(next)
			}
			s.append(ofSubject(subject(next), 0), 0)
			next++
		case 3:
			s.append(superseding(session(98), 0), 0)
		case 4: // it goes back a little, and may grow past what it was
			head := s.revoked(store.ID{}, "").Head
			s.lose(s.entryBefore(rnd.IntN(8)))
			if rnd.IntN(2) == 0 {
				s.append(superseding(session(98), 0), head)
			}
		case 5:
			n := nodes[rnd.IntN(len(nodes))]
			for range 2 {
				catching.Go(func() { _ = n.CatchUp(context.Background()) })
			}
		default:
			time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
		}
		holds("at a step")
	}
	s.become(false)
	catching.Wait()
	time.Sleep(5 * time.Minute)
	holds("in the end")
	end := s.append(superseding(session(97), 0), 0)
	time.Sleep(time.Minute)
	for i, n := range nodes {
		if n.State(time.Now()) != revocation.Fresh || n.Head() != end {
			t.Errorf("in the end node %d is %v at %d: want %d", i, n.State(time.Now()), n.Head(), end)
		}
		for who, at := range n.all() {
			if c := s.revoked(session(who), subject(who)); max(c.Subject, c.Everyone, c.Floor) <= at {
				t.Errorf("node %d holds the revocation of subject %d above %d, and the log has %+v", i, who, at, c)
			}
			for j, other := range nodes {
				if v := other.Check(time.Now(), session(who), subject(who), at); v != revocation.Revoked {
					t.Errorf("subject %d at %d, which node %d revoked, is %v on node %d", who, at, i, v, j)
				}
			}
		}
		for who := range next {
			if v := n.Check(time.Now(), session(who), subject(who), end); v != revocation.Good {
				t.Errorf("a login in the end of subject %d is %v on node %d", who, v, i)
			}
			if n.Dead(&store.Family{ID: session(1000 + who), Subject: subject(who), Birth: end, Position: end}) {
				t.Errorf("a login in the end of subject %d is dead on node %d", who, i)
			}
		}
	}
	s.become(false)
	written := s.revoked(store.ID{}, "").Head
	time.Sleep(5 * time.Minute)
	if calls := s.become(false); calls > 3*5*60*8/30*2 { // three nodes, an eighth of 30 s each
		t.Errorf("%d calls in five quiet minutes", calls)
	}
	if head := s.revoked(store.ID{}, "").Head; head != written {
		t.Errorf("the log goes on from %d to %d", written, head)
	}
}
