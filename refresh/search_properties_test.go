package refresh_test

import (
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// oracle is the knowledge of an observer who has seen every call return. The
// properties compare what the code accepts with the oracle, and never with what
// the store reports.
type oracle struct {
	families int8
	dead     [maxFamilies]bool
	top      [maxFamilies]store.Position // the highest that a cookie was minted at

	commits   uint8 // counts them
	committed [maxFamilies]uint8

	at       [maxFamilies]units // since when a family is at its generation; 0: since its birth
	forgiven [maxFamilies]uint32

	theft theft
}

func (t *oracle) born(family int8) { t.families = family }

func (t *oracle) living() bool {
	for f := int8(1); f <= t.families; f++ {
		if !t.dead[f] {
			return true
		}
	}
	return false
}

func (t *oracle) minted(c sealed) { t.top[c.family] = max(t.top[c.family], c.at) }

// died records that a call has returned which ends families.
func (t *oracle) died(which func(int8) bool) {
	for f := int8(1); f <= t.families; f++ {
		t.dead[f] = t.dead[f] || which(f)
	}
}

// sawAdvance checks property (e): a generation has one successor.
func (s *search) sawAdvance(w *world, family int8, from uint32, snap store.Snapshot) {
	t := &w.oracle
	if now := snap.Family.Generation; now != from+1 || w.generation(family) >= now {
		s.fail("(e) generation %d, which follows %d, is made where %d was before", now, from, w.generation(family))
	}
	t.at[family] = w.now
	again := *w.sees
	again.families[family] = snap
	w.sees = &again
}

// sawForgive checks the other half of (e): one generation is forgiven in a
// family's life.
func (s *search) sawForgive(w *world, family int8, generation uint32) {
	if w.oracle.forgiven[family] != 0 {
		s.fail("(e) family %d forgives a second time", family)
	}
	w.oracle.forgiven[family] = generation
}

// sawCommit checks a part of (c): a commit continues from the one before, so
// that two tabs cannot lose each other's.
func (s *search) sawCommit(w *world, r *request, number uint8) {
	f, t := r.session.family, &w.oracle
	if r.session.data.commit != t.committed[f] {
		s.fail("(c) commit %d goes on from commit %d, and %d is lost", number, r.session.data.commit, t.committed[f])
	}
	t.commits, t.committed[f] = number, number
}

// accepted checks the cookie from which a request is served, whether its
// session cookie or the result of a refresh, against (a), (c) and the access
// lifetime.
func (s *search) accepted(w *world, r *request, c sealed) {
	t := &w.oracle
	if t.dead[c.family] {
		s.fail("(a) family %d was ended, and is accepted", c.family)
	}
	if c.data.commit < t.committed[c.family] || !c.data.present {
		s.fail("(c) data of commit %d is accepted after commit %d", c.data.commit, t.committed[c.family])
	}
	if w.now-c.minted >= accessUnits {
		s.fail("(f) a cookie is accepted an access lifetime after the store was last asked")
	}
	if a, b := r.brings.cookie.family, r.brings.token.family; a != b && a != 0 && b != 0 && !t.dead[a] && !t.dead[b] {
		s.fail("(g) of two living sessions one was chosen")
	}
}

// stale checks how far Save can be taken back. A refresh carries nothing that
// was sealed before the refresh before the one that made its token. Read
// literally, it carries nothing sealed before the refresh before the one that
// made the family's generation, which is n.
func (s *search) stale(c sealed, t token, n uint32) {
	if s.staleSaves && c.sealed+1 < t.generation || s.staleLiteral && c.sealed+1 < n {
		s.fail("(c) with a token of generation %d goes data that was sealed at %d; the family is at %d", t.generation, c.sealed, n)
	}
}

// served checks the refresher's result against the second half of promise 3,
// and against the promises to honest and dishonest parties.
func (s *search) served(w *world, r *request, res refresh.Result) {
	t, f := &w.oracle, r.brings.token.family
	g, n := r.brings.token.generation, res.Snapshot.Family.Generation
	if res.Forgiven && s.neverForgiven && r.who == honest {
		s.fail("(b) an answer that was not lost is forgiven")
	}
	if g != n && (g != n-1 || w.now-t.at[f] >= graceUnits && t.forgiven[f] != g) {
		s.fail("(e) generation %d is served %d units after %d was made; forgiven: %d", g, w.now-t.at[f], n, t.forgiven[f])
	}
	if verdict := revocation.Judge(s.store.Cutoffs(f), res.Snapshot.Family.Position); verdict != revocation.Good {
		s.fail("(e) what is issued is %v at once", verdict)
	}
	if r.kind != upgrade {
		s.contact(w, r)
	}
}

// refused ends a request that found no session. A replay must be one, and must
// end the family. None of it may happen to a browser that (b) protects.
func (s *search) refused(w *world, r *request, res refresh.Result) {
	t, f, g := &w.oracle, r.brings.token.family, r.brings.token.generation
	if res.Reason != "" {
		s.say("refused: %v (%s)", res.Verdict, res.Reason)
		s.judged(w, f, g, res)
	}
	if r.who == honest {
		switch {
		case s.neverReplayed && (res.Verdict == refresh.Replay || res.Verdict == refresh.Ahead):
			s.fail("(b) the honest browser is taken for a thief")
		case s.neverRefused && f != 0 && !t.dead[f] && r.kind != upgrade:
			s.fail("(b) the honest browser is refused")
		case s.neverLost && r.alone && w.oracle.living():
			s.fail("(b) the honest browser has lost its session, which lives")
		}
	}
	if res.Verdict == refresh.Replay {
		t.died(func(family int8) bool { return family == f })
	}
	if r.kind >= logout {
		r.session, r.phase = sealed{}, attached
		return
	}
	*r = request{}
}

// judged checks a refusal against the table: while the family lives, a token is
// refused for its generation alone, and that ends the family.
func (s *search) judged(w *world, family int8, g uint32, res refresh.Result) {
	t, n := &w.oracle, w.generation(family)
	old := g < n-1 || g == n-1 && w.now-t.at[family] >= graceUnits &&
		t.forgiven[family] != g && (t.forgiven[family] != 0 || s.policy().Strict)
	switch {
	case t.dead[family] || res.Reason == refresh.ReasonUpgrade:
	case !old:
		s.fail("(e) generation %d of %d is refused: %s", g, n, res.Reason)
	case res.Verdict != refresh.Replay:
		s.fail("(e) generation %d of %d is refused, and the family lives: %s", g, n, res.Reason)
	}
}

// probe checks what would be accepted after each step, and not only when a
// request happens to arrive: for each dead family the cookie that was minted
// highest and the refresh token, and every session cookie in a jar.
func (s *search) probe(w *world) {
	for f := int8(1); f <= w.oracle.families; f++ {
		if !w.oracle.dead[f] {
			continue
		}
		if verdict := revocation.Judge(s.cutoffs(w, f), w.oracle.top[f]); verdict != revocation.Revoked && verdict != revocation.Expired {
			s.fail("(a) family %d was ended, and a cookie of it is %v", f, verdict)
		}
		snap := s.store.shown(w.sees.families[f])
		q := refresh.Request{Family: familyID(f), Generation: snap.Family.Generation, Basis: store.MaxPosition}
		if verdict, _ := s.policy().Judge(q, snap); verdict != refresh.Refuse {
			s.fail("(a) family %d was ended, and the verdict on its token is %v", f, verdict)
		}
	}
	for i := range w.jars {
		s.look(w, w.jars[i].cookie)
	}
	for i := range s.asides {
		s.look(w, w.asides[i].cookie)
	}
}

func (s *search) look(w *world, c sealed) {
	if c.family != 0 && w.now < c.expires && revocation.Judge(s.cutoffs(w, c.family), c.at) == revocation.Good {
		s.accepted(w, &request{}, c)
	}
}

func (s *search) cutoffs(w *world, family int8) store.Cutoffs {
	c := w.sees.cutoffs[family]
	if s.twist.cutoffs != nil {
		s.twist.cutoffs(&c)
	}
	return c
}

// theft holds the times for (d): those of the refreshes, the honest browser's
// and the thief's, that were served since a jar was copied. A time is 0 if
// there was none.
type theft struct {
	last   units // of both, also from before the theft
	first  units // the honest browser's first
	honest units // its last
	thief  units // the thief's last

	apart    bool  // an honest one came half a lifetime after the first
	shadowed bool  // the thief's came within the grace of an honest one
	pending  units // an honest one that may be clear
	clear    uint8
}

// contact checks (d) in two readings. The literal one is the design's sentence
// word for word: the thief is never served after two honest refreshes that are
// half a lifetime apart, unless he refreshed within the grace of an honest one.
// In the other, an honest refresh is clear if nobody was served in half a
// lifetime before it, and not the thief in the grace after it. The thief is
// never served after two clear refreshes.
func (s *search) contact(w *world, r *request) {
	d := &w.oracle.theft
	defer func() { d.last = w.now }()
	if !w.stolen {
		return
	}
	near := func(at units) bool { return at != 0 && w.now-at < graceUnits }
	if d.pending != 0 && !near(d.pending) {
		d.pending, d.clear = 0, min(d.clear+1, 2)
	}
	if r.who == other {
		d.shadowed = d.shadowed || near(d.honest)
		d.pending, d.thief = 0, w.now
		if s.thiefLiteral && d.apart && !d.shadowed {
			s.fail("(d) the thief is served after two honest refreshes half a lifetime apart")
		}
		if s.thiefClear && d.clear == 2 {
			s.fail("(d) the thief is served after two clear honest refreshes")
		}
		return
	}
	if d.first == 0 {
		d.first = w.now
	}
	d.apart = d.apart || w.now-d.first >= halfUnits
	d.shadowed, d.honest = d.shadowed || near(d.thief), w.now
	if w.now-d.last >= halfUnits {
		d.pending = w.now
	}
}
