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
		s.entries, s.floor = s.entries[1:], e.Position
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

func (s *Store) forgetSubjects(now time.Time, steps int) {
	if s.announced.Absolute == 0 {
		return
	}
	before := now.Add(-max(s.announced.Absolute, s.announced.Access) - s.announced.Leeway)
	for range steps {
		if len(s.cutoffsByTime) == 0 || !s.cutoffsByTime[0].time.Before(before) {
			return
		}
		c := s.cutoffsByTime[0]
		s.cutoffsByTime[0] = subjectCutoff{}
		s.cutoffsByTime = s.cutoffsByTime[1:]
		switch {
		case s.subjects[c.subject] != c.at: // a later cutoff is in force
		case s.cutsOff(c):
			// If the clock jumped, a family may outlive the cutoff's retention.
			// It must not come back to life.
			s.cutoffsByTime = append(s.cutoffsByTime, c)
		default:
			delete(s.subjects, c.subject)
		}
	}
}

// cutsOff reports whether there is a family that a cutoff keeps from being
// alive.
func (s *Store) cutsOff(c subjectCutoff) bool {
	for _, f := range s.bySubject[c.subject] {
		if f.Birth < c.at {
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
		if !f.Past(now) {
			heap.Push(&s.due, dueFamily{d.id, f.IdleDeadline()})
			continue
		}
		delete(s.families, d.id)
		siblings := s.bySubject[f.Subject]
		delete(siblings, d.id)
		if len(siblings) == 0 {
			delete(s.bySubject, f.Subject)
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
