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

// acknowledgedEnd returns the acknowledged revocation of a login that must be
// in force for a request, or "". If strict, the request had the store's own
// answer.
func (o *oracle) acknowledgedEnd(q *request, l *login, strict bool) string {
	for _, a := range l.acks {
		if o.mustApply(a, q, strict) {
			return fmt.Sprintf("its end, acknowledged by node %d at %v", a.node, o.fleet.since(a.at))
		}
	}
	for _, a := range o.subjects[l.subject] {
		if a.position > l.birth && o.mustApply(a, q, strict) {
			return fmt.Sprintf("a revocation of its subject at %d, acknowledged by node %d at %v", a.position, a.node, o.fleet.since(a.at))
		}
	}
	for _, a := range o.everyone {
		if a.position > l.birth && o.mustApply(a, q, strict) {
			return fmt.Sprintf("a revocation of everyone at %d, acknowledged by node %d at %v", a.position, a.node, o.fleet.since(a.at))
		}
	}
	if turn, found := l.refused[[2]int{q.node, q.incarnation}]; found && turn < q.turn {
		return "a logout on this node that the store had not taken"
	}
	if o.final {
		return o.performedEnd(l)
	}
	return ""
}

// committed returns the number of the last commit that must be visible to a
// request.
func (o *oracle) committed(q *request, l *login, strict bool) (number int) {
	for _, a := range l.superseded {
		if o.mustApply(a, q, strict) {
			number = max(number, a.number)
		}
	}
	return number
}

// checkAccepted checks a request that was accepted as s with data d.
func (o *oracle) checkAccepted(q *request, s *wafer.Session[tally], d tally, refreshed bool) *login {
	o.mu.Lock()
	defer o.mu.Unlock()
	q.refreshed, q.afterwards = refreshed, time.Now()
	l := o.logins[s.ID]
	if l == nil {
		o.addViolation(q, nil, "a session that nobody began: %v", s)
		return nil
	}
	q.login = l
	if s.Subject != l.subject || d.Login != l.number {
		o.addViolation(q, l, "it is %s with the data of login %d", s.Subject, d.Login)
	}
	if s.Started.Before(l.earliest.Add(-2*fleetSkew)) || s.Started.Add(fleetAbsolute).After(l.absolute) {
		o.addViolation(q, l, "it says that it was started at %v", o.fleet.since(s.Started))
	}
	strict := refreshed && q.advanced == l.id
	if what := o.acknowledgedEnd(q, l, strict); what != "" {
		o.addViolation(q, l, "accepted after %s", what)
	}
	commits, found := l.versions[d.Version]
	if !found || commits != d.Commits {
		o.addViolation(q, l, "its data is version %d with %d commits, which it never had: %v", d.Version, d.Commits, l.versions)
	}
	if least := o.committed(q, l, strict); commits < least {
		o.addViolation(q, l, "its data is of %d commits, and %d were acknowledged", commits, least)
	}
	if refreshed {
		o.checkRefreshed(q, l)
	} else {
		o.checkCookie(q, l, d)
	}
	return l
}

func (o *oracle) checkRefreshed(q *request, l *login) {
	if o.tokens[q.refresh] != l {
		o.addViolation(q, l, "refreshed without its token")
	}
	if q.thief {
		o.checkThiefServed(q, l)
	}
	if q.thief != l.thiefWrote && !q.begin.After(l.issued.Add(fleetGrace)) {
		l.matched = len(l.advances)
	}
	if !q.begin.Before(l.absolute) {
		o.addViolation(q, l, "refreshed %v after its absolute limit", q.begin.Sub(l.absolute))
	}
}

// checkThiefServed checks a stolen refresh token that was served. It must not be
// served after two due refreshes of the owner in a row within whose grace the thief
// did not refresh.
func (o *oracle) checkThiefServed(q *request, l *login) {
	l.stolen = true
	unmatched := 0
	for _, at := range l.advances[max(q.since, l.matched):] {
		if at.Before(q.begin) {
			unmatched++
		}
	}
	if unmatched >= 2 {
		o.addViolation(q, l, "a stolen token is served after %d due refreshes of its owner", unmatched)
	}
}

