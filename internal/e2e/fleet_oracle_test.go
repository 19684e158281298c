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

// The oracle of the fleet. Its inputs are the results of wafer's calls, and the
// network's reports of what the store has performed. So for each credential it
// can decide whether it must be refused (an acknowledged revocation), may be
// refused (a performed one), or must be accepted (anything else).

// request is one request to one node, as the oracle follows it.
type request struct {
	number      uint64 // for the trace
	key         string // from which its faults are drawn
	node        int
	incarnation int       // of the node, which may be restarted
	turn        uint64    // its place in the order of all beginnings and acknowledgements
	begin       time.Time // by the bubble's clock
	note        string

	session, refresh string // the credentials in the request
	thief            bool
	since            int // as in cookies

	oracle  *oracle
	process *process
	act     func(http.ResponseWriter, *http.Request)
	calls   atomic.Int64

	// Guarded by the oracle's lock.
	faults     []fault
	advanced   store.ID       // the family that its performed Advance has advanced
	performed  store.Position // of the last entry that it appended
	attempts   int            // the version that it tries to write
	basis      int            // the number of commits before that version
	login      *login         // the session that it was accepted as
	refreshed  bool
	finished   bool
	afterwards time.Time // when Handler had judged it
}

func (q *request) count(method string) uint64 {
	q.oracle.fleet.count("calls of requests: " + method)
	return uint64(q.calls.Add(1))
}

// addFault records that a call of the request had a fault.
func (q *request) addFault(m fault) {
	q.oracle.mu.Lock()
	defer q.oracle.mu.Unlock()
	q.faults = append(q.faults, m)
}

// login is the oracle's record of one session.
type login struct {
	id      store.ID
	subject string
	number  int // among all logins

	birth      store.Position    // as last performed
	earliest   time.Time         // when the login began
	absolute   time.Time         // its deadline, at the latest
	issued     time.Time         // when the store last issued: login, last advance or copy
	delivered  time.Time         // the issue time of the newest credentials that the owner received
	versions   map[int]int       // the versions of data that it may have, and the number of commits in each
	commits    map[int]int       // commit number to the version that was acknowledged for it
	acks       []acknowledgement // acknowledged ends
	superseded []acknowledgement // acknowledged commits
	lastCommit store.Position    // position of the last performed commit
	ended      bool              // its end was performed
	why        string
	refused    map[[2]int]uint64 // logouts that the store did not accept, by node and incarnation: since which turn

	touched bool // a thief committed to it
	stolen  bool // a thief refreshed it: the one excuse for logging its owner out

	advances   []time.Time // those performed for its owner
	matched    int         // how many of them there were when a thief and the owner last had the same token
	thiefWrote bool        // the last advance or copy
}

// acknowledgement is a revocation that a node acknowledged.
type acknowledgement struct {
	node     int
	turn     uint64
	at       time.Time
	position store.Position
	number   int // of a commit
}

// mustApply reports whether a revocation must be in force for a request: the
// request began on the same node after the acknowledgement, or had the store's
// own answer; the node has meanwhile reported the revocation as applied; or
// MaxStaleness has passed.
func (o *oracle) mustApply(a acknowledgement, q *request, strict bool) bool {
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

// credential is the oracle's record of one session cookie.
type credential struct {
	login    *login
	version  int
	position store.Position
	sealed   time.Time // at the earliest, by the sealing node's clock
	expires  time.Time // at the latest, by the same clock
	deadline time.Time
}

const forever = store.MaxPosition

type oracle struct {
	fleet *fleet
	turns atomic.Uint64

	mu          sync.Mutex
	logins      map[store.ID]*login
	inOrder     []*login
	credentials map[string]*credential
	tokens      map[string]*login
	subjects    map[string][]acknowledgement
	everyone    []acknowledgement
	waits       [fleetNodes][]acknowledgement
	created     map[store.ID]time.Time    // when the store created each family
	cutoffs     map[string]store.Position // performed; everyone's is under ""
	final       bool                      // faults have ended: everything performed must be in force
	violations  []string
	traced      []int // logins whose traces are printed
	localReads  int   // requests that had to be answered without the store
}

func newOracle(f *fleet) *oracle {
	return &oracle{
		fleet: f, logins: make(map[store.ID]*login), credentials: make(map[string]*credential), tokens: make(map[string]*login),
		subjects: make(map[string][]acknowledgement), cutoffs: make(map[string]store.Position), created: make(map[store.ID]time.Time),
	}
}

// addViolation records a broken promise. The lock must be held.
func (o *oracle) addViolation(q *request, l *login, format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	if l != nil {
		text += "; " + l.String()
	}
	if q != nil {
		text += fmt.Sprintf("; request %d (%s) to node %d, begun at %v, faults %v", q.number, q.note, q.node, o.fleet.since(q.begin), q.faults)
	}
	if l != nil {
		o.traced = append(o.traced, l.number)
	}
	o.violations = append(o.violations, fmt.Sprintf("at %v: %s", o.fleet.since(time.Now()), text))
}

func (l *login) String() string {
	return fmt.Sprintf("login %d of %s (born at %d, ended %v %q, stolen %v)",
		l.number, l.subject, l.birth, l.ended, l.why, l.stolen)
}

func (o *oracle) failed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.violations) > 0
}

