package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// The outside observer of the fleet. wafer tells it nothing but what its calls
// return; what the store has performed it hears from the network. So it knows
// for each credential what must be refused (what was acknowledged), what may
// be (what was performed), and what must be accepted (all else).

// query is one request to one node, as the observer follows it.
type query struct {
	number uint64 // for the trace
	key    string // by which its mishaps are drawn
	node   int
	life   int       // of the node: it is restarted
	turn   uint64    // of all that began or was acknowledged, in order
	begin  time.Time // by the bubble's clock
	note   string

	session, refresh string // the credentials it brings
	thief            bool

	observer *truth
	process  *process
	act      func(http.ResponseWriter, *http.Request)
	calls    atomic.Int64

	// Under the observer's lock.
	mishaps    []mishap
	advanced   store.ID       // the family that its Advance, performed, has moved on
	performed  store.Position // of the last entry that it had appended
	attempts   int            // the version that it tries to put
	basis      int            // the number of commits below that
	login      *login         // that it was seen as
	refreshed  bool
	finished   bool
	afterwards time.Time // when Handler had judged
}

func (q *query) count(method string) uint64 {
	q.observer.fleet.count("calls of requests: " + method)
	return uint64(q.calls.Add(1))
}

// hurt notes that a call of the request meets with a mishap.
func (q *query) hurt(m mishap) {
	q.observer.mu.Lock()
	defer q.observer.mu.Unlock()
	q.mishaps = append(q.mishaps, m)
}

// login is what the observer knows of one session.
type login struct {
	id      store.ID
	subject string
	number  int // of all logins

	birth    store.Position // as last performed
	earliest time.Time      // the login was begun
	absolute time.Time      // its deadline, at the latest
	issued   time.Time      // by the store: login, last advance or forgiveness
	told     time.Time      // what of that the owner's cookies know
	versions map[int]int    // of data that it may have: how many commits each counts
	commits  map[int]int    // which version was acknowledged as commit number n
	acks     []ack          // ends, acknowledged
	supersed []ack          // commits, acknowledged
	last     store.Position // of a commit, performed
	ended    bool           // performed
	why      string
	refused  map[[2]int]uint64 // a logout that the store did not take, by node and life: since which turn

	// What excuses wafer for logging its owner out.
	touched  bool // a thief committed to it
	stolen   bool // a thief refreshed it
	slow     bool // an answer came late
	pending  bool // an advance whose answer the owner did not get
	forgiven bool
}

// ack is a revocation that was acknowledged by a node.
type ack struct {
	node     int
	turn     uint64
	at       time.Time
	position store.Position
	number   int // of a commit
}

// binds reports whether a request must know of a revocation: it began on the
// node after that was acknowledged there, or had the store's own answer; the
// node said meanwhile that it has applied it; or MaxStaleness has passed.
func (o *truth) binds(a ack, q *query, strict bool) bool {
	if a.turn < q.turn && (a.node == q.node || strict) || q.begin.Sub(a.at) > fleetStaleness {
		return true
	}
	for _, w := range o.waits[q.node] {
		if w.turn < q.turn && a.position <= w.position {
			return true
		}
	}
	return false
}

// crumb is what the observer knows of one session cookie.
type crumb struct {
	login    *login
	version  int
	position store.Position
	sealed   time.Time // not before, by the sealing node's clock
	expires  time.Time // at the latest, by the same
	deadline time.Time
}

const forever = store.MaxPosition

type truth struct {
	fleet *fleet
	turns atomic.Uint64

	mu       sync.Mutex
	logins   map[store.ID]*login
	inOrder  []*login
	crumbs   map[string]*crumb
	tokens   map[string]*login
	subjects map[string][]ack
	everyone []ack
	waits    [fleetNodes][]ack
	made     map[store.ID]time.Time    // families, when the store made them
	cut      map[string]store.Position // performed; "": everyone
	final    bool                      // faults have ended: what was performed is in force
	bad      []string
	whose    []int // logins, in the traces to print
	locals   int   // requests that had to be answered without the store
}

func newTruth(f *fleet) *truth {
	return &truth{
		fleet: f, logins: make(map[store.ID]*login), crumbs: make(map[string]*crumb), tokens: make(map[string]*login),
		subjects: make(map[string][]ack), cut: make(map[string]store.Position), made: make(map[store.ID]time.Time),
	}
}

