// Command run measures everything that docs/benchmarks.md and docs/capacity.md
// report, and writes the raw results.
//
//	go run ./bench/run            about 10 minutes, on an otherwise idle machine
//	go run ./bench/run -short     less than a minute: checks that everything runs
//
// It starts redis-server and postgres on free ports of the loopback interface,
// sends load to nothing else, and stops what it has started. It fetches two
// libraries with npm and measures their cookies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/waferkit/wafer/bench/internal/repository"
	"github.com/waferkit/wafer/bench/internal/results"
)

func main() {
	short := flag.Bool("short", false, "prove that everything runs; the figures are worth nothing")
	out := flag.String("out", "", "the file to write (default bench/results/latest.jsonl; with -short, none)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *short, *out); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
	progress("done")
}

// runner is one run. Every record goes through record.
type runner struct {
	root  string // of the repository
	dir   string // for the files that the run builds
	short bool
	set   results.Set
}

func run(ctx context.Context, short bool, out string) error {
	root, err := repository.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "wafer-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if out == "" && !short {
		out = filepath.Join(root, "bench", "results", "latest.jsonl")
	}
	r := &runner{root: root, dir: dir, short: short}
	for _, step := range []func(context.Context) error{r.machine, r.cookies, r.benchmarks, r.servers} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if out == "" {
		return nil
	}
	return r.write(out)
}

func (r *runner) record(list ...results.Record) { r.set = append(r.set, list...) }

// write replaces the file in one step: half a run must not be read.
func (r *runner) write(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "run-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	for _, record := range r.set {
		if err = results.Write(f, record); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

var start = time.Now()

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "run: %4.0fs "+format+"\n", append([]any{time.Since(start).Seconds()}, args...)...)
}
