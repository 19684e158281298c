package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// harness is the environment of a subtest: a checked store and a few verbs.
type harness struct {
	*checkedStore
	engine Engine
	open   func(t *testing.T) Engine // another, empty store
	t      *testing.T
	ctx    context.Context
	slack  time.Duration // the unit under a real clock
}

func newHarness(t *testing.T, open func(t *testing.T) Engine, slack time.Duration) *harness {
	e := open(t)
	if e.Store == nil {
		t.Fatal("Engine.Store is nil")
	}
	return &harness{checkedStore: &checkedStore{Store: e.Store, t: t, seen: newSeen()}, engine: e, open: open, t: t, ctx: t.Context(), slack: slack}
}

// over returns the harness on another handle of the same data.
func (h *harness) over(s store.Store) *harness {
	other := *h
	other.checkedStore = &checkedStore{Store: s, t: h.t, seen: h.seen}
	return &other
}

// unit returns a time that is longer than the calls of any subtest.
func (h *harness) unit() time.Duration {
	if h.engine.Clock != nil {
		return time.Minute
	}
	return h.slack
}

// slackOf returns a unit for an engine with a real clock. It is many times the
// duration of the slowest call while as many are in flight as the suite will
// make. A slow disk or a busy machine therefore makes the limits longer and
// fails no subtest.
func slackOf(t *testing.T, s store.Store, together int) time.Duration {
	t.Helper()
	var mu sync.Mutex
	var slowest time.Duration
	var all sync.WaitGroup
	for range together {
		all.Go(func() {
			c := login("slack")
			for i := range 6 {
				began := time.Now()
				var err error
				if i == 0 {
					_, err = s.Create(t.Context(), c)
				} else {
					_, err = s.Advance(t.Context(), store.Advance{ID: c.ID, Generation: uint32(i)})
				}
				if took := time.Since(began); i > 1 { // the first call includes connecting
					mu.Lock()
					slowest = max(slowest, took)
					mu.Unlock()
				}
				if err != nil {
					t.Errorf("a first family is made and advanced: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	return max(600*time.Millisecond, 20*slowest).Round(time.Millisecond)
}

// pass lets d pass on the engine's clock.
func (h *harness) pass(d time.Duration) {
	if h.engine.Clock != nil {
		h.engine.Clock(d)
		return
	}
	time.Sleep(d)
}

// tick moves the engine's clock into another millisecond.
func (h *harness) tick() { h.pass(2 * time.Millisecond) }

func newID() store.ID {
	var id store.ID
	rand.Read(id[:])
	return id
}

func newKey() store.Key {
	var key store.Key
	rand.Read(key[:])
	return key
}

func newSeal() store.Seal {
	var seal store.Seal
	rand.Read(seal[:])
	return seal
}

// named returns the names of handles, in rising order.
func named(handles ...string) []store.Name {
	var names []store.Name
	for _, handle := range handles {
		n, err := store.NameOf(handle)
		if err != nil {
			panic(err)
		}
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b store.Name) int { return bytes.Compare(a[:], b[:]) })
	return names
}

// login returns a plain request for a new family.
func login(subject string) store.Creation {
	return store.Creation{ID: newID(), Subject: subject, Seal: newSeal(), Idle: 30 * time.Minute, Absolute: 12 * time.Hour, Reason: "test", By: "storetest"}
}

// acting returns a request for a new family in which an actor acts for the
// subject.
func acting(subject, actor string) store.Creation {
	c := login(subject)
	c.Actor = actor
	return c
}

// bearing returns a request for a new family that bears names.
func bearing(subject string, handles ...string) store.Creation {
	c := login(subject)
	c.Names = named(handles...)
	return c
}

// bound returns a request for a new family with a key.
func bound(subject string) store.Creation {
	c := login(subject)
	c.Key = newKey()
	return c
}

// whole returns a request for a new family with every field that it may have.
func whole(subject string) store.Creation {
	c := login(subject)
	c.Label, c.Native, c.Names, c.Actor = "the label", true, named("a", "b", "c"), "support"
	c.Methods, c.Level, c.Key = "pwd otp", "urn:example:2", newKey()
	return c
}

// renewal returns a request to continue a family, with data as new as it and a
// seal of its own.
func renewal(of store.Family) store.Creation {
	c := login(of.Subject)
	c.Native = of.Native
	c.Renews = &store.Renewal{ID: of.ID, Basis: of.Position, Seal: of.Seal, Key: of.Key}
	return c
}

// next returns a request for the next generation of f, with its newest token and
// data as new as f.
func next(f store.Family) store.Advance {
	return store.Advance{ID: f.ID, Generation: f.Generation, Copy: f.Copy, Native: f.Native, Key: f.Key, Basis: f.Position}
}

// copyOf returns a request for one more copy of f's generation, with the token
// that was used for its last advance and data as new as f.
func copyOf(f store.Family) store.Reissue {
	return store.Reissue{ID: f.ID, Generation: f.Generation - 1, Copy: f.Used, Native: f.Native, Key: f.Key, Basis: f.Position}
}

// refresh advances a family. Every other turn it makes a copy of its generation,
// if an advance has led to that.
func (h *harness) refresh(f store.Family, turn int) (store.Snapshot, error) {
	if turn%2 == 1 && f.Generation > 1 {
		return h.Reissue(h.ctx, copyOf(f))
	}
	return h.Advance(h.ctx, next(f))
}

func raise(f store.Family) store.Advance {
	a := next(f)
	a.PositionOnly = true
	return a
}

func keep(f store.Family, value string) store.Commit {
	return store.Commit{ID: f.ID, Basis: f.Position, Key: f.Key, Value: []byte(value)}
}

func (h *harness) outcome(want store.Outcome, s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("error: %v", err)
	}
	if s.Outcome != want {
		h.t.Fatalf("outcome %v, of a family %v: want %v", s.Outcome, s.State, want)
	}
	return s
}

func (h *harness) written(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.Written, s, err)
}

func (h *harness) unwritten(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.Unwritten, s, err)
}

func (h *harness) behind(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.Behind, s, err)
}

func (h *harness) early(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.Early, s, err)
}

