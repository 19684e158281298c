package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// model is a simple reference for an engine: maps, one call at a time, no
// optimizations. The engine chooses positions, ids of entries and times. The
// model checks them against the contract and then adopts them. It derives
// everything else itself.
type model struct {
	h        *harness
	families map[store.ID]*record
	ending   map[store.ID]store.Position // of every session, whether or not it has a family
	super    map[store.ID]store.Position
	subject  map[string]store.Position
	name     map[store.Name]store.Position
	named    map[store.ID]store.Position // the entries of names by their ids
	everyone store.Position
	log      []store.Entry
	fresh    []store.Entry // appended by the current call, not yet matched with an expected entry
	started  time.Time     // the engine's clock before the call
	what     string        // the current call
}

type record struct {
	store.Family
	ended bool
	known time.Duration // of its creation
}

// expectation is the model's result of a call.
type expectation struct {
	outcome store.Outcome
	id      store.ID // the family of the Snapshot; not checked if zero
	entry   store.Position
	ended   int // living families that a revocation has ended
}

func newModel(h *harness) *model {
	m := &model{
		h: h, families: map[store.ID]*record{}, ending: map[store.ID]store.Position{},
		super: map[store.ID]store.Position{}, subject: map[string]store.Position{},
		name: map[store.Name]store.Position{}, named: map[store.ID]store.Position{},
	}
	m.log = h.entries(0)
	m.everyone = m.head()
	return m
}

func (m *model) fail(format string, args ...any) {
	m.h.t.Helper()
	m.h.t.Fatalf("%s: %s", m.what, fmt.Sprintf(format, args...))
}

func (m *model) head() store.Position { return m.log[len(m.log)-1].Position }

func (m *model) state(f *record) store.State {
	switch {
	case f == nil:
		return store.Absent
	case f.ended:
		return store.Ended
	case m.cutOff(f):
		return store.CutOff
	}
	return store.Alive
}

func (m *model) cutOff(f *record) bool { return m.cutoff(f.Subject, f.Actor) > f.Birth }

// cutoff returns the position below which a family of the subject and the actor is
// cut off.
func (m *model) cutoff(subject, actor string) store.Position {
	at := max(m.subject[subject], m.everyone)
	if actor != "" {
		at = max(at, m.subject[actor])
	}
	return at
}

// removable reports whether a call may have removed a family that it met, or ended
// it without an entry: one that time or a cutoff has killed.
func (m *model) removable(f *record, now time.Time) bool { return f.Past(now) || m.cutOff(f) }

func (m *model) alive(f *record, now time.Time) bool {
	return m.state(f) == store.Alive && !f.Past(now)
}

// begin reads the clock before a call.
func (m *model) begin(what string) {
	m.what = what
	m.started = m.h.cutoffs(store.ID{}, "").Now
}

// read reads the entries that the call has appended, and checks the chain.
func (m *model) read(above store.Position) {
	m.fresh = m.h.entries(m.head())
	previous := m.head()
	for i, e := range m.fresh {
		if e.Previous != previous {
			m.fail("entry %d names %d as the one before: want %d", e.Position, e.Previous, previous)
		}
		if e.Position <= above || i > 0 && e.Position <= previous {
			m.fail("entry %d: want above %d and %d", e.Position, above, previous)
		}
		previous = e.Position
	}
}

// expect matches the entries that the call must have appended, in this order,
// or in any order if the contract leaves it open.
func (m *model) expect(inOrder bool, reason *string, actor string, want ...store.Entry) store.Position {
	if len(m.fresh) < len(want) {
		m.fail("%d entries were appended, %+v: want %d, %+v", len(m.fresh), m.fresh, len(want), want)
	}
	got := slices.Clone(m.fresh[:len(want)])
	m.fresh = m.fresh[len(want):]
	m.log = append(m.log, got...)
	if !inOrder {
		byID := func(a, b store.Entry) int { return bytes.Compare(a.Session[:], b.Session[:]) }
		slices.SortFunc(got, byID)
		slices.SortFunc(want, byID)
	}
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || g.Ring != w.Ring || g.RingVersion != w.RingVersion || !w.ID.IsZero() && g.ID != w.ID {
			m.fail("entry %+v: want %+v", g, w)
		}
		if g.Kind != w.Kind || g.Session != w.Session || g.Subject != w.Subject || g.Actor != actor || reason != nil && g.Reason != *reason {
			m.fail("entry %+v: want %+v", g, w)
		}
		switch g.Kind {
		case store.KindEveryone:
			m.everyone = g.Position
		case store.KindSubject:
			m.subject[g.Subject] = g.Position
		case store.KindName:
			m.name[g.Name], m.named[g.ID] = g.Position, g.Position
		case store.KindSession:
			m.ending[g.Session] = g.Position
			if f := m.families[g.Session]; f != nil {
				f.ended = true
			}
		case store.KindSuperseding:
			m.super[g.Session] = g.Position
		}
	}
	if len(want) == 0 {
		return 0
	}
	return m.head()
}

