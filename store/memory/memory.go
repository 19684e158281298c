// Package memory is an engine that holds everything in the memory of one
// process. It is for tests, for trying wafer out, and for a single process
// whose users may be logged out when it restarts. Each [New] begins a new log,
// whose first entry revokes everyone, so earlier cookies are not trusted.
//
// It meets the contract of package store except for durability. An earlier
// cookie is recognized only by its position, and positions follow the clock. A
// clock that is set back by more than a minute over a restart can therefore
// revive earlier cookies. If that matters, use an engine that keeps the store in
// a file.
package memory

import (
	"container/heap"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Now is the engine's clock. Default [time.Now].
	Now func() time.Time
}

// Store is an engine in memory. It is safe for concurrent use and has nothing
// to close.
type Store struct {
	now func() time.Time

	mu          sync.Mutex
	log         store.ID
	head        store.Position
	headID      store.ID
	floor       store.Position
	floorID     store.ID
	entries     []store.Entry // those above the floor, in order
	appended    chan struct{} // closed and replaced when an entry is appended
	everyone    store.Position
	subjects    subjectCutoffs
	names       nameCutoffs
	sessions    map[store.ID]sessionCutoffs
	families    map[store.ID]*family
	due         dueHeap
	living      index // of everybody; it and those below may hold families that are dead otherwise than by an end
	bySubject   indexes[string]
	byActor     indexes[string]
	byName      indexes[store.Name]
	announced   store.Announcement
	peers       []peer // in the order of their announcements
	keys        []byte
	keysVersion uint64
}

var _ store.Store = (*Store)(nil)

type family struct {
	store.Family
	ended bool
	keep  time.Time // the row stays until then, whatever becomes of the family
}

type sessionCutoffs struct{ ending, superseding store.Position }

// sweepSteps is the number of housekeeping steps in each write, besides one
// step for each entry that the write may append. Entries are therefore removed
// at least as fast as they are added.
const sweepSteps = 8

// New returns an empty store with a new log.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		now:       o.Now,
		appended:  make(chan struct{}),
		subjects:  newSubjectCutoffs(),
		names:     nameCutoffs{at: make(map[store.Name]store.Position)},
		sessions:  make(map[store.ID]sessionCutoffs),
		families:  make(map[store.ID]*family),
		bySubject: make(indexes[string]),
		byActor:   make(indexes[string]),
		byName:    make(indexes[store.Name]),
	}
	rand.Read(s.log[:])
	// The position is a minute ahead, so that a clock that was set back a
	// little over a restart revives no cookie.
	now := s.clock()
	s.append(now, store.Entry{Position: s.next(now.Add(time.Minute), 0), Kind: store.KindEveryone, Reason: "the log begins"})
	return s
}

// clock returns the time in whole milliseconds, as families store it.
func (s *Store) clock() time.Time { return time.UnixMilli(s.now().UnixMilli()) }

// begin checks the context and the arguments, and locks s.mu. The caller
// unlocks it unless begin returns an error.
func (s *Store) begin(ctx context.Context, argument error) (now time.Time, err error) {
	if argument != nil {
		return time.Time{}, argument
	}
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	return s.clock(), nil
}

// beginAppend is begin for a method that takes an Above.
func (s *Store) beginAppend(ctx context.Context, argument error, above store.Position) (now time.Time, err error) {
	if now, err = s.begin(ctx, argument); err != nil {
		return now, err
	}
	if err = store.CheckAbove(above, s.head, now); err != nil {
		s.mu.Unlock()
	}
	return now, err
}

// next returns the position of a new entry.
func (s *Store) next(now time.Time, above store.Position) store.Position {
	return max(s.head+1, above+1, store.Position(max(now.UnixMicro(), 0)))
}

// checkRoom returns an error unless n more entries can have positions higher
// than above.
func (s *Store) checkRoom(now time.Time, above store.Position, n int) error {
	if n > 0 && s.next(now, above)+store.Position(n-1) > store.MaxPosition {
		return fmt.Errorf("memory: no positions are left above %d", max(s.head, above))
	}
	return nil
}

