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
	rows      [maxFamilies]known
	top       [maxFamilies]store.Position // the highest that a cookie was minted at
	dead      [maxFamilies]bool
	committed [maxFamilies]uint8
	families  int8
	commits   uint8 // counts them

	theft theft
}

// known is what was seen written to a family: section 8's n, k, a and t, by the
// engine's clock.
type known struct {
	t       units
	n, k, a uint16
	key     proof
	counts  bool
	changed bool
}

func (t *oracle) born(family int8, now units) {
	t.families = family
	t.rows[family] = known{t: now, n: 1}
}

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

// wentBack records what a store holds that went back in time. What it lost is what
// its documentation says: writes to families, and families (their n is then 0; their
// session cookies end with the access lifetime).
func (t *oracle) wentBack(s *shelf, newest uint16, remembers bool) {
	for f := int8(1); f <= t.families; f++ {
		r := &s.rows[f]
		t.rows[f] = known{t: r.issued, n: r.n, k: r.k, a: r.a, key: r.key, counts: r.counts, changed: r.changed}
		t.committed[f] = r.value
		// A rebirth is lost, and the entry that it belongs to is written back.
		t.dead[f] = t.dead[f] || s.state(f) == store.CutOff
	}
	if !remembers {
		t.theft.advances, t.theft.spaced = 0, 0
	}
	t.theft.from = newest
}

// lies is how many copies a token lies behind, from which on it advances.
const lies = 3

func (s *search) grace() units  { return units(s.policy().Grace / searchUnit) }
func (s *search) half() units   { return units(s.policy().Access / 2 / searchUnit) }
func (s *search) access() units { return units(s.policy().Access / searchUnit) }

// longAgo reports whether a family's t counts as that long ago.
func (s *search) longAgo(w *world, f int8, age units) bool {
	since := w.clock() - w.oracle.rows[f].t
	return since >= age || since < -skewUnits
}

func (s *search) pastIdle(w *world, f int8) bool {
	return s.idle != 0 && w.clock() >= w.oracle.rows[f].t+s.idle
}

// row is a row of section 8's table.
type tableRow uint8

const (
	rowAhead    tableRow = iota // the store went back in time
	rowDue                      // advance
	rowAgain                    // the same token again
	rowGrace                    // the same successor again
	rowLost                     // a copy
	rowBroken                   // no copies are left
	rowElse                     // a replay
	rowUnproven                 // a bound family, and no proof
	rowSeal                     // the row is not as it was sealed
	rowNothing                  // the family is not served, whatever is presented
)

// proven reports whether a request comes from a proven browser.
func (t *oracle) proven(f int8, q refresh.Request) bool {
	return !q.Native && !q.Key.IsZero() && proofOf(q.Key) == t.rows[f].key
}

// table is section 8's table, from what the observer knows.
func (s *search) table(w *world, t token, q refresh.Request) tableRow {
	row := s.unsealed(w, t, q)
	if w.oracle.rows[t.family].changed && row != rowNothing {
		return rowSeal
	}
	return row
}

// unsealed is the table for writes, which do not judge the seal.
func (s *search) unsealed(w *world, t token, q refresh.Request) tableRow {
	k := &w.oracle.rows[t.family]
	if w.oracle.proven(t.family, q) {
		t.generation, t.copied = k.n, k.k
	}
	switch {
	case w.oracle.dead[t.family] || k.n == 0 || s.pastIdle(w, t.family) || q.Native != s.native:
		return rowNothing
	case k.counts && proofOf(q.Key) != k.key:
		return rowUnproven
	case t.generation > k.n || t.generation == k.n && t.copied > k.k:
		return rowAhead
	case t.generation == k.n && (s.longAgo(w, t.family, s.half()) || k.k-t.copied >= lies):
		return rowDue
	case t.generation == k.n:
		return rowAgain
	case t.generation+1 != k.n || t.copied != k.a:
		return rowElse
	case !s.longAgo(w, t.family, s.grace()):
		return rowGrace
	case s.policy().Strict:
		return rowElse
	case k.k >= store.MaxCopy:
		return rowBroken
	}
	return rowLost
}

