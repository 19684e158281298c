package wafer_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer"
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

// ending says which acknowledged revocation of a login a request must know of,
// or "". strict: the request had the answer of the store itself.
func (o *truth) ending(q *query, l *login, strict bool) string {
	for _, a := range l.acks {
		if o.binds(a, q, strict) {
			return fmt.Sprintf("its end, acknowledged by node %d at %v", a.node, o.fleet.since(a.at))
		}
	}
	for _, a := range o.subjects[l.subject] {
		if a.position > l.birth && o.binds(a, q, strict) {
			return fmt.Sprintf("a revocation of its subject at %d, acknowledged by node %d at %v", a.position, a.node, o.fleet.since(a.at))
		}
	}
	for _, a := range o.everyone {
		if a.position > l.birth && o.binds(a, q, strict) {
			return fmt.Sprintf("a revocation of everyone at %d, acknowledged by node %d at %v", a.position, a.node, o.fleet.since(a.at))
		}
	}
	if turn, found := l.refused[[2]int{q.node, q.life}]; found && turn < q.turn {
		return "a logout on this node that the store had not taken"
	}
	if o.final {
		return o.over(l)
	}
	return ""
}

// committed returns the number of the last commit that a request must know of.
func (o *truth) committed(q *query, l *login, strict bool) (number int) {
	for _, a := range l.supersed {
		if o.binds(a, q, strict) {
			number = max(number, a.number)
		}
	}
	return number
}

// saw judges that a request was accepted as s with data d.
func (o *truth) saw(q *query, s *wafer.Session[tally], d tally, refreshed bool) *login {
	o.mu.Lock()
	defer o.mu.Unlock()
	q.refreshed, q.afterwards = refreshed, time.Now()
	l := o.logins[s.ID]
	if l == nil {
		o.broken(q, nil, "a session that nobody began: %v", s)
		return nil
	}
	q.login = l
	if s.Subject != l.subject || d.Login != l.number {
		o.broken(q, l, "it is %s with the data of login %d", s.Subject, d.Login)
	}
	if s.Started.Before(l.earliest.Truncate(time.Millisecond)) || s.Started.Add(fleetAbsolute).After(l.absolute) {
		o.broken(q, l, "it says that it was started at %v", o.fleet.since(s.Started))
	}
	strict := refreshed && q.advanced == l.id
	if what := o.ending(q, l, strict); what != "" {
		o.broken(q, l, "accepted after %s", what)
	}
	commits, found := l.versions[d.Version]
	if !found || commits != d.Commits {
		o.broken(q, l, "its data is version %d with %d commits, which it never had: %v", d.Version, d.Commits, l.versions)
	}
	if least := o.committed(q, l, strict); commits < least {
		o.broken(q, l, "its data is of %d commits, and %d were acknowledged", commits, least)
	}
	if refreshed {
		o.sawToken(q, l)
	} else {
		o.sawCookie(q, l, d)
	}
	return l
}

func (o *truth) sawToken(q *query, l *login) {
	if o.tokens[q.refresh] != l {
		o.broken(q, l, "refreshed without its token")
	}
	if q.thief {
		l.stolen = true
	}
	if !q.begin.Before(l.absolute) {
		o.broken(q, l, "refreshed %v after its absolute limit", q.begin.Sub(l.absolute))
	}
}

func (o *truth) sawCookie(q *query, l *login, d tally) {
	c := o.crumbs[q.session]
	if c == nil || c.login != l || c.version != d.Version {
		o.broken(q, l, "its cookie says something else: %+v", c)
		return
	}
	now := q.begin.Add(o.fleet.offset(q.node))
	for _, limit := range []struct {
		what string
		at   time.Time
	}{{"access lifetime", c.expires}, {"session's limits", c.deadline}, {"absolute limit", l.absolute}} {
		if !now.Before(limit.at) {
			o.broken(q, l, "its cookie is accepted %v after its %s", now.Sub(limit.at), limit.what)
		}
	}
	if ahead := c.sealed.Sub(q.afterwards.Add(o.fleet.offset(q.node))); ahead > 2*fleetSkew {
		o.broken(q, l, "its cookie is from %v in the future", ahead)
	}
	for _, acks := range [][]ack{o.subjects[l.subject], o.everyone, l.supersed} {
		for _, a := range acks {
			if a.position > c.position && o.binds(a, q, false) {
				o.broken(q, l, "its cookie is of %d, below what node %d acknowledged at %v, %d", c.position, a.node, o.fleet.since(a.at), a.position)
			}
		}
	}
}