func (h *harness) full(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.Full, s, err)
}

func (h *harness) changed(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.Changed, s, err)
}

func (h *harness) offClock(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.OffClock, s, err)
}

func (h *harness) taken(s store.Snapshot, err error) store.Snapshot {
	h.t.Helper()
	return h.outcome(store.Taken, s, err)
}

// family makes a plain family.
func (h *harness) family(subject string) store.Family {
	h.t.Helper()
	return h.create(login(subject))
}

// create makes a family.
func (h *harness) create(c store.Creation) store.Family {
	h.t.Helper()
	return h.written(h.Create(h.ctx, c)).Family
}

// bornNext makes a family at a position of its own, so that no other is born
// there too.
func (h *harness) bornNext(subject string) store.Family {
	h.t.Helper()
	h.appendUnrelated()
	return h.family(subject)
}

// committed makes a family with a committed value.
func (h *harness) committed(subject, value string) store.Family {
	h.t.Helper()
	return h.commit(h.family(subject), value)
}

func (h *harness) commit(f store.Family, value string) store.Family {
	h.t.Helper()
	return h.written(h.Commit(h.ctx, keep(f, value))).Family
}

// revoke appends the entries and returns the position of the last.
func (h *harness) revoke(r store.Revocation) store.Position {
	h.t.Helper()
	return h.written(h.Revoke(h.ctx, r)).Entry
}

func (h *harness) revokeSubject(subject string) store.Position {
	h.t.Helper()
	return h.revoke(store.Revocation{Subjects: []string{subject}})
}

func (h *harness) revokeEveryone() store.Position {
	h.t.Helper()
	return h.revoke(store.Revocation{Everyone: true})
}

func (h *harness) end(id store.ID) store.Position {
	h.t.Helper()
	return h.revoke(store.Revocation{Sessions: []store.ID{id}})
}

// appendUnrelated appends an entry that concerns no family of the subtest.
func (h *harness) appendUnrelated() store.Position {
	h.t.Helper()
	return h.end(newID())
}

func (h *harness) look(id store.ID) store.Snapshot {
	h.t.Helper()
	s, err := h.Family(h.ctx, id)
	if err != nil {
		h.t.Fatalf("Family: %v", err)
	}
	return s
}