// sawAdvance checks a write against the conditions of section 8, and that one
// generation has one successor.
func (s *search) sawAdvance(w *world, f int8, a store.Advance, before row) {
	k, r := &w.oracle.rows[f], &w.shelf.rows[f]
	t := token{f, uint16(a.Generation), a.Copy}
	q := refresh.Request{Native: a.Native, Key: a.Key}
	if got := s.unsealed(w, t, q); got != rowDue {
		s.fail("(e) %d.%d advances, which is for row %d of the table; the family is at %d.%d", t.generation, t.copied, got, k.n, k.k)
	}
	if a.Basis < before.committed {
		s.fail("(c) a family advances for data from before its last Commit")
	}
	k.t, k.n, k.k, k.a = w.clock(), k.n+1, 0, a.Copy
	k.prove(a.Key)
	s.wrote(w, f)
	if r.n != k.n || r.k != k.k || r.a != k.a || r.issued != k.t || r.counts != k.counts {
		s.fail("(e) the advance from %d.%d wrote %d.%d after copy %d", t.generation, t.copied, r.n, r.k, r.a)
	}
}

// sawReissue checks a write likewise.
func (s *search) sawReissue(w *world, f int8, a store.Reissue, before row) {
	k, r := &w.oracle.rows[f], &w.shelf.rows[f]
	t := token{f, uint16(a.Generation), a.Copy}
	q := refresh.Request{Native: a.Native, Key: a.Key}
	if got := s.table(w, t, q); got != rowLost {
		s.fail("(e) %d.%d gets a copy, which is for row %d of the table; the family is at %d.%d", t.generation, t.copied, got, k.n, k.k)
	}
	if a.Basis < before.committed {
		s.fail("(c) a copy is made for data from before the last Commit")
	}
	k.k, k.t = k.k+1, w.clock()
	k.prove(a.Key)
	s.wrote(w, f)
	if r.n != k.n || r.k != k.k || r.a != k.a || r.issued != k.t || r.counts != k.counts {
		s.fail("(e) the copy for %d.%d wrote %d.%d after copy %d", t.generation, t.copied, r.n, r.k, r.a)
	}
}

// sawRaise: raising a position is no refresh.
func (s *search) sawRaise(w *world, f int8, key store.Key, before row) {
	k, r := &w.oracle.rows[f], &w.shelf.rows[f]
	if k.changed || k.counts && proofOf(key) != k.key {
		s.fail("(e) the position of family %d is raised, which is changed or not proven", f)
	}
	k.prove(key)
	s.wrote(w, f)
	if before.position, before.counts = r.position, k.counts; *r != before {
		s.fail("(e) raising the position changed %+v to %+v", before, *r)
	}
}

// prove records a proof by a key. The family's own counts from then on.
func (k *known) prove(key store.Key) {
	k.counts = k.counts || k.key != noProof && proofOf(key) == k.key
}