// performed records what the store has done for a node. No other write is
// performed during the call.
func (o *oracle) performed(q *request, argument any, snap store.Snapshot) {
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
				o.addViolation(q, l, "%s, %v after the idle limit", what, now.Sub(l.issued.Add(fleetIdle)))
			}
			if !now.Before(l.absolute) {
				o.addViolation(q, l, "%s, %v after the absolute limit", what, now.Sub(l.absolute))
			}
			if what := o.performedEnd(l); what != "" {
				o.addViolation(q, l, "the store wrote to a family after %s was performed", what)
			}
		}
		return l
	}
	switch a := argument.(type) {
	case store.Creation:
		if snap.Outcome == store.Written {
			o.created[a.ID] = now
			for _, id := range a.Ends {
				if old := o.logins[id]; old != nil && !old.ended {
					old.ended, old.why = true, "replaced"
				}
			}
		}
	case store.Advance:
		if l := moved(a.ID, "an advance"); l != nil && snap.Outcome == store.Written && !a.PositionOnly {
			l.issued, l.thiefWrote = now, q != nil && q.thief
			l.stolen = l.stolen || l.thiefWrote
			if !l.thiefWrote {
				l.advances = append(l.advances, now)
			}
			if q != nil && !q.finished {
				q.advanced = a.ID
			}
		}
	case store.Reissue:
		if l := moved(a.ID, "a copy"); l != nil && snap.Outcome == store.Written {
			if age := now.Sub(l.issued); age < fleetGrace {
				o.addViolation(q, l, "a copy was made %v after the last advance or copy, within the grace", age)
			}
			l.issued, l.thiefWrote = now, q != nil && q.thief
			l.stolen = l.stolen || l.thiefWrote
		}
	case store.Commit:
		if l := moved(a.ID, "a commit"); l != nil && snap.Outcome == store.Written && q != nil {
			l.versions[q.attempts] = q.basis + 1
			l.lastCommit = snap.Entry
			l.touched = l.touched || q.thief
		}
	case store.Revocation:
		o.revoked(q, a, snap)
	}
}

// revoked is performed for a revocation.
func (o *oracle) revoked(q *request, r store.Revocation, snap store.Snapshot) {
	ended := ""
	if r.Except != nil && o.logins[r.Except.ID] != nil {
		ended = o.performedEnd(o.logins[r.Except.ID])
	}
	for _, id := range r.Sessions {
		l := o.logins[id]
		if l == nil || l.ended {
			continue
		}
		l.stolen = l.stolen || q != nil && q.thief
		if r.Reason == string(refresh.ReasonReplay) && !l.stolen && o.performedEnd(l) == "" {
			o.addViolation(q, l, "an honest browser is taken for a thief")
		}
		l.ended, l.why = true, r.Reason
	}
	for _, subject := range r.Subjects {
		o.cutoffs[subject] = max(o.cutoffs[subject], snap.Entry)
	}
	if r.Everyone {
		o.cutoffs[""] = max(o.cutoffs[""], snap.Entry)
	}
	if r.Except != nil && snap.State == store.Alive && snap.Family.Birth == snap.Entry {
		if l := o.logins[r.Except.ID]; l != nil {
			if ended != "" {
				o.addViolation(q, l, "it was born again after %s", ended)
			}
			l.birth = snap.Entry
		}
	}
}

// performedEnd returns the performed revocation that ended a login, or "".
func (o *oracle) performedEnd(l *login) string {
	switch {
	case l.ended:
		return "its end: " + l.why
	case l.birth < o.cutoffs[l.subject]:
		return "a revocation of its subject"
	case l.birth < o.cutoffs[""]:
		return "a revocation of everyone"
	}
	return ""
}

// reported checks a report that a refresh token was stolen.
func (o *oracle) reported(id store.ID, node int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.logins[id]; l == nil || !l.stolen {
		o.addViolation(nil, l, "node %d reports an honest browser as a thief", node)
	}
}
