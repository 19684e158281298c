// Package results reads and writes the raw results of a run: lines of JSON that
// bench/run writes and the other programs read.
package results

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// Record is one measurement or, on the first line of a file, the machine and
// the versions of the run.
type Record struct {
	// Kind is "run", "benchmark", "load" or "cookie", or "noise" in the records
	// of bench/guard.
	Kind string `json:"kind"`
	// Name names the measurement. For a benchmark it is the folder of its
	// package and its name, such as "root:Request/data/wafer".
	Name string `json:"name,omitempty"`
	// Values holds figures by their units.
	Values map[string]float64 `json:"values,omitempty"`
	// Text holds texts, such as versions.
	Text map[string]string `json:"text,omitempty"`
}

// Set is the records of one run, in the order of measurement.
type Set []Record

// Read reads a file of results.
func Read(path string) (Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var set Set
	d := json.NewDecoder(bufio.NewReader(f))
	d.DisallowUnknownFields()
	for {
		var r Record
		if err := d.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("results: %s: record %d: %w", path, len(set)+1, err)
		}
		set = append(set, r)
	}
	if len(set) == 0 || set[0].Kind != "run" {
		return nil, fmt.Errorf("results: %s does not begin with a record of the run", path)
	}
	return set, nil
}

// Write writes a record as one line.
func Write(w io.Writer, r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("results: %s: %w", r.Name, err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// Values returns every figure of a name and a unit, in ascending order.
func (s Set) Values(name, unit string) (list []float64) {
	for _, r := range s {
		if v, ok := r.Values[unit]; ok && r.Name == name {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return list
}

// Median returns the median of a name and a unit. ok is false if the run has
// not measured it.
func (s Set) Median(name, unit string) (v float64, ok bool) {
	list := s.Values(name, unit)
	if len(list) == 0 {
		return 0, false
	}
	return list[len(list)/2], true
}

// Names returns the names of a kind, each once, in the order of the run.
func (s Set) Names(kind string) (names []string) {
	for _, r := range s {
		if r.Kind == kind && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}