func (s *search) wrote(w *world, f int8) {
	if w.shelf.rows[f].position < w.shelf.head {
		s.fail("(e) family %d was written, and its position is below the head", f)
	}
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
// session cookie or the result of a refresh, against (a), (c) and the limits.
func (s *search) accepted(w *world, r *request, c sealed) {
	t := &w.oracle
	if t.dead[c.family] {
		s.fail("(a) family %d was ended, and is accepted", c.family)
	}
	if c.data.commit < t.committed[c.family] || !c.data.present {
		s.fail("(c) data of commit %d is accepted after commit %d", c.data.commit, t.committed[c.family])
	}
	if w.now-c.minted >= s.access() {
		s.fail("(f) a cookie is accepted an access lifetime after the store was last asked")
	}
	if w.behind == 0 && s.pastIdle(w, c.family) {
		s.fail("(f) family %d is accepted past its idle limit", c.family)
	}
	if a, b := r.brings.cookie.family, r.brings.token.family; a != b && a != 0 && b != 0 && !t.dead[a] && !t.dead[b] {
		s.fail("(g) of two living sessions one was chosen")
	}
}

// stale checks how far Save can be taken back. A refresh carries nothing that
// was sealed before the refresh before the one that made its token. Read
// literally, it carries nothing sealed before the refresh before the one that
// made the family's generation, which is n.
// Of a proven browser it carries nothing sealed before the refresh before the one
// that made the answer's generation is judged: its token says nothing.
func (s *search) stale(c sealed, t token, n uint16, proven bool) {
	if proven {
		if now := s.store.last.Family.Generation; s.staleSaves && uint32(c.sealed)+2 < now {
			s.fail("(c) with a proof goes data that was sealed at %d; the family is at %d", c.sealed, now)
		}
		return
	}
	if s.staleSaves && c.sealed+1 < t.generation || s.staleLiteral && c.sealed+1 < n {
		s.fail("(c) with a token of generation %d goes data that was sealed at %d; the family is at %d", t.generation, c.sealed, n)
	}
}

// served checks the refresher's result against the table, and against the
// promises to honest and dishonest parties.
func (s *search) served(w *world, r *request, q refresh.Request, res refresh.Result) {
	t, k := r.brings.token, &w.oracle.rows[r.brings.token.family]
	row, proven := s.table(w, t, q), w.oracle.proven(t.family, q)
	looked := r.kind == upgrade && !s.twist.upgrades
	switch {
	case row == rowAgain || row == rowGrace || looked && (row == rowDue || row == rowLost):
	default:
		s.fail("(e) %d.%d is served, which is for row %d of the table; the family is at %d.%d after copy %d", t.generation, t.copied, row, k.n, k.k, k.a)
	}
	if verdict, _ := s.policy().Judge(q, res.Snapshot); verdict != refresh.Issue && !looked {
		s.fail("(h) an answer is made of a snapshot on which the verdict is %v", verdict)
	}
	f := &res.Snapshot.Family
	if want := s.store.last.Family; f.Generation != want.Generation || f.Copy != want.Copy || f.Position != want.Position {
		s.fail("(h) an answer is made of another moment's snapshot")
	}
	want := t
	if proven || t.generation != k.n {
		want = token{t.family, k.n, k.k}
	}
	if got := tokenOf(res.Answer(t.codec())); got != want {
		s.fail("(e) %d.%d leads to %d.%d, want %d.%d", t.generation, t.copied, got.generation, got.copied, want.generation, want.copied)
	}
	if proven && !k.counts && !looked {
		s.fail("(e) a proof has brought an answer, and the key does not count")
	}
	if r.who == other && k.counts && proofOf(q.Key) != k.key {
		s.fail("(d) the thief is served by a family that is bound to a key which he does not have")
	}
	if res.Reissued && s.neverReissued && r.who == honest {
		s.fail("(b) an answer that was not lost is replaced")
	}
	if verdict := revocation.Judge(s.store.Cutoffs(t.family), f.Position); !looked && verdict != revocation.Good {
		s.fail("(e) what is issued is %v at once", verdict)
	}
	if !looked {
		s.contact(w, r, row, res)
	}
}

// refused ends a request that found no session. A replay must be one, and must
// end the family. None of it may happen to a browser that (b) protects.
func (s *search) refused(w *world, r *request, res refresh.Result) {
	t, token := &w.oracle, r.brings.token
	f := token.family
	q := refresh.Request{Native: s.native != (r.kind == wrongDoor), Key: r.proof.key()}
	if res.Reason != "" {
		s.say("refused: %v (%s)", res.Verdict, res.Reason)
		s.judged(w, token, q, res)
	}
	row := s.table(w, token, q)
	if r.who == honest && r.kind != wrongDoor {
		switch {
		case s.neverReplayed && res.Verdict == refresh.Replay:
			s.fail("(b) the honest browser is taken for a thief")
		case s.neverRefused && f != 0 && !t.dead[f] && row != rowUnproven && row != rowSeal:
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
	w.over(r)
}

// judged checks a refusal against the table: while the family lives, a token is
// refused for its generation and copy alone.
func (s *search) judged(w *world, t token, q refresh.Request, res refresh.Result) {
	k := &w.oracle.rows[t.family]
	want := refresh.Refuse
	row := s.table(w, t, q)
	switch row {
	case rowAhead:
		want = refresh.Ahead
	case rowElse:
		want = refresh.Replay
	case rowNothing:
		if res.Verdict == refresh.Replay && res.Snapshot.State == store.Alive {
			return // it was ended between the verdict and the end that the verdict led to
		}
	case rowUnproven:
		if res.Verdict == refresh.Replay && !res.Snapshot.Family.Counts {
			return // the key has come to count between the verdict and the end that the verdict led to
		}
		if res.Reason != refresh.ReasonUnproven {
			s.fail("(e) a family that is bound is refused without a proof for %q", res.Reason)
		}
	case rowSeal:
		if res.Reason != refresh.ReasonSeal {
			s.fail("(i) family %d was changed in the store, and is refused for %q", t.family, res.Reason)
		}
	case rowBroken:
	default:
		s.fail("(e) %d.%d is refused (%s), which is for row %d of the table; the family is at %d.%d after copy %d", t.generation, t.copied, res.Reason, row, k.n, k.k, k.a)
		return
	}
	if res.Verdict != want {
		s.fail("(e) the verdict on %d.%d is %v (%s), want %v; the family is at %d.%d after copy %d", t.generation, t.copied, res.Verdict, res.Reason, want, k.n, k.k, k.a)
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
		if verdict := revocation.Judge(s.cutoffs(w, f), w.oracle.top[f]); verdict == revocation.Good && !s.native {
			s.fail("(a) family %d was ended, and a cookie of it is %v", f, verdict)
		}
		s.store.w = w
		s.store.asks = refresh.Request{Family: familyID(f)}
		snap := s.store.shown(s.store.snapshot(f, store.Unwritten))
		q := refresh.Request{Family: familyID(f), Generation: max(snap.Family.Generation, 1), Copy: snap.Family.Copy, Native: s.native, Basis: store.MaxPosition}
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

// theft holds what happened since a jar was copied, for (d).
type theft struct {
	writer   uint8  // who made the last advance or copy, also before the theft
	shadowed bool   // the thief got the successor that the owner's refresh had made
	met      bool   // the same, or the owner got the thief's
	advances uint8  // the owner's
	spaced   uint8  // the owner's refreshes that are half a lifetime apart
	last     units  // the last of those
	from     uint16 // the newest generation that a store has lost, which went back
}

// contact checks (d). The thief is never served after the owner has advanced the
// family twice. The exception is a thief who refreshes within the grace of the
// owner's refresh: both then hold the same successor. Nor is he served after the
// owner has refreshed so often, half a lifetime apart, unless one of them came within
// the grace of the other's refresh.
func (s *search) contact(w *world, r *request, row tableRow, res refresh.Result) {
	d := &w.oracle.theft
	wrote := res.Advanced || res.Reissued
	if !w.stolen {
		if wrote {
			d.writer = r.who
		}
		return
	}
	if row == rowGrace && !wrote && d.writer != r.who {
		d.met = true
		d.shadowed = d.shadowed || r.who == other
	}
	if wrote {
		d.writer = r.who
	}
	if r.who == other {
		if s.thiefAdvances != 0 && d.advances >= s.thiefAdvances && !(d.shadowed && !s.inTheGrace) {
			s.fail("(d) the thief is served after the owner has advanced %d times", d.advances)
		}
		if s.thiefSpaced != 0 && d.spaced >= s.thiefSpaced && !d.met {
			s.fail("(d) the thief is served after the owner has refreshed %d times, half a lifetime apart", d.spaced)
		}
		return
	}
	if res.Advanced && r.brings.token.generation >= d.from {
		d.advances = min(d.advances+1, 3)
	}
	if d.spaced == 0 || w.now-d.last >= s.half() {
		d.spaced, d.last = min(d.spaced+1, 7), w.now
	}
}