// oldestFirst orders families by their births, then by their starts, then by their
// ids.
func oldestFirst(a, b store.Family) int {
	return cmp.Or(cmp.Compare(a.Birth, b.Birth), a.Started.Compare(b.Started), bytes.Compare(a.ID[:], b.ID[:]))
}

// stamp checks and adopts a time that the engine has set during the call.
func (m *model) stamp(at, now time.Time) time.Time {
	if at.Before(m.started.Truncate(time.Millisecond)) || at.After(now) {
		m.fail("stamped %v: want between %v and %v", at, m.started, now)
	}
	return at
}

// agree compares an answer with the model, after the model has made the same
// step.
func (m *model) agree(s store.Snapshot, expected expectation) {
	m.h.t.Helper()
	if len(m.fresh) != 0 {
		m.fail("entries too many: %+v", m.fresh)
	}
	if s.Outcome != expected.outcome {
		m.fail("outcome %v of a family %v: want %v", s.Outcome, s.State, expected.outcome)
	}
	if s.Head != m.head() || s.Floor != 0 || s.Entry != expected.entry {
		m.fail("head %d, floor %d, entry %d: want %d, 0, %d", s.Head, s.Floor, s.Entry, m.head(), expected.entry)
	}
	if s.Ended != expected.ended || s.More {
		m.fail("ended %d, more %v: want %d, no more", s.Ended, s.More, expected.ended)
	}
	if expected.id.IsZero() {
		return
	}
	f := m.families[expected.id]
	if f != nil && m.removable(f, s.Now) && (s.State == store.Absent || s.State == store.Ended) {
		return
	}
	// A family that is both ended and cut off may be in either state.
	if state := m.state(f); s.State != state && (state != store.Ended || s.State != store.CutOff || !m.cutOff(f)) {
		m.fail("state %v: want %v", s.State, state)
	}
	if f == nil {
		return
	}
	want := f.Family
	if m.state(f) != store.Alive { // a dead family keeps at least what leads to its successor
		s.Family, want = store.Family{Key: s.Family.Key, First: s.Family.First, Successor: s.Family.Successor}, store.Family{Key: f.Key, First: f.First, Successor: f.Successor}
	}
	if d := difference(s.Family, want); d != "" {
		m.fail("the family's %s", d)
	}
}