func (o *oracle) checkCookie(q *request, l *login, d tally) {
	c := o.credentials[q.session]
	if c == nil || c.login != l || c.version != d.Version {
		o.addViolation(q, l, "its cookie says something else: %+v", c)
		return
	}
	now := q.begin.Add(o.fleet.offset(q.node))
	for _, limit := range []struct {
		what string
		at   time.Time
	}{{"access lifetime", c.expires}, {"session's limits", c.deadline}, {"absolute limit", l.absolute}} {
		if !now.Before(limit.at) {
			o.addViolation(q, l, "its cookie is accepted %v after its %s", now.Sub(limit.at), limit.what)
		}
	}
	if ahead := c.sealed.Sub(q.afterwards.Add(o.fleet.offset(q.node))); ahead > 2*fleetSkew {
		o.addViolation(q, l, "its cookie is from %v in the future", ahead)
	}
	for _, acks := range [][]acknowledgement{o.subjects[l.subject], o.everyone, l.superseded} {
		for _, a := range acks {
			if a.position > c.position && o.mustApply(a, q, false) {
				o.addViolation(q, l, "its cookie is of %d, below what node %d acknowledged at %v, %d", c.position, a.node, o.fleet.since(a.at), a.position)
			}
		}
	}
}

// recordLogin registers a login in the request that made it.
func (o *oracle) recordLogin(q *request, s *wafer.Session[tally], number int) *login {
	o.mu.Lock()
	defer o.mu.Unlock()
	made, found := o.created[s.ID]
	if !found {
		o.addViolation(q, nil, "a login that the store did not make: %v", s)
	}
	l := &login{
		id: s.ID, subject: s.Subject, number: number, birth: s.Position(), earliest: q.begin,
		issued: made, delivered: made, absolute: made.Add(fleetAbsolute + 2*fleetSkew), // the start is sealed before the store sees it, and may be off by the leeway
		versions: map[int]int{q.attempts: 0}, commits: make(map[int]int), refused: make(map[[2]int]uint64),
	}
	if old := o.logins[s.ID]; old != nil {
		o.addViolation(q, old, "a new session has the id of an old one")
	}
	o.logins[s.ID] = l
	o.inOrder = append(o.inOrder, l)
	// The new login replaces the request's sessions.
	o.endedBy(q, "replaced", o.named(q)...)
	return l
}

// named returns the logins whose credentials a request brings.
func (o *oracle) named(q *request) (named []*login) {
	if c := o.credentials[q.session]; c != nil {
		named = append(named, c.login)
	}
	if l := o.tokens[q.refresh]; l != nil && !slices.Contains(named, l) {
		named = append(named, l)
	}
	return named
}

func (o *oracle) acknowledge(q *request, position store.Position) acknowledgement {
	return acknowledgement{node: q.node, turn: o.turns.Add(1), at: time.Now(), position: position}
}

func (o *oracle) endedBy(q *request, why string, all ...*login) {
	for _, l := range all {
		if !l.ended {
			o.addViolation(q, l, "%s: acknowledged, and the store did not perform it", why)
		}
		l.acks = append(l.acks, o.acknowledge(q, forever))
	}
}

// checkWrite checks the result of an act that writes data.
func (o *oracle) checkWrite(q *request, act string, s *wafer.Session[tally], err error) {
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
			o.addViolation(q, l, "version %d is commit number %d, and so is version %d: an update is lost", q.attempts, n, other)
		}
		l.commits[n] = q.attempts
		a := o.acknowledge(q, s.Position())
		a.number = n
		l.superseded = append(l.superseded, a)
		if what := o.acknowledgedEnd(q, l, true); what != "" {
			o.addViolation(q, l, "a commit is taken after %s", what)
		}
	case act == "others" && err == nil:
		if what := o.acknowledgedEnd(q, l, true); what != "" {
			o.addViolation(q, l, "it survives after %s", what)
		}
		if l.birth < s.Position() {
			o.addViolation(q, l, "reborn at %d, and the store did not perform that", s.Position())
		}
		o.subjects[l.subject] = append(o.subjects[l.subject], o.acknowledge(q, s.Position()))
	case act == "others" && wafer.Status(err) == 401 && q.performed != 0:
		// The session itself is dead, but the others are revoked all the same.
		o.subjects[l.subject] = append(o.subjects[l.subject], o.acknowledge(q, q.performed))
	}
	if err != nil && wafer.Status(err) == 401 && o.performedEnd(l) == "" && !o.late(l, time.Now(), 0) {
		o.addViolation(q, l, "%s: %v", act, err)
	}
}

// checkLogout checks a logout.
func (o *oracle) checkLogout(q *request, err error) {
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
		l.refused[[2]int{q.node, q.incarnation}] = turn
	}
}