func (h *harness) wantState(want store.State, ids ...store.ID) {
	h.t.Helper()
	for _, id := range ids {
		if s := h.look(id); s.State != want {
			h.t.Errorf("family %v is %v: want %v", id, s.State, want)
		}
	}
}

func (h *harness) cutoffs(id store.ID, subject string) store.Cutoffs {
	h.t.Helper()
	c, err := h.Cutoffs(h.ctx, id, subject)
	if err != nil {
		h.t.Fatalf("Cutoffs: %v", err)
	}
	return c
}

func (h *harness) head() store.Position {
	h.t.Helper()
	return h.headCursor().Position
}

// headCursor returns the cursor of a reader that has read everything.
func (h *harness) headCursor() store.Cursor {
	h.t.Helper()
	b, err := h.Since(h.ctx, store.Cursor{}, 1, 0)
	if err != nil {
		h.t.Fatalf("Since: %v", err)
	}
	return store.Cursor{Position: b.Head, ID: b.HeadID}
}

// at returns the cursor of a reader whose last entry is e.
func at(e store.Entry) store.Cursor { return store.Cursor{Position: e.Position, ID: e.ID} }

// cursor returns the cursor of a reader that has read up to the entry at p.
func (h *harness) cursor(p store.Position) store.Cursor {
	h.t.Helper()
	if p == 0 {
		return store.Cursor{}
	}
	id, known := h.seen.entry(p)
	for after := (store.Cursor{}); !known; {
		b, err := h.Since(h.ctx, after, store.MaxEntries, 0)
		if err != nil {
			h.t.Fatalf("Since: %v", err)
		}
		if id, known = h.seen.entry(p); !known && !b.More {
			h.t.Fatalf("the log has no entry at %d", p)
		}
		after = at(b.Entries[len(b.Entries)-1])
	}
	return store.Cursor{Position: p, ID: id}
}

// entries returns the log above the entry at after.
func (h *harness) entries(after store.Position) []store.Entry {
	h.t.Helper()
	var all []store.Entry
	for cursor := h.cursor(after); ; {
		b, err := h.Since(h.ctx, cursor, store.MaxEntries, 0)
		if err != nil || b.Broken {
			h.t.Fatalf("Since(%v): broken %v, %v", cursor, b.Broken, err)
		}
		all = append(all, b.Entries...)
		if !b.More {
			return all
		}
		cursor = at(b.Entries[len(b.Entries)-1])
	}
}

// wantBroken checks that a cursor is broken, which a reader is told at once.
func (h *harness) wantBroken(after store.Cursor) {
	h.t.Helper()
	began := time.Now()
	b, err := h.Since(h.ctx, after, 10, time.Minute)
	if err != nil || !b.Broken || time.Since(began) > promptly {
		h.t.Fatalf("Since(%v): %+v, %v, after %v: want it broken, at once", after, b, err, time.Since(began))
	}
}

// realm is the one to which the suite's stores belong.
const realm = "storetest"

func (h *harness) announce(access, absolute, leeway time.Duration) {
	h.t.Helper()
	a := store.Announcement{Access: access, Absolute: absolute, Leeway: leeway, MaxStaleness: 30 * time.Second, Realm: realm}
	if p, err := h.Announce(h.ctx, a); err != nil || !p.Accepted {
		h.t.Fatalf("Announce: %+v, %v", p, err)
	}
}

// nothingWritten runs act and fails if it changed one of the families or the
// head.
func (h *harness) nothingWritten(act func(), ids ...store.ID) {
	h.t.Helper()
	before, head := make([]store.Snapshot, len(ids)), h.head()
	for i, id := range ids {
		before[i] = h.look(id)
	}
	act()
	if now := h.head(); now != head {
		h.t.Errorf("an entry was appended: head %d, before %d", now, head)
	}
	for i, id := range ids {
		s := h.look(id)
		if s.State != before[i].State {
			h.t.Errorf("family %v is %v, before %v", id, s.State, before[i].State)
		}
		h.same(s.Family, before[i].Family)
	}
}

