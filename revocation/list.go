package revocation

import (
	"sync"
	"sync/atomic"

	"github.com/waferkit/wafer/store"
)

const (
	shardBits = 8
	shards    = 1 << shardBits
)

// List holds the cutoffs of everything that a log names above a floor. It is
// exact: an entry that was applied and is above the floor is always found.
// Readers take no lock and are not slowed by writers or by dropping. A List is
// safe for concurrent use.
//
// A list holds one cutoff for each name, which is a session or a subject,
// however often it was named. At its limit it drops its oldest cutoffs by raising
// its own floor. Tokens below the floor can only be refreshed, and a refresh asks
// the family.
type List struct {
	// Fields that every reader reads and that are seldom written share a cache
	// line.
	seeds    seeds
	everyone atomic.Uint64
	floor    atomic.Uint64

	head     atomic.Uint64
	highest  atomic.Uint64 // that the store is known to have had
	sessions index
	subjects index

	limit     int
	mu        sync.Mutex // held by writers
	held      int        // the names above the floor, or more if RaiseFloor has dropped some
	due       int        // the value of held at which to make room
	nextSweep int        // the shard to sweep next
}

// index has a table for each value of the upper bits of a key, so that only a
// small part of the whole is rebuilt at a time.
type index [shards]atomic.Pointer[table]

func (x *index) shard(hash uint64) *atomic.Pointer[table] { return &x[hash>>(64-shardBits)] }

func (x *index) get(k key) cutoff { return x.shard(k.a).Load().get(k) }

// NewList returns an empty list that holds at most limit names; a limit below
// 1,024 counts as 1,024. A name takes 38 to 52 bytes, however often it was
// revoked. A subject also takes its length and up to half as much again, for
// spare room and for names dropped recently. With a million subjects of 20
// bytes, the mean was 49 bytes and the text per name.
//
// When the list is full it drops the oldest eighth, more or less. Names that
// were applied ahead of the store's log, as in an outage, are not dropped before
// the log has reached them, and the list may hold more than the limit until then.
func NewList(limit int) *List {
	limit = max(limit, 1024)
	return &List{limit: limit, due: limit, seeds: newSeeds()}
}

// Cutoffs returns the list's cutoffs of a session and its subject. For a
// session that was both superseded and ended, it returns an end alone, at the
// higher of the two positions.
func (l *List) Cutoffs(session store.ID, subject string) (c store.Cutoffs) {
	ofSession, ofSubject := l.cutoffs(session, subject)
	if ofSession.ends() {
		c.Ending = ofSession.position()
	} else {
		c.Superseding = ofSession.position()
	}
	c.Subject = ofSubject.position()
	c.Everyone = store.Position(l.everyone.Load())
	// The floor is read after the tables, and it is raised before a table
	// without the dropped entries replaces one with them. A reader that misses
	// an entry therefore sees the floor that covers it.
	c.Floor = l.Floor()
	c.Head = l.Head()
	return c
}

// judge is Judge(l.Cutoffs(session, subject), at) without the intermediate
// value. Passing it took a fifth of the time of a check.
func (l *List) judge(session store.ID, subject string, at store.Position) Verdict {
	ofSession, ofSubject := l.cutoffs(session, subject)
	revoked := max(ofSubject.position(), store.Position(l.everyone.Load()))
	expired := max(ofSession.position(), l.Floor()) // the floor after the tables, as in Cutoffs
	return verdict(ofSession.ends(), revoked, expired, l.Head(), at)
}

func (l *List) cutoffs(session store.ID, subject string) (ofSession, ofSubject cutoff) {
	ofSession = l.sessions.get(l.seeds.sessionKey(session))
	if hash := l.seeds.subjectHash(subject); l.subjects.shard(hash).Load().mayContain(hash) {
		ofSubject = l.subjects.get(l.seeds.subjectKey(subject))
	}
	return ofSession, ofSubject
}

