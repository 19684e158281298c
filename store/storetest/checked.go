package storetest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// checkedStore checks every answer of a store for what all answers have in
// common. It fails the subtest and returns the answer unchanged.
type checkedStore struct {
	store.Store
	t    *testing.T
	seen *seen
}

// seen holds what the calls that have returned have shown, on any handle.
type seen struct {
	mu          sync.Mutex
	log         store.ID
	head, floor store.Position
	ids         map[store.Position]store.ID // of the entries
}

func newSeen() *seen { return &seen{ids: map[store.Position]store.ID{}} }

// entry returns the id of an entry that was seen.
func (s *seen) entry(p store.Position) (store.ID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.ids[p]
	return id, ok
}

// note notes the id of an entry and reports whether it is what was seen before.
func (s *seen) note(p store.Position, id store.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.ids[p]; ok {
		return was == id
	}
	s.ids[p] = id
	return true
}

type view struct{ head, floor store.Position }

func (w *checkedStore) before() view {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	return view{w.seen.head, w.seen.floor}
}

// after checks the log of an answer to a call that began at v.
func (w *checkedStore) after(method string, v view, log store.ID, head, floor store.Position, now time.Time) {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	switch {
	case log.IsZero():
		w.t.Errorf("%s: the log has no id", method)
	case !w.seen.log.IsZero() && log != w.seen.log:
		w.t.Errorf("%s: the log is %v, before it was %v", method, log, w.seen.log)
	case head == 0 || head > store.MaxPosition:
		w.t.Errorf("%s: head %d", method, head)
	case head < v.head:
		w.t.Errorf("%s: the head fell from %d to %d", method, v.head, head)
	case floor < v.floor:
		w.t.Errorf("%s: the floor fell from %d to %d", method, v.floor, floor)
	case floor > head:
		w.t.Errorf("%s: floor %d is above head %d", method, floor, head)
	case now.IsZero():
		w.t.Errorf("%s: no time", method)
	}
	w.seen.log = log
	w.seen.head = max(w.seen.head, head)
	w.seen.floor = max(w.seen.floor, floor)
}

func (w *checkedStore) snapshot(method string, v view, s store.Snapshot) {
	w.after(method, v, s.Log, s.Head, s.Floor, s.Now)
	if s.Entry > s.Head {
		w.t.Errorf("%s: entry %d is above head %d", method, s.Entry, s.Head)
	}
	if s.State == store.Absent {
		if d := difference(s.Family, store.Family{}); d != "" {
			w.t.Errorf("%s: an absent family: %s", method, d)
		}
		return
	}
	w.family(method, &s.Family)
	if s.State == store.Alive && s.Family.Position > s.Head {
		w.t.Errorf("%s: a living family at %d, head %d", method, s.Family.Position, s.Head)
	}
}

// family checks that a record is consistent.
func (w *checkedStore) family(method string, f *store.Family) {
	if f.ID.IsZero() || f.Subject == "" {
		w.t.Errorf("%s: a family without id or subject", method)
	}
	if f.Birth == 0 || f.Birth > f.Position || f.LastCommit > f.Position {
		w.t.Errorf("%s: birth %d, last commit %d, position %d", method, f.Birth, f.LastCommit, f.Position)
	}
	if f.Generation == 0 || f.Generation > store.MaxGeneration || max(f.Copy, f.Used) > store.MaxCopy || f.Generation == 1 && max(f.Copy, f.Used) != 0 {
		w.t.Errorf("%s: copy %d of generation %d, from copy %d", method, f.Copy, f.Generation, f.Used)
	}
	if f.Idle < time.Millisecond || f.Absolute < time.Millisecond {
		w.t.Errorf("%s: limits %v and %v", method, f.Idle, f.Absolute)
	}
	if f.Counts && f.Key.IsZero() || !f.First.IsZero() && (f.Key.IsZero() || f.First == f.ID) || f.Successor == f.ID {
		w.t.Errorf("%s: key %x, counts %v, first %v, successor %v of family %v", method, f.Key, f.Counts, f.First, f.Successor, f.ID)
	}
	if len(f.Names) > store.MaxNames || !slices.IsSortedFunc(f.Names, func(a, b store.Name) int { return bytes.Compare(a[:], b[:]) }) {
		w.t.Errorf("%s: names %v", method, f.Names)
	}
	for _, at := range []time.Time{f.Started, f.Authenticated, f.Issued} {
		if at.IsZero() || at.Nanosecond()%int(time.Millisecond) != 0 {
			w.t.Errorf("%s: the time %v is not in whole milliseconds", method, at)
		}
	}
}

