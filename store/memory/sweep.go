package memory

import (
	"container/heap"
	"time"

	"github.com/waferkit/wafer/store"
)

// sweep does a few steps of housekeeping. It drops old entries, removes cutoffs
// that no longer matter, and removes families past their limits.
func (s *Store) sweep(now time.Time, steps int) {
	s.drop(now, steps)
	s.forgetSubjects(now, steps)
	s.removeFamilies(now, steps)
}

// drop drops old entries and raises the floor to the last one dropped.
func (s *Store) drop(now time.Time, steps int) {
	if s.announced.Access == 0 {
		return // how long a cookie can live is not announced yet
	}
	before := now.Add(-s.announced.Access - s.announced.Leeway)
	for range steps {
		if len(s.entries) == 0 || !s.entries[0].Time.Before(before) {
			return
		}
		e := s.entries[0]
		s.entries[0] = store.Entry{} // free its strings: the array behind the slice stays
		s.entries, s.floor, s.floorID = s.entries[1:], e.Position, e.ID
		s.names.drop(s.floor)
		if c, found := s.sessions[e.Session]; found {
			if c.ending <= s.floor {
				c.ending = 0
			}
			if c.superseding <= s.floor {
				c.superseding = 0
			}
			if c == (sessionCutoffs{}) {
				delete(s.sessions, e.Session)
			} else {
				s.sessions[e.Session] = c
			}
		}
	}
}

// forgetSubjects removes cutoffs that no family can be below any more.
func (s *Store) forgetSubjects(now time.Time, steps int) {
	if s.announced.Absolute == 0 {
		return
	}
	before := now.Add(-max(s.announced.Absolute, s.announced.Access) - s.announced.Leeway)
	for range steps {
		oldest := s.subjects.order.Front()
		if oldest == nil {
			return
		}
		c := oldest.Value.(subjectCutoff)
		if !c.time.Before(before) {
			return
		}
		if c.position > s.floor || s.cutsOff(c) {
			// The clock has jumped. The cutoff must not go before its entry, nor a
			// family come back to life that has outlived the cutoff's retention.
			s.subjects.order.MoveToBack(oldest)
			continue
		}
		s.subjects.order.Remove(oldest)
		delete(s.subjects.of, c.subject)
	}
}

// cutsOff reports whether there is a family that a cutoff keeps from being
// alive.
func (s *Store) cutsOff(c subjectCutoff) bool {
	for _, rows := range []*index{s.bySubject[c.subject], s.byActor[c.subject]} {
		if f := rows.last(); f != nil && f.Birth < c.position {
			return true
		}
	}
	return false
}

// dueFamily is a family with the time at which to look at it next: its idle
// deadline when it was queued. If it was refreshed since then, it is queued
// again.
type dueFamily struct {
	id store.ID
	at time.Time
}

func (s *Store) removeFamilies(now time.Time, steps int) {
	for range steps {
		if len(s.due) == 0 || !s.due[0].at.Before(now) {
			return
		}
		d := heap.Pop(&s.due).(dueFamily)
		f := s.families[d.id]
		switch {
		case f == nil: // removed before
			continue
		case !f.Past(now):
			heap.Push(&s.due, dueFamily{d.id, f.IdleDeadline()})
			continue
		case !f.ended:
			s.bury(now, []*family{f})
		}
		if f.keep.Before(now) {
			delete(s.families, d.id)
		} else {
			heap.Push(&s.due, dueFamily{d.id, f.keep})
		}
	}
}

// dueHeap is a [heap.Interface], earliest first.
type dueHeap []dueFamily

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueFamily)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = dueFamily{}
	*h = old[:len(old)-1]
	return last
}
