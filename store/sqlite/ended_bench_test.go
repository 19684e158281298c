package sqlite_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

var mostEnded = flag.Int("ended", 100_000, "the most ended rows of one account in BenchmarkEnded")

// BenchmarkEnded measures what an account costs that has logged in and out very
// often: its next login with a limit, its list of devices, and another user's
// login. It reports each at 10 ended rows and its ratio to that at more, which
// should stay within 1.5.
func BenchmarkEnded(b *testing.B) {
	sizes := []int{10}
	for n := 1000; n <= *mostEnded; n *= 10 {
		sizes = append(sizes, n)
	}
	stores := make([]*sqlite.Store, len(sizes))
	for i, n := range sizes {
		path := filepath.Join(b.TempDir(), fmt.Sprint(n, ".db"))
		stores[i] = open(b, path, sqlite.Options{})
		crowdOf(b, path, "mallory", n, 720*time.Hour, true)
		execute(b, path, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	next := 0
	login := func(db *sqlite.Store, subject string) error {
		next++
		s, err := db.Create(b.Context(), store.Creation{ID: enginebench.ID(next), Subject: subject, Idle: time.Hour, Absolute: time.Hour, Limit: 5, EndOldest: true})
		if err == nil && s.Outcome != store.Written {
			err = fmt.Errorf("%v", s.Outcome)
		}
		return err
	}
	for _, c := range []struct {
		name string
		do   func(db *sqlite.Store) error
	}{
		{"login", func(db *sqlite.Store) error { return login(db, "mallory") }},
		{"list", func(db *sqlite.Store) error {
			page, err := db.Families(b.Context(), store.Query{Subject: "mallory", Limit: 100})
			if err == nil && len(page.Families) != 5 {
				err = fmt.Errorf("%d devices of 5", len(page.Families))
			}
			return err
		}},
		{"another's login", func(db *sqlite.Store) error { return login(db, "alice") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			took := make([][]time.Duration, len(sizes))
			for b.Loop() {
				for i, db := range stores { // in turn, so that all meet the same machine
					began := time.Now()
					if err := c.do(db); err != nil {
						b.Fatal(err)
					}
					took[i] = append(took[i], time.Since(began))
				}
			}
			few := enginebench.Median(took[0])
			b.ReportMetric(float64(few.Nanoseconds()), "ns-at-10")
			for i, n := range sizes[1:] {
				b.ReportMetric(float64(enginebench.Median(took[i+1]))/float64(few), fmt.Sprintf("x-at-%d", n))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
