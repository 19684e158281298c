package revocation

import (
	"hash/maphash"
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
// take no lock, and neither writers nor dropping slow them. Sessions and
// subjects are held as 128-bit keyed hashes, so an entry has one size.
//
// A list at its limit drops its oldest entries by raising its own floor: the
// tokens below can only be refreshed, and a refresh asks the family.
type List struct {
	seed     [4]maphash.Seed
	limit    int
	everyone atomic.Uint64
	floor    atomic.Uint64
	head     atomic.Uint64
	highest  atomic.Uint64 // that the store is known to have had
	shards   [shards]shard

	mu     sync.Mutex // of the writers
	steps  []store.Position
	inStep int
	tidied int // the shard that is tidied next
}

type shard struct {
	table atomic.Pointer[table]
	_     [56]byte // a cache line each, so that writers do not slow readers of others
}

// NewList returns an empty list that holds at most limit entries; at least
// 1,024. It takes up to 56 bytes an entry.
func NewList(limit int) *List {
	l := &List{limit: max(limit, 1024)}
	for i := range l.seed {
		l.seed[i] = maphash.MakeSeed()
	}
	return l
}

func (l *List) sessionKey(id store.ID) key {
	return key{maphash.Bytes(l.seed[0], id[:]), maphash.Bytes(l.seed[1], id[:])}
}

func (l *List) subjectKey(subject string) key {
	return key{maphash.String(l.seed[2], subject), maphash.String(l.seed[3], subject)}
}

func (l *List) shard(k key) *shard { return &l.shards[k.a>>(64-shardBits)] }

// Cutoffs returns what the list holds of a session and its subject. Of a
// session that was both superseded and ended it tells the end.
func (l *List) Cutoffs(session store.ID, subject string) store.Cutoffs {
	var c store.Cutoffs
	k := l.sessionKey(session)
	if m := l.shard(k).table.Load().get(k); m.ends() {
		c.Ending = m.position()
	} else {
		c.Superseding = m.position()
	}
	k = l.subjectKey(subject)
	c.Subject = l.shard(k).table.Load().get(k).position()
	c.Everyone = store.Position(l.everyone.Load())
	// The floor is read after the tables, and raised before a table without
	// the dropped entries takes the place of one with them: whoever misses an
	// entry sees the floor that covers it.
	c.Floor = store.Position(l.floor.Load())
	c.Head = store.Position(l.head.Load())
	return c
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
			l.put(l.subjectKey(e.Subject), newMark(e.Position, true))
		case store.KindSession:
			l.put(l.sessionKey(e.Session), newMark(e.Position, true))
		case store.KindSuperseding:
			l.put(l.sessionKey(e.Session), newMark(e.Position, false))
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
		l.tidy(&l.shards[l.tidied])
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
func (l *List) put(k key, m mark) {
	if m.position() <= l.Floor() {
		return // covered by the floor
	}
	s := l.shard(k)
	t := s.table.Load()
	if t.full() {
		t = l.rebuild(s)
	}
	if t.put(k, m) {
		l.count()
	}
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

// rebuild replaces the shard's table by one that holds what is above the
// floor, with room for more.
func (l *List) rebuild(s *shard) *table {
	old, floor := s.table.Load(), l.Floor()
	t := &table{slots: make([]slot, grown(old.live(floor)))}
	if old != nil {
		for i := range old.slots {
			from := &old.slots[i]
			if m := mark(from.mark.Load()); m.position() > floor {
				t.put(key{from.a.Load(), from.b.Load()}, m)
			}
		}
	}
	s.table.Store(t)
	return t
}

// tidy frees a shard's dropped entries if they are most of it.
func (l *List) tidy(s *shard) {
	t := s.table.Load()
	if t == nil {
		return
	}
	switch live := t.live(l.Floor()); {
	case live == 0:
		s.table.Store(nil)
	case grown(live) < len(t.slots)/2:
		l.rebuild(s)
	}
}

// Len returns how many sessions and subjects the list holds above the floor.
// It reads the whole list; it is for metrics.
func (l *List) Len() int {
	n, floor := 0, l.Floor()
	for i := range l.shards {
		n += l.shards[i].table.Load().live(floor)
	}
	return n
}
