package refresh_test

import "fmt"

// act is a kind of event in a world.
type act uint8

const (
	sends     act = iota // a party sends a request of a kind
	steps                // the server takes a request one phase further
	stepsWith            // as it does, something else happens inside the refresh
	arrives              // an answer reaches its browser
	loses                // an answer is lost
	passes               // time passes
	steals               // the thief copies the jar
	keeps                // the owner copies a jar, to put it back later
	putsBack             // a kept cookie, a kept token, or both
	revokes              // an administrator revokes a family, the subject or everyone
	raises               // another's entry is appended, and the log is dropped up to it
	binds                // the browser binds its family, or proves the key that it has bound
	forgets              // the jar loses its refresh token
	changes              // somebody changes a row of the store, or puts it back
	turnsBack            // the engine's clock is set back
	backsUp              // the store's rows and log are copied
	goesBack             // the copy takes the place of the store
)

// move is one step of a trace.
type move struct {
	act    act
	i, j   uint8
	within act // of stepsWith, on k
	k      uint8
	proof  proof
}

// fromTheLoot marks a request of the thief with the cookies as they were stolen,
// and not with those that he got for them.
const fromTheLoot = 1

// brings returns the cookies that a request is sent with.
func (w *world) brings(m move) jar {
	if m.k == fromTheLoot {
		return w.loot
	}
	return w.jars[m.i]
}

// moves lists what can happen in a world.
func (s *search) moves(w *world) (all []move) {
	busy := w.flights(other) > 0
	for i := range w.requests {
		r := &w.requests[i]
		switch r.phase {
		case unused:
		case answered:
			all = append(all, move{act: arrives, i: uint8(i)})
			if r.who == honest && (s.losses == anyNumber || w.lost < s.losses) {
				all = append(all, move{act: loses, i: uint8(i)})
			}
		default:
			all = append(all, move{act: steps, i: uint8(i)})
			if s.split && r.phase == settled {
				all = append(all, s.insides(w, i)...)
			}
		}
	}
	if slot := w.slot(); slot < maxFlights {
		if w.flights(honest) < s.flights && s.maySend(w) {
			for _, k := range s.kinds {
				for _, p := range proofs(s.proofs) {
					all = append(all, move{act: sends, i: honest, j: uint8(k), proof: p})
				}
			}
		}
		if !busy && w.jars[other] != (jar{}) {
			for _, k := range s.otherKinds {
				for _, p := range proofs(s.otherProofs) {
					all = append(all, move{act: sends, i: other, j: uint8(k), proof: p})
					if w.loot.token != w.jars[other].token {
						all = append(all, move{act: sends, i: other, j: uint8(k), k: fromTheLoot, proof: p})
					}
				}
			}
		}
	}
	for i, d := range s.times {
		if s.mayPass(w, d) {
			all = append(all, move{act: passes, i: uint8(i)})
		}
	}
	if s.thief && !w.stolen {
		all = append(all, move{act: steals})
	}
	for i := range s.asides {
		if !w.asides[i].used {
			all = append(all, move{act: keeps, i: uint8(i)})
			if s.device {
				all = append(all, move{act: keeps, i: uint8(i), j: other})
			}
			break
		}
	}
	for i := range s.asides {
		if w.asides[i].used && s.mayPutBack(w, &w.asides[i]) {
			for j := range uint8(3) {
				all = append(all, move{act: putsBack, i: uint8(i), j: j})
			}
		}
	}
	if w.revocations < s.revocations {
		for _, f := range w.revocable() {
			all = append(all, move{act: revokes, i: f})
		}
	}
	if s.binds && w.bindable() {
		all = append(all, move{act: binds})
	}
	if s.forgets && w.jars[honest].token.family != 0 {
		all = append(all, move{act: forgets})
	}
	for f := int8(1); f <= w.oracle.families; f++ {
		if w.oracle.rows[f].changed || w.changes < s.changes && !w.oracle.dead[f] {
			all = append(all, move{act: changes, i: uint8(f)})
		}
	}
	if w.floors < s.floors {
		all = append(all, move{act: raises})
	}
	if w.jumps < s.jumps {
		all = append(all, move{act: turnsBack})
	}
	if s.goesBack && !w.backedUp {
		all = append(all, move{act: backsUp})
	}
	if w.backedUp && !w.wentBack {
		all = append(all, move{act: goesBack})
	}
	return all
}

// proofs returns what requests are sent with.
func proofs(of []proof) []proof {
	if of == nil {
		return []proof{noProof}
	}
	return of
}

