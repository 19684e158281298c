package revocation

import (
	"sync"
	"sync/atomic"

	"github.com/waferkit/wafer/store"
)

const (
	shardBits = 8
	shards    = 1 << shardBits
	// drops is in how many steps a list at its limit drops its entries.
	drops = 64
)

// List holds the cutoffs of everything that a log names above a floor. It is
// exact: what was applied and is above the floor is found, always. Readers
// take no lock, and neither writers nor dropping slow them.
//
// A list at its limit drops its oldest entries by raising its own floor: the
// tokens below can only be refreshed, and a refresh asks the family.
type List struct {
	// What every reader reads, and is seldom written, on one cache line.
	seeds    seeds
	everyone atomic.Uint64
	floor    atomic.Uint64

	head     atomic.Uint64
	highest  atomic.Uint64 // that the store is known to have had
	sessions index
	subjects index

	limit  int
	mu     sync.Mutex // of the writers
	steps  []store.Position
	inStep int
	tidied int // the shard that is tidied next
}

// index is a table for each value of the upper bits of a key. What is rebuilt
// at once is so a small part of the whole.
type index [shards]atomic.Pointer[table]

func (x *index) shard(hash uint64) *atomic.Pointer[table] { return &x[hash>>(64-shardBits)] }

func (x *index) get(k key) mark { return x.shard(k.a).Load().get(k) }

// NewList returns an empty list that holds at most limit entries; at least
// 1,024. An entry takes 38 to 52 bytes. One that names a subject takes besides
// its text and, for room and for what was dropped last, up to half as much
// again: 49 bytes and the text in the mean of a million subjects of 20 bytes.
func NewList(limit int) *List {
	return &List{limit: max(limit, 1024), seeds: newSeeds()}
}

// Cutoffs returns what the list holds of a session and its subject. Of a
// session that was both superseded and ended it tells the end.
func (l *List) Cutoffs(session store.ID, subject string) (c store.Cutoffs) {
	ofSession, ofSubject := l.marks(session, subject)
	if ofSession.ends() {
		c.Ending = ofSession.position()
	} else {
		c.Superseding = ofSession.position()
	}
	c.Subject = ofSubject.position()
	c.Everyone = store.Position(l.everyone.Load())
	// The floor is read after the tables, and raised before a table without
	// the dropped entries takes the place of one with them: whoever misses an
	// entry sees the floor that covers it.
	c.Floor = l.Floor()
	c.Head = l.Head()
	return c
}

// judge is [Judge] of Cutoffs, without them: to hand them over took a fifth of
// a check.
func (l *List) judge(session store.ID, subject string, at store.Position) Verdict {
	ofSession, ofSubject := l.marks(session, subject)
	revoked := max(ofSubject.position(), store.Position(l.everyone.Load()))
	expired := l.Floor() // after the tables, as in Cutoffs
	if ofSession.ends() {
		revoked = max(revoked, ofSession.position())
	} else {
		expired = max(expired, ofSession.position())
	}
	return verdict(revoked, expired, l.Head(), at)
}

func (l *List) marks(session store.ID, subject string) (ofSession, ofSubject mark) {
	ofSession = l.sessions.get(l.seeds.ofSession(session))
	if hash := l.seeds.hashOf(subject); l.subjects.shard(hash).Load().meets(hash) {
		ofSubject = l.subjects.get(l.seeds.ofSubject(subject))
	}
	return ofSession, ofSubject
}

// Apply adds entries. Applying one twice, or in another order, changes nothing.
func (l *List) Apply(entries ...store.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		switch e.Kind {
		case store.KindEveryone:
			if p := uint64(e.Position); p > l.everyone.Load() {
				l.everyone.Store(p)
			}
		case store.KindSubject:
			k := l.seeds.ofSubject(e.Subject)
			if t := l.put(&l.subjects, k, newMark(e.Position, true)); t != nil {
				t.names = addName(t.names, e.Subject)
			}
		case store.KindSession:
			l.put(&l.sessions, l.seeds.ofSession(e.Session), newMark(e.Position, true))
		case store.KindSuperseding:
			l.put(&l.sessions, l.seeds.ofSession(e.Session), newMark(e.Position, false))
		}
	}
}