// alive checks that the value of a living family matches its last Commit.
func (w *checkedStore) alive(method string, s store.Snapshot) {
	if s.State == store.Alive && (s.Family.LastCommit == 0) != (s.Family.Value == nil) {
		w.t.Errorf("%s: last commit %d, a value of %d bytes", method, s.Family.LastCommit, len(s.Family.Value))
	}
}

func (w *checkedStore) check(method string, v view, id store.ID, s store.Snapshot, err error) {
	if err != nil {
		return
	}
	w.snapshot(method, v, s)
	w.alive(method, s)
	if s.State != store.Absent && s.Family.ID != id {
		w.t.Errorf("%s: asked for family %v, got %v", method, id, s.Family.ID)
	}
}

func (w *checkedStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Create(ctx, c)
	id := c.ID
	if c.Renews != nil && (s.Outcome == store.Unwritten || s.Outcome == store.Behind || s.Outcome == store.Changed) {
		id = c.Renews.ID
	}
	w.check("Create", v, id, s, err)
	w.only("Create", s)
	return s, err
}

func (w *checkedStore) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Advance(ctx, a)
	w.only("Advance", s)
	w.check("Advance", v, a.ID, s, err)
	if s.Entry != 0 {
		w.t.Errorf("Advance: entry %d", s.Entry)
	}
	return s, err
}

func (w *checkedStore) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Reissue(ctx, r)
	w.only("Reissue", s)
	w.check("Reissue", v, r.ID, s, err)
	if s.Entry != 0 {
		w.t.Errorf("Reissue: entry %d", s.Entry)
	}
	return s, err
}

func (w *checkedStore) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Commit(ctx, c)
	w.check("Commit", v, c.ID, s, err)
	w.only("Commit", s)
	return s, err
}

func (w *checkedStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Family(ctx, id)
	w.only("Family", s)
	w.check("Family", v, id, s, err)
	if s.Outcome != store.Unwritten || s.Entry != 0 {
		w.t.Errorf("Family: outcome %v, entry %d", s.Outcome, s.Entry)
	}
	return s, err
}

func (w *checkedStore) Bind(ctx context.Context, b store.Binding) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Bind(ctx, b)
	w.only("Bind", s)
	w.check("Bind", v, b.ID, s, err)
	if s.Entry != 0 {
		w.t.Errorf("Bind: entry %d", s.Entry)
	}
	return s, err
}

func (w *checkedStore) Families(ctx context.Context, q store.Query) (store.Page, error) {
	p, err := w.Store.Families(ctx, q)
	if err != nil {
		return p, err
	}
	if len(p.Families) > q.Limit {
		w.t.Errorf("Families: %d of them, asked for %d", len(p.Families), q.Limit)
	}
	if p.Now.IsZero() {
		w.t.Errorf("Families: no time")
	}
	last := q.After
	for i := range p.Families {
		f := &p.Families[i]
		w.family("Families", f)
		if q.Subject != "" && f.Subject != q.Subject {
			w.t.Errorf("Families: asked for subject %q, got one of %q", q.Subject, f.Subject)
		}
		if f.Past(p.Now) || f.Value != nil {
			w.t.Errorf("Families: one past its limits at %v, or with its value: %+v", p.Now, f)
		}
		at := placeOf(f)
		if last != (store.PageCursor{}) && !listedBefore(last, at) {
			w.t.Errorf("Families: %+v stands after %+v", at, last)
		}
		last = at
	}
	if p.Next != (store.PageCursor{}) && p.Next != last && last != (store.PageCursor{}) && !listedBefore(last, p.Next) {
		w.t.Errorf("Families: next %+v, the last is %+v", p.Next, last)
	}
	return p, nil
}

// placeOf returns the cursor of a page that ends with a family.
func placeOf(f *store.Family) store.PageCursor {
	return store.PageCursor{Birth: f.Birth, Started: f.Started.UnixMilli(), ID: f.ID}
}

// listedBefore reports whether a place stands before another in a list: it is of a
// later birth, or else of a later start, or else of a higher id.
func listedBefore(a, b store.PageCursor) bool {
	return cmp.Or(cmp.Compare(a.Birth, b.Birth), cmp.Compare(a.Started, b.Started), bytes.Compare(a.ID[:], b.ID[:])) > 0
}

// only checks that the answer of a method other than Revoke counts nothing.
func (w *checkedStore) only(method string, s store.Snapshot) {
	if s.Ended != 0 || s.More {
		w.t.Errorf("%s: ended %d, more %v", method, s.Ended, s.More)
	}
}

func (w *checkedStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Revoke(ctx, r)
	var id store.ID
	if r.Except != nil {
		id = r.Except.ID
	}
	w.check("Revoke", v, id, s, err)
	if s.Ended < 0 || s.Ended > store.MaxEntries*store.MaxLooked || s.More && r.Name.IsZero() || r.Everyone && len(r.Sessions)+len(r.Subjects) == 0 && s.Ended != 0 {
		w.t.Errorf("Revoke(%+v): ended %d, more %v", r, s.Ended, s.More)
	}
	return s, err
}

