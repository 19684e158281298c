package revocation

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

// The limit of a list is one of memory: it counts the names that the list holds
// above its floor. A name that is revoked again has a higher position and takes
// no more memory, so it is not counted again. Else one session that commits in a
// loop would push everybody's cookies below the floor.
//
// A name that was raised is no longer among the oldest. The list therefore keeps
// no record of what to drop next, which every raise would have to correct. At
// the limit it looks for the oldest eighth instead: it estimates the position
// below which that lies from a sample, drops, and counts what is left. Reading
// the whole list costs each new name a few slots, because at least a sixteenth
// of the limit has been added since the last time.

const (
	// A list that is to drop keeps its newest 7/8.
	dropPart = 8
	// A list with room for less than 1/16 drops. It would otherwise have to be
	// counted again too soon.
	roomPart = 16
	// sampleSize is the least number of positions in a sample, if there are as
	// many. The share of the list that is dropped then has a standard error of
	// about 1%.
	sampleSize = 1024
)

// added counts a name that the list now holds, and drops the oldest ones if
// there is no room for more.
func (l *List) added() {
	if l.held++; l.held >= l.due {
		l.makeRoom()
	}
}

// makeRoom counts what the list holds and, if that is near the limit, drops the
// oldest part of it.
func (l *List) makeRoom() {
	l.held = l.Len()
	for l.held > l.limit-l.limit/roomPart {
		// The floor does not rise above the store's highest position. If it rose
		// above the position from which the store mints, nothing could be
		// refreshed.
		floor := min(l.oldest(l.held-(l.limit-l.limit/dropPart)), l.Highest())
		if floor <= l.Floor() {
			break // all of it was applied ahead of the store's log
		}
		l.raiseFloor(floor)
		l.held = l.Len()
	}
	// A list that cannot drop is counted again when it has grown by a part of
	// itself, not at each name.
	l.due = max(l.limit, l.held+l.held/roomPart)
}

// oldest returns the position up to which about n of the held names lie. n is
// between 1 and the number of names held.
func (l *List) oldest(n int) store.Position {
	sample := l.sample()
	slices.Sort(sample)
	i := int(uint64(n) * uint64(len(sample)) / uint64(l.held))
	return sample[min(max(i, 1), len(sample))-1]
}

// sample returns the positions of some of the names held. A key is a hash, so
// whole shards hold names of every age. Each shard of the sessions comes with
// its part of the subjects, whose ages may differ from the sessions'.
func (l *List) sample() (positions []store.Position) {
	floor := l.Floor()
	for i := 0; i < shards && len(positions) < sampleSize; i++ {
		for _, x := range []*index{&l.sessions, &l.subjects} {
			x[i].Load().eachAbove(floor, func(_ key, c cutoff) { positions = append(positions, c.position()) })
		}
	}
	return positions
}