func (h *harness) same(got, want store.Family) {
	h.t.Helper()
	if d := difference(got, want); d != "" {
		h.t.Errorf("family %v: %s", want.ID, d)
	}
}

// difference describes the fields in which two families differ. It returns ""
// if they are equal.
func difference(got, want store.Family) string {
	var d []string
	differ := func(field string, g, w any) { d = append(d, fmt.Sprintf("%s %v, want %v", field, g, w)) }
	if !bytes.Equal(got.Value, want.Value) {
		differ("value", fmt.Sprintf("%q", got.Value), fmt.Sprintf("%q", want.Value))
	}
	for _, at := range []struct {
		field     string
		got, want time.Time
	}{{"started", got.Started, want.Started}, {"authenticated", got.Authenticated, want.Authenticated}, {"issued", got.Issued, want.Issued}} {
		if !at.got.Equal(at.want) {
			differ(at.field, at.got.UTC(), at.want.UTC())
		}
	}
	for _, v := range []struct {
		field     string
		got, want any
	}{
		{"id", got.ID, want.ID}, {"subject", fmt.Sprintf("%q", got.Subject), fmt.Sprintf("%q", want.Subject)}, {"label", fmt.Sprintf("%q", got.Label), fmt.Sprintf("%q", want.Label)},
		{"native", got.Native, want.Native}, {"birth", got.Birth, want.Birth}, {"position", got.Position, want.Position},
		{"last commit", got.LastCommit, want.LastCommit}, {"generation", got.Generation, want.Generation},
		{"copy", got.Copy, want.Copy}, {"used", got.Used, want.Used}, {"idle", got.Idle, want.Idle}, {"absolute", got.Absolute, want.Absolute},
		{"names", fmt.Sprint(got.Names), fmt.Sprint(want.Names)}, {"actor", fmt.Sprintf("%q", got.Actor), fmt.Sprintf("%q", want.Actor)},
		{"methods", fmt.Sprintf("%q", got.Methods), fmt.Sprintf("%q", want.Methods)}, {"level", fmt.Sprintf("%q", got.Level), fmt.Sprintf("%q", want.Level)},
		{"key", got.Key, want.Key}, {"counts", got.Counts, want.Counts}, {"first", got.First, want.First}, {"successor", got.Successor, want.Successor},
		{"seal", got.Seal, want.Seal},
	} {
		if v.got != v.want {
			differ(v.field, v.got, v.want)
		}
	}
	return strings.Join(d, "; ")
}

// wantEntry checks the name and the texts of an entry.
func (h *harness) wantEntry(e store.Entry, kind store.Kind, session store.ID, subject, reason, actor string) {
	h.t.Helper()
	if e.Kind != kind || e.Session != session || e.Subject != subject {
		h.t.Errorf("entry %d is of kind %v, session %v, subject %q: want %v, %v, %q", e.Position, e.Kind, e.Session, e.Subject, kind, session, subject)
	}
	if !e.Name.IsZero() || !e.Ring.IsZero() || e.RingVersion != 0 {
		h.t.Errorf("entry %d of kind %v has name %v and ring %v at %d: want none", e.Position, e.Kind, e.Name, e.Ring, e.RingVersion)
	}
	if e.Reason != reason || e.Actor != actor {
		h.t.Errorf("entry %d has reason %q and actor %q: want %q and %q", e.Position, e.Reason, e.Actor, reason, actor)
	}
}

// sessionsOf returns the sessions that the entries end, in order of id.
func sessionsOf(entries []store.Entry) []store.ID {
	var ids []store.ID
	for _, e := range entries {
		if e.Kind == store.KindSession {
			ids = append(ids, e.Session)
		}
	}
	return sorted(ids...)
}

func sorted(ids ...store.ID) []store.ID {
	slices.SortFunc(ids, func(a, b store.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// together runs act n times at once and waits.
func together(n int, act func(i int)) {
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wait.Go(func() {
			<-start
			act(i)
		})
	}
	close(start)
	wait.Wait()
}

// now returns the engine's time, in whole milliseconds.
func (h *harness) now() time.Time {
	h.t.Helper()
	return h.look(newID()).Now.Truncate(time.Millisecond)
}
