package memory

import (
	"context"

	"github.com/waferkit/wafer/store"
)

// Restore implements [store.Store].
func (s *Store) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	now, err := s.beginAppend(ctx, r.Check(), r.Above)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps+len(r.Entries))

	lost := 0
	for i := range r.Entries {
		if s.lost(&r.Entries[i]) {
			lost++
		}
	}
	if err := s.checkRoom(now, r.Above, lost); err != nil {
		return store.Snapshot{}, err
	}
	outcome, entry := store.Unwritten, store.Position(0)
	for i := range r.Entries {
		e := &r.Entries[i]
		if !s.lost(e) { // checked again: an earlier entry may have the same name
			continue
		}
		outcome, entry = store.Written, s.next(now, r.Above)
		restored := store.Entry{Position: entry, Kind: e.Kind, Reason: e.Reason, Actor: e.Actor}
		switch e.Kind {
		case store.KindEveryone:
			restored.Ring, restored.RingVersion = e.Ring, e.RingVersion
		case store.KindSubject:
			restored.Subject = e.Subject
		case store.KindSession:
			restored.Session = e.Session
			if f := s.families[e.Session]; f != nil && !f.ended {
				s.unlist(f)
				f.ended = true
			}
		}
		s.append(now, restored)
	}
	snap := s.snapshot(now, nil, outcome)
	snap.Entry = entry
	return snap, nil
}

// lost reports whether no cutoff in the store covers an entry that a node
// holds.
func (s *Store) lost(e *store.Entry) bool {
	cutoff := s.everyone
	switch e.Kind {
	case store.KindSubject:
		cutoff = max(cutoff, s.subjects.at(e.Subject))
	case store.KindSession:
		if s.state(s.families[e.Session]) == store.Alive {
			return true
		}
		// It is not enough that the family is ended: the end may be below what
		// was minted before the loss.
		cutoff = max(cutoff, s.floor, s.sessions[e.Session].ending)
	}
	return cutoff < e.Position
}
