package revocation_test

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Readers look for entries that were applied before the reading began, while
// a writer applies more, the floor is raised, tables are rebuilt and swept,
// and (in the second run) the list drops by itself. Each is found, or the floor
// that was read with it covers it.
func TestPromise1_RevocationListNeverForgetsUnderConcurrency(t *testing.T) {
	for name, limit := range map[string]int{"dropping as told": 1 << 20, "dropping by itself": 1024} {
		t.Run(name, func(t *testing.T) {
			l := revocation.NewList(limit)
			var applied atomic.Int64 // entries 1 to applied are in
			var found, covered atomic.Int64
			var stop atomic.Bool
			var work sync.WaitGroup
			at := func(i int) store.Position { return store.Position(10 * i) }
			n := smaller(200_000, 16)

			work.Go(func() { // the writer
				defer stop.Store(true)
				deadline := time.Now().Add(2 * time.Minute)
				for i := 1; i <= n || min(found.Load(), covered.Load()) < 2000 && time.Now().Before(deadline); i++ {
					if i%3 == 0 {
						l.Apply(ofSubject(subject(i), at(i)))
					} else {
						l.Apply(ending(session(i), at(i)))
					}
					l.SetHead(at(i))
					applied.Store(int64(i))
				}
			})
			work.Go(func() { // raises the floor
				for !stop.Load() {
					if i := int(applied.Load()) - rand.N(3000); i > 0 && limit > 1024 {
						l.RaiseFloor(at(i))
					} else {
						l.RaiseFloor(0) // sweeps
					}
				}
			})
			for range 2 {
				work.Go(func() {
					r := rand.New(rand.NewPCG(rand.Uint64(), 0))
					for !stop.Load() {
						last := int(applied.Load())
						if last == 0 {
							continue
						}
						i := last - r.IntN(min(last, 4000))
						c := l.Cutoffs(session(i), subject(i))
						switch {
						case max(c.Ending, c.Subject) == at(i):
							found.Add(1)
						case c.Floor >= at(i):
							covered.Add(1)
						default:
							t.Errorf("entry %d at %d was applied, and is lost: %+v", i, at(i), c)
							stop.Store(true)
							return
						}
						for _, v := range []revocation.Verdict{revocation.Judge(c, at(i)-1), l.Judge(session(i), subject(i), at(i)-1)} {
							if v != revocation.Revoked && v != revocation.Expired {
								t.Errorf("a token below entry %d is %v: %+v", i, v, c)
							}
						}
					}
				})
			}
			work.Wait()
			t.Logf("%d found, %d covered by the floor", found.Load(), covered.Load())
			if found.Load() < 2000 || covered.Load() < 2000 {
				t.Error("the test shows nothing")
			}
		})
	}
}

// Tables grow to some size and are then dropped all at once, under readers of
// all that was applied: a table that is replaced too early, or a floor that is
// stored too late, is a hole for as long as the writer takes.
func TestPromise1_RevocationListNeverForgetsAsTablesComeAndGo(t *testing.T) {
	n, times := smaller(20_000, 10), smaller(30, 2)
	l := revocation.NewList(1 << 20)
	var applied atomic.Int64 // entries up to here
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(rand.Uint64(), 0))
			for !stop.Load() {
				last := int(applied.Load())
				if last == 0 {
					continue
				}
				i := last - r.IntN((last-1)%n+1) // of this round
				if c := l.Cutoffs(session(i), ""); c.Ending != store.Position(i) && c.Floor < store.Position(i) {
					t.Errorf("entry %d of %d was applied, and is lost: %+v", i, last, c)
					stop.Store(true)
				}
			}
		})
	}
	for i := 1; i <= n*times && !stop.Load(); i++ {
		l.Apply(ending(session(i), store.Position(i)))
		applied.Store(int64(i))
		if i%n == 0 {
			for range 64 {
				l.RaiseFloor(store.Position(i))
			}
			if l.Slots() != 0 {
				t.Fatal("the dropped entries are still held")
			}
		}
	}
	stop.Store(true)
	readers.Wait()
}

// slowSubject is longer than any store takes: hashing it gives the writers
// time between one step of a reader and the next, as if the reader had been
// interrupted there.
var slowSubject = strings.Repeat("s", 1<<20)

// A reader is interrupted between its steps while entries are dropped, tables
// replaced and freed.
func TestPromise1_RevocationListNeverForgetsWhileAReaderSleeps(t *testing.T) {
	l := revocation.NewList(1024)
	var applied, floor atomic.Uint64 // of the slow subject's entry
	var stop atomic.Bool
	var work sync.WaitGroup
	work.Go(func() {
		for !stop.Load() {
			least, below := store.Position(applied.Load()), store.Position(floor.Load())
			c := l.Cutoffs(session(0), slowSubject)
			if c.Floor < below || c.Subject < least && c.Floor < least {
				t.Errorf("an entry at %d was applied and the floor was %d: %+v", least, below, c)
				stop.Store(true)
			}
			// And as a check asks.
			if least = store.Position(applied.Load()); least > 0 {
				if v := l.Judge(session(0), slowSubject, least-1); v != revocation.Revoked && v != revocation.Expired {
					t.Errorf("an entry at %d was applied, and a token below is %v", least, v)
					stop.Store(true)
				}
			}
		}
	})
	next := store.Position(1)
	// While the reader hashes, the entry comes, stays a while, and is dropped.
	for n := rounds.Of(200, 2000); n > 0 && !stop.Load(); n-- {
		next += 10
		l.Apply(ofSubject(slowSubject, next))
		l.SetHead(next)
		applied.Store(uint64(next))
		for until := time.Now().Add(rand.N(500 * time.Microsecond)); time.Now().Before(until); {
			runtime.Gosched()
		}
		for range 64 { // every shard
			l.RaiseFloor(next)
		}
		floor.Store(uint64(next))
		if l.Slots() != 0 {
			t.Error("the dropped entry is still held")
			stop.Store(true)
		}
	}
	stop.Store(true)
	work.Wait()
}
