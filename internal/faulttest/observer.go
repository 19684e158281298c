package faulttest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// observer holds what is known from outside, and judges it.
type observer struct {
	world *World

	mu          sync.Mutex
	logins      map[store.ID]*login
	living      map[string]map[*login]bool // logins that are not doomed, by subject
	dead        []*login                   // logins whose end was acknowledged
	leftover    []*login                   // logins whose logout the store did not accept
	revocations []*revocation              // those under way or recently over
	lost        time.Time                  // when the store lost what it had acknowledged, or zero
	story       []string                   // of the world
	counts      map[string]int
	faults      int // the number of broken promises
	excused     int
	recovered   []time.Duration
}

// login is what is known of one session.
type login struct {
	id       store.ID
	number   int64
	subject  string
	resident bool
	returned time.Time    // when Start returned
	touched  time.Time    // when an answer last showed a write to the family
	doomed   string       // what may have ended it; "" if it must live
	acks     []ack        // acknowledged ends
	left     map[int]left // by node
	jar      jar          // the browser's latest

	// A session that has lost an answer may be ended by two tabs that overlap and
	// are slow: README, the honest limits.
	lost, slow bool

	story []string
}

// ack is an end that a node acknowledged.
type ack struct {
	node, life int
	at         time.Time
}

// left is a logout that the store did not accept. It is in force on its node.
type left struct {
	life int
	at   time.Time
}

// revocation is a revocation that is under way or over.
type revocation struct {
	what   string
	covers func(*login) bool
	begin  time.Time
	unsure bool      // an attempt returned an error
	once   bool      // it is not repeated after an error
	over   time.Time // zero while it may still be performed
}

func (o *observer) init(w *World) {
	o.world, o.logins, o.living, o.counts = w, make(map[store.ID]*login), make(map[string]map[*login]bool), make(map[string]int)
}

const maxStory = 40

// note adds to the world's story. The caller holds the lock.
func (o *observer) note(format string, values ...any) {
	o.story = append(o.story, fmt.Sprintf("%9v ", time.Since(o.world.began).Round(time.Microsecond*100))+fmt.Sprintf(format, values...))
	if len(o.story) > 2*maxStory {
		o.story = slices.Clone(o.story[len(o.story)-maxStory:])
	}
}

func (l *login) note(w *World, format string, values ...any) {
	l.story = append(l.story, fmt.Sprintf("%9v ", time.Since(w.began).Round(time.Microsecond*100))+fmt.Sprintf(format, values...))
	if len(l.story) > 2*maxStory {
		l.story = slices.Clone(l.story[len(l.story)-maxStory:])
	}
}

// Note adds a line to the story that comes with a broken promise, such as what the
// test does to the engine.
func (w *World) Note(format string, values ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, values...)
}

// broken fails the test with the stories. The caller holds the lock.
func (o *observer) broken(q *request, l *login, format string, values ...any) {
	o.faults++
	if o.faults > 5 {
		return // the first ones are enough
	}
	text := fmt.Sprintf(format, values...)
	if q != nil {
		text += fmt.Sprintf("\n  the request %q to node %d (life %d), begun at %v", q.what, q.node.number, q.node.life, q.begin.Sub(o.world.began))
	}
	if l != nil {
		text += fmt.Sprintf("\n  session %v of %s, login %d; doomed: %q; acknowledged:", l.id, l.subject, l.number, l.doomed)
		for _, a := range l.acks {
			text += fmt.Sprintf(" node %d (life %d) at %v;", a.node, a.life, a.at.Sub(o.world.began))
		}
		text += "\n  its story:\n    " + strings.Join(l.story[max(0, len(l.story)-maxStory):], "\n    ")
	}
	text += "\n  the world's:\n    " + strings.Join(o.story[max(0, len(o.story)-maxStory):], "\n    ")
	o.world.t.Errorf("faulttest: %s", text)
}

// Broken returns how many promises were broken.
func (w *World) Broken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults
}