// append adds an entry at its position, which is above the head.
func (s *Store) append(now time.Time, e store.Entry) {
	if e.ID.IsZero() {
		rand.Read(e.ID[:])
	}
	e.Previous, e.Time = s.head, now
	s.head, s.headID = e.Position, e.ID
	s.entries = append(s.entries, e)
	switch e.Kind {
	case store.KindEveryone:
		s.everyone = e.Position
	case store.KindSubject:
		s.subjects.set(subjectCutoff{e.Subject, e.Position, now})
	case store.KindName:
		s.names.set(e.Name, e.Position)
	case store.KindSession:
		c := s.sessions[e.Session]
		c.ending = e.Position
		s.sessions[e.Session] = c
	case store.KindSuperseding:
		c := s.sessions[e.Session]
		c.superseding = e.Position
		s.sessions[e.Session] = c
	}
	close(s.appended)
	s.appended = make(chan struct{})
}

// end ends a family, if it is present, and appends the entry.
func (s *Store) end(now time.Time, id store.ID, above store.Position, reason, by string) {
	if f := s.families[id]; f != nil && !f.ended {
		s.unlist(f)
		f.ended = true
	}
	s.append(now, store.Entry{Position: s.next(now, above), Kind: store.KindSession, Session: id, Reason: reason, Actor: by})
}

// replaceable reports whether a login in the place of a family appends the entry
// of its end.
func (s *Store) replaceable(id store.ID) bool {
	switch s.state(s.families[id]) {
	case store.Alive:
		return true
	case store.Absent:
		return !id.IsZero() && s.sessions[id].ending == 0
	}
	return false
}

func (s *Store) state(f *family) store.State {
	switch {
	case f == nil:
		return store.Absent
	case f.ended:
		return store.Ended
	case f.Birth < s.cutoff(f.Subject, f.Actor):
		return store.CutOff
	}
	return store.Alive
}

// cutoff returns the position below which a family of the subject that the actor
// acts for is cut off.
func (s *Store) cutoff(subject, actor string) store.Position {
	at := max(s.subjects.at(subject), s.everyone)
	if actor != "" {
		at = max(at, s.subjects.at(actor))
	}
	return at
}

// live reports whether a family is alive and within its limits.
func (s *Store) live(f *family, now time.Time) bool {
	return s.state(f) == store.Alive && !f.Past(now)
}

// snapshot returns a snapshot as of the time when s.mu was locked.
func (s *Store) snapshot(now time.Time, f *family, outcome store.Outcome) store.Snapshot {
	snap := store.Snapshot{State: s.state(f), Outcome: outcome, Head: s.head, Floor: s.floor, Log: s.log, Now: now}
	if f != nil {
		snap.Family = f.Family
		snap.Family.Value, snap.Family.Names = slices.Clone(f.Value), slices.Clone(f.Names)
	}
	return snap
}

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	now, err := s.beginAppend(ctx, c.Check(), c.Above)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps)

	if f, found := s.families[c.ID]; found || s.sessions[c.ID].ending != 0 {
		return s.snapshot(now, f, store.Taken), nil
	}
	f := &family{Family: store.Family{
		ID: c.ID, Subject: c.Subject, Label: c.Label, Native: c.Native, Names: slices.Clone(c.Names), Actor: c.Actor,
		Methods: c.Methods, Level: c.Level, Key: c.Key, Counts: !c.Key.IsZero(), Seal: c.Seal, Generation: 1,
		Started: stamp(c.Started, now), Authenticated: stamp(c.Authenticated, stamp(c.Started, now)), Issued: now, Idle: c.Idle, Absolute: c.Absolute,
	}, keep: now.Add(c.Known)}
	var ends []store.ID
	if c.Renews != nil {
		old := s.families[c.Renews.ID]
		if outcome, ended := s.renewable(now, &c, old); outcome != store.Written {
			snap := s.snapshot(now, old, outcome)
			if ended {
				snap.State = store.Ended
			}
			return snap, nil
		}
		f.takeOver(old, &c)
		ends = append(ends, old.ID)
	}
	if c.NotBefore != 0 && c.NotBefore < max(s.cutoff(f.Subject, f.Actor), s.names.highest(f.Names), s.floor) {
		return s.snapshot(now, nil, store.Early), nil
	}
	if !c.Started.IsZero() && c.Renews == nil && (offClock(c.Started, now, c.Leeway) || f.Authenticated.After(now.Add(c.Leeway))) ||
		c.Renews != nil && !c.Renews.Authenticated.IsZero() && offClock(c.Renews.Authenticated, now, c.Leeway) {
		return s.snapshot(now, nil, store.OffClock), nil
	}
	for _, id := range c.Ends {
		if s.replaceable(id) && !slices.Contains(ends, id) {
			ends = append(ends, id)
		}
	}
	again := false
	if c.Limit > 0 {
		var excess []store.ID
		excess, again = s.excess(now, &c, ends)
		if len(excess) > 0 && !c.EndOldest {
			return s.snapshot(now, nil, store.Full), nil
		}
		if again {
			ends = nil // those that the family replaces end with the last call
		}
		ends = append(ends, excess...)
	}
	if err := s.checkRoom(now, c.Above, len(ends)); err != nil {
		return store.Snapshot{}, err
	}
	for _, id := range ends {
		s.end(now, id, c.Above, c.Reason, c.By)
	}
	if again {
		snap := s.snapshot(now, nil, store.Again)
		if len(ends) > 0 {
			snap.Entry = s.head
		}
		return snap, nil
	}
	f.Birth, f.Position = s.head, s.head
	if f.Value != nil {
		f.LastCommit = f.Birth
	}
	s.families[f.ID] = f
	s.list(f)
	heap.Push(&s.due, dueFamily{f.ID, f.IdleDeadline()})
	if f.First != (store.ID{}) {
		if bound := s.families[f.First]; bound != nil {
			bound.Successor = f.ID
			if until := f.Deadline(); until.After(bound.keep) {
				bound.keep = until
			}
		}
	}
	snap := s.snapshot(now, f, store.Written)
	if len(ends) > 0 {
		snap.Entry = s.head
	}
	return snap, nil
}

