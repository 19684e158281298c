package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

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
