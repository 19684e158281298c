//go:build unix

package sqlite_test

import (
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

var (
	kills     = flag.Int("kills", rounds.Of(8, 15), "how often TestPromise1_Kill kills a process")
	crashSeed = flag.Uint64("crashseed", 0, "seed of TestPromise1_Kill's choices; 0: random")
)

// TestPromise1_Kill lets processes create, refresh, commit, revoke and restore at
// full speed on one file and kills them at random moments. After each kill it
// compares the file with everything that they had reported as acknowledged. The
// file stays the same over all kills.
func TestPromise1_Kill(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay the choices with -kills %d -crashseed %d", *kills, seed)
	r := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "wafer.db")
	m := newTruth()
	// A machine that is slow does little between two kills, and has more of them.
	for round := 0; round < *kills || m.count() < 3**kills && round < 50**kills; round++ {
		if t.Failed() {
			return
		}
		// In some rounds another handle is open, so that the WAL's index survives
		// the kill. In the others the next Open recovers the file.
		var beside *sqlite.Store
		if round > 0 && r.IntN(2) == 0 {
			beside = openOnly(t, path, sqlite.Options{})
		}
		housekeeping := "leave"
		if round >= *kills/2 && r.IntN(2) == 0 {
			housekeeping = "sweep"
		}
		m.round = round
		siblings := 1 + r.IntN(4)/3
		var children []*process
		var acknowledged atomic.Int64
		for i := range siblings {
			cmd := command(t.Context(), "crash", path, fmt.Sprint(i), fmt.Sprint(siblings), housekeeping)
			children = append(children, start(t, cmd, func(line string) {
				acknowledged.Add(1)
				m.record(t, line)
			}))
		}
		if r.IntN(8) == 0 {
			time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond) // perhaps as it opens
		} else {
			for began := time.Now(); acknowledged.Load() == 0 && time.Since(began) < 2*time.Minute; {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Duration(r.IntN(120_000)) * time.Microsecond)
		}
		children[0].kill()
		if siblings == 2 {
			// The other goes on without it.
			before := acknowledged.Load()
			for began := time.Now(); acknowledged.Load() < before+5 && time.Since(began) < 2*time.Minute; {
				time.Sleep(time.Millisecond)
			}
			if acknowledged.Load() < before+5 && before > 0 {
				t.Errorf("round %d: a killed process stops the other", round)
			}
			children[1].kill()
		}
		if beside == nil {
			beside = openOnly(t, path, sqlite.Options{})
		}
		m.check(t, beside, m.some(r, 150))
		if err := beside.Close(); err != nil {
			t.Error(err)
		}
	}
	db := open(t, path, sqlite.Options{})
	m.check(t, db, m.all())
	check(t, path)
	t.Logf("%d kills, %d acknowledged operations on %d families, %d entries at their places", *kills, m.operations, len(m.families), m.entries)
	if m.operations < 3**kills {
		t.Errorf("only %d operations in %d rounds", m.operations, *kills)
	}
}

// TestPromise1_KillFirstOpen kills processes while they create the file, which
// must then exist whole or not at all.
func TestPromise1_KillFirstOpen(t *testing.T) {
	for round := range 10 {
		path := filepath.Join(t.TempDir(), "data", "wafer.db")
		m := newTruth()
		p := start(t, command(t.Context(), "crash", path, "0", "1", "leave"), func(line string) { m.record(t, line) })
		time.Sleep(time.Duration(rand.IntN(40*(round+1)/4)) * time.Millisecond)
		p.kill()
		m.check(t, open(t, path, sqlite.Options{}), m.all())
	}
}

// count returns how many operations were acknowledged.
func (m *truth) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.operations
}

// truth holds what was acknowledged.
type truth struct {
	mu         sync.Mutex
	round      int
	operations int
	families   map[store.ID]*acknowledged
	subjects   map[string]store.Position
	everyone   store.Position
	version    uint64
	keys       map[uint64]string
	touched    map[store.ID]bool         // since the last check
	appended   map[store.Position]string // since the last check: what the log must hold there

	log     store.ID
	head    store.Position // entries up to here were checked
	last    store.ID       // the entry at head
	entries int
}

// acknowledged is one family as its owner last saw it.
type acknowledged struct {
	subject    string
	birth      store.Position
	position   store.Position
	generation uint32
	copies     uint16 // of the generation
	used       uint16 // the copy from which the generation was made
	value      int
	lastCommit store.Position
	ended      bool
	gone       bool // it was seen ended or cut off
	round      int  // when this was exact: each kill since then may have hidden one operation
}

func newTruth() *truth {
	return &truth{
		families: make(map[store.ID]*acknowledged), subjects: make(map[string]store.Position),
		keys: make(map[uint64]string), touched: make(map[store.ID]bool), appended: make(map[store.Position]string),
	}
}