// stamp returns a time that the caller named, in whole milliseconds, or else the
// engine's.
func stamp(named, engine time.Time) time.Time {
	if named.IsZero() {
		return engine
	}
	return time.UnixMilli(named.UnixMilli())
}

// offClock reports whether a time is further than the leeway from the clock.
func offClock(t, now time.Time, leeway time.Duration) bool { return t.Sub(now).Abs() > leeway }

// renewable returns Written if a creation may continue the family. ended is true
// if a name of the family was revoked above its birth.
func (s *Store) renewable(now time.Time, c *store.Creation, old *family) (outcome store.Outcome, ended bool) {
	switch {
	case !s.live(old, now) || old.Subject != c.Subject || old.Native != c.Native || !old.provenBy(c.Renews.Key):
		return store.Unwritten, false
	case old.Birth < s.names.highest(old.Names):
		return store.Unwritten, true
	case old.Seal != c.Renews.Seal:
		return store.Changed, false
	case c.Renews.Basis < old.LastCommit:
		return store.Behind, false
	}
	return store.Written, false
}

// provenBy reports whether a proof by a key, or by none, is enough for a family.
func (f *family) provenBy(key store.Key) bool { return !f.Counts || key == f.Key }

// takeOver makes f the continuation of old.
func (f *family) takeOver(old *family, c *store.Creation) {
	f.keep = f.Issued // for no longer than it lives
	f.Label, f.Names, f.Actor, f.Methods, f.Level = old.Label, old.Names, old.Actor, old.Methods, old.Level
	f.Key, f.Counts, f.Started, f.Authenticated, f.Idle, f.Absolute = old.Key, old.Counts, old.Started, old.Authenticated, old.Idle, old.Absolute
	if r := c.Renews; !r.Authenticated.IsZero() {
		f.Authenticated, f.Methods, f.Level = stamp(r.Authenticated, time.Time{}), r.Methods, r.Level
	}
	if !old.Key.IsZero() {
		if f.First = old.First; f.First.IsZero() {
			f.First = old.ID
		}
	}
	if old.LastCommit != 0 {
		f.Value = slices.Clone(c.Value)
	}
}

