package revocation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// filled returns a replica that holds n sessions at positions 1 to n and is
// fresh at the time returned.
func filled(b *testing.B, n, limit int) (*revocation.Replica, time.Time) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := revocation.Follow(ctx, newDouble(), revocation.Config{Limit: limit, MaxStaleness: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	for i := range n {
		r.Apply(ending(session(i), store.Position(20+i)))
		r.List().SetHead(store.Position(20 + i))
	}
	if r.Len() < n*3/4 {
		b.Fatalf("%d entries", r.Len())
	}
	return r, time.Now()
}

// write applies 100,000 entries a second until it is stopped, from *next on.
func write(r *revocation.Replica, next *int) (stop func(b *testing.B)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	began, from := time.Now(), *next
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for due := from + int(time.Since(began).Seconds()*100_000); *next < due; *next++ {
				r.Apply(ending(session(*next), store.Position(20+*next)))
				r.List().SetHead(store.Position(20 + *next))
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return func(b *testing.B) {
		cancel()
		<-done
		b.ReportMetric(float64(*next-from)/time.Since(began).Seconds(), "writes/s")
	}
}

// BenchmarkCheck is a replica's whole check of a session that nothing names,
// as of nearly every request. The budget is 100 ns at 1 M entries beside a
// writer at 100,000 a second, and to scale with cores.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		for _, beside := range []string{"alone", "beside a writer"} {
			b.Run(fmt.Sprintf("%d entries/%s", n, beside), func(b *testing.B) {
				r, now := filled(b, n, n*64/63+1000)
				written := n
				measure := func(b *testing.B, read func()) {
					if beside != "alone" {
						defer write(r, &written)(b)
					}
					b.ResetTimer()
					read()
				}
				var ids [1 << 16]store.ID
				for i := range ids {
					ids[i] = session(-1 - i)
				}
				const at = 1 << 40
				run := func(b *testing.B, next func() bool) {
					var bad int
					for i := 0; next(); i++ {
						if r.Check(now, ids[i%len(ids)], "user-4711@example.com", at) != revocation.Behind {
							bad++
						}
					}
					if bad != 0 {
						b.Errorf("%d tokens were not judged by the head", bad)
					}
				}
				b.Run("one reader", func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					measure(b, func() { run(b, func() bool { i++; return i <= b.N }) })
				})
				b.Run("parallel", func(b *testing.B) {
					measure(b, func() { b.RunParallel(func(p *testing.PB) { run(b, p.Next) }) })
				})
			})
		}
	}
}

// BenchmarkCheck_Revoked is the check of one that the list does hold.
func BenchmarkCheck_Revoked(b *testing.B) {
	const n = 1_000_000
	r, now := filled(b, n, 2*n)
	for i := 0; b.Loop(); i++ {
		if r.Check(now, session(i*7919%n), "user-4711@example.com", 19) != revocation.Revoked {
			b.Fatal("it is not revoked")
		}
	}
}

func BenchmarkApply(b *testing.B) {
	l := revocation.NewList(1 << 20)
	for n := 0; b.Loop(); n++ {
		l.Apply(ending(session(n), store.Position(n+1)))
		l.SetHead(store.Position(n + 1))
	}
}