// Apply adds entries. The order of entries and repeated entries make no
// difference.
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
			k := l.seeds.subjectKey(e.Subject)
			if t := l.put(&l.subjects, k, newCutoff(e.Position, true)); t != nil {
				t.subjects = appendSubject(t.subjects, e.Subject)
			}
		case store.KindSession:
			l.put(&l.sessions, l.seeds.sessionKey(e.Session), newCutoff(e.Position, true))
		case store.KindSuperseding:
			l.put(&l.sessions, l.seeds.sessionKey(e.Session), newCutoff(e.Position, false))
		}
	}
}

// SetHead records that every entry up to p was applied.
func (l *List) SetHead(p store.Position) {
	l.Learn(p)
	l.head.Store(uint64(p))
}

// Learn records that the store's log has reached p.
func (l *List) Learn(p store.Position) {
	for {
		known := l.highest.Load()
		if uint64(p) <= known || l.highest.CompareAndSwap(known, uint64(p)) {
			return
		}
	}
}

// Highest returns the highest position passed to Learn or SetHead. It does not
// fall if the log went back, but for Lower.
func (l *List) Highest() store.Position { return store.Position(l.highest.Load()) }

// Head returns the position that SetHead set last.
func (l *List) Head() store.Position { return store.Position(l.head.Load()) }

// Floor returns the position below which tokens count as expired.
func (l *List) Floor() store.Position { return store.Position(l.floor.Load()) }

// Lower takes everything that is above p for being at p: the cutoffs, the floor, the
// head and the highest position. A log that has gone back so far that it does not
// reach those positions any more would otherwise be judged by them for ever.
func (l *List) Lower(p store.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range shards {
		l.sessions[i].Load().lower(p)
		l.subjects[i].Load().lower(p)
	}
	for _, at := range []*atomic.Uint64{&l.everyone, &l.floor, &l.head, &l.highest} {
		at.Store(min(at.Load(), uint64(p)))
	}
}

// RaiseFloor drops the entries up to p. A floor falls only by Lower.
func (l *List) RaiseFloor(p store.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raiseFloor(p)
	// Each call sweeps a few shards in turn, so that dropped entries are freed
	// even if no new ones arrive.
	for range 4 {
		l.sweep(&l.sessions[l.nextSweep])
		l.sweep(&l.subjects[l.nextSweep])
		l.nextSweep = (l.nextSweep + 1) % shards
	}
}

func (l *List) raiseFloor(p store.Position) {
	if p > l.Floor() {
		l.floor.Store(uint64(p))
	}
}

// put joins a cutoff into its shard, and replaces the shard's table by a larger
// one if it is full. It returns the table if the key is new there.
func (l *List) put(x *index, k key, c cutoff) *table {
	if c.position() <= l.Floor() {
		return nil // covered by the floor
	}
	s := x.shard(k.a)
	t := s.Load()
	if t.full() {
		t = l.rebuild(s)
	}
	before := t.put(k, c)
	if before.position() <= l.Floor() { // new, or dropped before
		l.added()
	}
	if before != 0 {
		return nil
	}
	return t
}

// rebuild replaces a shard's table by one with the cutoffs above the floor and
// room for more.
func (l *List) rebuild(s *atomic.Pointer[table]) *table {
	old, floor := s.Load(), l.Floor()
	t := newTable(old.live(floor))
	old.eachAbove(floor, func(k key, c cutoff) { t.put(k, c) })
	if old != nil && len(old.subjects) > 0 {
		// The list of subjects gets as much room as before, or if most were
		// dropped, as much as the new table can use. It then seldom has to grow
		// while the table fills.
		room := min(1, float64(t.used)*4/3/float64(old.used))
		t.subjects = make(subjectList, 0, int(room*float64(len(old.subjects))))
		old.subjects.each(func(subject []byte) {
			if t.get(l.seeds.subjectKeyBytes(subject)) != 0 {
				t.subjects = appendSubject(t.subjects, subject)
			}
		})
	}
	s.Store(t)
	return t
}

// sweep frees a shard's dropped entries if they are most of it.
func (l *List) sweep(s *atomic.Pointer[table]) {
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

// Len returns the number of sessions and subjects that the list holds above the
// floor. It reads the whole list and is meant for metrics.
func (l *List) Len() int {
	n, floor := 0, l.Floor()
	for i := range shards {
		n += l.sessions[i].Load().live(floor) + l.subjects[i].Load().live(floor)
	}
	return n
}
