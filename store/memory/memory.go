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

	mu            sync.Mutex
	log           store.ID
	head          store.Position
	floor         store.Position
	entries       []store.Entry // those above the floor, in order
	appended      chan struct{} // closed and replaced when an entry is appended
	everyone      store.Position
	subjects      map[string]store.Position
	cutoffsByTime []subjectCutoff // subjects' cutoffs, oldest first
	sessions      map[store.ID]sessionCutoffs
	families      map[store.ID]*family
	bySubject     map[string]map[store.ID]*family
	due           dueHeap
	announced     store.Announcement
	keys          []byte
	keysVersion   uint64
}

var _ store.Store = (*Store)(nil)

type family struct {
	store.Family
	ended bool
}

type sessionCutoffs struct{ ending, superseding store.Position }

type subjectCutoff struct {
	subject string
	at      store.Position
	time    time.Time
}

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
		subjects:  make(map[string]store.Position),
		sessions:  make(map[store.ID]sessionCutoffs),
		families:  make(map[store.ID]*family),
		bySubject: make(map[string]map[store.ID]*family),
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
	rand.Read(e.ID[:])
	e.Previous, e.Time = s.head, now
	s.head = e.Position
	s.entries = append(s.entries, e)
	switch e.Kind {
	case store.KindEveryone:
		s.everyone = e.Position
	case store.KindSubject:
		s.subjects[e.Subject] = e.Position
		s.cutoffsByTime = append(s.cutoffsByTime, subjectCutoff{e.Subject, e.Position, now})
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
func (s *Store) end(now time.Time, id store.ID, above store.Position, reason, actor string) {
	if f := s.families[id]; f != nil {
		f.ended = true
	}
	s.append(now, store.Entry{Position: s.next(now, above), Kind: store.KindSession, Session: id, Reason: reason, Actor: actor})
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
	case f.Birth < max(s.subjects[f.Subject], s.everyone):
		return store.CutOff
	}
	return store.Alive
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
		snap.Family.Value = slices.Clone(f.Value)
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
	if c.NotBefore != 0 && c.NotBefore < max(s.subjects[c.Subject], s.everyone, s.floor) {
		return s.snapshot(now, nil, store.Early), nil
	}
	f := &family{Family: store.Family{
		ID: c.ID, Subject: c.Subject, Label: c.Label, Native: c.Native, Generation: 1,
		Started: now, Authenticated: now, Issued: now, Idle: c.Idle, Absolute: now.Add(c.Absolute),
	}}
	var ends []store.ID
	if c.Renews != nil {
		old := s.families[c.Renews.ID]
		if !s.live(old, now) || old.Subject != c.Subject || old.Native != c.Native {
			return s.snapshot(now, old, store.Unwritten), nil
		}
		if c.Renews.Basis < old.LastCommit {
			return s.snapshot(now, old, store.Behind), nil
		}
		f.Started, f.Idle, f.Absolute, f.Label = old.Started, old.Idle, old.Absolute, old.Label
		if !c.Renews.Authenticated {
			f.Authenticated = old.Authenticated
		}
		if old.LastCommit != 0 {
			f.Value = slices.Clone(c.Value)
		}
		ends = append(ends, old.ID)
	}
	for _, id := range c.Ends {
		if s.replaceable(id) && !slices.Contains(ends, id) {
			ends = append(ends, id)
		}
	}
	if c.Limit > 0 {
		others := s.living(c.Subject, now)
		others = slices.DeleteFunc(others, func(o *family) bool { return slices.Contains(ends, o.ID) })
		if excess := len(others) + 1 - c.Limit; excess > 0 {
			if !c.EndOldest {
				return s.snapshot(now, nil, store.Full), nil
			}
			for _, oldest := range others[len(others)-excess:] {
				ends = append(ends, oldest.ID)
			}
		}
	}
	if err := s.checkRoom(now, c.Above, len(ends)); err != nil {
		return store.Snapshot{}, err
	}
	for _, id := range ends {
		s.end(now, id, c.Above, c.Reason, c.Actor)
	}
	f.Birth, f.Position = s.head, s.head
	if f.Value != nil {
		f.LastCommit = f.Birth
	}
	s.families[f.ID] = f
	if s.bySubject[f.Subject] == nil {
		s.bySubject[f.Subject] = make(map[store.ID]*family)
	}
	s.bySubject[f.Subject][f.ID] = f
	heap.Push(&s.due, dueFamily{f.ID, f.IdleDeadline()})
	snap := s.snapshot(now, f, store.Written)
	if len(ends) > 0 {
		snap.Entry = s.head
	}
	return snap, nil
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
	if !s.live(f, now) || f.Native != a.Native || f.Generation != a.Generation ||
		!a.PositionOnly && (a.Copy > f.Copy || !due()) {
		return s.snapshot(now, f, store.Unwritten), nil
	}
	if a.Basis < f.LastCommit {
		return s.snapshot(now, f, store.Behind), nil
	}
	f.Position = max(f.Position, s.head)
	if !a.PositionOnly {
		f.Used, f.Copy, f.Issued = a.Copy, 0, now
		f.Generation++
	}
	return s.snapshot(now, f, store.Written), nil
}

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
	if !s.live(f, now) || f.Native != r.Native || f.Generation != r.Generation+1 || f.Used != r.Copy ||
		f.Copy >= store.MaxCopy || !longAgo(f, now, r.Age, r.Skew) {
		return s.snapshot(now, f, store.Unwritten), nil
	}
	if r.Basis < f.LastCommit {
		return s.snapshot(now, f, store.Behind), nil
	}
	f.Position, f.Issued = max(f.Position, s.head), now
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
	if !s.live(f, now) {
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

// Revoke implements [store.Store].
func (s *Store) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	now, err := s.beginAppend(ctx, r.Check(), r.Above)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps+len(r.Sessions)+len(r.Subjects))

	var reborn *family
	if r.Except != nil {
		reborn = s.families[r.Except.ID]
		if s.live(reborn, now) && reborn.Subject == r.Subjects[0] && r.Except.Basis < reborn.LastCommit {
			return s.snapshot(now, reborn, store.Behind), nil
		}
	}
	entries := len(r.Sessions) + len(r.Subjects)
	if r.Everyone {
		entries++
	}
	if err := s.checkRoom(now, r.Above, entries); err != nil {
		return store.Snapshot{}, err
	}
	alive := s.live(reborn, now) && reborn.Subject == r.Subjects[0]
	outcome, entry := store.Unwritten, store.Position(0)
	appendOne := func(e store.Entry) {
		e.Position, e.Reason, e.Actor = s.next(now, r.Above), r.Reason, r.Actor
		s.append(now, e)
		outcome, entry = store.Written, e.Position
	}
	for _, id := range r.Sessions {
		f := s.families[id]
		if ending := s.sessions[id].ending; ending != 0 || f != nil && f.ended {
			entry = max(entry, ending, s.floor) // an entry at or below the floor is dropped, and the floor covers it
			continue
		}
		if f != nil {
			f.ended = true
		}
		appendOne(store.Entry{Kind: store.KindSession, Session: id})
	}
	for _, subject := range r.Subjects {
		appendOne(store.Entry{Kind: store.KindSubject, Subject: subject})
	}
	if r.Everyone {
		appendOne(store.Entry{Kind: store.KindEveryone})
	}
	if alive {
		reborn.Birth, reborn.Position = entry, entry
	}
	snap := s.snapshot(now, reborn, outcome)
	snap.Entry = entry
	return snap, nil
}