func (m *model) create(c store.Creation) {
	m.begin(fmt.Sprintf("Create(%+v, renews %+v)", c, c.Renews))
	s, err := m.h.Create(m.h.ctx, c)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(c.Above)
	if f := m.families[c.ID]; f != nil && !(m.removable(f, s.Now) && f.known == 0 && s.Outcome != store.Taken) {
		m.agree(s, expectation{outcome: store.Taken, id: c.ID})
		return
	}

	// The contract leaves open which obstacle comes first.
	var obstacles []expectation
	var old *record
	made := c // as it is, but for what a renewal takes over
	if r := c.Renews; r != nil {
		old = m.families[r.ID]
		switch {
		case old == nil || old.Subject != c.Subject || old.Native != c.Native || !m.alive(old, s.Now) || !old.provenBy(r.Key):
			obstacles = append(obstacles, expectation{outcome: store.Unwritten, id: r.ID})
		case old.Seal != r.Seal && old.LastCommit > r.Basis:
			obstacles = append(obstacles, expectation{outcome: store.Changed, id: r.ID}, expectation{outcome: store.Behind, id: r.ID})
		case old.Seal != r.Seal:
			obstacles = append(obstacles, expectation{outcome: store.Changed, id: r.ID})
		case old.LastCommit > r.Basis:
			obstacles = append(obstacles, expectation{outcome: store.Behind, id: r.ID})
		}
		if old != nil {
			made.Names, made.Actor = old.Names, old.Actor
		}
		if !r.Authenticated.IsZero() && r.Authenticated.Sub(s.Now).Abs() > c.Leeway {
			obstacles = append(obstacles, expectation{outcome: store.OffClock})
		}
	} else if !c.Started.IsZero() && (c.Started.Sub(s.Now).Abs() > c.Leeway || c.Authenticated.After(s.Now.Add(c.Leeway))) {
		obstacles = append(obstacles, expectation{outcome: store.OffClock})
	}
	cutoff := m.cutoff(made.Subject, made.Actor)
	for _, n := range made.Names {
		cutoff = max(cutoff, m.name[n])
	}
	if c.NotBefore != 0 && cutoff > c.NotBefore {
		obstacles = append(obstacles, expectation{outcome: store.Early})
	}
	var ends []store.ID
	for _, id := range c.Ends {
		absent := m.families[id] == nil && !id.IsZero() && m.ending[id] == 0
		if (absent || m.alive(m.families[id], s.Now)) && !slices.Contains(ends, id) {
			ends = append(ends, id)
		}
	}
	if old != nil && !slices.Contains(ends, old.ID) {
		ends = append(ends, old.ID)
	}
	var rest []*record // the living ones of the subject, the oldest first
	for id, f := range m.families {
		if f.Subject == c.Subject && m.alive(f, s.Now) && !slices.Contains(ends, id) {
			rest = append(rest, f)
		}
	}
	slices.SortFunc(rest, func(a, b *record) int { return oldestFirst(a.Family, b.Family) })
	if many := len(rest) + 1 - c.Limit; c.Limit != 0 && many > 0 {
		if !c.EndOldest {
			obstacles = append(obstacles, expectation{outcome: store.Full})
		} else {
			for _, f := range rest[:many] {
				ends = append(ends, f.ID)
			}
		}
	}
	if len(obstacles) > 0 {
		i := slices.IndexFunc(obstacles, func(e expectation) bool { return e.outcome == s.Outcome })
		m.agree(s, obstacles[max(i, 0)])
		return
	}

	var entries []store.Entry
	for _, id := range ends {
		entries = append(entries, store.Entry{Kind: store.KindSession, Session: id})
	}
	last := m.expect(false, &c.Reason, c.By, entries...)
	now := m.stamp(s.Family.Issued, s.Now)
	f := &record{Family: store.Family{
		ID: c.ID, Subject: c.Subject, Label: c.Label, Native: c.Native, Names: c.Names, Actor: c.Actor, Methods: c.Methods, Level: c.Level,
		Key: c.Key, Counts: !c.Key.IsZero(), Seal: c.Seal, Birth: m.head(), Position: m.head(), Generation: 1,
		Started: now, Issued: now, Idle: c.Idle, Absolute: c.Absolute,
	}, known: c.Known}
	if !c.Started.IsZero() {
		f.Started = c.Started
	}
	if f.Authenticated = f.Started; !c.Authenticated.IsZero() {
		f.Authenticated = c.Authenticated
	}
	if old != nil {
		f.Family = m.continued(old, &c, f.Birth, now)
	}
	m.families[c.ID] = f
	m.agree(s, expectation{outcome: store.Written, id: c.ID, entry: last})
}

// continued returns the continuation of a family, and names it in the row of the
// first.
func (m *model) continued(old *record, c *store.Creation, birth store.Position, now time.Time) store.Family {
	f := old.Family
	f.ID, f.Seal, f.Birth, f.Position, f.Issued, f.Successor = c.ID, c.Seal, birth, birth, now, store.ID{}
	f.Generation, f.Copy, f.Used = 1, 0, 0
	if f.LastCommit != 0 {
		f.LastCommit, f.Value = birth, bytes.Clone(c.Value)
	}
	if r := c.Renews; !r.Authenticated.IsZero() {
		f.Authenticated, f.Methods, f.Level = r.Authenticated, r.Methods, r.Level
	}
	if !f.Key.IsZero() {
		if f.First.IsZero() {
			f.First = old.ID
		}
		m.families[f.First].Successor = f.ID
	}
	return f
}

func (f *record) provenBy(key store.Key) bool { return !f.Counts || key == f.Key }

func (f *record) prove(key store.Key) { f.Counts = f.Counts || !f.Key.IsZero() && key == f.Key }

