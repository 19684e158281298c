package revocation_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// A name that is revoked again and again takes the memory of one. It pushes
// nobody's cookies below the floor.
func TestPromise8_NamesThatComeAgainPushNobodyBelowTheFloor(t *testing.T) {
	const limit = 1024
	for name, c := range map[string]struct {
		names int
		entry func(n int, p store.Position) store.Entry
	}{
		"one session commits": {1, func(n int, p store.Position) store.Entry { return superseding(session(n), p) }},
		"one subject is revoked": {1, func(n int, p store.Position) store.Entry {
			return ofSubject(subject(n), p)
		}},
		"everyone is revoked": {0, func(_ int, p store.Position) store.Entry { return everyone(p) }},
		"nine of ten names come again": {limit * 9 / 10, func(n int, p store.Position) store.Entry {
			if n%2 == 0 {
				return ofSubject(subject(n), p)
			}
			return superseding(session(n), p)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := revocation.NewList(limit)
			l.Apply(ending(session(-1), 10)) // somebody else's
			next := store.Position(10)
			for i := range 20 * limit {
				next++
				l.Apply(c.entry(i%max(c.names, 1), next))
				l.SetHead(next)
			}
			if l.Floor() != 0 || l.Len() != 1+c.names {
				t.Errorf("%d names are held, the floor is %d: want %d and 0", l.Len(), l.Floor(), 1+c.names)
			}
			if held, _ := l.Held(); held != 1+c.names {
				t.Errorf("the list counts %d names: want %d", held, 1+c.names)
			}
			if v := l.Judge(session(-1), "", 9); v != revocation.Revoked {
				t.Errorf("the session that ended first is %v", v)
			}
			if v := l.Judge(session(-2), "", 1); name != "everyone is revoked" && v != revocation.Good {
				t.Errorf("a cookie from before all that is %v", v)
			}
		})
	}
}

// The same for what a node without a replica holds of its own.
func TestPromise8_OwnCommitsPushNobodyBelowACachesFloor(t *testing.T) {
	const limit = 1024
	clock, d := newClock(), newDouble()
	c := newCache(t, d, revocation.Config{Limit: limit, MaxStaleness: time.Hour, Now: clock.Now})
	d.add(superseding(session(0), 0)) // 20
	confirm(t, c, 7, 20, revocation.Good)
	for p := store.Position(30); p < 30+10*limit; p++ {
		c.Apply(superseding(session(1), p))
		c.Learn(p)
	}
	checks(t, c, clock.Now(), 7, 20, revocation.Good)
	if c.Floor() != 0 || c.ExpiredBelow(session(1)) != 30+10*limit-1 {
		t.Errorf("the floor is %d, the session's tokens expire below %d", c.Floor(), c.ExpiredBelow(session(1)))
	}
	// Other names do fill it, and then it drops.
	for i := range 2 * limit {
		p := store.Position(20_000 + i)
		c.Apply(ending(session(100+i), p))
		c.Learn(p)
	}
	if n := c.Held().Len(); n > limit || n < limit*3/4 || c.Floor() == 0 {
		t.Errorf("%d names are held, the floor is %d", n, c.Floor())
	}
}

// A list at its limit drops the oldest eighth of what it holds, whatever was
// raised meanwhile: not more, and not what is newer. Random names come, most of
// them again, and the store's own floor rises now and then.
func TestPromise8_AFullListDropsItsOldest(t *testing.T) {
	for name, c := range map[string]struct{ limit, again, left int }{ // left: at most, after a drop
		"few come again": {1024, 10, 1024 * 7 / 8}, "most come again": {1024, 70, 1024 * 7 / 8}, "nearly all come again": {1024, 90, 1024 * 7 / 8},
		"it drops by a sample": {8192, 50, 8192 * 15 / 16},
	} {
		t.Run(name, func(t *testing.T) {
			limit, r := c.limit, random(t)
			l, m := revocation.NewList(limit), newListModel()
			next, names, drops, most := store.Position(0), 0, 0, 0
			for range smaller(100*limit, 5) {
				next += store.Position(1 + r.IntN(3))
				n := names
				if names > 0 && r.IntN(100) < c.again {
					// Either of those named last, or of all.
					n = names - 1 - r.IntN([]int{min(names, 20), min(names, limit), names}[r.IntN(3)])
				} else {
					names++
				}
				e := superseding(session(n), next)
				if n%3 == 0 {
					e = ofSubject(subject(n), next)
				}
				if r.IntN(5*limit) == 0 {
					l.RaiseFloor(next - min(next, store.Position(r.IntN(20*limit))))
				}
				before := l.Floor()
				l.Apply(e)
				m.apply(n, e)
				l.SetHead(next)
				if l.Floor() != before {
					drops++
					was, is := m.above(before), m.above(l.Floor())
					if was < limit*15/16 || is < limit*3/4 || is > c.left {
						t.Fatalf("at %d the list of %d names drops to %d: want %d to %d, and not before %d", next, was, is, limit*3/4, c.left, limit*15/16)
					}
				}
				if held, _ := l.Held(); held > limit {
					t.Fatalf("at %d the list counts %d names: the limit is %d", next, held, limit)
				} else if r.IntN(limit) == 0 || l.Floor() != before {
					if want := m.above(l.Floor()); l.Len() != want || held < want {
						t.Fatalf("at %d the list holds %d names and counts %d: want %d", next, l.Len(), held, want)
					}
					most = max(most, l.Len())
				}
			}
			for n := range names {
				m.head = next
				m.compare(t, l, n, n)
			}
			t.Logf("%d names, %d drops, at most %d held, floor %d of %d", names, drops, most, l.Floor(), next)
			if drops < 3 {
				t.Error("the test shows nothing")
			}
		})
	}
}

// Looking for room reads the whole list. It is done at most once for each
// sixteenth of the limit in names that are new, even if the store's floor keeps
// the list just below the limit, and if nothing can be dropped.
func TestPromise8_MakingRoomCostsEachNameAFewSlots(t *testing.T) {
	const limit, names = 4096, 20 * 4096
	for name, c := range map[string]struct {
		head  func(p store.Position) store.Position // that the list has reached
		floor func(p store.Position) store.Position
		most  int
	}{
		"the list drops":               {func(p store.Position) store.Position { return p }, nil, names / (limit / 16)},
		"the store drops":              {func(p store.Position) store.Position { return p }, func(p store.Position) store.Position { return p - min(p, limit-10) }, names / (limit / 16)},
		"nothing can be dropped":       {func(store.Position) store.Position { return 0 }, nil, 64}, // log(20) / log(17/16), and some
		"the store drops all, at once": {func(p store.Position) store.Position { return p }, func(p store.Position) store.Position { return p / 4000 * 4000 }, names / (limit / 16)},
	} {
		t.Run(name, func(t *testing.T) {
			l := revocation.NewList(limit)
			looked, last, lastDue := 0, 0, limit
			for i := range names {
				p := store.Position(i + 1)
				l.Apply(ending(session(i), p))
				l.SetHead(c.head(p))
				if c.floor != nil {
					l.RaiseFloor(c.floor(p))
				}
				held, due := l.Held()
				if due > limit && c.head(p) == p {
					t.Fatalf("at %d the list would hold %d names: the limit is %d", p, due, limit)
				}
				if held != last+1 || due != lastDue {
					looked++
				}
				last, lastDue = held, due
			}
			t.Logf("%d names, looked for room %d times, holds %d", names, looked, l.Len())
			if looked == 0 || looked > c.most {
				t.Errorf("looked for room %d times for %d names: want 1 to %d", looked, names, c.most)
			}
		})
	}
}
