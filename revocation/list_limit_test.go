package revocation_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// A list at its limit drops, and what it drops is expired: nothing that was
// revoked is good again, however much is applied.
func TestPromise1_RevocationListAtItsLimitNeverForgets(t *testing.T) {
	const limit = 1024
	n := smaller(100_000, 5)
	l := revocation.NewList(limit)
	at := func(i int) store.Position { return store.Position(10 * (i + 1)) }
	for i := range n {
		if i%2 == 0 {
			l.Apply(ending(session(i), at(i)))
		} else {
			l.Apply(ofSubject(subject(i), at(i)))
		}
		l.SetHead(at(i))
		if c := l.Cutoffs(session(i), subject(i)); max(c.Ending, c.Subject) != at(i) {
			t.Fatalf("entry %d is not found right after it was applied: %+v", i, c)
		}
		if v := revocation.Judge(l.Cutoffs(session(-1), ""), at(i)); v != revocation.Good {
			t.Fatalf("a new token is %v when entry %d has come", v, i)
		}
	}
	revoked, expired := 0, 0
	for i := range n {
		switch v := revocation.Judge(l.Cutoffs(session(i), subject(i)), at(i)-1); v {
		case revocation.Revoked:
			revoked++
		case revocation.Expired:
			expired++
		default:
			t.Fatalf("the token that entry %d revokes is %v", i, v)
		}
	}
	t.Logf("%d revoked, %d expired, %d entries held", revoked, expired, l.Len())
	if l.Len() > limit || l.Len() < limit*3/4 || revoked < limit*3/4 {
		t.Errorf("%d entries are held, %d tokens revoked: want three quarters of the limit to the limit of %d", l.Len(), revoked, limit)
	}
}

// The limit is on the entries that are held, however they came to be, and also
// if their names were named before.
func TestPromise8_RevocationListLimitHoldsForNamesThatComeAgain(t *testing.T) {
	const limit = 1024
	t.Run("all are named again and some are new", func(t *testing.T) {
		// As when every session commits now and then: each Commit is an entry.
		l, next, names := revocation.NewList(limit), store.Position(0), 0
		for range 12 {
			for i := range names {
				next++
				l.Apply(superseding(session(i), next))
				l.SetHead(next)
			}
			for range 140 {
				next++
				l.Apply(superseding(session(names), next))
				l.SetHead(next)
				names++
			}
		}
		if l.Len() > limit {
			t.Errorf("%d entries are held: the limit is %d", l.Len(), limit)
		}
	})
	t.Run("what was dropped is named again", func(t *testing.T) {
		const limit, names = 1 << 13, 15 << 9
		l, next := revocation.NewList(limit), store.Position(0)
		name := func(from int) {
			for i := range names {
				next++
				l.Apply(ofSubject(subject(from+i), next))
				l.SetHead(next)
			}
			if l.Len() > limit {
				t.Errorf("%d entries are held: the limit is %d", l.Len(), limit)
			}
		}
		name(0)
		l.RaiseFloor(next)
		name(0)
		name(names)
	})
}

// A replica reads the log in answers of up to 1,000 entries, and its list may
// hold that many more until the head has passed them.
func TestPromise8_ReplicaLimitHoldsForALongLog(t *testing.T) {
	d := newDouble()
	n := smaller(60_000, 6)
	for i := range n {
		d.add(ending(session(i), 0))
	}
	r := follow(t, d, revocation.Config{Limit: 2048})
	if r.Len() > 2048+2*store.MaxEntries || r.Len() < 1024 || r.Floor() >= r.Head() {
		t.Errorf("of %d entries %d are held, floor %d, head %d", n, r.Len(), r.Floor(), r.Head())
	}
	now := time.Now()
	for i := range n {
		if v := r.Check(now, session(i), "", store.Position(20+10*i-1)); v != revocation.Revoked && v != revocation.Expired {
			t.Fatalf("the token that entry %d revokes is %v", 20+10*i, v)
		}
	}
	check(t, r, now, n, r.Head(), revocation.Good)
}

// The floor never rises above the head, whatever a node applies of its own in
// an outage: what the store mints from there would be expired at once, and no
// refresh would help. When the log goes on, the limit holds again.
func TestPromise8_RevocationListAppliesItsOwnAtTheLimit(t *testing.T) {
	const limit = 1024
	l := revocation.NewList(limit)
	l.SetHead(1000)
	const own = 8 * limit
	for i := range own {
		l.Apply(ending(session(i), 1001)) // as in a logout that the store did not take
	}
	if l.Floor() > 1000 {
		t.Fatalf("the floor is %d, the head %d", l.Floor(), l.Head())
	}
	for i := range own {
		if v := revocation.Judge(l.Cutoffs(session(i), ""), 1000); v != revocation.Revoked {
			t.Fatalf("session %d is %v", i, v)
		}
	}
	if v := revocation.Judge(l.Cutoffs(session(own), ""), 1000); v != revocation.Good {
		t.Fatalf("another session is %v", v)
	}
	for i := range 2 * limit {
		p := store.Position(2000 + i)
		l.Apply(ending(session(own+i), p))
		l.SetHead(p)
		if l.Floor() > p {
			t.Fatalf("the floor is %d, the head %d", l.Floor(), p)
		}
	}
	if l.Len() > limit {
		t.Errorf("%d entries are held: the limit is %d", l.Len(), limit)
	}
	for i := range own {
		if v := revocation.Judge(l.Cutoffs(session(i), ""), 1000); v != revocation.Revoked && v != revocation.Expired {
			t.Fatalf("session %d is %v", i, v)
		}
	}
}

