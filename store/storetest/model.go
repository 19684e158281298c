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
	everyone store.Position
	log      []store.Entry
	fresh    []store.Entry // appended by the current call, not yet matched with an expected entry
	started  time.Time     // the engine's clock before the call
	what     string        // the current call
}

type record struct {
	store.Family
	ended bool
}

// expectation is the model's result of a call.
type expectation struct {
	outcome store.Outcome
	id      store.ID // the family of the Snapshot; not checked if zero
	entry   store.Position
}

func newModel(h *harness) *model {
	m := &model{
		h: h, families: map[store.ID]*record{}, ending: map[store.ID]store.Position{},
		super: map[store.ID]store.Position{}, subject: map[string]store.Position{},
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

func (m *model) cutOff(f *record) bool { return max(m.subject[f.Subject], m.everyone) > f.Birth }

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
		if g.Kind != w.Kind || g.Session != w.Session || g.Subject != w.Subject || g.Actor != actor || reason != nil && g.Reason != *reason {
			m.fail("entry %+v: want %+v", g, w)
		}
		switch g.Kind {
		case store.KindEveryone:
			m.everyone = g.Position
		case store.KindSubject:
			m.subject[g.Subject] = g.Position
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

// bornBefore orders families by their births, then by their starts, then by their
// ids.
func bornBefore(a, b store.Family) int {
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
func (m *model) agree(s store.Snapshot, want expectation) {
	m.h.t.Helper()
	if len(m.fresh) != 0 {
		m.fail("entries too many: %+v", m.fresh)
	}
	if s.Outcome != want.outcome {
		m.fail("outcome %v of a family %v: want %v", s.Outcome, s.State, want.outcome)
	}
	if s.Head != m.head() || s.Floor != 0 || s.Entry != want.entry {
		m.fail("head %d, floor %d, entry %d: want %d, 0, %d", s.Head, s.Floor, s.Entry, m.head(), want.entry)
	}
	if want.id.IsZero() {
		return
	}
	f := m.families[want.id]
	if f != nil && f.Past(s.Now) && s.State == store.Absent {
		return // its row has been removed
	}
	// A family that is both ended and cut off may be in either state.
	if state := m.state(f); s.State != state && (state != store.Ended || s.State != store.CutOff || !m.cutOff(f)) {
		m.fail("state %v: want %v", s.State, state)
	}
	if m.state(f) == store.Alive {
		if d := difference(s.Family, f.Family); d != "" {
			m.fail("the family's %s", d)
		}
	}
}

func (m *model) create(c store.Creation) {
	m.begin(fmt.Sprintf("Create(%+v, renews %+v)", c, c.Renews))
	s, err := m.h.Create(m.h.ctx, c)
	if err != nil {
		m.fail("%v", err)
	}
	m.read(c.Above)
	if f := m.families[c.ID]; f != nil && !(f.Past(s.Now) && s.Outcome != store.Taken) {
		m.agree(s, expectation{outcome: store.Taken, id: c.ID})
		return
	}

	// The contract leaves open which obstacle comes first.
	var obstacles []expectation
	var old *record
	if c.NotBefore != 0 && max(m.subject[c.Subject], m.everyone) > c.NotBefore {
		obstacles = append(obstacles, expectation{outcome: store.Early})
	}
	if c.Renews != nil {
		old = m.families[c.Renews.ID]
		switch {
		case old == nil || old.Subject != c.Subject || old.Native != c.Native || !m.alive(old, s.Now):
			obstacles = append(obstacles, expectation{outcome: store.Unwritten, id: c.Renews.ID})
		case old.LastCommit > c.Renews.Basis:
			obstacles = append(obstacles, expectation{outcome: store.Behind, id: c.Renews.ID})
		}
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
	slices.SortFunc(rest, func(a, b *record) int { return bornBefore(a.Family, b.Family) })
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
		ID: c.ID, Subject: c.Subject, Label: c.Label, Native: c.Native, Birth: m.head(), Position: m.head(), Generation: 1,
		Started: now, Authenticated: now, Issued: now, Idle: c.Idle, Absolute: c.Absolute,
	}}
	if old != nil {
		f.Started, f.Idle, f.Absolute, f.Label = old.Started, old.Idle, old.Absolute, old.Label
		f.Authenticated = old.Authenticated
		if old.LastCommit != 0 {
			f.LastCommit, f.Value = f.Birth, bytes.Clone(c.Value)
		}
	}
	m.families[c.ID] = f
	m.agree(s, expectation{outcome: store.Written, id: c.ID, entry: last})
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
	case !m.alive(f, s.Now) || f.Generation != a.Generation || f.Native != a.Native:
	case !a.PositionOnly && a.Copy > f.Copy:
	case !a.PositionOnly && s.Now.Sub(f.Issued) < a.Age && (a.Lag == 0 || f.Copy-a.Copy < a.Lag):
	case f.LastCommit > a.Basis:
		want.outcome = store.Behind
	default:
		want.outcome = store.Written
		f.Position = m.head()
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
	case !m.alive(f, s.Now) || f.Generation-1 != r.Generation || f.Used != r.Copy || f.Native != r.Native:
	case s.Now.Sub(f.Issued) < r.Age:
	case f.LastCommit > r.Basis:
		want.outcome = store.Behind
	default:
		want.outcome = store.Written
		f.Position = m.head()
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
	case !m.alive(f, s.Now):
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
	var want expectation
	var reborn *record
	if r.Except != nil {
		want.id = r.Except.ID
		if f := m.families[r.Except.ID]; m.alive(f, s.Now) {
			reborn = f
			if f.LastCommit > r.Except.Basis {
				want.outcome = store.Behind
				m.agree(s, want)
				return
			}
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
		entries = append(entries, store.Entry{Kind: store.KindEveryone})
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

func (m *model) list(subject string, limit int) {
	m.begin(fmt.Sprintf("Families(%q, %d)", subject, limit))
	p, err := m.h.Families(m.h.ctx, store.Query{Subject: subject, Limit: limit})
	if err != nil {
		m.fail("%v", err)
	}
	got := p.Families
	var want []store.Family
	for _, f := range m.families {
		if f.Subject == subject && m.alive(f, m.started) {
			want = append(want, f.Family)
		}
	}
	slices.SortFunc(want, func(a, b store.Family) int { return bornBefore(b, a) })
	want = want[:min(limit, len(want))]
	if len(got) != len(want) {
		m.fail("%d families: want %d", len(got), len(want))
	}
	for i := range want {
		want[i].Value = nil
		if d := difference(got[i], want[i]); d != "" {
			m.fail("family %d of %d: %s", i, len(want), d)
		}
	}
}

func (m *model) cutoffs(id store.ID, subject string) {
	m.begin(fmt.Sprintf("Cutoffs(%v, %q)", id, subject))
	c := m.h.cutoffs(id, subject)
	if c.Ending != m.ending[id] || c.Superseding != m.super[id] || c.Subject != m.subject[subject] || c.Everyone != m.everyone || c.Head != m.head() || c.Floor != 0 {
		m.fail("%+v: want ending %d, superseding %d, subject %d, everyone %d, head %d", c, m.ending[id], m.super[id], m.subject[subject], m.everyone, m.head())
	}
}