// record records one acknowledged operation.
func (m *truth) record(t *testing.T, line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.operations++
	words := strings.Fields(line)
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(words[i], 10, 64)
		if err != nil {
			t.Errorf("the child says %q: %v", line, err)
		}
		return n
	}
	at := func(i int) store.Position { return store.Position(number(i)) }
	// update records the state of a family from the words from i on.
	update := func(i int) *acknowledged {
		f := m.family(t, words[i])
		before := *f
		f.position, f.value, f.lastCommit = at(i+1), int(number(i+2)), at(i+3)
		f.generation, f.copies, f.used = uint32(number(i+4)), uint16(number(i+5)), uint16(number(i+6))
		f.round = m.round
		if f.generation < before.generation || f.generation == before.generation && f.copies < before.copies || f.position < before.position || f.value < before.value || f.lastCommit < before.lastCommit || before.ended {
			t.Errorf("%q fell behind, or ended before: %+v", line, before)
		}
		return f
	}
	switch words[0] {
	case "everyone":
		m.everyone = max(m.everyone, at(1))
		m.append(t, at(1), line, "everyone")
	case "subject":
		m.subjects[words[1]] = max(m.subjects[words[1]], at(2))
		m.append(t, at(2), line, "subject "+words[1])
		if len(words) > 3 { // all of the subject's families except one
			update(3).birth = at(2)
		}
	case "session":
		m.family(t, words[1]).ended = true
		m.append(t, at(2), line, "session "+words[1])
	case "create":
		*m.family(t, words[1]) = acknowledged{subject: words[2], birth: at(3), position: at(3), generation: 1, round: m.round}
	case "refresh":
		update(1)
	case "commit":
		update(2)
		m.append(t, at(1), line, "superseding "+words[2])
	case "keys":
		version := number(1)
		if other, twice := m.keys[version]; twice {
			t.Errorf("version %d of the keys was written twice: %s and %s", version, other, words[2])
		}
		m.keys[version], m.version = words[2], max(m.version, version)
	default:
		t.Errorf("the child says %q", line)
	}
}

// family returns what was acknowledged of a family. A later child may find a
// family whose creation was not acknowledged: its record is empty.
func (m *truth) family(t *testing.T, name string) *acknowledged {
	id := parse(t, name)
	m.touched[id] = true
	f := m.families[id]
	if f == nil {
		f = &acknowledged{}
		m.families[id] = f
	}
	return f
}

func parse(t *testing.T, s string) store.ID {
	id, err := store.ParseID(s)
	if err != nil {
		t.Error(err)
	}
	return id
}

// append notes what the log must hold at a position.
func (m *truth) append(t *testing.T, at store.Position, line, what string) {
	if other, twice := m.appended[at]; twice || at <= m.head {
		t.Errorf("the position of %q was given out before: %q, and the head was %d", line, other, m.head)
	}
	m.appended[at] = what
}

func (m *truth) all() []store.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []store.ID
	for id := range m.families {
		ids = append(ids, id)
	}
	return ids
}

// some returns the families that were touched, and n others.
func (m *truth) some(r *rand.Rand, n int) []store.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []store.ID
	for id := range m.families { // in random order
		if m.touched[id] {
			ids = append(ids, id)
		} else if n > 0 {
			ids, n = append(ids, id), n-1
		}
	}
	return ids
}

// check compares the file with what was acknowledged.
func (m *truth) check(t *testing.T, db *sqlite.Store, ids []store.ID) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("after kill %d: %s", m.round+1, fmt.Sprintf(format, args...))
	}
	m.checkLog(t, db, fail)
	m.checkKeys(t, db, fail)
	for i := range crashSubjects {
		c, err := db.Cutoffs(t.Context(), store.ID{}, crashSubject(i))
		if err != nil {
			t.Fatal(err)
		}
		if c.Subject < m.subjects[crashSubject(i)] || c.Everyone < m.everyone {
			fail("a cutoff was lost: %s %d, everyone %d; acknowledged %d and %d", crashSubject(i), c.Subject, c.Everyone, m.subjects[crashSubject(i)], m.everyone)
		}
	}
	for _, id := range ids {
		m.checkFamily(t, db, id, fail)
	}
	clear(m.touched)
	clear(m.appended)
}

