package refresh_test

import (
	"context"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// shelf is a store as a value, so that a world is copied by assignment. It has what
// the rules are about, for one subject. [TestShelfIsAStore] holds it to
// store/memory.
type shelf struct {
	rows                           [maxFamilies]row
	head, floor, subject, everyone store.Position
	ending, superseding            [maxFamilies]store.Position
}

type row struct {
	birth, position, committed store.Position
	issued, idle               units
	n, k, a                    uint16
	value                      uint8 // the number of the Commit
	exists, ended, native      bool
	key                        proof
	counts                     bool
	changed                    bool // by somebody who can write the store
}

const subject = "alice"

// wrongs are conditions that a shelf leaves out, or writes that it gets wrong, on
// purpose. The zero value is right.
type wrongs struct {
	alive, limits, kind, basis, position                           bool // of Advance and Reissue
	generation, copied, age, lag, skew                             bool // of Advance
	usedStays, copyStays, issuedStays                              bool
	reissueGeneration, reissueUsed, reissueAge, reissueSkew        bool
	copiesUsedUp, reissueIssuedStays, sameCopy, raiseIsAnAdvance   bool
	renewLives, loginLives, commitBasis, renewBasis, endOtherBasis bool
	noRebirth, replayLives, logoutLives, behindWrites              bool
	key, countsNot                                                 bool // of every write
}

func (s *shelf) next(now time.Time, above store.Position) store.Position {
	return max(s.head+1, above+1, store.Position(now.UnixMicro()))
}

func (s *shelf) state(f int8) store.State {
	switch r := &s.rows[f]; {
	case !r.exists:
		return store.Absent
	case r.ended:
		return store.Ended
	case r.birth < max(s.subject, s.everyone):
		return store.CutOff
	}
	return store.Alive
}

func (s *shelf) past(f int8, now units) bool { return now >= s.rows[f].issued+s.rows[f].idle }

func (s *shelf) live(f int8, now units) bool { return s.state(f) == store.Alive && !s.past(f, now) }

func (s *shelf) end(now time.Time, f int8, above store.Position) {
	s.rows[f].ended = true
	s.head = s.next(now, above)
	s.ending[f] = s.head
}

// searchStore is the [refresh.Store] of the world that is being moved. It reports
// what is written to the oracle, and breaks rules on demand.
type searchStore struct {
	search *search
	w      *world

	calls  int             // of one refresh
	inside func()          // runs before the second call of a refresh
	last   store.Snapshot  // that was returned
	asks   refresh.Request // that is under way
}

func unitTime(n units) time.Time { return issued.Add(searchTime(n)) }

// clock is the engine's, in units.
func (w *world) clock() units { return w.now - w.behind }

// snapshot shows a family at this moment.
func (s *searchStore) snapshot(f int8, o store.Outcome) store.Snapshot {
	sh := &s.w.shelf
	snap := store.Snapshot{
		State: sh.state(f), Outcome: o, Head: sh.head, Floor: sh.floor, Now: unitTime(s.w.clock()),
	}
	if r := &sh.rows[f]; r.exists {
		snap.Family = store.Family{
			ID: familyID(f), Subject: subject, Native: r.native,
			Birth: r.birth, Position: r.position, LastCommit: r.committed,
			Generation: uint32(r.n), Copy: r.k, Used: r.a,
			Key: r.key.key(), Counts: r.counts, Seal: sealOf(r),
			Started: issued, Issued: unitTime(r.issued), Idle: searchTime(r.idle), Absolute: searchTime(1 << 30),
		}
	}
	return snap
}

// changedSeal is the seal of a row that somebody has changed.
var changedSeal = store.Seal{1}

func sealOf(r *row) (s store.Seal) {
	if r.changed {
		s = changedSeal
	}
	return s
}

// provenBy reports whether a proof by a key, or by none, is enough for a family.
func (s *searchStore) provenBy(r *row, key store.Key) bool {
	return !r.counts || key == r.key.key() || s.search.twist.store.key
}

// prove makes the family's key count if a proof by it was brought.
func (s *searchStore) prove(r *row, key store.Key) {
	r.counts = r.counts || r.key != noProof && key == r.key.key() && !s.search.twist.store.countsNot
}

// shown returns what the caller sees of a snapshot.
func (s *searchStore) shown(snap store.Snapshot) store.Snapshot {
	if s.search.twist.show != nil {
		s.search.twist.show(s.asks, &snap)
	}
	s.last = snap
	return snap
}

// called lets something else happen between two calls of one refresh.
func (s *searchStore) called() {
	if s.calls++; s.calls == 2 && s.inside != nil {
		inside := s.inside
		s.inside = nil
		inside()
	}
}

// longAgo is the condition on a family's age, in a write.
func (s *searchStore) longAgo(r *row, age, skew time.Duration) bool {
	since := searchTime(s.w.clock() - r.issued)
	return since >= age || since < -skew
}

func (s *searchStore) Advance(_ context.Context, a store.Advance) (store.Snapshot, error) {
	s.called()
	if err := a.Check(); err != nil {
		return store.Snapshot{}, err
	}
	if s.search.twist.advance != nil {
		s.search.twist.advance(s.asks, &a)
	}
	f, wrong := familyOf(a.ID), &s.search.twist.store
	sh := &s.w.shelf
	r := &sh.rows[f]
	if wrong.skew {
		a.Skew = 1 << 60
	}
	due := wrong.age || s.longAgo(r, a.Age, a.Skew) || !wrong.lag && a.Lag > 0 && int(r.k)-int(a.Copy) >= int(a.Lag)
	if a.PositionOnly && !wrong.raiseIsAnAdvance {
		due = true
	}
	if !r.exists || sh.state(f) != store.Alive && !wrong.alive || sh.past(f, s.w.clock()) && !wrong.limits ||
		r.native != a.Native && !wrong.kind || !s.provenBy(r, a.Key) || uint32(r.n) != a.Generation && !wrong.generation ||
		!due || !a.PositionOnly && a.Copy > r.k && !wrong.copied {
		return s.shown(s.snapshot(f, store.Unwritten)), nil
	}
	outcome := store.Written
	if a.Basis < r.committed && !wrong.basis {
		outcome = store.Behind
		if !wrong.behindWrites {
			return s.shown(s.snapshot(f, outcome)), nil
		}
	}
	before := *r
	if !wrong.position {
		r.position = max(r.position, sh.head)
	}
	s.prove(r, a.Key)
	if !a.PositionOnly || wrong.raiseIsAnAdvance {
		r.n++
		if !wrong.usedStays {
			r.a = a.Copy
		}
		if !wrong.copyStays {
			r.k = 0
		}
		if !wrong.issuedStays {
			r.issued = s.w.clock()
		}
	}
	if a.PositionOnly {
		s.search.sawRaise(s.w, f, a.Key, before)
	} else {
		s.search.sawAdvance(s.w, f, a, before)
	}
	return s.shown(s.snapshot(f, outcome)), nil
}

func (s *searchStore) Reissue(_ context.Context, a store.Reissue) (store.Snapshot, error) {
	s.called()
	if err := a.Check(); err != nil {
		return store.Snapshot{}, err
	}
	f, wrong := familyOf(a.ID), &s.search.twist.store
	sh := &s.w.shelf
	r := &sh.rows[f]
	if wrong.reissueSkew {
		a.Skew = 1 << 60
	}
	if !r.exists || sh.state(f) != store.Alive && !wrong.alive || sh.past(f, s.w.clock()) && !wrong.limits ||
		r.native != a.Native && !wrong.kind || !s.provenBy(r, a.Key) || uint32(r.n) != a.Generation+1 && !wrong.reissueGeneration ||
		r.a != a.Copy && !wrong.reissueUsed || r.k >= store.MaxCopy && !wrong.copiesUsedUp ||
		!s.longAgo(r, a.Age, a.Skew) && !wrong.reissueAge {
		return s.shown(s.snapshot(f, store.Unwritten)), nil
	}
	outcome := store.Written
	if a.Basis < r.committed && !wrong.basis {
		outcome = store.Behind
		if !wrong.behindWrites {
			return s.shown(s.snapshot(f, outcome)), nil
		}
	}
	before := *r
	if !wrong.position {
		r.position = max(r.position, sh.head)
	}
	s.prove(r, a.Key)
	if !wrong.sameCopy {
		r.k++
	}
	if !wrong.reissueIssuedStays {
		r.issued = s.w.clock()
	}
	s.search.sawReissue(s.w, f, a, before)
	return s.shown(s.snapshot(f, outcome)), nil
}

func (s *searchStore) Family(_ context.Context, id store.ID) (store.Snapshot, error) {
	s.called()
	return s.shown(s.snapshot(familyOf(id), store.Unwritten)), nil
}

func (s *searchStore) Revoke(_ context.Context, r store.Revocation) (store.Snapshot, error) {
	s.called()
	wrong := &s.search.twist.store
	if wrong.replayLives && r.Reason == string(refresh.ReasonReplay) || wrong.logoutLives && r.Reason == "logout" {
		return s.snapshot(1, store.Unwritten), nil
	}
	sh, now := &s.w.shelf, unitTime(s.w.clock())
	var reborn int8
	alive := false
	if r.Except != nil {
		reborn = familyOf(r.Except.ID)
		alive = sh.live(reborn, s.w.clock())
		if alive && r.Except.Basis < sh.rows[reborn].committed && !wrong.endOtherBasis {
			return s.snapshot(reborn, store.Behind), nil
		}
	}
	entry, outcome := store.Position(0), store.Unwritten
	for _, id := range r.Sessions {
		f := familyOf(id)
		if sh.ending[f] != 0 || sh.rows[f].ended {
			entry = max(entry, sh.ending[f], sh.floor)
			continue
		}
		sh.end(now, f, r.Above)
		sh.rows[f].ended = sh.rows[f].exists
		entry, outcome = sh.head, store.Written
		if r.Reason == string(refresh.ReasonReplay) && sh.rows[f].changed {
			s.search.fail("(i) family %d was changed in the store, and ends as a replay", f)
		}
	}
	if len(r.Subjects) > 0 {
		sh.head = sh.next(now, r.Above)
		sh.subject, entry, outcome = sh.head, sh.head, store.Written
	}
	if r.Everyone {
		sh.head = sh.next(now, r.Above)
		sh.everyone, entry, outcome = sh.head, sh.head, store.Written
	}
	if alive && !wrong.noRebirth && s.provenBy(&sh.rows[reborn], r.Except.Key) {
		sh.rows[reborn].birth, sh.rows[reborn].position = entry, entry
	}
	snap := s.snapshot(reborn, outcome)
	snap.Entry = entry
	return snap, nil
}

func (s *searchStore) Create(c store.Creation) store.Snapshot {
	wrong := &s.search.twist.store
	sh, now, f := &s.w.shelf, unitTime(s.w.clock()), familyOf(c.ID)
	if sh.rows[f].exists || sh.ending[f] != 0 {
		return s.snapshot(f, store.Taken)
	}
	r := row{exists: true, native: c.Native, n: 1, issued: s.w.clock(), idle: units(c.Idle / searchUnit), key: proofOf(c.Key), counts: !c.Key.IsZero()}
	var ends []int8
	if c.Renews != nil {
		old := familyOf(c.Renews.ID)
		o := &sh.rows[old]
		if !sh.live(old, s.w.clock()) || o.native != c.Native || !s.provenBy(o, c.Renews.Key) {
			return s.snapshot(old, store.Unwritten)
		}
		if c.Renews.Basis < o.committed && !wrong.renewBasis {
			return s.snapshot(old, store.Behind)
		}
		r.key, r.counts = o.key, o.counts
		if r.idle = o.idle; o.committed != 0 {
			r.value = c.Value[0]
		}
		if !wrong.renewLives {
			ends = append(ends, old)
		}
	}
	for _, id := range c.Ends {
		old := familyOf(id)
		lost := sh.state(old) == store.Absent && sh.ending[old] == 0
		if old != 0 && (lost || sh.state(old) == store.Alive) && !wrong.loginLives {
			ends = append(ends, old)
		}
	}
	for _, old := range ends {
		sh.end(now, old, c.Above)
	}
	r.birth, r.position = sh.head, sh.head
	if r.value != 0 {
		r.committed = r.birth
	}
	sh.rows[f] = r
	snap := s.snapshot(f, store.Written)
	if len(ends) > 0 {
		snap.Entry = sh.head
	}
	return snap
}

func (s *searchStore) Commit(c store.Commit) store.Snapshot {
	sh, f := &s.w.shelf, familyOf(c.ID)
	r := &sh.rows[f]
	if !sh.live(f, s.w.clock()) || !s.provenBy(r, c.Key) {
		return s.snapshot(f, store.Unwritten)
	}
	if c.Basis < r.committed && !s.search.twist.store.commitBasis {
		return s.snapshot(f, store.Behind)
	}
	sh.head = sh.next(unitTime(s.w.clock()), c.Above)
	sh.superseding[f] = sh.head
	r.position, r.committed, r.value = sh.head, sh.head, c.Value[0]
	snap := s.snapshot(f, store.Written)
	snap.Entry = sh.head
	return snap
}

func (s *searchStore) Bind(b store.Binding) store.Snapshot {
	f := familyOf(b.ID)
	r := &s.w.shelf.rows[f]
	switch {
	case !s.w.shelf.live(f, s.w.clock()), r.counts, r.key != noProof && r.key.key() != b.Key, r.key != noProof && !b.Counts:
		return s.snapshot(f, store.Unwritten)
	}
	r.key, r.counts = proofOf(b.Key), b.Counts
	return s.snapshot(f, store.Written)
}

func (s *searchStore) Cutoffs(family int8) store.Cutoffs { return s.search.cutoffs(s.w, family) }

func (s *search) cutoffs(w *world, family int8) store.Cutoffs {
	sh := &w.shelf
	c := store.Cutoffs{
		Ending: sh.ending[family], Superseding: sh.superseding[family],
		Subject: sh.subject, Everyone: sh.everyone, Floor: sh.floor, Head: sh.head,
	}
	if s.twist.cutoffs != nil {
		s.twist.cutoffs(&c)
	}
	return c
}

// raiseFloor drops every entry that the log has, after one of another subject was
// appended. An engine may do so only later; correctness does not depend on it.
func (s *shelf) raiseFloor(now time.Time) {
	s.head = s.next(now, 0)
	s.floor = s.head
	for f := range s.rows {
		s.ending[f], s.superseding[f] = 0, 0
	}
}

// goBack puts the store of an earlier moment in the place of this one. The nodes
// write back the revocations that they hold.
func (w *world) goBack(remembers bool) {
	lost := w.shelf
	w.shelf = *w.backup
	s, now := &w.shelf, unitTime(w.clock())
	for f := range s.rows {
		at := lost.ending[f]
		if alive := s.state(int8(f)) == store.Alive; alive && at != 0 || !alive && at > max(s.ending[f], s.floor) {
			s.end(now, int8(f), lost.head)
		}
	}
	if lost.subject > s.subject {
		s.head = s.next(now, lost.head)
		s.subject = s.head
	}
	if lost.everyone > s.everyone {
		s.head = s.next(now, lost.head)
		s.everyone = s.head
	}
	w.oracle.wentBack(s, w.oracle.rows[1].n, remembers)
}

// twist breaks rules on purpose. The zero value breaks none.
type twist struct {
	policy  refresh.Policy
	store   wrongs
	advance func(q refresh.Request, a *store.Advance)
	show    func(q refresh.Request, snap *store.Snapshot) // what the rules see
	cutoffs func(*store.Cutoffs)

	request   func(*refresh.Request)
	carries   func(c sealed, t token) bool
	again     bool // every answer writes the refresh token
	upgrades  bool // an upgrade is refreshed
	laterHead bool // a cookie carries the head at the time it is sealed
	saveLife  bool // Save gives a new lifetime
	unproven  bool // the answer is made as for a browser without a proof
	verify    func(ctx context.Context, f *store.Family) error
	mixed     bool // two living sessions in one jar are accepted
	unjudged  bool // an answer is made of the snapshot from before's snapshot
}
