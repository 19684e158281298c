package revocation_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

var large = flag.Bool("revocation.large", false, "benchmark also with 10,000,000 entries; that takes 2 GB")

// sizes are the numbers of entries to measure with.
func sizes() []int {
	if *large {
		return []int{100_000, 1_000_000, 10_000_000}
	}
	return []int{100_000, 1_000_000}
}

// names holds what a benchmark's log names: the entry at n names a session, or
// if n is a multiple of 4 a subject. Both are as random as real ones, and are
// made in next to no time, so that they can be made while the clock runs.
type names struct{ held, absent string }

func newNames(n int) names {
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 2*n+1<<18+64)
	for i := range text {
		text[i] = 'a' + byte(r.IntN(26))
	}
	all := string(text)
	return names{held: all[1<<18+32:], absent: all[:1<<18+32]}
}

const nameLength = 21 // of an address, about

func (x names) subject(n int) string { return x.held[n/4%(len(x.held)-nameLength):][:nameLength] }

func (x names) otherSubject(n int) string { return x.absent[n%(1<<18):][:nameLength] }

// session returns as good as random ids; negative numbers are those that no
// entry names.
func (x names) session(n int) (id store.ID) {
	a := uint64(n) * 0x9e3779b97f4a7c15
	a = (a ^ a>>32) * 0xd6e8feb86659fd93
	binary.LittleEndian.PutUint64(id[:8], a)
	binary.LittleEndian.PutUint64(id[8:], (a^a>>29)*0xff51afd7ed558ccd)
	return id
}

func (x names) entry(n int) store.Entry {
	if n%4 == 0 {
		return ofSubject(x.subject(n), at(n))
	}
	return ending(x.session(n), at(n))
}

// at is the position of entry n.
func at(n int) store.Position { return store.Position(20 + n) }

// filled returns a replica whose list holds n entries and is at its limit
// soon, so that a writer makes it drop. It is fresh at the time returned.
func filled(b *testing.B, x names, n int) (*revocation.Replica, time.Time) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := revocation.Follow(ctx, newDouble(), revocation.Config{Limit: n*64/63 + 1000, MaxStaleness: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	for i := range n {
		r.Apply(x.entry(i))
		r.List().SetHead(at(i))
	}
	if r.Len() != n {
		b.Fatalf("%d entries", r.Len())
	}
	return r, time.Now()
}

// write applies 100,000 entries a second until it is stopped. The floor rises
// with them, as when a store drops entries that are no longer needed, so the list drops too.
func write(r *revocation.Replica, x names, held int) (stop func(b *testing.B)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	from := int(r.Head()-at(0)) + 1
	next, floor := from, r.Floor()
	began := time.Now()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for due := from + int(time.Since(began).Seconds()*100_000); next < due; next++ {
				r.Apply(x.entry(next))
				r.List().SetHead(at(next))
			}
			if next > held {
				r.List().RaiseFloor(at(next - held))
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return func(b *testing.B) {
		cancel()
		<-done
		seconds := time.Since(began).Seconds()
		b.ReportMetric(float64(next-from)/seconds, "writes/s")
		b.ReportMetric(float64(r.Floor()-floor)/seconds, "dropped/s")
	}
}

// mapList is what somebody would write first: maps behind a lock.
type mapList struct {
	mu       sync.RWMutex
	sessions map[store.ID]store.Position
	subjects map[string]store.Position
	everyone store.Position
}

func newMapList(x names, n int) *mapList {
	m := &mapList{sessions: map[store.ID]store.Position{}, subjects: map[string]store.Position{}}
	for i := range n {
		switch e := x.entry(i); e.Kind {
		case store.KindSubject:
			m.subjects[e.Subject] = e.Position
		default:
			m.sessions[e.Session] = e.Position
		}
	}
	return m
}

func (m *mapList) revoked(session store.ID, subject string, at store.Position) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return max(m.sessions[session], m.subjects[subject], m.everyone) > at
}

// batch is how many checks are timed at once: the clock costs less than one.
const batch = 64

// oneReader runs batches of checks and reports the time of one: the mean and
// the 99.9th percentile of the batches, and on machines that can measure it the
// reader's own processor time. It returns the mean.
func oneReader(b *testing.B, check func(i int)) (mean float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	times := make([]float64, 0, 1<<20)
	cpu, counted := threadTime()
	began := time.Now()
	last, n := began, 0
	b.ResetTimer()
	for ; n < b.N; n++ {
		check(n)
		if n%batch == batch-1 && len(times) < cap(times) {
			now := time.Now()
			times = append(times, float64(now.Sub(last))/batch)
			last = now
		}
	}
	b.StopTimer()
	mean = float64(time.Since(began)) / float64(n)
	if now, _ := threadTime(); counted {
		b.ReportMetric(float64(now-cpu)/float64(n), "cpu-ns/op")
	}
	if len(times) > 1000 {
		slices.Sort(times)
		b.ReportMetric(times[len(times)*999/1000], "p99.9-ns")
	}
	return mean
}

// BenchmarkCheck is a replica's whole check of a session, once when no entry
// names it or its subject, as in nearly every request, and once when entries
// name both. The budget is 100 ns at 1 M entries beside a writer at 100,000 a
// second, and to scale with cores (-cpu 1,2,8). A quarter of the entries name
// subjects. "xmap" is how many times as long a locked map takes in the same
// run, alone.
func BenchmarkCheck(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			x := newNames(n)
			before := heap()
			r, now := filled(b, x, n)
			perEntry := float64(heap()-before) / float64(n)
			var bad int
			checks := []struct {
				name    string
				replica func(i int) (bad int)
				maps    func(m *mapList, i int) (bad int)
			}{
				{"absent", func(i int) int {
					return differ(r.Check(now, x.session(-1-i), x.otherSubject(i), 1<<40), revocation.Ahead)
				}, func(m *mapList, i int) int {
					return differ(m.revoked(x.session(-1-i), x.otherSubject(i), 1<<40), false)
				}},
				{"present", func(i int) int {
					// Entries of the newer half, which a writer does not make
					// it drop.
					newest := int(r.Head()-at(0)) &^ 3
					e := newest - int(uint32(i*0x9e3779b1))%(n/2)
					return differ(r.Check(now, x.session(e|1), x.subject(e), 19), revocation.Revoked)
				}, func(m *mapList, i int) int {
					e := n - 4 - int(uint32(i*0x9e3779b1))%(n/2)
					return differ(m.revoked(x.session(e|1), x.subject(e), 19), true)
				}},
			}
			for _, c := range checks {
				b.Run(c.name, func(b *testing.B) {
					var base, baseParallel float64
					b.Run("map", func(b *testing.B) {
						m := newMapList(x, n)
						b.Run("one reader", func(b *testing.B) {
							base = oneReader(b, func(i int) { bad += c.maps(m, i) })
						})
						b.Run("parallel", func(b *testing.B) {
							baseParallel = parallel(b, func(i int) int { return c.maps(m, i) })
						})
					})
					for _, beside := range []string{"alone", "beside a writer"} {
						b.Run(beside, func(b *testing.B) {
							b.Run("one reader", func(b *testing.B) {
								b.ReportAllocs()
								if beside != "alone" {
									defer write(r, x, n)(b)
								}
								b.ReportMetric(base/oneReader(b, func(i int) { bad += c.replica(i) }), "xmap")
								b.ReportMetric(perEntry, "B/entry")
							})
							b.Run("parallel", func(b *testing.B) {
								if beside != "alone" {
									defer write(r, x, n)(b)
								}
								b.ReportMetric(baseParallel/parallel(b, c.replica), "xmap")
							})
						})
					}
				})
			}
			if bad != 0 {
				b.Errorf("%d checks were not answered as they should", bad)
			}
		})
	}
}

