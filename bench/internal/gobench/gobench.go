// Package gobench runs Go benchmarks and parses their output.
package gobench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/waferkit/wafer/bench/internal/results"
)

// Package is the compiled benchmarks of one package.
type Package struct {
	name   string // the prefix of each benchmark's name
	folder string
	binary string
}

// Build compiles the tests of the package in a folder into a directory.
func Build(ctx context.Context, name, folder, dir string) (*Package, error) {
	binary := filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("gobench: go test -c in %s: %w\n%s", folder, err, out)
	}
	return &Package{name, folder, binary}, nil
}

// Run runs the benchmarks that match a pattern, each for benchtime, with this
// number of processors; 0 means all.
func (p *Package) Run(ctx context.Context, pattern, benchtime string, processors int, more ...string) ([]results.Record, error) {
	args := []string{"-test.run=^$", "-test.bench=" + pattern, "-test.benchtime=" + benchtime, "-test.timeout=15m"}
	if processors > 0 {
		args = append(args, "-test.cpu="+strconv.Itoa(processors))
	}
	cmd := exec.CommandContext(ctx, p.binary, append(args, more...)...)
	cmd.Dir, cmd.Env = p.folder, append(os.Environ(), "WAFER_CI=1") // a benchmark that cannot be measured is a failure
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("gobench: the benchmarks %q of %s: %w\n%s", pattern, p.name, err, out)
	}
	return parse(p.name, string(out)), nil
}

// line matches a benchmark's result: its name, the number of processors if it
// is more than one, the number of iterations, and pairs of figures and units.
var line = regexp.MustCompile(`^Benchmark(\S+?)(?:-(\d+))?\s+(\d+)\s+(.+)$`)

func parse(name, out string) (list []results.Record) {
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		r := results.Record{Kind: "benchmark", Name: name + ":" + m[1], Values: map[string]float64{"procs": 1}}
		if m[2] != "" {
			r.Values["procs"], _ = strconv.ParseFloat(m[2], 64)
		}
		fields := strings.Fields(m[4])
		for i := 0; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				r.Values[fields[i+1]] = v
			}
		}
		list = append(list, r)
	}
	return list
}
