package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/waferkit/wafer/bench/internal/gobench"
)

// job is a set of benchmarks of one package, with the time for each. A package
// is compiled once. Its jobs run in rounds, so that compared figures are
// measured near in time, and the report uses the median of the rounds.
type job struct {
	pattern    string
	time       string // for -benchtime
	shortTime  string
	rounds     int
	processors int // 0 means all
	more       []string
	optional   bool // if it is missing, the report says "not measured"
}

// bare are the benchmarks of an engine against its bare statement or script.
var bare = []job{{pattern: "^Benchmark(Advance|Revoke)$/^(1|64)_clients$", time: "1s", shortTime: "1x", rounds: 2, optional: true}}

// packages are the folders with benchmarks, by their names in the results.
var packages = []struct {
	name, folder string
	jobs         []job
}{
	{"root", ".", []job{
		{pattern: "^Benchmark(Request|Login|Save|Commit|Refresh|Logout|Bearer)$", time: "100ms", shortTime: "1x", rounds: 5},
		{pattern: "^BenchmarkBudget$", time: "1s", shortTime: "1x", rounds: 3},
		{pattern: "^BenchmarkRequestParallel$", time: "200ms", shortTime: "1x", rounds: 3, processors: 1},
		{pattern: "^BenchmarkRequestParallel$", time: "200ms", shortTime: "1x", rounds: 3, processors: 2},
		{pattern: "^BenchmarkRequestParallel$", time: "200ms", shortTime: "1x", rounds: 3, processors: 4},
		{pattern: "^BenchmarkRequestParallel$", time: "200ms", shortTime: "1x", rounds: 3, processors: 8},
	}},
	{"bench", "bench", []job{
		{pattern: "^BenchmarkNetwork(Parallel)?$", time: "300ms", shortTime: "1x", rounds: 3},
		{pattern: "^BenchmarkWrites$", time: "200ms", shortTime: "1x", rounds: 2},
		{pattern: "^BenchmarkEngines$", time: "1x", shortTime: "1x", rounds: 2, more: []string{"-largest=50000"}},
		{pattern: "^BenchmarkBudget$", time: "1s", shortTime: "1x", rounds: 3},
		{pattern: "^BenchmarkScale(Revocations|Data|Keys)$", time: "500ms", shortTime: "1x", rounds: 1, more: []string{"-largest=1000000"}},
		{pattern: "^BenchmarkScaleSessions$", time: "1x", shortTime: "1x", rounds: 1, more: []string{"-largest=10000000"}},
	}},
	{"revocation", "revocation", []job{
		{pattern: "^BenchmarkCheck$/entries/absent/beside_a_writer", time: "300ms", shortTime: "1x", rounds: 1, more: []string{"-revocation.large"}},
	}},
	{"sqlite", "store/sqlite", bare},
	{"redis", "store/redis", bare},
	{"postgres", "store/postgres", bare},
}

// benchmarks runs all of them.
func (r *runner) benchmarks(ctx context.Context) error {
	for _, p := range packages {
		built, err := gobench.Build(ctx, p.name, filepath.Join(r.root, p.folder), r.dir)
		if err != nil {
			return err
		}
		for _, j := range p.jobs {
			if err := r.job(ctx, p.name, built, j); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *runner) job(ctx context.Context, name string, built *gobench.Package, j job) error {
	took, rounds := j.time, j.rounds
	if r.short {
		took, rounds, j.more = j.shortTime, 1, nil
	}
	for round := range rounds {
		progress("%s: %s, round %d of %d%s", name, j.pattern, round+1, rounds, on(j.processors))
		list, err := built.Run(ctx, j.pattern, took, j.processors, j.more...)
		if err != nil {
			return err
		}
		if len(list) == 0 && j.optional {
			progress("%s has no such benchmark", name)
		} else if len(list) == 0 {
			return fmt.Errorf("no benchmark of %s matches %q", name, j.pattern)
		}
		for i := range list {
			if j.processors > 0 { // the same benchmark with several numbers of processors
				list[i].Name += "@" + strconv.Itoa(j.processors)
			}
		}
		r.record(list...)
	}
	return nil
}

func on(processors int) string {
	if processors == 0 {
		return ""
	}
	return fmt.Sprintf(", on %d processors", processors)
}
