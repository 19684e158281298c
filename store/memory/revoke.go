package memory

import (
	"context"
	"time"

	"github.com/waferkit/wafer/store"
)

// Revoke implements [store.Store].
func (s *Store) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	now, err := s.beginAppend(ctx, r.Check(), r.Above)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	s.sweep(now, sweepSteps+len(r.Sessions)+len(r.Subjects))
	if !r.Name.IsZero() {
		return s.revokeName(now, &r)
	}

	var survivor *family
	alive, named := false, false
	if r.Except != nil {
		survivor = s.families[r.Except.ID]
		alive = s.live(survivor, now) && survivor.Subject == r.Subjects[0]
		named = alive && survivor.Birth < s.names.highest(survivor.Names)
		if alive && !named && r.Except.Basis < survivor.LastCommit {
			return s.snapshot(now, survivor, store.Behind), nil
		}
	}
	entries := len(r.Sessions) + len(r.Subjects)
	if r.Everyone {
		entries++
	}
	if err := s.checkRoom(now, r.Above, entries); err != nil {
		return store.Snapshot{}, err
	}
	var done revoked
	appendOne := func(e store.Entry) {
		e.Position, e.Reason, e.Actor = s.next(now, r.Above), r.Reason, r.Actor
		s.append(now, e)
		done.outcome, done.entry = store.Written, e.Position
	}
	for _, id := range r.Sessions {
		f := s.families[id]
		if ending := s.sessions[id].ending; ending != 0 || f != nil && f.ended {
			done.entry = max(done.entry, ending, s.floor) // an entry at or below the floor is dropped, and the floor covers it
			continue
		}
		if s.live(f, now) {
			done.ended++
		}
		s.end(now, id, r.Above, r.Reason, r.Actor)
		done.outcome, done.entry = store.Written, s.head
	}
	looked := store.MaxLooked
	for _, subject := range r.Subjects {
		done.ended += s.count(now, subject, &looked)
		appendOne(store.Entry{Kind: store.KindSubject, Subject: subject})
	}
	if r.Everyone {
		appendOne(store.Entry{Kind: store.KindEveryone, Ring: r.Ring, RingVersion: r.RingVersion})
	}
	if alive && !named && survivor.provenBy(r.Except.Key) {
		s.unlist(survivor)
		survivor.Birth, survivor.Position = done.entry, done.entry
		s.list(survivor)
		done.ended--
	}
	snap := done.snapshot(s, now, survivor)
	if named {
		snap.State = store.Ended
	}
	return snap, nil
}

// revoked is what a revocation has done so far.
type revoked struct {
	outcome store.Outcome
	entry   store.Position
	ended   int
}

func (r *revoked) snapshot(s *Store, now time.Time, f *family) store.Snapshot {
	snap := s.snapshot(now, f, r.outcome)
	snap.Entry, snap.Ended = r.entry, max(r.ended, 0)
	return snap
}

// count returns the number of the living families that a cutoff of the subject
// would cut off, its own and those in which it acts, as far as it may look at rows.
func (s *Store) count(now time.Time, subject string, looked *int) (n int) {
	cutoff := s.cutoff(subject, "")
	for _, rows := range []*index{s.bySubject[subject], s.byActor[subject]} {
		for f := range rows.after(first) {
			if *looked == 0 || f.Birth < cutoff {
				break
			}
			*looked--
			if s.live(f, now) && (rows == s.bySubject[subject] || f.Subject != subject) {
				n++
			}
		}
	}
	return n
}

// revokeName appends the entry of a name, unless the log has it, and ends a part
// of the families that bear the name.
func (s *Store) revokeName(now time.Time, r *store.Revocation) (store.Snapshot, error) {
	var done revoked
	for i := range s.entries {
		if e := &s.entries[i]; !r.ID.IsZero() && e.ID == r.ID && e.Kind == store.KindName {
			done.entry = e.Position
		}
	}
	below, more := done.entry, false
	if below == 0 {
		below = s.next(now, r.Above)
	}
	var ends, dead []*family
	for f := range s.byName[r.Name].after(place{birth: below}) {
		if more = len(ends)+len(dead) == store.MaxEntries-1; more {
			break
		}
		if s.live(f, now) {
			ends = append(ends, f)
		} else {
			dead = append(dead, f)
		}
	}
	appended := len(ends)
	if done.entry == 0 {
		appended++
	}
	if err := s.checkRoom(now, r.Above, appended); err != nil {
		return store.Snapshot{}, err
	}
	if done.entry == 0 {
		s.append(now, store.Entry{ID: r.ID, Position: below, Kind: store.KindName, Name: r.Name, Reason: r.Reason, Actor: r.Actor})
		done.outcome, done.entry = store.Written, below
	}
	for _, f := range ends {
		s.end(now, f.ID, r.Above, r.Reason, r.Actor)
		done.outcome, done.entry = store.Written, s.head
		done.ended++
	}
	s.bury(now, dead)
	snap := done.snapshot(s, now, nil)
	snap.More = more
	return snap, nil
}