// excess returns the subject's families that exceed the limit beside a new one,
// those that were born first, and at most store.MaxEntries-2 of them. It does not
// count the families in replaced. again is true if there may be more, or if so
// many rows were dead that not all were looked at. The dead are removed.
func (s *Store) excess(now time.Time, c *store.Creation, replaced []store.ID) (ids []store.ID, again bool) {
	alive, dead := 1, []*family(nil) // 1 is the new one
	cutoff := s.cutoff(c.Subject, "")
	for f := range s.bySubject[c.Subject].after(first) {
		if f.Birth < cutoff {
			break // as are all that follow
		}
		switch {
		case len(dead) == store.MaxLooked || len(ids) == store.MaxEntries-2:
			again = true
		case slices.Contains(replaced, f.ID):
			continue
		case !s.live(f, now):
			dead = append(dead, f)
			continue
		default:
			if alive++; alive > c.Limit {
				ids = append(ids, f.ID)
			}
		}
		if again || len(ids) > 0 && !c.EndOldest {
			break
		}
	}
	s.bury(now, dead)
	return ids, again
}

// bury removes families that time or a cutoff has killed, or unlists those whose
// ids must stay known.
func (s *Store) bury(now time.Time, dead []*family) {
	for _, f := range dead {
		s.unlist(f)
		if f.ended = true; !f.keep.After(now) {
			delete(s.families, f.ID)
		}
	}
}

// Advance implements [store.Store].
func (s *Store) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	now, err := s.begin(ctx, a.Check())
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps)

	f := s.families[a.ID]
	due := func() bool {
		return longAgo(f, now, a.Age, a.Skew) || a.Lag > 0 && int(f.Copy)-int(a.Copy) >= int(a.Lag)
	}
	if !s.live(f, now) || f.Native != a.Native || !f.provenBy(a.Key) || f.Generation != a.Generation ||
		!a.PositionOnly && (a.Copy > f.Copy || !due()) {
		return s.snapshot(now, f, store.Unwritten), nil
	}
	if a.Basis < f.LastCommit {
		return s.snapshot(now, f, store.Behind), nil
	}
	f.Position = max(f.Position, s.head)
	f.prove(a.Key)
	if !a.PositionOnly {
		f.Used, f.Copy, f.Issued = a.Copy, 0, now
		f.Generation++
	}
	return s.snapshot(now, f, store.Written), nil
}

// prove makes the family's key count if a proof by it was brought.
func (f *family) prove(key store.Key) { f.Counts = f.Counts || !key.IsZero() && key == f.Key }

// longAgo reports whether the last advance or copy is at least age ago, or so
// far ahead of the clock that the clock was set back since.
func longAgo(f *family, now time.Time, age, skew time.Duration) bool {
	since := now.Sub(f.Issued)
	return since >= age || since < -skew
}

// Reissue implements [store.Store].
func (s *Store) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	now, err := s.begin(ctx, r.Check())
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps)

	f := s.families[r.ID]
	if !s.live(f, now) || f.Native != r.Native || !f.provenBy(r.Key) || f.Generation != r.Generation+1 || f.Used != r.Copy ||
		f.Copy >= store.MaxCopy || !longAgo(f, now, r.Age, r.Skew) {
		return s.snapshot(now, f, store.Unwritten), nil
	}
	if r.Basis < f.LastCommit {
		return s.snapshot(now, f, store.Behind), nil
	}
	f.Position, f.Issued = max(f.Position, s.head), now
	f.prove(r.Key)
	f.Copy++
	return s.snapshot(now, f, store.Written), nil
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	now, err := s.beginAppend(ctx, c.Check(), c.Above)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps)

	f := s.families[c.ID]
	if !s.live(f, now) || !f.provenBy(c.Key) {
		return s.snapshot(now, f, store.Unwritten), nil
	}
	if c.Basis < f.LastCommit {
		return s.snapshot(now, f, store.Behind), nil
	}
	if err := s.checkRoom(now, c.Above, 1); err != nil {
		return store.Snapshot{}, err
	}
	s.append(now, store.Entry{Position: s.next(now, c.Above), Kind: store.KindSuperseding, Session: f.ID, Reason: "commit", Actor: c.Actor})
	f.Position, f.LastCommit, f.Value = s.head, s.head, slices.Clone(c.Value)
	snap := s.snapshot(now, f, store.Written)
	snap.Entry = s.head
	return snap, nil
}