func differ[T comparable](got, want T) int {
	if got != want {
		return 1
	}
	return 0
}

// parallel runs checks on all processors, and returns the mean time.
func parallel(b *testing.B, check func(i int) (bad int)) (mean float64) {
	began := time.Now()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		bad := 0
		for i := rand.IntN(1 << 30); p.Next(); i++ {
			bad += check(i)
		}
		if bad != 0 {
			b.Errorf("%d checks were not answered as they should", bad)
		}
	})
	return float64(time.Since(began)) / float64(b.N)
}

// BenchmarkApply is what a writer pays.
func BenchmarkApply(b *testing.B) {
	x := newNames(1 << 20)
	for name, add := range map[string]func(n int) store.Entry{
		"session": func(n int) store.Entry { return ending(x.session(n), at(n)) },
		"subject": func(n int) store.Entry { return ofSubject(x.subject(4*n), at(n)) },
	} {
		b.Run(name, func(b *testing.B) {
			l := revocation.NewList(1 << 20)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				l.Apply(add(n))
				l.SetHead(at(n))
			}
		})
	}
}

// BenchmarkMissing compares a list with one that lacks nothing, a hundredth,
// or everything. An operation is the whole walk.
func BenchmarkMissing(b *testing.B) {
	for _, n := range sizes() {
		x := newNames(n)
		l := revocation.NewList(2 * n)
		for i := range n {
			l.Apply(x.entry(i))
		}
		for _, part := range []int{0, n / 100, n} {
			b.Run(fmt.Sprintf("entries=%d/missing=%d", n, part), func(b *testing.B) {
				from := revocation.NewList(2 * n)
				for i := range n - part {
					from.Apply(x.entry(i))
				}
				b.ReportAllocs()
				for b.Loop() {
					if lost := l.Missing(from); len(lost) != part {
						b.Fatalf("%d entries are missing: want %d", len(lost), part)
					}
				}
			})
		}
	}
}