// Excused returns how many browsers were logged out by two slow tabs after a lost
// answer.
func (w *World) Excused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.excused
}

// Report returns a summary of what has happened so far, in several lines.
func (w *World) Report() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d logins, %d revoked for certain, %d excused, recovered in %v; seed %d", len(w.logins), len(w.dead), w.excused, w.recovered, w.config.Seed)
	for _, what := range slices.Sorted(maps.Keys(w.counts)) {
		fmt.Fprintf(&b, "\n  %7d %s", w.counts[what], what)
	}
	return b.String()
}

// binds reports whether an acknowledged end must be in force for a request.
func (o *observer) binds(a ack, q *request) bool {
	if !q.begin.After(a.at) {
		return false
	}
	n := q.node
	if !o.lost.IsZero() && a.at.Before(o.lost) {
		// Until it is written back, only nodes that hold it must refuse.
		return a.node == n.number && a.life == n.life ||
			n.born.Before(o.lost) && o.lost.Sub(a.at) > o.world.config.MaxStaleness
	}
	return a.node == n.number || n.born.After(a.at) || q.begin.Sub(a.at) > o.world.config.MaxStaleness
}

// accepted judges a request that was accepted as a session's.
func (o *observer) accepted(q *request, id store.ID, subject string, d tally) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.logins[id]
	if l == nil || l.subject != subject || l.number != d.Login || l != q.owner {
		o.broken(q, l, "accepted as session %v of %s with the data %+v, which is another than it brought", id, subject, d)
		return
	}
	for _, a := range l.acks {
		if o.binds(a, q) {
			o.broken(q, l, "promise 1: accepted %v after its end was acknowledged by node %d", q.begin.Sub(a.at), a.node)
			break
		}
	}
	if f, found := l.left[q.node.number]; found && f.life == q.node.life && q.begin.After(f.at) {
		o.broken(q, l, "promise 1: accepted by the node on which it was logged out, though the store had not taken that")
	}
}

// refused judges a request of a logged-in browser that was refused.
func (o *observer) refused(q *request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch l := q.owner; {
	case l.doomed != "":
	case l.excusable():
		o.excuse(l)
	default:
		o.broken(q, l, "promise 9: an honest browser is logged out")
		o.doom(l, "a promise was broken")
	}
}

// reported judges a report that the refresh token of a login was stolen. Thieves
// have only logins that have ended, and the replay of such a login is none. The
// caller holds the lock.
func (o *observer) reported(l *login) {
	switch {
	case l.doomed != "":
	case l.excusable():
		o.excuse(l)
	default:
		o.broken(nil, l, "promise 9: an honest browser is reported as a thief")
		o.doom(l, "a promise was broken")
	}
}

func (l *login) excusable() bool { return l.lost && l.slow }

func (o *observer) excuse(l *login) {
	o.excused++
	o.doom(l, "excused: after a lost answer, two tabs were slow")
}

// doom records that a login may have ended, and why. The caller holds the lock.
func (o *observer) doom(l *login, why string) {
	if l.doomed == "" {
		l.doomed = why
		l.note(o.world, "%s", why)
		delete(o.living[l.subject], l)
	}
}

// begun registers a login after Start has returned.
func (o *observer) begun(q *request, id store.ID, number int64) *login {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &login{id: id, number: number, subject: q.subject, resident: q.browser.resident, returned: time.Now(), touched: time.Now(), left: make(map[int]left)}
	if o.logins[id] != nil {
		o.broken(q, o.logins[id], "a new session has the id of an old one")
	}
	o.logins[id] = l
	if o.living[l.subject] == nil {
		o.living[l.subject] = make(map[*login]bool)
	}
	o.living[l.subject][l] = true
	l.note(o.world, "begun by node %d", q.node.number)
	for _, r := range o.revocations {
		if (r.over.IsZero() || r.over.After(q.begin)) && r.covers(l) {
			o.doom(l, "begun while this was under way: "+r.what)
		}
	}
	if !o.lost.IsZero() {
		o.doom(l, "begun while the store had lost something")
	}
	return l
}