func (m *truth) checkLog(t *testing.T, db *sqlite.Store, fail func(string, ...any)) {
	t.Helper()
	at := store.Cursor{Position: m.head, ID: m.last}
	if m.head > 0 {
		b, err := db.Since(t.Context(), at, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		if b.Head < m.head || b.Log != m.log {
			fail("the log went back from %d to %d, or is another: %v, was %v", m.head, b.Head, b.Log, m.log)
		}
		if b.Broken && b.Floor < m.head { // at the floor, the id may not be known here
			fail("the entry at %d has changed", m.head)
		}
	}
	for {
		b, err := db.Since(t.Context(), at, store.MaxEntries, 0)
		if err != nil {
			t.Fatal(err)
		}
		if b.Broken { // the entry there was dropped
			at = store.Cursor{}
			continue
		}
		if m.log.IsZero() {
			m.log = b.Log
		}
		if b.Floor > m.head {
			m.head = b.Floor // dropped entries cannot be checked
		}
		for at := range m.appended {
			if at <= b.Floor {
				delete(m.appended, at)
			}
		}
		for _, e := range b.Entries {
			if e.Position <= m.head || e.Previous != m.head {
				fail("the chain is broken: %+v after %d", e, m.head)
			}
			m.head, m.last = e.Position, e.ID
			at = store.Cursor{Position: e.Position, ID: e.ID}
			m.entries++
			if want, found := m.appended[e.Position]; found && want != described(e) {
				fail("position %d was acknowledged for %q and holds %q", e.Position, want, described(e))
			}
			delete(m.appended, e.Position)
		}
		if !b.More {
			if m.head != b.Head {
				fail("the head is %d and the last entry at %d", b.Head, m.head)
			}
			break
		}
	}
	for at, what := range m.appended {
		fail("the entry at %d is lost: %s", at, what)
	}
}

func described(e store.Entry) string {
	switch e.Kind {
	case store.KindEveryone:
		return e.Kind.String()
	case store.KindSubject:
		return e.Kind.String() + " " + e.Subject
	}
	return e.Kind.String() + " " + e.Session.String()
}

func (m *truth) checkKeys(t *testing.T, db *sqlite.Store, fail func(string, ...any)) {
	t.Helper()
	version, document, err := db.LoadKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want, found := m.keys[version]; version < m.version || found && want != string(document) {
		fail("the keys are version %d, %q; acknowledged were %d, %q", version, document, m.version, want)
	}
}

func (m *truth) checkFamily(t *testing.T, db *sqlite.Store, id store.ID, fail func(string, ...any)) {
	t.Helper()
	s, err := db.Family(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Cutoffs(t.Context(), id, s.Family.Subject)
	if err != nil {
		t.Fatal(err)
	}
	f, is := m.families[id], &s.Family
	if f.subject == "" {
		f.subject, f.birth = is.Subject, is.Birth
	}
	switch {
	case s.State == store.Absent:
		fail("family %v is lost", id)
		return
	case f.ended && s.State != store.Ended:
		fail("family %v was ended and is %v", id, s.State)
	case (f.gone || f.birth < max(m.subjects[f.subject], m.everyone)) && s.State == store.Alive:
		fail("family %v has come back: born %d (%d), cutoffs %d and %d", id, f.birth, is.Birth, m.subjects[f.subject], m.everyone)
	case s.State == store.Ended && c.Ending == 0 && c.Floor == 0:
		fail("family %v ended without an entry", id)
	case s.State == store.CutOff && max(c.Subject, c.Everyone) <= is.Birth:
		fail("family %v is cut off by nothing", id)
	}
	// At each kill since the record was exact, at most one operation was under way.
	known, hidden := f.generation != 0, m.round-f.round+1
	n, copies := int(is.Generation)-int(f.generation), int(is.Copy)
	if n == 0 {
		copies -= int(f.copies)
	}
	if known && (n < 0 || copies < 0 || n+copies > hidden || n == 0 && is.Used != f.used) {
		fail("family %v has copy %d of generation %d from %d; acknowledged was copy %d of %d from %d", id, is.Copy, is.Generation, is.Used, f.copies, f.generation, f.used)
	}
	value := crashValue(is.Value)
	if n := value - f.value; known && (n < 0 || n > hidden || n == 0 && is.LastCommit != f.lastCommit) {
		fail("family %v has value %d of %d; acknowledged was %d of %d", id, value, is.LastCommit, f.value, f.lastCommit)
	}
	if is.Position < f.position || is.LastCommit < f.lastCommit || is.Position < is.LastCommit || is.Birth < f.birth {
		fail("family %v fell: position %d, commit %d, birth %d; acknowledged were %d, %d, %d", id, is.Position, is.LastCommit, is.Birth, f.position, f.lastCommit, f.birth)
	}
	f.gone = s.State != store.Alive
	f.ended = s.State == store.Ended
	f.birth, f.position, f.lastCommit = is.Birth, is.Position, is.LastCommit
	f.generation, f.copies, f.used = is.Generation, is.Copy, is.Used
	f.value, f.round = value, m.round
}

// openOnly opens a store that the test closes.
func openOnly(t *testing.T, path string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// check runs SQLite's integrity check over the whole file.
func check(t *testing.T, path string) {
	t.Helper()
	db := raw(t, path)
	var answer string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		t.Errorf("integrity_check: %v, %s", err, answer)
	}
}

// raw opens the file as another program would.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
