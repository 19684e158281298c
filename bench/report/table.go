package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/waferkit/wafer/bench/internal/results"
)

// table is a Markdown table. Its figures come from one run. A figure that the
// run lacks is an error of the whole table.
type table struct {
	set  results.Set
	b    strings.Builder
	errs []string
}

// newTable begins a table. The columns after the first are figures.
func newTable(set results.Set, head ...string) *table {
	t := &table{set: set}
	t.row(head...)
	t.b.WriteString("|---" + strings.Repeat("|---:", len(head)-1) + "|\n")
	return t
}

func (t *table) row(cells ...string) {
	t.b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// figure returns the median of a name and a unit.
func (t *table) figure(name, unit string) float64 {
	v, ok := t.set.Median(name, unit)
	if !ok {
		t.errs = append(t.errs, name+" in "+unit)
	}
	return v
}

func (t *table) done() (string, error) {
	if len(t.errs) > 0 {
		return "", fmt.Errorf("the results lack %s: run bench/run anew", strings.Join(t.errs, ", "))
	}
	return strings.TrimRight(t.b.String(), "\n"), nil
}

// number formats a number with about three significant digits.
func number(v float64) string {
	switch {
	case v == float64(int(v)) && v < 100:
		return strconv.Itoa(int(v))
	case v >= 1e6:
		return fmt.Sprintf("%.3g M", v/1e6)
	case v >= 10_000:
		return fmt.Sprintf("%d,%03d", int(v+0.5)/1000, int(v+0.5)%1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.01:
		return fmt.Sprintf("%.2f", v)
	}
	return "< 0.01"
}

// duration formats nanoseconds.
func duration(ns float64) string {
	switch {
	case ns >= 999_500:
		return number(ns/1e6) + " ms"
	case ns >= 999.5:
		return number(ns/1e3) + " µs"
	}
	return number(ns) + " ns"
}

func times(v float64) string { return number(v) + " ×" }
func whole(v float64) string { return fmt.Sprintf("%.0f", v) }
