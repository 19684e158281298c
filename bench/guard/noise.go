package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/waferkit/wafer/bench/internal/budget"
	"github.com/waferkit/wafer/bench/internal/repository"
	"github.com/waferkit/wafer/bench/internal/results"
)

// noise runs the guard's measurement many times, every other time beside a
// second process that keeps a processor busy, and writes the figures to
// bench/results/noise.jsonl. The margins of the budget are chosen from them.
func noise(ctx context.Context, runs, rounds int) (err error) {
	root, err := repository.Root()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(root, "bench", "results", "noise.jsonl"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := results.Write(f, results.Record{Kind: "run", Text: map[string]string{"rounds": strconv.Itoa(rounds)}}); err != nil {
		return err
	}
	for i := range runs {
		name := "alone"
		stop := func() {}
		if i%2 == 1 {
			name = "beside a busy process"
			if stop, err = busy(ctx); err != nil {
				return err
			}
		}
		set, err := measure(ctx, rounds)
		stop()
		if err != nil {
			return err
		}
		values := map[string]float64{"load": load()}
		for _, row := range budget.Rows {
			if figure, ok := set.Median(row.Name, row.Unit); ok && row.Guarded {
				values[row.Key()] = figure
			}
		}
		if err := results.Write(f, results.Record{Kind: "noise", Name: name, Values: values}); err != nil {
			return err
		}
		fmt.Printf("%d of %d, %s: %v\n", i+1, runs, name, values)
	}
	return nil
}

// busy starts this program again, to keep a processor busy.
func busy(ctx context.Context) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-spin")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
	}, nil
}

// load returns the machine's load of the last minute, or 0 if it cannot be
// read.
func load() float64 {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}
