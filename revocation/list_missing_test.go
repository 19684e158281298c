package revocation_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// missing returns what l.Missing(from) names, each once and with nothing else
// in it, everyone first.
func missing(t *testing.T, l, from *revocation.List) map[store.Entry]bool {
	t.Helper()
	named, entries := map[store.Entry]bool{}, map[store.Entry]bool{}
	for i, e := range l.Missing(from) {
		name := store.Entry{Kind: e.Kind, Session: e.Session, Subject: e.Subject}
		if named[name] {
			t.Fatalf("%v %v %q is missing twice", e.Kind, e.Session, e.Subject)
		}
		if e.Kind == store.KindEveryone && i != 0 {
			t.Fatalf("everyone comes as number %d", i)
		}
		named[name], entries[e] = true, true
	}
	return entries
}

func wantMissing(t *testing.T, l, from *revocation.List, want ...store.Entry) {
	t.Helper()
	got := missing(t, l, from)
	for _, e := range want {
		if !got[e] {
			t.Errorf("%+v is not reported as missing", e)
		}
		delete(got, e)
	}
	for e := range got {
		t.Errorf("%+v is reported as missing", e)
	}
}

func TestList_MissingIsWhatTheOtherDoesNotCover(t *testing.T) {
	l, from := revocation.NewList(1024), revocation.NewList(1024)
	wantMissing(t, l, from)
	l.Apply(
		ofSubject("alice", 10), ofSubject("bob", 20), ofSubject("carol", 30),
		ending(session(1), 11), ending(session(2), 21), ending(session(3), 31),
		superseding(session(4), 41),                         // ends nothing
		ending(session(5), 50), superseding(session(5), 51)) // joined
	wantMissing(t, l, l)
	wantMissing(t, from, l)
	all := []store.Entry{
		ofSubject("alice", 10), ofSubject("bob", 20), ofSubject("carol", 30),
		ending(session(1), 11), ending(session(2), 21), ending(session(3), 31), ending(session(5), 51),
	}
	wantMissing(t, l, from, all...)
	// Less than l holds of a subject is not enough; as much is, and more. Any end of
	// a session is enough, since it covers every position.
	from.Apply(ofSubject("alice", 9), ofSubject("bob", 20), ofSubject("carol", 31),
		ending(session(2), 20), ending(session(3), 32))
	wantMissing(t, l, from, ofSubject("alice", 10), ending(session(1), 11), ending(session(5), 51))
	// A session that is only superseded there has not ended there, and the
	// name of another kind is another name.
	from.Apply(superseding(session(5), 60), ending(session(4), 60))
	wantMissing(t, l, from, ofSubject("alice", 10), ending(session(1), 11), ending(session(5), 51))
	// Everyone covers up to its position.
	from.Apply(everyone(10))
	wantMissing(t, l, from, ending(session(1), 11), ending(session(5), 51))
	from.Apply(everyone(50))
	wantMissing(t, l, from, ending(session(5), 51))
	l.Apply(everyone(50))
	wantMissing(t, l, from, ending(session(5), 51))
	l.Apply(everyone(55))
	wantMissing(t, l, from, everyone(55), ending(session(5), 51))
	// Entries below the floor are not written back.
	l.RaiseFloor(54)
	wantMissing(t, l, from, everyone(55))
	l.RaiseFloor(55)
	wantMissing(t, l, from)
}

// Missing returns in full the names that were applied, whatever they are.
func TestList_MissingNamesInFull(t *testing.T) {
	r := random(t)
	l, from := revocation.NewList(1<<20), revocation.NewList(1024)
	var want []store.Entry
	for i, name := range []string{
		"", "\x00", "ä\xff\x80", strings.Repeat("s", 127), strings.Repeat("s", 128),
		strings.Repeat("x", store.MaxSubject), strings.Repeat("long", 10_000),
	} {
		want = append(want, ofSubject(name, store.Position(1000+i)))
	}
	want = append(want, ending(store.ID{}, 2000), ending(store.ID{15: 1}, 2001), ending(store.ID{0: 1}, 2002))
	for i := range smaller(8_000, 4) {
		var id store.ID
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		want = append(want, ending(id, store.Position(3000+i)), ofSubject(string(id[:1+r.IntN(16)])+subject(i), store.Position(1_000_000+i)))
	}
	for _, e := range want {
		e.ID, e.Reason, e.Actor, e.Previous = store.ID{1}, "a reason", "an actor", 1
		l.Apply(e)
	}
	wantMissing(t, l, from, want...)
	// And after every table was replaced, without those that were dropped.
	l.RaiseFloor(2001)
	var others []store.Entry
	for i := range smaller(8_000, 4) {
		others = append(others, ofSubject("another "+subject(i), store.Position(2_000_000+i)), ending(session(1+i), store.Position(3_000_000+i)))
	}
	l.Apply(others...)
	left := slices.DeleteFunc(want, func(e store.Entry) bool { return e.Position <= 2001 })
	wantMissing(t, l, from, append(left, others...)...)
}

