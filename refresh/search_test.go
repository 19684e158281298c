package refresh_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

var (
	searchStates = flag.Int("search.states", rounds.Of(fewStates, defaultStates), "states that each world of the search visits at most")
	searchDepth  = flag.Int("search.depth", wholeDepth, "steps that the search goes at most")
)

const (
	defaultStates = 10_000
	fewStates     = 4_000
	// wholeDepth is deeper than any world that is searched whole.
	wholeDepth = 1000
)

// search visits every order of events of a small world, breadth first, so it
// finds a violation by a shortest trace. The decisions are those of the real
// packages over a [shelf], which does what the memory store does.
type search struct {
	// The world: what can happen in it.
	rules             refresh.Policy // tight by default
	native            bool           // the client is a native one: it has tokens alone, and no data
	flights           int            // requests of the browser under way at once
	kinds, otherKinds []kind         // of the requests of the browser and of the other party
	times             []units        // that can pass
	prompt            units          // each round trip takes that long at most; 0: any time
	sum               units          // two that overlap take that long together at most; 0: any time
	losses            uint8
	split             bool // phases of requests are told apart
	slowCalls         bool // the grace may pass between two calls of a refresh
	atOnce            bool // a request is sent, served and answered in one step
	thief             bool
	device            bool // the other party has a login of its own
	asides            int  // jars that the owner keeps and puts back
	freshAsides       bool // those are no more than one refresh old
	revocations       uint8
	reload            bool
	floors            uint8   // times that the log is dropped up to its head
	jumps             uint8   // times that the engine's clock is set back,
	jump              units   // by so much
	goesBack          bool    // the store goes back in time once
	bound             bool    // families are bound from their first moment
	binds             bool    // the browser binds its family at some moment
	proofs            []proof // with which the browser sends its requests; none by default
	otherProofs       []proof // and the other party
	forgets           bool    // the jar may lose its refresh token alone
	changes           uint8   // times that somebody changes a row of the store, and puts it back
	life              units   // of session cookies; 0: the access lifetime
	idle              units   // the idle limit; 0: none
	gap               units   // the longest time between two requests of the browser; 0: any
	copies            uint16  // that the browser has lost in the beginning; 0: there was no refresh

	// The promises of this world, besides those that always hold.
	neverReplayed, neverReissued, neverRefused, neverLost bool
	thiefAdvances, thiefSpaced                            uint8
	inTheGrace                                            bool // thiefAdvances holds for one in the grace, too
	remembers                                             bool // and for what a store has lost that went back
	staleSaves, staleLiteral                              bool

	begins []move // the world begins after them
	twist  twist

	store                *searchStore
	refresher, neighbour *refresh.Refresher
	printer              printer
	nested, full         bool
	violation            string
	only                 string           // only violations that begin with this count
	trace                *strings.Builder // nil if the trace is not wanted
}

// found is the result of a search.
type found struct {
	states, depth int
	whole         bool // there are no more states
	violation     string
	steps         int
	trace         string
	took          time.Duration
}

func (f found) String() string {
	return fmt.Sprintf("%d states, depth %d, all of them: %v, in %v", f.states, f.depth, f.whole, f.took.Round(time.Millisecond))
}

func (s *search) fail(format string, args ...any) {
	if s.violation == "" && strings.HasPrefix(format, s.only) {
		s.violation = fmt.Sprintf(format, args...)
		s.say("VIOLATION: %s", s.violation)
	}
}

func (s *search) say(format string, args ...any) {
	if s.trace != nil {
		fmt.Fprintf(s.trace, "        "+format+"\n", args...)
	}
}

func verifySeal(_ context.Context, f *store.Family) error {
	if f.Seal == changedSeal {
		return errors.New("the row is not as it was sealed")
	}
	return nil
}

func (s *search) policy() refresh.Policy {
	switch {
	case s.twist.policy != (refresh.Policy{}):
		return s.twist.policy
	case s.rules != (refresh.Policy{}):
		return s.rules
	}
	return tight
}

