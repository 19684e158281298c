package revocation

import (
	"context"
	"fmt"
	"slices"

	"github.com/waferkit/wafer/store"
)

// lost is what this node holds and the store has lost. Until the store has it
// again, each counts as above every position: what the store has minted since
// is from a past in which it was not yet revoked.
type lost struct {
	entries  []store.Entry
	sessions map[store.ID]struct{}
	subjects map[string]struct{}
	everyone bool

	// The goroutine that follows the log goes through the entries in parts, so
	// that the news do not wait for all of them.
	next int           // the entry to go on with
	left []store.Entry // those before it that the store still has not got
}

// newLost returns nil where nothing is lost.
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

// with returns what is lost with what was lost before, is not written back yet,
// and is not in the log that was read anew. The list may have dropped it.
func (l *lost) with(before *lost, again *List) *lost {
	if before == nil {
		return l
	}
	var more []store.Entry
	for _, e := range before.entries {
		has := again.Cutoffs(e.Session, e.Subject)
		covered := has.Everyone
		known := l != nil && e.Kind == store.KindEveryone && l.everyone
		switch e.Kind {
		case store.KindSubject:
			covered = max(covered, has.Subject)
			_, known = l.subjectSet()[e.Subject]
		case store.KindSession:
			covered = max(covered, has.Ending)
			_, known = l.sessionSet()[e.Session]
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

// names reports whether a revocation of the session, its subject or everyone
// is lost.
func (l *lost) names(session store.ID, subject string) bool {
	if l == nil {
		return false
	}
	_, ofSession := l.sessions[session]
	_, ofSubject := l.subjects[subject]
	return ofSession || ofSubject || l.everyone
}

// reasonRestored is what the log says of an entry that was written back. Who
// had asked for it, and why, is lost with the store.
const reasonRestored = "written back: the log had lost it"

// restore writes a part of what the store has lost back, or, without the right
// to write, looks whether another node has. It reports whether to go on at once.
func (r *Replica) restore(ctx context.Context) (more bool, err error) {
	l := r.lost.Load()
	if l == nil {
		return false, nil
	}
	switch {
	case l.next == len(l.entries): // reading on failed the last time
	case r.config.Restore != nil:
		err = r.writeBack(ctx, l)
	default:
		err = r.lookAgain(ctx, l)
	}
	if err != nil {
		return false, fmt.Errorf("revocation: of %d revocations that the log has lost, %d are not written back yet: %w", len(l.entries), len(l.entries)-l.next, err)
	}
	if l.next < len(l.entries) {
		return true, nil
	}
	// This node's list must have what it stops counting as lost.
	if err := r.readOn(ctx); err != nil {
		return false, err
	}
	// Unless the log went back once more, and something else is lost.
	if r.lost.CompareAndSwap(l, newLost(l.left)) && len(l.left) < len(l.entries) {
		e := r.event(nil)
		e.Restored = len(l.entries) - len(l.left)
		r.config.Observe(e)
	}
	return false, nil
}

func (r *Replica) writeBack(ctx context.Context, l *lost) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	part := slices.Clone(l.entries[l.next:min(l.next+store.MaxEntries, len(l.entries))])
	above := r.list.Highest()
	for i := range part {
		part[i].Reason = reasonRestored
		// What the store never took, this node refuses higher than it knows.
		part[i].Position = min(part[i].Position, above)
	}
	snap, err := r.config.Restore(ctx, store.Restoration{Entries: part, Above: above})
	if err != nil {
		return err
	}
	r.Learn(snap.Head)
	l.next += len(part)
	return nil
}

// maxLooks is how many entries a replica that cannot write looks for at a time.
const maxLooks = 256

func (r *Replica) lookAgain(ctx context.Context, l *lost) error {
	for range maxLooks {
		if l.next == len(l.entries) {
			break
		}
		e := l.entries[l.next]
		said, _, err := r.asker.ask(ctx, question{e.Session, e.Subject})
		if err != nil {
			return err
		}
		cutoff := said.Everyone
		switch e.Kind {
		case store.KindSubject:
			cutoff = max(cutoff, said.Subject)
		case store.KindSession:
			cutoff = max(cutoff, said.Ending)
		}
		if cutoff < e.Position {
			l.left = append(l.left, e)
		}
		l.next++
	}
	return nil
}