func (w *checkedStore) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	v := w.before()
	s, err := w.Store.Restore(ctx, r)
	w.check("Restore", v, store.ID{}, s, err)
	w.only("Restore", s)
	switch {
	case err != nil:
	case s.State != store.Absent:
		w.t.Errorf("Restore: a family %v", s.State)
	case s.Outcome == store.Unwritten && s.Entry == 0:
	case s.Outcome == store.Written && s.Entry == s.Head && s.Entry > r.Above:
	default:
		w.t.Errorf("Restore: %v, entry %d, head %d, above %d", s.Outcome, s.Entry, s.Head, r.Above)
	}
	return s, err
}

func (w *checkedStore) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	v := w.before()
	b, err := w.Store.Since(ctx, after, limit, wait)
	if err != nil {
		return b, err
	}
	w.after("Since", v, b.Log, b.Head, b.Floor, b.Now)
	if len(b.Entries) > limit {
		w.t.Errorf("Since: %d entries, asked for %d", len(b.Entries), limit)
	}
	if b.HeadID.IsZero() || !w.seen.note(b.Head, b.HeadID) {
		w.t.Errorf("Since: the entry at the head, %d, is %v", b.Head, b.HeadID)
	}
	if b.Broken {
		if after == (store.Cursor{}) || len(b.Entries) != 0 || b.More {
			w.t.Errorf("Since(%v): broken, %+v", after, b)
		}
		return b, nil
	}
	last := max(after.Position, b.Floor)
	for i, e := range b.Entries {
		if e.Position <= last || e.Position > b.Head {
			w.t.Errorf("Since: entry %d after %d, head %d", e.Position, last, b.Head)
		}
		if i > 0 && e.Previous != last {
			w.t.Errorf("Since: entry %d stands after %d and names %d as the one before", e.Position, last, e.Previous)
		}
		last = e.Position
		w.entry(e)
		if !w.seen.note(e.Position, e.ID) {
			w.t.Errorf("Since: another entry is at %d", e.Position)
		}
	}
	if more := len(b.Entries) > 0 && last < b.Head; more != b.More {
		w.t.Errorf("Since: %d entries up to %d, head %d, more %v", len(b.Entries), last, b.Head, b.More)
	}
	if len(b.Entries) == 0 && after.Position < b.Head && b.Floor < b.Head {
		w.t.Errorf("Since(%v): nothing, though the head is %d and the floor %d", after, b.Head, b.Floor)
	}
	if after.Position > b.Head || after.Position < b.Floor && after.Position != 0 {
		w.t.Errorf("Since(%v): not broken, though the head is %d and the floor %d", after, b.Head, b.Floor)
	}
	return b, nil
}

func (w *checkedStore) entry(e store.Entry) {
	named := 0
	if !e.Session.IsZero() {
		named++
	}
	if e.Subject != "" {
		named += 2
	}
	if !e.Name.IsZero() {
		named += 4
	}
	want, known := map[store.Kind]int{store.KindEveryone: 0, store.KindSubject: 2, store.KindSession: 1, store.KindSuperseding: 1, store.KindName: 4}[e.Kind]
	if !known || named != want || e.Kind != store.KindEveryone && (!e.Ring.IsZero() || e.RingVersion != 0) {
		w.t.Errorf("entry %d: of kind %v, it names session %v, subject %q, name %v and ring %v at %d", e.Position, e.Kind, e.Session, e.Subject, e.Name, e.Ring, e.RingVersion)
	}
	if e.ID.IsZero() || e.Time.IsZero() || e.Previous >= e.Position {
		w.t.Errorf("entry %d: id %v, time %v, previous %d", e.Position, e.ID, e.Time, e.Previous)
	}
	if micros := e.Time.Truncate(time.Millisecond).UnixMicro(); int64(e.Position) < micros {
		w.t.Errorf("entry %d is below its time, %d µs", e.Position, micros)
	}
}

func (w *checkedStore) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	v := w.before()
	c, err := w.Store.Cutoffs(ctx, session, subject)
	if err != nil {
		return c, err
	}
	w.after("Cutoffs", v, c.Log, c.Head, c.Floor, c.Now)
	if max(c.Ending, c.Superseding, c.Subject, c.Everyone) > c.Head {
		w.t.Errorf("Cutoffs: %+v", c)
	}
	if c.Ending != 0 && c.Ending <= c.Floor || c.Superseding != 0 && c.Superseding <= c.Floor {
		w.t.Errorf("Cutoffs: of the session below the floor: %+v", c)
	}
	return c, nil
}