// SetHead says that every entry up to p was applied.
func (l *List) SetHead(p store.Position) {
	l.Learn(p)
	l.head.Store(uint64(p))
}

// Learn says that the store's log has reached p.
func (l *List) Learn(p store.Position) {
	for {
		known := l.highest.Load()
		if uint64(p) <= known || l.highest.CompareAndSwap(known, uint64(p)) {
			return
		}
	}
}

// Highest returns the highest position that was learnt. It never falls, also
// where the log went back.
func (l *List) Highest() store.Position { return store.Position(l.highest.Load()) }

// Head returns what SetHead set last.
func (l *List) Head() store.Position { return store.Position(l.head.Load()) }

// Floor returns the position below which tokens count as expired.
func (l *List) Floor() store.Position { return store.Position(l.floor.Load()) }

// RaiseFloor drops the entries up to p. A floor never falls.
func (l *List) RaiseFloor(p store.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raiseFloor(p)
	// A few shards a call, in turn, so that what was dropped is also freed
	// where nothing new comes in.
	for range 4 {
		l.tidy(&l.sessions[l.tidied])
		l.tidy(&l.subjects[l.tidied])
		l.tidied = (l.tidied + 1) % shards
	}
}

func (l *List) raiseFloor(p store.Position) {
	if p > l.Floor() {
		l.floor.Store(uint64(p))
	}
	for len(l.steps) > 0 && l.steps[0] <= l.Floor() {
		l.steps = l.steps[1:]
	}
}

// put joins a mark into its shard, in a larger table where the old one is full.
// It returns the table if the key is new there.
func (l *List) put(x *index, k key, m mark) *table {
	if m.position() <= l.Floor() {
		return nil // covered by the floor
	}
	s := x.shard(k.a)
	t := s.Load()
	if t.full() {
		t = l.rebuild(s)
	}
	before, now := t.put(k, m)
	if now != before {
		l.count()
	}
	if before != 0 {
		return nil
	}
	return t
}

// count counts a mark that was made or raised, and at the limit drops the
// oldest part of them.
func (l *List) count() {
	if l.inStep++; l.inStep < l.limit/drops {
		return
	}
	l.inStep = 0
	// What the store has had, and not the mark: the floor must never rise above
	// what the store would mint from, or nothing could be refreshed.
	l.steps = append(l.steps, l.Highest())
	if len(l.steps) >= drops {
		l.raiseFloor(l.steps[drops/8])
	}
}

// rebuild replaces a shard's table by one that holds what is above the floor,
// with room for more.
func (l *List) rebuild(s *atomic.Pointer[table]) *table {
	old, floor := s.Load(), l.Floor()
	t := newTable(old.live(floor))
	old.above(floor, func(k key, m mark) { t.put(k, m) })
	if old != nil && len(old.names) > 0 {
		// Room as there was, or where most was dropped, for what the new table
		// can take: it is then seldom made along the way.
		room := min(1, float64(t.used)*4/3/float64(old.used))
		t.names = make(names, 0, int(room*float64(len(old.names))))
		old.names.each(func(name []byte) {
			if t.get(l.seeds.ofName(name)) != 0 {
				t.names = addName(t.names, name)
			}
		})
	}
	s.Store(t)
	return t
}

// tidy frees a shard's dropped entries if they are most of it.
func (l *List) tidy(s *atomic.Pointer[table]) {
	t := s.Load()
	if t == nil {
		return
	}
	switch live := t.live(l.Floor()); {
	case live == 0:
		s.Store(nil)
	case groupsFor(live) < len(t.tags)/2:
		l.rebuild(s)
	}
}

// Len returns how many sessions and subjects the list holds above the floor.
// It reads the whole list; it is for metrics.
func (l *List) Len() int {
	n, floor := 0, l.Floor()
	for i := range shards {
		n += l.sessions[i].Load().live(floor) + l.subjects[i].Load().live(floor)
	}
	return n
}