// bindable reports whether the browser has a family whose key does not count.
func (w *world) bindable() bool {
	f := w.jars[honest].token.family
	return f != 0 && !w.oracle.dead[f] && !w.oracle.rows[f].counts
}

// anyNumber of answers may be lost, and they are not counted.
const anyNumber = 255

// mayPutBack reports whether a jar may be put back: in some worlds only one that is
// no more than one refresh old. A refresh whose answer was lost counts too.
func (s *search) mayPutBack(w *world, a *aside) bool {
	t := a.token
	return !s.freshAsides || a.renewed <= 1 && (t.family == 0 || w.oracle.rows[t.family].n <= t.generation+1)
}

// Targets of an administrator's revocation, besides a family by its number.
const (
	itsSubject = 0
	everyone   = 100
)

func (w *world) revocable() []uint8 {
	all := []uint8{itsSubject, everyone}
	for f := int8(1); f <= w.oracle.families; f++ {
		if !w.oracle.dead[f] {
			all = append(all, uint8(f))
		}
	}
	return all
}

func (w *world) slot() (i int) {
	for i < maxFlights && w.requests[i].phase != unused {
		i++
	}
	return i
}

// insides lists what can happen between two calls of one refresh.
func (s *search) insides(w *world, i int) (all []move) {
	for k := range w.requests {
		if p := w.requests[k].phase; k != i && p != unused && p != answered {
			all = append(all, move{act: stepsWith, i: uint8(i), within: steps, k: uint8(k)})
			if s.slowCalls {
				all = append(all, move{act: stepsWith, i: uint8(i), within: passes, k: uint8(k)})
			}
		}
	}
	if w.revocations < s.revocations {
		for _, f := range w.revocable() {
			all = append(all, move{act: stepsWith, i: uint8(i), within: revokes, k: f})
		}
	}
	return all
}

// maySend reports whether a round trip may begin beside those under way.
func (s *search) maySend(w *world) bool {
	for i := range w.requests {
		if r := &w.requests[i]; s.sum != 0 && r.phase != unused && w.now-r.sent > s.sum {
			return false
		}
	}
	return true
}

// mayPass reports whether so much time may pass: promises to browsers whose
// answers are prompt do not extend to others.
func (s *search) mayPass(w *world, d units) bool {
	if s.gap != 0 && w.now+d-w.active > s.gap {
		return false
	}
	longest, second := units(0), units(0) // of the round trips, after d
	for i := range w.requests {
		r := &w.requests[i]
		if r.phase == unused {
			continue
		}
		if r.who == other {
			return false // a thief's delay amounts to a later sending
		}
		took := w.now + d - r.sent
		if s.prompt != 0 && took > s.prompt || s.sum != 0 && !r.alone && r.beside+took > s.sum {
			return false
		}
		if took > longest {
			longest, second = took, longest
		} else {
			second = max(second, took)
		}
	}
	return s.sum == 0 || second == 0 || longest+second <= s.sum
}

// apply makes a move. It reports whether the move was possible.
func (s *search) apply(w *world, m move) bool {
	s.store.w = w
	switch m.act {
	case sends:
		r := request{phase: sent, who: m.i, kind: kind(m.j), proof: m.proof, sent: w.now, brings: w.brings(m), alone: w.flights(m.i) == 0}
		for i := range w.requests {
			o := &w.requests[i]
			if o.who == m.i && o.phase != unused {
				o.alone = false
			}
		}
		if m.i == honest {
			w.active = w.now
		}
		slot := w.slot()
		w.requests[slot] = r
		if m.i == other || s.atOnce {
			s.step(w, slot)
		}
	case steps:
		s.step(w, int(m.i))
	case stepsWith:
		happened := false
		s.store.inside = func() {
			happened, s.nested = true, true
			calls, asks := s.store.calls, s.store.asks
			s.say("meanwhile:")
			if m.within == revokes {
				w.revocations++
				s.revoke(w, int8(m.k))
			} else {
				s.serve(w, &w.requests[m.k])
			}
			if m.within == passes {
				w.now += s.grace()
			}
			s.store.calls, s.store.asks, s.nested = calls, asks, false
		}
		s.serve(w, &w.requests[m.i])
		s.store.inside = nil
		if !happened {
			return false
		}
	case arrives:
		w.arrive(&w.requests[m.i])
		w.over(&w.requests[m.i])
	case loses:
		w.over(&w.requests[m.i])
		if s.losses != anyNumber {
			w.lost++
		}
	case passes:
		w.now += s.times[m.i]
	case steals:
		w.stolen, w.jars[other], w.loot = true, w.jars[honest], w.jars[honest]
	case keeps:
		w.asides[m.i] = aside{jar: w.jars[m.j], used: true}
	case putsBack:
		if m.j != 1 {
			w.jars[honest].cookie = w.asides[m.i].cookie
		}
		if m.j != 0 {
			w.jars[honest].token = w.asides[m.i].token
			w.asides[m.i].renewed = 0
		}
	case revokes:
		w.revocations++
		s.revoke(w, int8(m.i))
	case raises:
		w.floors++
		w.shelf.raiseFloor(unitTime(w.clock()))
	case binds:
		s.bind(w)
	case forgets:
		w.jars[honest].token = token{}
	case changes:
		s.change(w, int8(m.i))
	case turnsBack:
		w.jumps++
		w.behind += s.jump
	case backsUp:
		copied := w.shelf
		w.backup, w.backedUp = &copied, true
	case goesBack:
		w.wentBack = true
		w.goBack(s.remembers)
	}
	if s.full {
		s.full = false
		return false
	}
	s.probe(w)
	return true
}

