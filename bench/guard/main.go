// Command guard compares the ratios of one run with the performance budget, and
// fails if one misses it by more than noise.
//
//	go run ./bench/guard
//
// It compares ratios and never times. Both sides of each ratio are measured in
// turns in the same process, so a slow or busy machine slows both. It takes less
// than a minute.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/waferkit/wafer/bench/internal/budget"
	"github.com/waferkit/wafer/bench/internal/gobench"
	"github.com/waferkit/wafer/bench/internal/repository"
	"github.com/waferkit/wafer/bench/internal/results"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each ratio is measured; the median counts")
	runs := flag.Int("noise", 0, "measure so many times, judge nothing, and write bench/results/noise.jsonl")
	spin := flag.Bool("spin", false, "keep a processor busy for ten minutes: the second process of -noise")
	flag.Parse()
	if *spin {
		for began := time.Now(); time.Since(began) < 10*time.Minute; {
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := guard(ctx, *runs, max(1, *rounds)); err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

func guard(ctx context.Context, runs, rounds int) error {
	if runs > 0 {
		return noise(ctx, runs, rounds)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	set, err := measure(ctx, rounds)
	if err != nil {
		return err
	}
	report, err := judge(set)
	fmt.Print(report)
	return err
}

// measured are the benchmarks that report the guarded ratios.
var measured = []struct{ name, folder, pattern string }{
	{"root", ".", "^BenchmarkBudget$/^(identity-to-floor|data-to-scs-memstore|data-to-gorilla|token-to-golang-jwt)$"},
	{"bench", "bench", "^BenchmarkBudget$/^data-to-scs-Redis$"},
}

// measure takes every ratio in each round, so that a disturbance in one round
// affects one measurement of each.
func measure(ctx context.Context, rounds int) (set results.Set, err error) {
	dir, err := os.MkdirTemp("", "wafer-guard-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	root, err := repository.Root()
	if err != nil {
		return nil, err
	}
	var built []*gobench.Package
	for _, m := range measured {
		p, err := gobench.Build(ctx, m.name, filepath.Join(root, m.folder), dir)
		if err != nil {
			return nil, err
		}
		built = append(built, p)
	}
	for range rounds {
		for i, p := range built {
			list, err := p.Run(ctx, measured[i].pattern, "400ms", 0)
			if err != nil {
				return nil, err
			}
			set = append(set, list...)
		}
	}
	return set, nil
}

// judge compares the medians with the budget. A row without a figure fails like
// one that is over the budget.
func judge(set results.Set) (report string, err error) {
	var b strings.Builder
	for _, row := range budget.Rows {
		if !row.Guarded {
			continue
		}
		figure, ok := set.Median(row.Name, row.Unit)
		verdict := "met"
		switch {
		case !ok:
			verdict = "NOT MEASURED"
			err = errors.Join(err, fmt.Errorf("%s: %s was not measured", row.Work, row.Name))
		case !row.Within(figure):
			verdict = "EXCEEDED"
			err = errors.Join(err, fmt.Errorf("%s: %.4g, and %.4g is held with %.0f%% for noise (budget %s)", row.Work, figure, row.Held(), 100*row.Margin, row.Budget))
		case row.Met(figure):
		case row.Reached != 0:
			verdict = fmt.Sprintf("not met; held at %.4g", row.Reached)
		default:
			verdict = "within noise"
		}
		fmt.Fprintf(&b, "%-60s %10.4g  budget %-14s %s\n", row.Work, figure, row.Budget, verdict)
	}
	return b.String(), err
}
