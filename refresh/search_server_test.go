package refresh_test

import (
	"context"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// The server is the root package's flow with the HTTP left out: judge, settle,
// advance, the handler's call, the answer. Every verdict is the real one.

// noIdle keeps the idle limit out of a world.
const noIdle units = 1 << 24

func (s *search) limits() time.Duration {
	if s.idle == 0 {
		return searchTime(noIdle)
	}
	return searchTime(s.idle)
}

// serve takes a request one phase further.
func (s *search) serve(w *world, r *request) {
	switch r.phase {
	case sent:
		s.judge(w, r)
	case settled:
		s.resume(w, r)
	case attached:
		s.handle(w, r)
	}
}

// good does what the root does: it reports whether the session cookie can be
// accepted as it is, by a replica that has read all of the log.
func (s *search) good(w *world, c sealed) bool {
	return w.now < c.expires && revocation.Judge(s.store.Cutoffs(c.family), c.at) == revocation.Good
}

func (s *search) judge(w *world, r *request) {
	c, t := &r.brings.cookie, r.brings.token
	if s.native && t.family != 0 {
		r.phase, r.basis, r.data = settled, store.MaxPosition, datum{present: true}
		return
	}
	if c.family != 0 && t.family != 0 && c.family != t.family {
		snap, err := s.store.Family(context.Background(), familyID(c.family))
		if err != nil {
			panic(err)
		}
		if snap.State == store.Alive && !snap.Family.Past(snap.Now) && !s.twist.mixed {
			s.say("cookies of two living sessions: refused")
			s.refused(w, r, refresh.Result{})
			return
		}
		if snap.State != store.Alive {
			s.settle(w, r, sealed{})
			return
		}
	}
	if c.family != 0 && r.kind != force && r.kind != wrongDoor && s.good(w, *c) {
		s.say("the session cookie is good")
		r.session = *c
		s.accepted(w, r, *c)
		r.phase = attached
		s.begun(w, r)
		return
	}
	if t.family == 0 && c.family != 0 && r.proof != noProof {
		s.say("no refresh token, and a proof: the cookie names the family")
		r.brings.token = token{family: c.family}
		s.settle(w, r, *c)
		return
	}
	if t.family == 0 {
		s.say("no session")
		s.refused(w, r, refresh.Result{})
		return
	}
	s.settle(w, r, *c)
}

// settle finds the data with which a refresh continues.
func (s *search) settle(w *world, r *request, c sealed) {
	r.session, r.phase = sealed{}, settled
	t := r.brings.token
	carries := refresh.Carries(
		codec.Session{ID: codec.ID(familyID(c.family)), Generation: uint32(c.generation)}, t.codec())
	if s.twist.carries != nil {
		carries = s.twist.carries(c, t)
	}
	if c.family != 0 && carries {
		r.data, r.basis, r.carried = c.data, c.at, true
		s.say("a refresh is due; the cookie's data carries")
		return
	}
	r.basis = store.MaxPosition
	res, err := s.refresher.Look(context.Background(), s.request(w, r))
	if err != nil {
		panic(err)
	}
	if res.Verdict != refresh.Issue {
		s.refused(w, r, res)
		return
	}
	s.carryOn(w, r, res.Snapshot)
}

// carryOn finds the data with which a refresh continues if no cookie's does.
func (s *search) carryOn(w *world, r *request, snap store.Snapshot) {
	r.carried = false
	switch {
	case snap.Family.LastCommit != 0:
		s.say("a refresh is due; the committed data goes on")
		r.data, r.basis = w.committed(snap)
	case s.reload:
		s.say("a refresh is due; Reload makes the data")
		r.data, r.basis = datum{present: true}, 0
	default:
		s.say("a refresh is due, and there is no data to go on with")
		s.refused(w, r, refresh.Result{})
	}
}

func (w *world) committed(snap store.Snapshot) (datum, store.Position) {
	return datum{commit: w.shelf.rows[familyOf(snap.Family.ID)].value, present: true}, snap.Family.LastCommit
}

func (t token) codec() codec.RefreshToken {
	return codec.RefreshToken{Family: codec.ID(familyID(t.family)), Generation: uint32(t.generation), Copy: t.copied}
}

func tokenOf(t codec.RefreshToken) token {
	return token{familyOf(store.ID(t.Family)), uint16(t.Generation), t.Copy}
}

func (s *search) request(w *world, r *request) refresh.Request {
	t := r.brings.token
	q := refresh.Request{
		Family: familyID(t.family), Generation: uint32(t.generation), Copy: t.copied,
		Native: s.native != (r.kind == wrongDoor), Key: r.proof.key(), Basis: r.basis, Floor: s.store.Cutoffs(t.family).Floor,
	}
	if r.carried {
		q.Carried = uint32(r.brings.cookie.generation)
	}
	if s.twist.request != nil {
		s.twist.request(&q)
	}
	s.store.asks = q
	return q
}

// resume calls the refresher, and writes the cookies of its result.
func (s *search) resume(w *world, r *request) {
	do := s.refresher.Do
	if s.nested {
		do = s.neighbour.Do // another node's
	}
	if r.kind == upgrade && !s.twist.upgrades {
		do = s.refresher.Look
	}
	s.store.calls = 0
	before := w.oracle.rows[r.brings.token.family].n
	q := s.request(w, r)
	snapBefore := s.store.snapshot(r.brings.token.family, store.Unwritten)
	res, err := do(context.Background(), q)
	if err != nil {
		s.fail("(e) a refresh fails: %v", err)
		w.over(r)
		return
	}
	if s.twist.unjudged {
		res.Snapshot = snapBefore
	}
	switch res.Verdict {
	case refresh.Behind:
		if res.Advanced || res.Reissued {
			s.fail("(e) what cannot be answered was written")
		}
		s.carryOn(w, r, res.Snapshot)
		if r.kind != upgrade || r.phase != settled {
			return // it starts again from there
		}
	case refresh.Issue:
	default:
		s.refused(w, r, res)
		return
	}
	if s.twist.unproven {
		res.Proven = false
	}
	s.served(w, r, q, res)
	r.session = s.mint(w, res.Snapshot, r.data)
	if r.carried {
		s.stale(r.brings.cookie, r.brings.token, before, w.oracle.proven(r.brings.token.family, q))
	}
	s.accepted(w, r, r.session)
	if r.kind != upgrade {
		presented := r.brings.token.codec()
		answer := res.Answer(presented)
		s.say("%d.%d is issued (advanced %v, reissued %v)", answer.Generation, answer.Copy, res.Advanced, res.Reissued)
		r.session.expires = min(w.now+s.life, r.session.expires)
		if s.native { // every answer has a token
			r.sets.setToken(tokenOf(answer))
		} else {
			s.set(w, r, answer != presented || s.twist.again, tokenOf(answer))
		}
	}
	r.phase = attached
	s.begun(w, r)
}

// begun lets requests whose handlers change nothing go at once.
func (s *search) begun(w *world, r *request) {
	if r.kind <= wrongDoor && !s.twist.laterHead {
		s.handle(w, r)
	}
}

// mint does what the root does: the cookie carries the family's own position, and
// ends no later than its idle limit.
func (s *search) mint(w *world, snap store.Snapshot, data datum) sealed {
	f := &snap.Family
	return sealed{
		family: familyOf(f.ID), generation: uint16(f.Generation), at: f.Position, minted: w.now, data: data,
		expires: min(w.now+s.life, units(f.IdleDeadline().Sub(issued)/searchUnit)),
	}
}

// set writes the session cookie, and the refresh token if it is new to the
// browser.
func (s *search) set(w *world, r *request, withToken bool, t token) {
	r.session.sealed = max(1, w.oracle.rows[r.session.family].n)
	r.sets.setCookie(r.session)
	if withToken {
		r.sets.setToken(t)
	}
	w.oracle.minted(r.session)
}

// handle makes the handler's call. If there is an answer, it is then in flight.
func (s *search) handle(w *world, r *request) {
	if r.session.family != 0 || r.kind >= logout {
		s.calls(w, r)
	}
	if s.twist.laterHead && r.sets.setsCookie && r.sets.cookie.family != 0 {
		r.sets.cookie.at = s.store.Cutoffs(r.sets.cookie.family).Head
		w.oracle.minted(r.sets.cookie)
	}
	*r = request{phase: answered, who: r.who, kind: r.kind, alone: r.alone, beside: r.beside, sent: r.sent, sets: r.sets}
	if !r.sets.setsCookie && !r.sets.setsToken {
		w.over(r)
	}
}

func (s *search) calls(w *world, r *request) {
	switch r.kind {
	case save:
		if w.now >= r.session.expires {
			s.say("Save: too late")
			return
		}
		if s.twist.saveLife {
			r.session.expires = w.now + s.life
		}
		s.set(w, r, false, token{})
	case commit:
		s.commit(w, r)
	case endOthers:
		s.endOthers(w, r)
	case renew:
		s.renew(w, r)
	case logout:
		s.logout(w, r)
	case login:
		s.login(w, r)
	}
}

func (s *search) commit(w *world, r *request) {
	number := w.oracle.commits + 1
	if number == 255 {
		s.full = true
		return
	}
	snap := s.store.Commit(store.Commit{
		ID: familyID(r.session.family), Basis: r.session.at, Key: r.proof.key(), Value: []byte{number},
	})
	s.say("Commit %d: %v", number, snap.Outcome)
	if snap.Outcome != store.Written {
		return
	}
	s.sawCommit(w, r, number)
	r.session.at, r.session.data.commit = snap.Entry, number
	s.set(w, r, false, token{})
}

func (s *search) endOthers(w *world, r *request) {
	snap, err := s.store.Revoke(context.Background(), store.Revocation{
		Subjects: []string{subject}, Reason: "everywhere else",
		Except: &store.Rebirth{ID: familyID(r.session.family), Basis: r.session.at, Key: r.proof.key()},
	})
	if err != nil {
		panic(err)
	}
	if snap.Outcome == store.Behind {
		s.say("EndOthers: conflict")
		return
	}
	lives := snap.State == store.Alive && snap.Family.Birth == snap.Entry
	s.say("EndOthers: this one lives: %v", lives)
	w.oracle.died(func(f int8) bool { return f != r.session.family || !lives })
	if !lives {
		if s.neverRefused && r.who == honest {
			s.fail("(b) EndOthers has ended its own session")
		}
		return
	}
	r.session.at = snap.Entry
	s.set(w, r, false, token{})
}

func (s *search) renew(w *world, r *request) {
	if w.oracle.families+1 == maxFamilies {
		s.full = true
		return
	}
	id := w.oracle.families + 1
	snap := s.store.Create(store.Creation{
		ID: familyID(id), Subject: subject, Value: []byte{r.session.data.commit},
		Renews: &store.Renewal{ID: familyID(r.session.family), Basis: r.session.at, Key: r.proof.key()},
	})
	s.say("Renew: %v", snap.Outcome)
	if snap.Outcome != store.Written {
		return
	}
	w.oracle.born(id, w.clock())
	w.oracle.rows[id].key, w.oracle.rows[id].counts = w.oracle.rows[r.session.family].key, w.oracle.rows[r.session.family].counts
	w.oracle.committed[id] = w.oracle.committed[r.session.family]
	w.oracle.died(func(f int8) bool { return f == r.session.family })
	r.session = s.mint(w, snap, r.session.data)
	s.set(w, r, true, tokenOf(refresh.Newest(&snap.Family)))
}

// named returns the families of a request's cookies, dead or alive, and of the
// session that it has.
func named(r *request) func(int8) bool {
	return func(f int8) bool {
		return f != 0 && (f == r.brings.cookie.family || f == r.brings.token.family || f == r.session.family)
	}
}

func (s *search) logout(w *world, r *request) {
	r.sets = answer{setsCookie: true, setsToken: true}
	var ids []store.ID
	for f := int8(1); f < maxFamilies; f++ {
		if named(r)(f) {
			ids = append(ids, familyID(f))
		}
	}
	if len(ids) == 0 {
		return
	}
	if _, err := s.store.Revoke(context.Background(), store.Revocation{Sessions: ids, Reason: "logout"}); err != nil {
		panic(err)
	}
	w.oracle.died(named(r))
}

func (s *search) login(w *world, r *request) {
	if w.oracle.families+1 == maxFamilies {
		s.full = true
		return
	}
	c := store.Creation{
		ID: familyID(w.oracle.families + 1), Subject: subject, Native: s.native,
		Idle: s.limits(), Absolute: s.limits(),
	}
	if s.bound {
		c.Key = deviceProof.key()
	}
	n := 0
	for f := int8(1); f < maxFamilies; f++ {
		if named(r)(f) && n < len(c.Ends) {
			c.Ends[n] = familyID(f)
			n++
		}
	}
	snap := s.store.Create(c)
	w.oracle.born(w.oracle.families+1, w.clock())
	if s.bound {
		k := &w.oracle.rows[w.oracle.families]
		k.key, k.counts = deviceProof, true
	}
	w.oracle.died(func(f int8) bool {
		// The cookies of a family that the store has lost end by themselves.
		return f != w.oracle.families && named(r)(f) && w.oracle.rows[f].n != 0
	})
	r.session = s.mint(w, snap, datum{present: true})
	t := tokenOf(refresh.Newest(&snap.Family))
	if s.native {
		r.sets.setToken(t)
		return
	}
	s.set(w, r, true, t)
}

// bind is the browser's registration of its key, whose answer may be lost, and the
// first proof by the key after it.
func (s *search) bind(w *world) {
	f := w.jars[honest].token.family
	k := &w.oracle.rows[f]
	if snap := s.store.Bind(store.Binding{ID: familyID(f), Key: deviceProof.key(), Counts: k.key == deviceProof}); snap.Outcome == store.Written {
		k.key, k.counts = deviceProof, k.key == deviceProof
	}
}

// change is the act of somebody who can write the store: a row is no longer as it
// was sealed, or is so again.
func (s *search) change(w *world, f int8) {
	k := &w.oracle.rows[f]
	if k.changed = !k.changed; k.changed {
		w.changes++
	}
	w.shelf.rows[f].changed = k.changed
}

// revoke is an administrator's revocation.
func (s *search) revoke(w *world, what int8) {
	r := store.Revocation{Reason: "administrator"}
	switch what {
	case itsSubject:
		r.Subjects = []string{"alice"}
	case everyone:
		r.Everyone = true
	default:
		r.Sessions = []store.ID{familyID(what)}
	}
	if _, err := s.store.Revoke(context.Background(), r); err != nil {
		panic(err)
	}
	w.oracle.died(func(f int8) bool { return what == itsSubject || what == everyone || f == what })
}
