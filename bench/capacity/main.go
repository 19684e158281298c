// Command capacity makes docs/capacity.md, which states the needs of a number of
// active sessions. It computes them from the results of bench/run.
//
//	go run ./bench/capacity
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/waferkit/wafer/bench/internal/repository"
	"github.com/waferkit/wafer/bench/internal/results"
)

//go:embed page.md
var page string

func main() {
	from := flag.String("from", "bench/results/latest.jsonl", "the raw results, by the repository's root")
	flag.Parse()
	if err := run(*from); err != nil {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

func run(from string) error {
	root, err := repository.Root()
	if err != nil {
		return err
	}
	set, err := results.Read(filepath.Join(root, from))
	if err != nil {
		return err
	}
	b, err := build(set)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "docs", "capacity.md"), b, 0o644)
}

// sizes are the numbers of active sessions on the page.
var sizes = []float64{1e6, 1e8, 1e9}

func build(set results.Set) ([]byte, error) {
	engines, missing := enginesOf(set)
	n, more := nodeOf(set)
	if missing = append(missing, more...); len(missing) > 0 {
		return nil, fmt.Errorf("the results lack %s: run bench/run anew", strings.Join(missing, ", "))
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"text":     func(name string) string { return set[0].Text[name] },
		"assume":   assume,
		"measured": func() string { return measuredTable(engines, n) },
		"demand":   func() string { return demandTable(n) },
		"stores":   func() string { return storeTable(engines) },
		"reads":    func() string { return readTable(set) },
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, nil)
	return b.Bytes(), err
}

// assume puts the assumptions into the page, so that the page cannot state
// others.
func assume(name string) (string, error) {
	v, ok := map[string]float64{
		"access minutes": access / 60, "length minutes": length / 60, "logged out %": 100 * loggedOut,
		"pause": pause, "kept": kept, "used %": 100 * used,
	}[name]
	if !ok {
		return "", fmt.Errorf("there is no assumption %q", name)
	}
	return fmt.Sprintf("%g", v), nil
}
