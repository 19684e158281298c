package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waferkit/wafer/bench/internal/budget"
	"github.com/waferkit/wafer/bench/internal/results"
)

const docs = "../../docs"

func read(t *testing.T) (set, noise results.Set) {
	t.Helper()
	set, err := results.Read("../results/latest.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if noise, err = results.Read("../results/noise.jsonl"); err != nil {
		t.Fatal(err)
	}
	return set, noise
}

// The guard's margins are measured: at least 20 runs were made, and each margin
// is wider than any of them was off.
func TestMarginsCoverTheNoise(t *testing.T) {
	_, noise := read(t)
	for _, row := range budget.Rows {
		if !row.Guarded {
			continue
		}
		var list []float64
		for _, name := range noise.Names("noise") {
			list = append(list, noise.Values(name, row.Key())...)
		}
		slices.Sort(list)
		if len(list) < 20 {
			t.Errorf("the noise of %q was measured %d times", row.Work, len(list))
			continue
		}
		if most, middle := list[len(list)-1], list[len(list)/2]; most > middle*(1+row.Margin) {
			t.Errorf("%s: of %d runs one gave %v, and the median is %v: the margin of %v is less than noise", row.Work, len(list), most, middle, row.Margin)
		}
	}
}

// The page and the plots in docs are the report of the results in the
// repository: nobody has edited a figure.
func TestThePageIsWhatTheReportMakes(t *testing.T) {
	set, noise := read(t)
	files, err := build(set, noise)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 6 {
		t.Errorf("the report makes %d files", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what the report makes of bench/results/latest.jsonl (%v): go run ./bench/report", name, err)
		}
		if strings.HasSuffix(name, ".svg") && !strings.Contains(string(want), "</svg>") {
			t.Errorf("%s is no SVG", name)
		}
	}
	drawn, err := filepath.Glob(filepath.Join(docs, "benchmarks", "*.svg"))
	if err != nil || len(drawn) != len(files)-1 {
		t.Errorf("docs/benchmarks has the plots %q (%v), and the report makes %d", drawn, err, len(files)-1)
	}
}

// Every plot is on the page, and so is every row of the budget.
func TestThePageIsWhole(t *testing.T) {
	set, noise := read(t)
	files, err := build(set, noise)
	if err != nil {
		t.Fatal(err)
	}
	text := string(files["benchmarks.md"])
	for name := range files {
		if strings.HasSuffix(name, ".svg") && !strings.Contains(text, "("+name+")") {
			t.Errorf("the page does not show %s", name)
		}
	}
	for _, row := range budget.Rows {
		if !strings.Contains(text, "| "+row.Work+" | "+row.Budget+" | ") {
			t.Errorf("the page lacks the budget's row %q", row.Work)
		}
	}
}

// A figure that the run lacks is an error and not an empty cell.
func TestAGapIsAnError(t *testing.T) {
	set, noise := read(t)
	var without results.Set
	for _, r := range set {
		if r.Name != floor {
			without = append(without, r)
		}
	}
	if _, err := build(without, noise); err == nil || !strings.Contains(err.Error(), floor) {
		t.Errorf("without the floor the report says %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for want, got := range map[string]string{
		"0": number(0), "5": number(5), "0.43": number(0.4264), "< 0.01": number(0.001), "12.3": number(12.34), "152": number(152.4),
		"12,345": number(12345), "2.5 M": number(2.5e6), "382 ns": duration(382.3), "2.19 µs": duration(2194), "1.00 ms": duration(999_800),
		"8.70 ms": duration(8.7e6), "1,000,000": count("1000000"), "100": count("100"),
	} {
		if got != want {
			t.Errorf("%q: want %q", got, want)
		}
	}
}