func (m *model) bind(b store.Binding) {
	m.begin(fmt.Sprintf("Bind(%+v)", b))
	s, err := m.h.Bind(m.h.ctx, b)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(0)
	want := expectation{id: b.ID}
	f := m.families[b.ID]
	switch {
	case !m.alive(f, s.Now):
	case f.Key == b.Key:
		if b.Counts && !f.Counts {
			want.outcome, f.Counts = store.Written, true
		}
	case !f.Key.IsZero():
	case f.Seal != b.Verified:
		want.outcome = store.Changed
	default:
		want.outcome = store.Written
		f.Key, f.Seal, f.Counts = b.Key, b.Seal, b.Counts
	}
	m.agree(s, want)
}

func (m *model) advance(a store.Advance) {
	m.begin(fmt.Sprintf("Advance(%+v)", a))
	s, err := m.h.Advance(m.h.ctx, a)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(0)
	want := expectation{id: a.ID}
	f := m.families[a.ID]
	switch {
	case !m.alive(f, s.Now) || f.Generation != a.Generation || f.Native != a.Native || !f.provenBy(a.Key):
	case !a.PositionOnly && a.Copy > f.Copy:
	case !a.PositionOnly && s.Now.Sub(f.Issued) < a.Age && (a.Lag == 0 || f.Copy-a.Copy < a.Lag):
	case f.LastCommit > a.Basis:
		want.outcome = store.Behind
	default:
		want.outcome = store.Written
		f.Position = m.head()
		f.prove(a.Key)
		if !a.PositionOnly {
			f.Generation++
			f.Copy, f.Used = 0, a.Copy
			f.Issued = m.stamp(s.Family.Issued, s.Now)
		}
	}
	m.agree(s, want)
}

func (m *model) reissue(r store.Reissue) {
	m.begin(fmt.Sprintf("Reissue(%+v)", r))
	s, err := m.h.Reissue(m.h.ctx, r)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(0)
	want := expectation{id: r.ID}
	f := m.families[r.ID]
	switch {
	case !m.alive(f, s.Now) || f.Generation-1 != r.Generation || f.Used != r.Copy || f.Native != r.Native || !f.provenBy(r.Key):
	case s.Now.Sub(f.Issued) < r.Age:
	case f.LastCommit > r.Basis:
		want.outcome = store.Behind
	default:
		want.outcome = store.Written
		f.Position = m.head()
		f.prove(r.Key)
		f.Copy++
		f.Issued = m.stamp(s.Family.Issued, s.Now)
	}
	m.agree(s, want)
}

func (m *model) commit(c store.Commit) {
	m.begin(fmt.Sprintf("Commit(%+v)", c))
	s, err := m.h.Commit(m.h.ctx, c)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(c.Above)
	want := expectation{id: c.ID}
	f := m.families[c.ID]
	switch {
	case !m.alive(f, s.Now) || !f.provenBy(c.Key):
	case f.LastCommit > c.Basis:
		want.outcome = store.Behind
	default:
		want.outcome = store.Written
		want.entry = m.expect(true, nil, c.Actor, store.Entry{Kind: store.KindSuperseding, Session: c.ID})
		f.Position, f.LastCommit, f.Value = want.entry, want.entry, bytes.Clone(c.Value)
	}
	m.agree(s, want)
}

func (m *model) revoke(r store.Revocation) {
	m.begin(fmt.Sprintf("Revoke(%+v, except %+v)", r, r.Except))
	s, err := m.h.Revoke(m.h.ctx, r)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(r.Above)
	if !r.Name.IsZero() {
		m.revokeName(&r, s)
		return
	}
	var want expectation
	var reborn *record
	if r.Except != nil {
		want.id = r.Except.ID
		if f := m.families[r.Except.ID]; m.alive(f, s.Now) && f.Subject == r.Subjects[0] {
			if f.LastCommit > r.Except.Basis && (f.provenBy(r.Except.Key) || s.Outcome == store.Behind) {
				want.outcome = store.Behind
				m.agree(s, want)
				return
			}
			if f.provenBy(r.Except.Key) {
				reborn = f
			}
		}
	}
	for _, f := range m.families {
		covered := slices.Contains(r.Sessions, f.ID) || slices.Contains(r.Subjects, f.Subject) || f.Actor != "" && slices.Contains(r.Subjects, f.Actor)
		if covered && f != reborn && m.alive(f, s.Now) {
			want.ended++
		}
	}
	var entries []store.Entry
	for _, id := range r.Sessions {
		if p := m.ending[id]; p != 0 {
			want.entry = max(want.entry, p)
		} else if !slices.ContainsFunc(entries, func(e store.Entry) bool { return e.Session == id }) {
			entries = append(entries, store.Entry{Kind: store.KindSession, Session: id})
		}
	}
	for _, subject := range r.Subjects {
		entries = append(entries, store.Entry{Kind: store.KindSubject, Subject: subject})
	}
	if r.Everyone {
		entries = append(entries, store.Entry{Kind: store.KindEveryone, Ring: r.Ring, RingVersion: r.RingVersion})
	}
	if len(entries) > 0 {
		want.outcome = store.Written
		want.entry = m.expect(true, &r.Reason, r.Actor, entries...)
	}
	if reborn != nil {
		reborn.Birth, reborn.Position = want.entry, want.entry
	}
	m.agree(s, want)
}