// begun registers a login, in the request that made it.
func (o *truth) begun(q *query, s *wafer.Session[tally], number int) *login {
	o.mu.Lock()
	defer o.mu.Unlock()
	made, found := o.made[s.ID]
	if !found {
		o.broken(q, nil, "a login that the store did not make: %v", s)
	}
	l := &login{
		id: s.ID, subject: s.Subject, number: number, birth: s.Position(), earliest: q.begin,
		issued: made, told: made, absolute: made.Add(fleetAbsolute),
		versions: map[int]int{q.attempts: 0}, commits: make(map[int]int), refused: make(map[[2]int]uint64),
	}
	if old := o.logins[s.ID]; old != nil {
		o.broken(q, old, "a new session has the id of an old one")
	}
	o.logins[s.ID] = l
	o.inOrder = append(o.inOrder, l)
	// What the request brought is replaced.
	o.endedBy(q, "replaced", o.named(q)...)
	return l
}

// named returns whose credentials a request brings.
func (o *truth) named(q *query) (named []*login) {
	if c := o.crumbs[q.session]; c != nil {
		named = append(named, c.login)
	}
	if l := o.tokens[q.refresh]; l != nil && !slices.Contains(named, l) {
		named = append(named, l)
	}
	return named
}

func (o *truth) ack(q *query, position store.Position) ack {
	return ack{node: q.node, turn: o.turns.Add(1), at: time.Now(), position: position}
}

func (o *truth) endedBy(q *query, why string, all ...*login) {
	for _, l := range all {
		if !l.ended {
			o.broken(q, l, "%s: acknowledged, and the store did not perform it", why)
		}
		l.acks = append(l.acks, o.ack(q, forever))
	}
}

// put judges what an act returned that was to put data.
func (o *truth) put(q *query, act string, s *wafer.Session[tally], err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := q.login
	switch {
	case act == "save" && err == nil:
		l.versions[q.attempts] = q.basis
	case act == "commit" && err == nil:
		n := q.basis + 1
		l.versions[q.attempts] = n
		if other, found := l.commits[n]; found {
			o.broken(q, l, "version %d is commit number %d, and so is version %d: an update is lost", q.attempts, n, other)
		}
		l.commits[n] = q.attempts
		a := o.ack(q, s.Position())
		a.number = n
		l.supersed = append(l.supersed, a)
		if what := o.ending(q, l, true); what != "" {
			o.broken(q, l, "a commit is taken after %s", what)
		}
	case act == "others" && err == nil:
		if what := o.ending(q, l, true); what != "" {
			o.broken(q, l, "it survives after %s", what)
		}
		if l.birth < s.Position() {
			o.broken(q, l, "reborn at %d, and the store did not perform that", s.Position())
		}
		o.subjects[l.subject] = append(o.subjects[l.subject], o.ack(q, s.Position()))
	case act == "others" && wafer.Status(err) == 401 && q.performed != 0:
		// It is dead itself, and the others are revoked all the same.
		o.subjects[l.subject] = append(o.subjects[l.subject], o.ack(q, q.performed))
	}
	if err != nil && wafer.Status(err) == 401 && o.over(l) == "" && !o.late(l, time.Now(), 0) {
		o.broken(q, l, "%s: %v", act, err)
	}
}

// left judges a logout.
func (o *truth) left(q *query, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	named := o.named(q)
	if q.login != nil && !slices.Contains(named, q.login) {
		named = append(named, q.login)
	}
	if err == nil {
		o.endedBy(q, "logout", named...)
		return
	}
	turn := o.turns.Add(1)
	for _, l := range named {
		l.refused[[2]int{q.node, q.life}] = turn
	}
}

// revocation judges an operator's.
func (o *truth) revocation(q *query, r wafer.Revocation, position store.Position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range r.Sessions {
		o.endedBy(q, "a revocation", o.logins[id])
	}
	if q.performed != position && (len(r.Subjects) > 0 || r.Everyone) && !slices.Contains(q.mishaps, twice) {
		o.broken(q, nil, "Revoke returned position %d, and the store performed it at %d", position, q.performed)
	}
	for _, subject := range r.Subjects {
		o.subjects[subject] = append(o.subjects[subject], o.ack(q, position))
	}
	if r.Everyone {
		o.everyone = append(o.everyone, o.ack(q, position))
	}
}