// revoking registers a revocation before it is attempted. From now on the logins that
// it covers may have ended.
func (o *observer) revoking(what string, covers func(*login) bool) *revocation {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &revocation{what: what, covers: covers, begin: time.Now()}
	for _, of := range o.living {
		for l := range of {
			if covers(l) {
				o.doom(l, "it may be ended by this: "+what)
			}
		}
	}
	o.revocations = append(o.revocations, r)
	if old := o.revocations[0]; !old.over.IsZero() && time.Since(old.over) > time.Minute {
		o.revocations = o.revocations[1:]
	}
	return r
}

// revoked records the result of a revocation. After an error its effect is unknown
// until it is repeated.
func (o *observer) revoked(r *revocation, n *node, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := time.Now()
	if err != nil {
		r.unsure = true
		o.counts["revocation not acknowledged"]++
		return
	}
	o.counts["revocation acknowledged"]++
	r.over = at
	if r.unsure {
		// The failed attempt may still be on its way to the store.
		r.over = at.Add(o.world.config.Late)
	}
	for _, l := range o.logins {
		// Only logins that returned before the revocation began must have ended.
		if l.returned.Before(r.begin) && r.covers(l) && len(l.acks) < maxAcks {
			o.ended(l, ack{n.number, n.life, at}, r.what)
		}
	}
}

const maxAcks = 8

// ended records an acknowledged end, and gives the thieves a copy of the login. The
// caller holds the lock.
func (o *observer) ended(l *login, a ack, what string) {
	o.doom(l, what)
	l.note(o.world, "acknowledged by node %d: %s", a.node, what)
	if len(l.acks) == 0 {
		o.dead = append(o.dead, l)
	}
	l.acks = append(l.acks, a)
}

// loggedOut records the result of a logout, or of a login in its place. A logout that
// the store did not accept is in force on its node, which tries again without end.
func (o *observer) loggedOut(q *request, l *login, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := time.Now()
	if err != nil {
		o.doom(l, "logged out, and the store did not take it")
		l.left[q.node.number] = left{q.node.life, at}
		o.leftover = append(o.leftover, l)
		return
	}
	o.ended(l, ack{q.node.number, q.node.life, at}, fmt.Sprintf("logged out by %q", q.what))
}

// wrote records that the store wrote to a session's family, or may have done so.
func (o *observer) wrote(l *login) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.touched = time.Now()
}

// Loses announces that the store is about to lose everything that it acknowledged
// since a time, or everything if since is zero. Call it just before the test makes
// the store do so. Until the next Settle returns, only nodes that hold an earlier
// revocation must refuse what it covers: its own node, and those that were up
// MaxStaleness later. Sessions that were begun or written to since then may be gone,
// and so may those that begin before everything is written back. Config.Access must be
// longer than a busy machine may take from a revocation to the loss, since nodes do not
// hold what the log has dropped.
func (w *World) Loses(since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = time.Now()
	w.note("the store loses what it acknowledged since %v", since.Sub(w.began))
	for _, of := range w.living {
		for l := range of {
			if l.touched.After(since) {
				w.doom(l, "the store has lost what it last wrote to it")
			}
		}
	}
}

// settled records that every node has recovered.
func (o *observer) settled(took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	took = took.Round(time.Millisecond)
	o.lost = time.Time{}
	for _, r := range o.revocations {
		if r.once && r.over.IsZero() {
			r.over = time.Now()
		}
	}
	o.recovered = append(o.recovered, took)
	o.note("settled; it took %v until all was well", took)
}

func (o *observer) doomedBy(l *login, why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doom(l, why)
}

// closed records that a revocation will not be performed any more, once Late has
// passed.
func (o *observer) closed(r *revocation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.over = time.Now().Add(o.world.config.Late)
}