// While lists are written, dropped from, rebuilt and compared with each other
// in both directions, what was applied before the call and is above the floor
// after it is in the answer, and what the other list held is not. Readers find
// everything meanwhile.
func TestPromise1_MissingWhileListsAreWritten(t *testing.T) {
	l, from := revocation.NewList(1<<20), revocation.NewList(1<<20)
	none := revocation.NewList(1024)
	var applied atomic.Int64 // entries 1 to here are in l, and every third in from
	var stop atomic.Bool
	var work sync.WaitGroup
	fail := func(format string, args ...any) {
		if !stop.Swap(true) {
			t.Errorf(format, args...)
		}
	}
	entry := func(i int) store.Entry {
		if i%2 == 0 {
			return ofSubject(subject(i), store.Position(i))
		}
		return ending(session(i), store.Position(i))
	}
	var answers, backwards, checks atomic.Int64
	n := smaller(30_000, 5)
	work.Go(func() {
		defer stop.Store(true)
		deadline := time.Now().Add(2 * time.Minute)
		for i := 1; !stop.Load() && (i <= n || answers.Load() < 20 && time.Now().Before(deadline)); i++ {
			if i%3 == 0 {
				from.Apply(entry(i))
			}
			l.Apply(entry(i))
			l.SetHead(store.Position(i))
			applied.Store(int64(i))
			if i%100 == 0 {
				l.RaiseFloor(store.Position(max(0, i-3000+rand.N(2000))))
				from.RaiseFloor(store.Position(max(0, i-6000)))
			}
			if i%1000 == 0 {
				runtime.Gosched()
			}
		}
	})
	compare := func(with *revocation.List, lacks func(i int) bool) {
		for !stop.Load() {
			last := int(applied.Load())
			got := map[store.Entry]bool{}
			for _, e := range l.Missing(with) {
				if e != entry(int(e.Position)) || got[e] {
					fail("an entry that nobody applied, or twice: %+v", e)
				}
				if int(e.Position) <= last && !lacks(int(e.Position)) {
					fail("entry %d is reported as missing, and was there", e.Position)
				}
				got[e] = true
			}
			for i := max(1, int(l.Floor())+1); i <= last; i++ {
				if lacks(i) && !got[entry(i)] {
					fail("entry %d of %d is missing, and not reported: the floor is %d", i, last, l.Floor())
					return
				}
			}
			answers.Add(1)
		}
	}
	work.Go(func() { compare(none, func(int) bool { return true }) })
	work.Go(func() { compare(from, func(i int) bool { return i%3 != 0 }) })
	work.Go(func() {
		for !stop.Load() { // l is written first after from: it may lack the last
			for _, e := range from.Missing(l) {
				if e.Position > l.Floor() && l.Cutoffs(e.Session, e.Subject) == (store.Cutoffs{}) {
					fail("%+v is in neither", e)
				}
			}
			backwards.Add(1)
		}
	})
	work.Go(func() {
		for !stop.Load() {
			last := int(applied.Load())
			if last == 0 {
				continue
			}
			i := last - rand.N(min(last, 4000))
			c := l.Cutoffs(session(i), subject(i))
			if max(c.Ending, c.Subject) != store.Position(i) && c.Floor < store.Position(i) {
				fail("entry %d of %d was applied, and is lost: %+v", i, last, c)
			}
			checks.Add(1)
		}
	})
	work.Wait()
	t.Logf("%d answers, %d the other way, %d checks", answers.Load(), backwards.Load(), checks.Load())
	if answers.Load() < 20 || backwards.Load() < 20 || checks.Load() < 1000 {
		t.Error("the test shows nothing")
	}
}
