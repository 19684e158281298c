package revocation

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

// Missing returns what a log has lost, if l holds what the log had and from
// holds what it has now. That is every cutoff of everyone and of a subject that l
// holds above its floor and that is above from's cutoffs of the same name and of
// everyone. It is also every ended session above the floor and from's cutoff of
// everyone, unless from has it as ended, at whatever position. Entries that from has
// dropped may be returned although the log still has them; restoring those changes
// nothing.
//
// Each entry has its Kind, its Session or Subject, and its Position. The
// Position of a session that was both ended and superseded is the higher of the
// two. The entry of everyone comes first; the order of the others is
// unspecified.
//
// Entries applied to either list before the call are considered. Writers of l
// wait while a shard, a 256th of the list, is compared. Writers of from do not
// wait, so two lists may be compared in both directions at once. Comparing a
// million entries takes about a quarter of a second.
func (l *List) Missing(from *List) []store.Entry {
	if l == from {
		return nil
	}
	everyone := store.Position(from.everyone.Load())
	var lost []store.Entry
	if p := store.Position(l.everyone.Load()); p > max(everyone, l.Floor()) {
		lost = append(lost, store.Entry{Kind: store.KindEveryone, Position: p})
	}
	parts := [][]store.Entry{slices.Clone(lost)}
	for i := range shards {
		lost = l.missing(i, from, everyone, lost[:0])
		parts = append(parts, slices.Clone(lost))
	}
	return slices.Concat(parts...)
}

// missing appends what from lacks of one shard. It excludes writers because
// only they may use the list of subjects, and so that the table is complete.
func (l *List) missing(shard int, from *List, everyone store.Position, lost []store.Entry) []store.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	floor := max(l.Floor(), everyone)
	l.sessions[shard].Load().eachAbove(floor, func(k key, c cutoff) {
		if !c.ends() {
			return
		}
		id := l.seeds.sessionID(k)
		if has := from.sessions.get(from.seeds.sessionKey(id)); !has.ends() {
			lost = append(lost, store.Entry{Kind: store.KindSession, Session: id, Position: c.position()})
		}
	})
	t := l.subjects[shard].Load()
	if t == nil {
		return lost
	}
	t.subjects.each(func(subject []byte) {
		c := t.get(l.seeds.subjectKeyBytes(subject))
		if c.position() > floor && c.position() > from.subjects.get(from.seeds.subjectKeyBytes(subject)).position() {
			lost = append(lost, store.Entry{Kind: store.KindSubject, Subject: string(subject), Position: c.position()})
		}
	})
	return lost
}