// checkRevocation checks an operator's revocation.
func (o *oracle) checkRevocation(q *request, r wafer.Revocation, position store.Position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range r.Sessions {
		o.endedBy(q, "a revocation", o.logins[id])
	}
	if q.performed != position && (len(r.Subjects) > 0 || r.Everyone) && !slices.Contains(q.faults, twice) {
		o.addViolation(q, nil, "Revoke returned position %d, and the store performed it at %d", position, q.performed)
	}
	for _, subject := range r.Subjects {
		o.subjects[subject] = append(o.subjects[subject], o.acknowledge(q, position))
	}
	if r.Everyone {
		o.everyone = append(o.everyone, o.acknowledge(q, position))
	}
}

// recordWait records that a node has reported all entries up to a position as
// applied.
func (o *oracle) recordWait(q *request, position store.Position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits[q.node] = append(o.waits[q.node], o.acknowledge(q, position))
}

// late reports whether a login is past its limits, or so near them that clocks
// may disagree.
func (o *oracle) late(l *login, now time.Time, margin time.Duration) bool {
	return !now.Add(margin).Before(l.issued.Add(fleetIdle)) || !now.Add(margin).Before(l.absolute)
}

// checkHonestRefused checks a refusal of an honest browser that is logged in.
func (o *oracle) checkHonestRefused(q *request, l *login) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// The limits of its cookies are set by the clocks of nodes, in whole
	// seconds, and the browser lacks the cookies of a lost answer.
	margin := 2*fleetSkew + 2*time.Second + l.issued.Sub(l.delivered)
	if o.performedEnd(l) == "" && !l.stolen && !o.late(l, time.Now(), margin) && len(l.refused) == 0 {
		o.addViolation(q, l, "an honest browser is logged out")
	}
}

// local reports whether a request that only reads must be answered without the
// store: its cookie is good, and its node is fresh and has reached the cookie's
// position.
func (o *oracle) local(q *request) bool {
	h := q.process.Health()
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.good(q)
	return c != nil && h.State == "fresh" && h.Position >= c.position && h.Floor <= c.position
}

// good returns the record of a request's session cookie if it is within its
// limits by any clock and no performed write affects its session, and nil
// otherwise.
func (o *oracle) good(q *request) *credential {
	c := o.credentials[q.session]
	if c == nil || q.refresh != "" && o.tokens[q.refresh] != c.login {
		return nil
	}
	l, now := c.login, q.begin.Add(o.fleet.offset(q.node))
	if o.performedEnd(l) != "" || len(l.refused) != 0 || max(l.lastCommit, o.cutoffs[l.subject], o.cutoffs[""]) > c.position ||
		!now.Before(c.sealed.Add(fleetAccess*9/10)) || !now.Add(time.Second).Before(c.deadline) || !now.Add(time.Second).Before(l.absolute) {
		return nil
	}
	return c
}

// checkRefused checks a request that was refused.
func (o *oracle) checkRefused(q *request) {
	known, err := o.fleet.mem.Cutoffs(context.Background(), store.ID{}, "")
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.good(q); c != nil && err == nil && c.position >= known.Floor {
		o.addViolation(q, c.login, "a good cookie is refused")
	}
}

// checkLocalRead checks a request for which local was true before and after.
func (o *oracle) checkLocalRead(q *request, accepted bool, setCookies int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.localReads++
	if calls := q.calls.Load(); !accepted || calls != 0 || setCookies != 0 {
		o.addViolation(q, q.login, "a reader on a fresh node: accepted %v, %d calls of the store, %d cookies set", accepted, calls, setCookies)
	}
}

// violation records a violation that the driver found.
func (o *oracle) violation(q *request, l *login, format string, values ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.addViolation(q, l, format, values...)
}

// recordCookies registers the cookies of an answer.
func (o *oracle) recordCookies(q *request, cookie, token string, s *wafer.Session[tally], version int, anew bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.logins[s.ID]
	if l == nil {
		return
	}
	if token != "" {
		if other := o.tokens[token]; other != nil && other != l {
			o.addViolation(q, l, "the refresh token of another session")
		}
		o.tokens[token] = l
	}
	if cookie == "" {
		return
	}
	off := o.fleet.offset(q.node)
	c := &credential{
		login: l, version: version, position: s.Position(), sealed: q.begin.Add(off),
		expires: time.Now().Add(off + fleetAccess), deadline: l.issued.Add(fleetIdle + time.Millisecond),
	}
	if old := o.credentials[q.session]; !anew && old != nil {
		c.sealed, c.expires, c.deadline = old.sealed, old.expires, old.deadline
	}
	o.credentials[cookie] = c
}

// recordArrival records that the owner received a refresh token, and returns the
// number of the owner's advances so far.
func (o *oracle) recordArrival(l *login) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.delivered = l.issued
	return len(l.advances)
}

// report returns the violations.
func (o *oracle) report() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.violations[:min(len(o.violations), 10)], "\n")
}