// begin makes the first world: one login, and a second if there is another
// device.
func (s *search) begin(t *testing.T) world {
	s.store = &searchStore{search: s}
	for _, r := range []**refresh.Refresher{&s.refresher, &s.neighbour} {
		var err error
		if *r, err = refresh.New(s.store, s.policy(), time.Hour); err != nil {
			t.Fatal(err)
		}
		(*r).Verify = verifySeal
		if s.twist.verify != nil {
			(*r).Verify = s.twist.verify
		}
	}
	if s.life == 0 {
		s.life = s.access()
	}
	w := world{now: 100, active: 100}
	s.store.w = &w
	w.shelf.raiseFloor(unitTime(w.now)) // the log begins
	w.shelf.floor, w.shelf.everyone = 0, w.shelf.head
	for who := range w.jars {
		if who == other && !s.device {
			break
		}
		r := request{kind: login, who: uint8(who)}
		s.login(&w, &r)
		w.arrive(&r)
	}
	if s.copies != 0 {
		r, k := &w.shelf.rows[1], &w.oracle.rows[1]
		r.n, r.k, k.n, k.k = 2, s.copies, 2, s.copies
	}
	for _, m := range s.begins {
		s.say("%s", s.text(&w, m))
		if !s.apply(&w, m) {
			t.Fatalf("a world cannot begin with: %s", s.text(&w, m))
		}
	}
	return w
}

// node is how a state was reached.
type node struct {
	parent int32
	move   move
}

// run searches until something is violated, everything was seen, or the limits
// are reached.
func (s *search) run(t *testing.T, states, depth int) (f found) {
	t.Helper()
	began := time.Now()
	defer func() { f.took = time.Since(began) }()
	first := s.begin(t)
	seen := map[fingerprint]struct{}{s.fingerprint(&first): {}}
	nodes := []node{{parent: -1}}
	here := frontier{{{first, 0}}}
	w := new(world)
	for ; len(here) > 0; f.depth++ {
		if f.depth == depth {
			return f
		}
		var next frontier
		for c, chunk := range here {
			for i := range chunk {
				for _, m := range s.moves(&chunk[i].world) {
					*w = chunk[i].world
					if !s.apply(w, m) && s.violation == "" {
						continue
					}
					if s.violation != "" {
						f.states, f.violation = len(seen), s.violation
						s.retrace(t, &f, nodes, chunk[i].node, m)
						return f
					}
					print := s.fingerprint(w)
					if _, known := seen[print]; known {
						continue
					}
					seen[print] = struct{}{}
					nodes = append(nodes, node{chunk[i].node, m})
					next.add(w, int32(len(nodes)-1))
					f.states = len(seen)
					if len(seen) >= states {
						f.depth++
						return f
					}
				}
			}
			here[c] = nil
		}
		here = next
	}
	f.whole = true
	return f
}

// frontier holds the worlds of one depth, in chunks: they are large, and a slice
// that grows copies them.
type frontier [][]place

// place is a world, and how it was reached.
type place struct {
	world
	node int32
}

func (f *frontier) add(w *world, node int32) {
	const chunk = 256
	if n := len(*f); n == 0 || len((*f)[n-1]) == chunk {
		*f = append(*f, make([]place, 0, chunk))
	}
	last := &(*f)[len(*f)-1]
	*last = append(*last, place{*w, node})
}

// retrace describes a trace in words by repeating it.
func (s *search) retrace(t *testing.T, f *found, nodes []node, at int32, last move) {
	moves := []move{last}
	for ; at > 0; at = nodes[at].parent {
		moves = append([]move{nodes[at].move}, moves...)
	}
	s.violation, s.trace = "", new(strings.Builder)
	w := s.begin(t)
	for i, m := range moves {
		fmt.Fprintf(s.trace, "    %2d. %s\n", i+1, s.text(&w, m))
		s.apply(&w, m)
	}
	if s.violation != f.violation {
		t.Errorf("the same moves came to %q, then to %q", f.violation, s.violation)
	}
	f.steps, f.trace = len(moves), s.trace.String()
	s.violation, s.trace = "", nil
}
