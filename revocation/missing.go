package revocation

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

// Missing returns what a log has lost: l holds what it had, from what it has
// now. It is every cutoff of everyone, of a subject and of an ended session
// that l holds above its floor, and that is above what from holds of the same
// name and of everyone. What from has dropped it does not hold, so entries may
// be returned that its log still has; to restore those changes nothing.
//
// Each entry has its Kind, its Session or Subject, and its Position. That of a
// session which was both ended and superseded is the higher of both. Everyone
// comes first, the rest in no order that means anything.
//
// What was applied to either before the call counts. Writers of l wait for a
// 256th of the walk at a time; those of from do not wait, so that lists may be
// compared both ways at once. A walk of a million entries takes about a quarter
// of a second.
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

// missing appends what from lacks of one shard. Writers wait because names are
// theirs, and so that a table is whole.
func (l *List) missing(shard int, from *List, everyone store.Position, lost []store.Entry) []store.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	floor := max(l.Floor(), everyone)
	l.sessions[shard].Load().above(floor, func(k key, m mark) {
		if !m.ends() {
			return
		}
		id := l.seeds.sessionOf(k)
		if has := from.sessions.get(from.seeds.ofSession(id)); !has.ends() || has.position() < m.position() {
			lost = append(lost, store.Entry{Kind: store.KindSession, Session: id, Position: m.position()})
		}
	})
	t := l.subjects[shard].Load()
	if t == nil {
		return lost
	}
	t.names.each(func(name []byte) {
		m := t.get(l.seeds.ofName(name))
		if m.position() > floor && m.position() > from.subjects.get(from.seeds.ofName(name)).position() {
			lost = append(lost, store.Entry{Kind: store.KindSubject, Subject: string(name), Position: m.position()})
		}
	})
	return lost
}