// step is one phase, or all of them if phases are not told apart.
func (s *search) step(w *world, i int) {
	r := &w.requests[i]
	s.serve(w, r)
	for !s.split && r.phase != unused && r.phase != answered && s.violation == "" {
		s.serve(w, r)
	}
	if r.phase == answered && (s.atOnce || r.who == other && !s.split) {
		w.arrive(r)
		w.over(r)
	}
}

func revoked(k uint8) string {
	switch k {
	case itsSubject:
		return "the subject"
	case everyone:
		return "everyone"
	}
	return fmt.Sprintf("family %d", k)
}

// text describes a move before it is made.
func (s *search) text(w *world, m move) string {
	name := func(who uint8) string {
		switch {
		case who == honest:
			return "the browser"
		case s.device:
			return "the other device"
		}
		return "the thief"
	}
	show := func(j jar) string {
		return fmt.Sprintf("cookie %d:%d, token %d:%d.%d", j.cookie.family, j.cookie.generation, j.token.family, j.token.generation, j.token.copied)
	}
	at := func(i uint8) string {
		return fmt.Sprintf("%s's %v (#%d)", name(w.requests[i].who), w.requests[i].kind, i)
	}
	switch m.act {
	case sends:
		return fmt.Sprintf("%s sends %v (#%d) with %s%s", name(m.i), kind(m.j), w.slot(), show(w.brings(m)), [...]string{"", ", and a proof", ", and a proof by another key"}[m.proof])
	case steps:
		return "the server serves " + at(m.i)
	case stepsWith:
		if m.within == revokes {
			return fmt.Sprintf("the server serves %s, and inside an administrator revokes %s", at(m.i), revoked(m.k))
		}
		if m.within == passes {
			return fmt.Sprintf("the server serves %s, and inside %s, and the grace passes", at(m.i), at(m.k))
		}
		return fmt.Sprintf("the server serves %s, and inside %s", at(m.i), at(m.k))
	case arrives:
		r := w.requests[m.i]
		return fmt.Sprintf("the answer to %s arrives and sets %s", at(m.i), show(jar{r.sets.cookie, r.sets.token}))
	case loses:
		return "the answer to " + at(m.i) + " is lost"
	case passes:
		return fmt.Sprintf("%v pass (grace %v, half a lifetime %v)", searchTime(s.times[m.i]), searchTime(s.grace()), searchTime(s.half()))
	case steals:
		return "the thief copies " + show(w.jars[honest])
	case keeps:
		return fmt.Sprintf("the owner keeps a copy of %s of %s", show(w.jars[m.j]), name(m.j))
	case putsBack:
		return fmt.Sprintf("the owner puts back, of %s, %s", show(w.asides[m.i].jar), [...]string{"the cookie", "the token", "both"}[m.j])
	case revokes:
		return fmt.Sprintf("an administrator revokes %s", revoked(m.i))
	case raises:
		return "the log is dropped up to its head"
	case binds:
		return "the browser binds its family, or proves the key that it has bound"
	case forgets:
		return "the jar loses its refresh token"
	case changes:
		return fmt.Sprintf("somebody changes family %d in the store, or puts it back", m.i)
	case turnsBack:
		return fmt.Sprintf("the engine's clock is set back by %v", searchTime(s.jump))
	case backsUp:
		return "somebody copies the store"
	case goesBack:
		return "the copy takes the place of the store"
	}
	return "?"
}
