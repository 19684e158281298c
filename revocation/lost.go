package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/waferkit/wafer/store"
)

// lost holds revocations that this node has and the store has lost. Until it is
// written back, a lost revocation applies to every token of its session or
// subject, whatever the token's position: the store may have issued newer ones
// because it had forgotten the revocation.
type lost struct {
	entries  []store.Entry
	sessions map[store.ID]struct{}
	subjects map[string]struct{}
	everyone bool

	// The goroutine that follows the log goes through the entries in parts, so
	// that reading the log does not wait for all of them.
	next      int           // the entry to continue with
	stillLost []store.Entry // earlier entries that the store still lacks
}

// newLost returns nil if entries is empty.
func newLost(entries []store.Entry) *lost {
	if len(entries) == 0 {
		return nil
	}
	l := &lost{entries: entries, sessions: make(map[store.ID]struct{}), subjects: make(map[string]struct{})}
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case store.KindEveryone:
			l.everyone = true
		case store.KindSubject:
			l.subjects[e.Subject] = struct{}{}
		case store.KindSession:
			l.sessions[e.Session] = struct{}{}
		}
	}
	return l
}

// merge returns l together with the earlier losses that are neither written back
// yet nor in the reloaded log. The list may have dropped them.
func (l *lost) merge(before *lost, reloaded *List) *lost {
	if before == nil {
		return l
	}
	var more []store.Entry
	for _, e := range before.entries {
		has := reloaded.Cutoffs(e.Session, e.Subject)
		covered := has.Everyone
		known := l != nil && e.Kind == store.KindEveryone && l.everyone
		switch e.Kind {
		case store.KindSubject:
			covered = max(covered, has.Subject)
			_, known = l.subjectSet()[e.Subject]
		case store.KindSession:
			_, known = l.sessionSet()[e.Session]
			known = known || has.Ending != 0 // which covers every position
		}
		if covered < e.Position && !known {
			more = append(more, e)
		}
	}
	if len(more) == 0 {
		return l
	}
	if l != nil {
		more = append(more, l.entries...)
	}
	return newLost(more)
}

func (l *lost) subjectSet() map[string]struct{} {
	if l == nil {
		return nil
	}
	return l.subjects
}

func (l *lost) sessionSet() map[store.ID]struct{} {
	if l == nil {
		return nil
	}
	return l.sessions
}

// covers reports whether a revocation of the session, its subject or everyone
// is lost.
func (l *lost) covers(session store.ID, subject string) bool {
	if l == nil {
		return false
	}
	_, ofSession := l.sessions[session]
	_, ofSubject := l.subjects[subject]
	return ofSession || ofSubject || l.everyone
}

// reasonRestored is the reason of an entry that was written back. The original
// reason and actor are lost with the store.
const reasonRestored = "written back: the log had lost it"

// restore writes back a part of what the store has lost. A replica that may not
// write checks whether another node has done so. restore reports whether to
// continue at once.
func (r *Replica) restore(ctx context.Context) (more bool, err error) {
	l := r.lost.Load()
	if l == nil {
		return false, nil
	}
	switch {
	case l.next == len(l.entries): // reading the log failed last time
	case r.config.Restore != nil:
		err = r.writeBack(ctx, l)
	default:
		err = r.recheckLost(ctx, l)
	}
	if err != nil {
		return false, fmt.Errorf("revocation: of %d revocations that the log has lost, %d are not written back yet: %w", len(l.entries), len(l.entries)-l.next, err)
	}
	if l.next < len(l.entries) {
		return true, nil
	}
	// This node's list must hold an entry before it no longer counts as lost.
	if err := r.readToEnd(ctx); err != nil {
		return false, err
	}
	// The swap fails if the log went back once more and something else is lost.
	if r.lost.CompareAndSwap(l, newLost(l.stillLost)) && len(l.stillLost) < len(l.entries) {
		e := r.newEvent(nil)
		e.Restored = len(l.entries) - len(l.stillLost)
		r.config.Observe(e)
	}
	return false, nil
}

// part returns the next entries to write back, and the highest of their positions.
// None is above highest: this node may have revoked something at a position above the
// log, if the store did not accept the write.
func (l *lost) part(highest store.Position) (part []store.Entry, above store.Position) {
	part = slices.Clone(l.entries[l.next:min(l.next+store.MaxEntries, len(l.entries))])
	for i := range part {
		part[i].Reason = reasonRestored
		part[i].Position = min(part[i].Position, highest)
		above = max(above, part[i].Position)
	}
	return part, above
}

func (r *Replica) writeBack(ctx context.Context, l *lost) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	part, above := l.part(r.list.Highest())
	snap, err := r.config.Restore(ctx, store.Restoration{Entries: part, Above: above})
	if errors.Is(err, store.ErrAbove) {
		res, headErr := r.source.Cutoffs(ctx, store.ID{}, "")
		if headErr != nil {
			return headErr
		}
		// From now on nothing is offered above the head, so the next attempt asks
		// for no position beyond it.
		r.WentBack(res.Head)
	}
	if err != nil {
		return err
	}
	r.Learn(snap.Head)
	l.next += len(part)
	return nil
}

// maxRechecks is the number of entries that a replica which cannot write checks
// at a time.
const maxRechecks = 256

func (r *Replica) recheckLost(ctx context.Context, l *lost) error {
	for range maxRechecks {
		if l.next == len(l.entries) {
			break
		}
		e := l.entries[l.next]
		res, _, err := r.querier.ask(ctx, query{e.Session, e.Subject})
		if err != nil {
			return err
		}
		covered := res.Everyone >= e.Position
		switch e.Kind {
		case store.KindSubject:
			covered = covered || res.Subject >= e.Position
		case store.KindSession:
			covered = covered || res.Ending != 0 // which covers every position
		}
		if !covered {
			l.stillLost = append(l.stillLost, e)
		}
		l.next++
	}
	return nil
}
