package refresh_test

import (
	"context"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// written is one call that changed a store, and those before it. Repeating the
// calls rebuilds a world's store.
type written struct {
	before *written
	now    units
	do     func(*memory.Store)
}

// searchStore is a real memory store behind a wrapper that records writes,
// updates the oracle, and breaks rules on demand.
type searchStore struct {
	search *search
	mem    *memory.Store
	holds  *written
	now    units

	w      *world // the world that is being moved
	calls  int    // of one refresh
	inside func() // runs before the second call of a refresh
}

func (s *searchStore) clock() time.Time { return issued.Add(searchTime(s.now)) }

// load brings the store to the state after a world's log.
func (s *searchStore) load(w *world) {
	s.w = w
	if s.holds != w.log || s.mem == nil {
		var all []*written
		for l := w.log; l != nil; l = l.before {
			all = append(all, l)
		}
		s.now = 0
		s.mem = memory.New(memory.Options{Now: s.clock})
		if s.search.drops {
			// Far shorter than the life of cookies: correctness does not depend
			// on it.
			s.mem.Announce(context.Background(), store.Announcement{Access: searchTime(graceUnits), Absolute: 100 * time.Hour})
		}
		for i := len(all) - 1; i >= 0; i-- {
			s.now = all[i].now
			all[i].do(s.mem)
		}
		s.holds = w.log
	}
	s.now = w.now
}

// keep records a call that was made. If nothing is dropped, a call that wrote
// nothing changed nothing.
func (s *searchStore) keep(o store.Outcome, do func(*memory.Store)) {
	if o == store.Written || s.search.drops {
		s.w.log = &written{s.w.log, s.w.now, do}
		s.holds = s.w.log
	}
}

// called lets something else happen between two calls of one refresh.
func (s *searchStore) called() {
	if s.calls++; s.calls == 2 && s.inside != nil {
		inside := s.inside
		s.inside = nil
		inside()
	}
}

// shown returns the snapshot that the caller gets.
func (s *searchStore) shown(snap store.Snapshot) store.Snapshot {
	if s.search.twist.show != nil {
		s.search.twist.show(s, &snap)
	}
	return snap
}

func (s *searchStore) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	s.called()
	if s.search.twist.advance != nil {
		s.search.twist.advance(s, &a)
	}
	snap, err := s.mem.Advance(context.Background(), a)
	s.keep(snap.Outcome, func(m *memory.Store) { m.Advance(context.Background(), a) })
	if snap.Outcome == store.Written && !a.PositionOnly {
		s.search.sawAdvance(s.w, familyOf(a.ID), a.Generation, snap)
	}
	return s.shown(snap), err
}

func (s *searchStore) Forgive(ctx context.Context, id store.ID, generation uint32) (store.Snapshot, error) {
	s.called()
	if s.search.twist.unrecorded {
		snap, err := s.mem.Family(ctx, id)
		snap.Outcome, snap.Family.Forgiven = store.Written, generation
		s.search.sawForgive(s.w, familyOf(id), generation)
		return s.shown(snap), err
	}
	before, _ := s.mem.Family(ctx, id)
	snap, err := s.mem.Forgive(context.Background(), id, generation)
	s.keep(snap.Outcome, func(m *memory.Store) { m.Forgive(context.Background(), id, generation) })
	if snap.Outcome == store.Written {
		s.search.sawForgive(s.w, familyOf(id), generation)
	}
	if s.search.twist.forgave != nil {
		s.search.twist.forgave(s, before)
	}
	return s.shown(snap), err
}

func (s *searchStore) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	s.called()
	snap, err := s.mem.Family(ctx, id)
	return s.shown(snap), err
}

func (s *searchStore) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	s.called()
	if s.search.twist.revoke != nil && !s.search.twist.revoke(&r) {
		return s.mem.Family(ctx, familyID(1))
	}
	snap, err := s.mem.Revoke(context.Background(), r)
	s.keep(snap.Outcome, func(m *memory.Store) { m.Revoke(context.Background(), r) })
	return snap, err
}

func (s *searchStore) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	if s.search.twist.create != nil {
		s.search.twist.create(&c)
	}
	snap, err := s.mem.Create(context.Background(), c)
	s.keep(snap.Outcome, func(m *memory.Store) { m.Create(context.Background(), c) })
	return snap, err
}

func (s *searchStore) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	if s.search.twist.commit != nil {
		s.search.twist.commit(&c)
	}
	snap, err := s.mem.Commit(context.Background(), c)
	s.keep(snap.Outcome, func(m *memory.Store) { m.Commit(context.Background(), c) })
	return snap, err
}

func (s *searchStore) Cutoffs(family int8) store.Cutoffs {
	c, err := s.mem.Cutoffs(context.Background(), familyID(family), "alice")
	if err != nil {
		panic(err)
	}
	if s.search.twist.cutoffs != nil {
		s.search.twist.cutoffs(&c)
	}
	return c
}

// twist breaks rules on purpose. The zero value breaks none.
type twist struct {
	policy     refresh.Policy
	advance    func(*searchStore, *store.Advance)
	show       func(*searchStore, *store.Snapshot)
	unrecorded bool // Forgive records nothing
	forgave    func(s *searchStore, before store.Snapshot)
	revoke     func(*store.Revocation) (done bool)
	create     func(*store.Creation)
	commit     func(*store.Commit)
	cutoffs    func(*store.Cutoffs)

	request   func(*refresh.Request)
	carries   func(c sealed, t token) bool
	again     bool // every answer writes the refresh token
	upgrades  bool // an upgrade is refreshed
	laterHead bool // a cookie carries the head at the time it is sealed
	saveLife  bool // Save gives a new lifetime
	mixed     bool // two living sessions in one jar are accepted
}

// read reads from the store what distinguishes two worlds.
func (s *searchStore) read(w *world) {
	ctx, now := context.Background(), new(seen)
	for f := int8(1); f <= w.oracle.families; f++ {
		snap, err := s.mem.Family(ctx, familyID(f))
		if err != nil {
			panic(err)
		}
		cutoffs, err := s.mem.Cutoffs(ctx, familyID(f), "alice")
		if err != nil {
			panic(err)
		}
		now.families[f], now.cutoffs[f] = snap, cutoffs
	}
	if s.search.drops {
		batch, err := s.mem.Since(ctx, 0, store.MaxEntries, 0)
		if err != nil {
			panic(err)
		}
		now.entries = batch.Entries
	}
	w.sees, w.readAt = now, w.log
}
