// Command report makes docs/benchmarks.md and its plots from the raw results of
// one run.
//
//	go run ./bench/report
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/waferkit/wafer/bench/internal/repository"
	"github.com/waferkit/wafer/bench/internal/results"
)

//go:embed page.md
var page string

// tried is the hand-written list of attempts on the request path, with their
// results.
//
//go:embed tried.md
var tried string

func main() {
	from := flag.String("from", "bench/results/latest.jsonl", "the raw results, by the repository's root")
	to := flag.String("to", "docs", "the folder to write benchmarks.md and benchmarks/*.svg into")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	root, err := repository.Root()
	if err != nil {
		return err
	}
	under := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(root, path)
	}
	set, err := results.Read(under(from))
	if err != nil {
		return err
	}
	noise, err := results.Read(filepath.Join(root, "bench", "results", "noise.jsonl"))
	if err != nil {
		return err
	}
	files, err := build(set, noise)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(under(to), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// build returns the page and the plots by their names below docs.
func build(set, noise results.Set) (map[string][]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"text":     func(name string) string { return set[0].Text[name] },
		"tried":    func() string { return tried },
		"peers":    func() string { return peers(set) },
		"noise":    func() (string, error) { return noiseTable(noise) },
		"runs":     func() int { return len(noise) - 1 },
		"budget":   func() (string, error) { return budgetTable(set) },
		"requests": func() (string, error) { return requestTable(set) },
		"parallel": func() (string, error) { return parallelTable(set) },
		"paths":    func() (string, error) { return pathTable(set) },
		"tokens":   func() (string, error) { return tokenTable(set) },
		"network":  func() (string, error) { return networkTable(set) },
		"writes":   func() (string, error) { return writeTable(set) },
		"engines":  func() (string, error) { return engineTable(set) },
		"servers":  func() (string, error) { return serverTable(set) },
		"cookies":  func() (string, error) { return cookieTable(set) },
		"costs":    func() (string, error) { return costTable(set) },
		"sessions": func() (string, error) { return sessionTable(set) },
		"growth":   func() (string, error) { return growthTable(set) },
		"data":     func() (string, error) { return dataTable(set) },
		"entries":  func() (string, error) { return entryTable(set) },
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return nil, err
	}
	files, err := plots(set)
	if err != nil {
		return nil, err
	}
	files["benchmarks.md"] = b.Bytes()
	return files, nil
}
