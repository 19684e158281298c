package revocation_test

import (
	"context"
	"testing"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// BenchmarkCache judges a token that is good, with a cached result and without
// one. The store is in this process, so the time of a real one comes on top.
// The metric is a multiple of the replica's Check over the same store, in the
// same run.
func BenchmarkCache(b *testing.B) {
	const sessions, name = 10_000, "user-4711@example.com"
	ctx, db := context.Background(), memory.New(memory.Options{})
	for n := range sessions {
		if _, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{session(-1 - n)}}); err != nil {
			b.Fatal(err)
		}
	}
	config := revocation.Config{MaxStaleness: time.Hour}
	replica := follow(b, db, config)
	kept, none := newCache(b, db, config), newCache(b, db, config)
	none.KeepNothing()
	now, at := time.Now(), replica.Head()
	for n := range sessions {
		if _, err := kept.Ask(ctx, session(n), name, at); err != nil {
			b.Fatal(err)
		}
		kept.Settle()
	}
	judge := map[string]func(n int) revocation.Verdict{
		"replica": func(n int) revocation.Verdict { return replica.Check(now, session(n), name, at) },
		"hit":     func(n int) revocation.Verdict { return kept.Check(now, session(n), name, at) },
		"miss": func(n int) revocation.Verdict {
			v, err := none.Confirm(ctx, session(n), name, at)
			if err != nil {
				b.Error(err)
			}
			return v
		},
	}
	took := func(what string, times int) time.Duration {
		began, bad := time.Now(), 0
		for i := range times {
			if judge[what](i%sessions) != revocation.Good {
				bad++
			}
		}
		if bad > 0 {
			b.Errorf("%s: %d tokens of %d are not good", what, bad, times)
		}
		return time.Since(began)
	}
	for _, what := range []string{"hit", "miss"} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			const round = 1000
			var replicas, caches time.Duration
			for i := 0; i < b.N; i += round {
				b.StopTimer()
				replicas += took("replica", round)
				b.StartTimer()
				caches += took(what, round)
			}
			b.ReportMetric(float64(caches)/float64(replicas), "×replica")
		})
	}
}