// broken records a broken promise. The lock is held.
func (o *truth) broken(q *query, l *login, format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	if l != nil {
		text += "; " + l.String()
	}
	if q != nil {
		text += fmt.Sprintf("; request %d (%s) to node %d, begun at %v, mishaps %v", q.number, q.note, q.node, o.fleet.since(q.begin), q.mishaps)
	}
	if l != nil {
		o.whose = append(o.whose, l.number)
	}
	o.bad = append(o.bad, fmt.Sprintf("at %v: %s", o.fleet.since(time.Now()), text))
}

func (l *login) String() string {
	return fmt.Sprintf("login %d of %s (born at %d, ended %v %q, stolen %v, slow %v, pending %v, forgiven %v)",
		l.number, l.subject, l.birth, l.ended, l.why, l.stolen, l.slow, l.pending, l.forgiven)
}

func (o *truth) failed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.bad) > 0
}

// performed hears what the store has done for a node. It is called while no
// other write can be performed.
func (o *truth) performed(q *query, argument any, snap store.Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if q != nil && !q.finished && snap.Entry != 0 {
		q.performed = snap.Entry
	}
	moved := func(id store.ID, what string) *login {
		l := o.logins[id]
		if l != nil && snap.Outcome == store.Written {
			if !now.Before(l.issued.Add(fleetIdle + time.Millisecond)) {
				o.broken(q, l, "%s, %v after the idle limit", what, now.Sub(l.issued.Add(fleetIdle)))
			}
			if !now.Before(l.absolute) {
				o.broken(q, l, "%s, %v after the absolute limit", what, now.Sub(l.absolute))
			}
			if what := o.over(l); what != "" {
				o.broken(q, l, "the store wrote to a family after %s was performed", what)
			}
		}
		return l
	}
	switch a := argument.(type) {
	case store.Creation:
		if snap.Outcome == store.Written {
			o.made[a.ID] = now
			for _, id := range a.Ends {
				if old := o.logins[id]; old != nil && !old.ended {
					old.ended, old.why = true, "replaced"
				}
			}
		}
	case store.Advance:
		if l := moved(a.ID, "an advance"); l != nil && snap.Outcome == store.Written && !a.PositionOnly {
			l.issued, l.pending = now, true
			l.stolen = l.stolen || q != nil && q.thief
			if q != nil && !q.finished {
				q.advanced = a.ID
			}
		}
	case forgiveness:
		if l := moved(a.id, "a forgiveness"); l != nil && snap.Outcome == store.Written {
			if l.forgiven {
				o.broken(q, l, "a second generation was forgiven")
			}
			if age := now.Sub(l.issued); age < fleetGrace {
				o.broken(q, l, "a lost answer had to be forgiven %v after the advance, within the grace", age)
			}
			l.issued, l.forgiven = now, true
			l.stolen = l.stolen || q != nil && q.thief
		}
	case store.Commit:
		if l := moved(a.ID, "a commit"); l != nil && snap.Outcome == store.Written && q != nil {
			l.versions[q.attempts] = q.basis + 1
			l.last = snap.Entry
			l.touched = l.touched || q.thief
		}
	case store.Revocation:
		o.revoked(q, a, snap)
	}
}

// revoked is performed for a revocation.
func (o *truth) revoked(q *query, r store.Revocation, snap store.Snapshot) {
	dead := ""
	if r.Except != nil && o.logins[r.Except.ID] != nil {
		dead = o.over(o.logins[r.Except.ID])
	}
	for _, id := range r.Sessions {
		l := o.logins[id]
		if l == nil || l.ended {
			continue
		}
		l.stolen = l.stolen || q != nil && q.thief
		if r.Reason == string(refresh.ReasonReplay) && !o.excused(l) && o.over(l) == "" {
			o.broken(q, l, "an honest browser is taken for a thief")
		}
		l.ended, l.why = true, r.Reason
	}
	for _, subject := range r.Subjects {
		o.cut[subject] = max(o.cut[subject], snap.Entry)
	}
	if r.Everyone {
		o.cut[""] = max(o.cut[""], snap.Entry)
	}
	if r.Except != nil && snap.State == store.Alive && snap.Family.Birth == snap.Entry {
		if l := o.logins[r.Except.ID]; l != nil {
			if dead != "" {
				o.broken(q, l, "it was born again after %s", dead)
			}
			l.birth = snap.Entry
		}
	}
}

// over says what was performed that ended a login, or "".
func (o *truth) over(l *login) string {
	switch {
	case l.ended:
		return "its end: " + l.why
	case l.birth < o.cut[l.subject]:
		return "a revocation of its subject"
	case l.birth < o.cut[""]:
		return "a revocation of everyone"
	}
	return ""
}

// excused reports that an honest owner may be logged out as a thief would.
func (o *truth) excused(l *login) bool {
	return l.stolen || l.slow || l.pending && l.forgiven
}
