package revocation_test

import (
	"math/rand/v2"
	"testing"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

func cutoffsEqual(t *testing.T, l *revocation.List, id store.ID, name string, want store.Cutoffs) {
	t.Helper()
	if got := l.Cutoffs(id, name); got != want {
		t.Errorf("of %v and %q: %+v: want %+v", id, name, got, want)
	}
}

func TestList_EachKindNamesItsOwn(t *testing.T) {
	l := revocation.NewList(1024)
	cutoffsEqual(t, l, session(1), "alice", store.Cutoffs{})
	l.Apply(everyone(10), ofSubject("alice", 20), superseding(session(1), 30), ending(session(2), 40))
	l.SetHead(40)
	cutoffsEqual(t, l, session(1), "alice", store.Cutoffs{Everyone: 10, Subject: 20, Superseding: 30, Head: 40})
	cutoffsEqual(t, l, session(2), "alice", store.Cutoffs{Everyone: 10, Subject: 20, Ending: 40, Head: 40})
	cutoffsEqual(t, l, session(3), "bob", store.Cutoffs{Everyone: 10, Head: 40})
	cutoffsEqual(t, l, store.ID{}, "", store.Cutoffs{Everyone: 10, Head: 40})
	// A subject that is spelled like a session is not that session.
	id := session(2)
	cutoffsEqual(t, l, session(3), string(id[:]), store.Cutoffs{Everyone: 10, Head: 40})
	if l.Len() != 3 || l.Head() != 40 || l.Floor() != 0 {
		t.Errorf("%d entries, head %d, floor %d", l.Len(), l.Head(), l.Floor())
	}
}

func TestList_TheHighestPositionFits(t *testing.T) {
	l := revocation.NewList(1024)
	const top = store.MaxPosition
	l.Apply(ending(session(1), top), superseding(session(2), top), ofSubject("alice", top), everyone(top))
	cutoffsEqual(t, l, session(1), "alice", store.Cutoffs{Everyone: top, Subject: top, Ending: top})
	cutoffsEqual(t, l, session(2), "bob", store.Cutoffs{Everyone: top, Superseding: top})
}

// An end is final: whatever else is applied of the session, before or after, it
// stays refused below the highest position that names it.
func TestPromise1_RevocationListKeepsAnEnd(t *testing.T) {
	entries := []store.Entry{
		superseding(session(1), 10), superseding(session(1), 20), ending(session(1), 30),
		superseding(session(1), 5), ending(session(1), 30),
	}
	for range 200 {
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		l := revocation.NewList(1024)
		ended := false
		for _, e := range entries {
			l.Apply(e)
			ended = ended || e.Kind == store.KindSession
			if c := l.Cutoffs(session(1), ""); ended && (c.Ending != 30 || c.Superseding != 0) || !ended && c.Ending != 0 {
				t.Fatalf("after %v at %d of %v: %+v", e.Kind, e.Position, entries, c)
			}
		}
		l.SetHead(30)
		for at, want := range map[store.Position]revocation.Verdict{29: revocation.Revoked, 30: revocation.Revoked, 31: revocation.Revoked} {
			if got := revocation.Judge(l.Cutoffs(session(1), ""), at); got != want {
				t.Fatalf("a token at %d: %v: want %v", at, got, want)
			}
		}
	}
}

// A session that was superseded and is then ended is refused from then on, at
// every position.
func TestList_SupersededThenEnded(t *testing.T) {
	l := revocation.NewList(1024)
	judge := func(at store.Position) revocation.Verdict {
		return revocation.Judge(l.Cutoffs(session(1), "alice"), at)
	}
	l.SetHead(100)
	l.Apply(superseding(session(1), 50))
	if judge(49) != revocation.Expired || judge(50) != revocation.Good {
		t.Errorf("superseded at 50: %v, %v", judge(49), judge(50))
	}
	l.Apply(ending(session(1), 60))
	for _, at := range []store.Position{0, 49, 50, 59, 60, 100, 101, store.MaxPosition} {
		if judge(at) != revocation.Revoked || l.Judge(session(1), "alice", at) != revocation.Revoked {
			t.Errorf("ended at 60, a token at %d is %v and %v", at, judge(at), l.Judge(session(1), "alice", at))
		}
	}
}

// An end that is followed by a superseding entry, as after a logout that the store
// has not taken yet, stays an end until the floor has reached both: also after the
// shard was rebuilt.
func TestPromise1_SupersededAfterItEnded(t *testing.T) {
	l := revocation.NewList(1024)
	l.SetHead(100)
	l.Apply(ending(session(1), 40), superseding(session(1), 50))
	for _, floor := range []store.Position{0, 39, 40, 49} {
		l.RaiseFloor(floor)
		for i := range 600 { // rebuilds every shard
			l.Apply(superseding(session(1000+i), 90))
		}
		for _, at := range []store.Position{49, 50, 51, 100} {
			if v := l.Judge(session(1), "", at); v != revocation.Revoked {
				t.Errorf("with the floor at %d a token at %d is %v", floor, at, v)
			}
		}
		if c := l.Cutoffs(session(1), ""); c.Ending != 50 || c.Superseding != 0 {
			t.Errorf("with the floor at %d: %+v", floor, c)
		}
	}
}

func TestPromise1_RevocationListFloorCoversWhatItDrops(t *testing.T) {
	l := revocation.NewList(1024)
	l.SetHead(1000)
	for i := range 300 {
		p := store.Position(10 + i)
		l.Apply(ending(session(i), p), ofSubject(subject(i), p))
	}
	if l.Len() != 600 {
		t.Fatalf("%d entries", l.Len())
	}
	l.RaiseFloor(159)
	l.RaiseFloor(100) // a floor never falls
	l.RaiseFloor(0)
	if l.Floor() != 159 || l.Len() != 300 {
		t.Fatalf("floor %d, %d entries", l.Floor(), l.Len())
	}
	for i := range 300 {
		p := store.Position(10 + i)
		for at := p - 1; at <= p; at++ {
			c := l.Cutoffs(session(i), subject(i))
			want := revocation.Good
			if at < 159 {
				want = revocation.Expired
			}
			if p > 159 || c.Ending != 0 || c.Subject > at { // the list may still hold what is below the floor
				want = revocation.Revoked
			}
			if got := revocation.Judge(c, at); got != want {
				t.Fatalf("the entry at %d, a token at %d: %v: want %v", p, at, got, want)
			}
		}
	}
	// A late entry at or below the floor is already covered.
	before := l.Len()
	l.Apply(ending(session(1000), 158), ending(session(1001), 159), ofSubject("late", 1))
	if l.Len() != before {
		t.Errorf("%d entries more, at or below the floor", l.Len()-before)
	}
	l.Apply(ending(session(1002), 160))
	if c := l.Cutoffs(session(1002), ""); c.Ending != 160 {
		t.Errorf("right above the floor: %+v", c)
	}
}

// A dropped end that is applied again is in force again.
func TestList_NamedAgainAfterItWasDropped(t *testing.T) {
	l := revocation.NewList(1024)
	l.Apply(ofSubject("alice", 10), superseding(session(1), 10))
	l.RaiseFloor(10)
	l.Apply(ofSubject("alice", 20), superseding(session(1), 20))
	cutoffsEqual(t, l, session(1), "alice", store.Cutoffs{Subject: 20, Superseding: 20, Floor: 10})
	if l.Len() != 2 {
		t.Errorf("%d entries", l.Len())
	}
}

// Raising the floor gives the memory back, a part at each call, even if
// nothing new comes in.
func TestPromise8_RevocationListFreesWhatItDrops(t *testing.T) {
	l := revocation.NewList(1 << 20)
	n := smaller(200_000, 10)
	for i := range n {
		l.Apply(ending(session(i), store.Position(i+1)))
	}
	full := l.Slots()
	l.RaiseFloor(store.Position(n))
	if l.Len() != 0 {
		t.Fatalf("%d entries above the floor", l.Len())
	}
	for range 64 {
		l.RaiseFloor(store.Position(n))
	}
	if l.Slots() != 0 {
		t.Errorf("%d of %d slots are left", l.Slots(), full)
	}
	if c := l.Cutoffs(session(1), ""); c.Floor != store.Position(n) {
		t.Errorf("%+v", c)
	}
	// And of the greater part, the greater part.
	for i := range n {
		l.Apply(ending(session(i), store.Position(n+i+1)))
	}
	for range 64 {
		l.RaiseFloor(store.Position(n + n*9/10))
	}
	if l.Len() != n/10 || l.Slots() > full/3 {
		t.Errorf("%d entries in %d slots: want %d in at most a third of %d", l.Len(), l.Slots(), n/10, full)
	}
}

// Readers take no lock: they answer while a writer holds it.
func TestList_ReadersTakeNoLock(t *testing.T) {
	l := revocation.NewList(1024)
	l.Apply(ending(session(1), 10), ofSubject("alice", 20))
	l.SetHead(20)
	release := l.HoldWriters()
	defer release()
	// Were one of these to take the lock, the test would hang here.
	cutoffsEqual(t, l, session(1), "alice", store.Cutoffs{Ending: 10, Subject: 20, Head: 20})
	if l.Head() != 20 || l.Floor() != 0 {
		t.Errorf("head %d, floor %d", l.Head(), l.Floor())
	}
	if v := l.Judge(session(1), "alice", 9); v != revocation.Revoked {
		t.Errorf("a revoked session is %v", v)
	}
	// Missing reads the other list as a reader does.
	other := revocation.NewList(1024)
	other.Apply(ending(session(1), 10), ending(session(2), 10))
	wantMissing(t, other, l, ending(session(2), 10))
	l.SetHead(30)
	if n := testing.AllocsPerRun(100, func() { l.Cutoffs(session(1), "alice") }); n != 0 {
		t.Errorf("a reader allocates %v times", n)
	}
}