// waited: a node said that it has applied all up to a position.
func (o *truth) waited(q *query, position store.Position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits[q.node] = append(o.waits[q.node], o.ack(q, position))
}

// late reports whether a login is past its limits, or so near that clocks may
// disagree.
func (o *truth) late(l *login, now time.Time, margin time.Duration) bool {
	return !now.Add(margin).Before(l.issued.Add(fleetIdle)) || !now.Add(margin).Before(l.absolute)
}

// refusedHonest judges that an honest browser, which is logged in, was told
// that it is not.
func (o *truth) refusedHonest(q *query, l *login) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// Its cookies go by the clocks of nodes and by whole seconds; those of a
	// lost answer it has not got.
	margin := 2*fleetSkew + 2*time.Second + l.issued.Sub(l.told)
	if o.over(l) == "" && !o.excused(l) && !o.late(l, time.Now(), margin) && len(l.refused) == 0 {
		o.broken(q, l, "an honest browser is logged out")
	}
}

// local reports that a request which only reads must be answered without the
// store: its cookie is good, and its node is fresh and has reached it.
func (o *truth) local(q *query) bool {
	h := q.process.Health()
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.good(q)
	return c != nil && h.State == "fresh" && h.Position >= c.position && h.Floor <= c.position
}

// good returns what is known of a request's session cookie, if that is within
// its limits by any clock and nothing was performed that touches its session.
func (o *truth) good(q *query) *crumb {
	c := o.crumbs[q.session]
	if c == nil || q.refresh != "" && o.tokens[q.refresh] != c.login {
		return nil
	}
	l, now := c.login, q.begin.Add(o.fleet.offset(q.node))
	if o.over(l) != "" || len(l.refused) != 0 || max(l.last, o.cut[l.subject], o.cut[""]) > c.position ||
		!now.Before(c.sealed.Add(fleetAccess*9/10)) || !now.Add(time.Second).Before(c.deadline) || !now.Add(time.Second).Before(l.absolute) {
		return nil
	}
	return c
}

// refusedGood judges a request that was told that it has no session.
func (o *truth) refusedGood(q *query) {
	known, err := o.fleet.mem.Cutoffs(context.Background(), store.ID{}, "")
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.good(q); c != nil && err == nil && c.position >= known.Floor {
		o.broken(q, c.login, "a good cookie is refused")
	}
}

// readLocally judges a request for which local was true before and after.
func (o *truth) readLocally(q *query, accepted bool, setCookies int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.locals++
	if calls := q.calls.Load(); !accepted || calls != 0 || setCookies != 0 {
		o.broken(q, q.login, "a reader on a fresh node: accepted %v, %d calls of the store, %d cookies set", accepted, calls, setCookies)
	}
}

// complain records what the driver has found.
func (o *truth) complain(q *query, l *login, format string, values ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken(q, l, format, values...)
}

// sealedInto registers the cookies of an answer.
func (o *truth) sealedInto(q *query, cookie, token string, s *wafer.Session[tally], version int, anew bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.logins[s.ID]
	if l == nil {
		return
	}
	if token != "" {
		if other := o.tokens[token]; other != nil && other != l {
			o.broken(q, l, "the refresh token of another session")
		}
		o.tokens[token] = l
	}
	if cookie == "" {
		return
	}
	off := o.fleet.offset(q.node)
	c := &crumb{
		login: l, version: version, position: s.Position(), sealed: q.begin.Add(off),
		expires: time.Now().Add(off + fleetAccess), deadline: l.issued.Add(fleetIdle + time.Millisecond),
	}
	if old := o.crumbs[q.session]; !anew && old != nil {
		c.sealed, c.expires, c.deadline = old.sealed, old.expires, old.deadline
	}
	o.crumbs[cookie] = c
}

// arrived: what the owner got, and did not get, of an answer.
func (o *truth) arrived(l *login, token bool, after time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if token {
		l.pending, l.told = false, l.issued
	}
	if after > fleetGrace/2 {
		l.slow = true
	}
}

// report returns what was broken.
func (o *truth) report() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.bad[:min(len(o.bad), 10)], "\n")
}