// NewList holds at least 1,024, whatever it is given.
func TestList_LeastLimit(t *testing.T) {
	for _, limit := range []int{-1, 0, 1, 1023, 1024} {
		l := revocation.NewList(limit)
		for i := range 900 {
			l.Apply(ending(session(i), store.Position(i+1)))
			l.SetHead(store.Position(i + 1))
		}
		if l.Len() != 900 || l.Floor() != 0 {
			t.Errorf("limit %d: of 900 entries %d are held, floor %d", limit, l.Len(), l.Floor())
		}
	}
}

// heap returns the bytes that live objects take.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// The budget is 64 bytes an entry, at its worst along the way: tables grow
// one by one, so the worst is little above the mean. An entry that names a
// subject has as much beside its text and half of that again.
func TestPromise8_RevocationListMemory(t *testing.T) {
	text := randomText(t, 1_000_000+40)
	for _, c := range []struct {
		name   string
		entry  func(i int) store.Entry
		itself int // bytes of its text
	}{
		{"sessions", func(i int) store.Entry { return ending(session(i), store.Position(i+1)) }, 0},
		{"subjects", func(i int) store.Entry { return ofSubject(text[i:][:20], store.Position(i+1)) }, 20},
		{"long subjects", func(i int) store.Entry { return ofSubject(text[i:][:40], store.Position(i+1)) }, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, most := smaller(300_000, 6), 64+float64(c.itself)/2
			before := heap()
			l := revocation.NewList(2 * n)
			worst, mean, steps := 0.0, 0.0, 0
			for i := range n {
				l.Apply(c.entry(i))
				if i+1 >= n/4 && (i+1)%(n/8) == 0 {
					each := float64(heap()-before)/float64(i+1) - float64(c.itself)
					worst, mean, steps = max(worst, each), mean+each, steps+1
				}
			}
			t.Logf("%.1f bytes an entry beside its text, %.1f at the worst, at %d entries in %d slots", mean/float64(steps), worst, l.Len(), l.Slots())
			if l.Len() != n || worst > most || worst < 24 {
				t.Errorf("%d entries, %.1f bytes each beside their text: want %d, at most %.0f", l.Len(), worst, n, most)
			}
			// At the limit, and for as long as entries come, it is the same.
			// Texts of dropped entries wait for their table to be replaced.
			full := revocation.NewList(n / 4)
			before = heap()
			for i := range n {
				full.Apply(c.entry(i))
				full.SetHead(store.Position(i + 1))
			}
			each := float64(heap()-before)/float64(n/4) - float64(c.itself)
			t.Logf("%.1f bytes for each of the limit's %d entries beside its text, %d held", each, n/4, full.Len())
			if each > most {
				t.Errorf("%.1f bytes for each of the limit's entries beside its text: want at most %.0f", each, most)
			}
			runtime.KeepAlive(l)
			runtime.KeepAlive(text)
		})
	}
}

// randomText is long enough to cut n subjects from.
func randomText(t *testing.T, n int) string {
	r := random(t)
	text := make([]byte, n)
	for i := range text {
		text[i] = 'a' + byte(r.IntN(26))
	}
	return string(text)
}

// Subjects come without end, each once: what their entries left behind goes
// with them.
func TestPromise8_RevocationListFreesSubjects(t *testing.T) {
	const limit, length = 4096, 100
	n := smaller(2_000_000, 20)
	if *large {
		n *= 5
	}
	// Each subject shares its text with others, so that the test itself
	// allocates nothing on the way.
	text := randomText(t, 1<<20+length)
	number := func(i int) string { return text[i%(1<<20):][:length-i>>20] }
	l, none := revocation.NewList(limit), revocation.NewList(1024)
	before, worst := heap(), 0
	for i := range n {
		l.Apply(ofSubject(number(i), store.Position(i+1)))
		l.SetHead(store.Position(i + 1))
		if (i+1)%(n/20) == 0 {
			worst = max(worst, heap()-before)
		}
	}
	t.Logf("%d subjects through a list of %d: %d bytes at the worst", n, limit, worst)
	if most := limit * (64 + 2*length); worst > most {
		t.Errorf("%d bytes for %d entries: want at most %d", worst, l.Len(), most)
	}
	// Nor is a name kept twice that comes again and again.
	again := revocation.NewList(limit)
	before = heap()
	for i := range smaller(1_000_000, 20) {
		again.Apply(ofSubject(text[i%1024:][:length], store.Position(i+1)))
		again.SetHead(store.Position(i + 1))
	}
	if grown := heap() - before; grown > limit*(64+2*length) {
		t.Errorf("%d bytes for 1024 names that come again", grown)
	}
	// Entries that are dropped and not replaced are freed as well.
	last := store.Position(n)
	for range 64 {
		l.RaiseFloor(last)
	}
	if left := heap() - before; l.Slots() != 0 || len(l.Missing(none)) != 0 || left > 1<<20 {
		t.Errorf("%d slots and %d bytes are left", l.Slots(), left)
	}
	runtime.KeepAlive(again)
	runtime.KeepAlive(text)
}