// revokeName makes the step of a revocation of a name, which ends all that bear it:
// there are never so many that a second call is needed.
func (m *model) revokeName(r *store.Revocation, s store.Snapshot) {
	want := expectation{entry: m.named[r.ID]}
	if want.entry == 0 {
		want = expectation{outcome: store.Written, entry: m.expect(true, &r.Reason, r.Actor, store.Entry{ID: r.ID, Kind: store.KindName, Name: r.Name})}
	}
	var entries []store.Entry
	for id, f := range m.families {
		if f.Birth < want.entry && slices.Contains(f.Names, r.Name) && m.alive(f, s.Now) {
			entries = append(entries, store.Entry{Kind: store.KindSession, Session: id})
		}
	}
	if want.ended = len(entries); want.ended > 0 {
		want.outcome, want.entry = store.Written, m.expect(false, &r.Reason, r.Actor, entries...)
	}
	m.agree(s, want)
}

func (m *model) restore(r store.Restoration) {
	m.begin(fmt.Sprintf("Restore(%+v)", r))
	s, err := m.h.Restore(m.h.ctx, r)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(r.Above)
	var want expectation
	for _, e := range r.Entries {
		cutoff, lives := m.everyone, false
		again := store.Entry{Kind: e.Kind}
		switch e.Kind {
		case store.KindEveryone:
			again.Ring, again.RingVersion = e.Ring, e.RingVersion
		case store.KindSubject:
			again.Subject, cutoff = e.Subject, max(cutoff, m.subject[e.Subject])
		case store.KindSession:
			again.Session, cutoff = e.Session, max(cutoff, m.ending[e.Session])
			lives = m.state(m.families[e.Session]) == store.Alive
		}
		if lives || cutoff < e.Position {
			want = expectation{outcome: store.Written, entry: m.expect(true, &e.Reason, e.Actor, again)}
		}
	}
	m.agree(s, want)
}

func (m *model) family(id store.ID) {
	m.begin(fmt.Sprintf("Family(%v)", id))
	s := m.h.look(id)
	m.read(0)
	m.agree(s, expectation{id: id})
}

// list compares one page, and returns the cursor of the next.
func (m *model) list(q store.Query) store.PageCursor {
	m.begin(fmt.Sprintf("Families(%+v)", q))
	p, err := m.h.Families(m.h.ctx, q)
	if err != nil {
		m.fail("%v", err)
	}
	var want []store.Family
	for _, f := range m.families {
		after := q.After == (store.PageCursor{}) || listedBefore(q.After, placeOf(&f.Family))
		if after && (q.Subject == "" || f.Subject == q.Subject) && m.alive(f, p.Now) {
			want = append(want, f.Family)
		}
	}
	slices.SortFunc(want, func(a, b store.Family) int { return oldestFirst(b, a) })
	if p.Next == (store.PageCursor{}) && len(p.Families) != len(want) || len(p.Families) != min(q.Limit, len(want)) {
		m.fail("%d families, next %v: want %d", len(p.Families), p.Next, len(want))
	}
	for i, f := range p.Families {
		want[i].Value = nil
		if d := difference(f, want[i]); d != "" {
			m.fail("family %d of %d: %s", i, len(want), d)
		}
	}
	return p.Next
}

func (m *model) cutoffs(id store.ID, subject string) {
	m.begin(fmt.Sprintf("Cutoffs(%v, %q)", id, subject))
	c := m.h.cutoffs(id, subject)
	if c.Ending != m.ending[id] || c.Superseding != m.super[id] || c.Subject != m.subject[subject] || c.Everyone != m.everyone || c.Head != m.head() || c.Floor != 0 {
		m.fail("%+v: want ending %d, superseding %d, subject %d, everyone %d, head %d", c, m.ending[id], m.super[id], m.subject[subject], m.everyone, m.head())
	}
}
