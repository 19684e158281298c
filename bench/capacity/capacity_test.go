package main

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/waferkit/wafer/bench/internal/results"
)

// The page in docs is the program's output for the results in the repository.
func TestThePageIsWhatTheProgramMakes(t *testing.T) {
	set, err := results.Read("../results/latest.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	want, err := build(set)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/capacity.md")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/capacity.md is not what the program makes of bench/results/latest.jsonl (%v): go run ./bench/capacity", err)
	}
	for _, size := range []string{"1 M active", "100 M active", "1 G active"} {
		if !strings.Contains(string(got), size) {
			t.Errorf("the page has no column %q", size)
		}
	}
}

func TestDemand(t *testing.T) {
	d := demandOf(1e6)
	for what, got := range map[string][2]float64{
		"one refresh in 5 minutes":        {d.fewRefreshes, 3333.3},
		"one refresh in half of that":     {d.manyRefreshes, 6666.7},
		"a login an hour":                 {d.logins, 277.8},
		"a request in 10 s":               {d.requests, 100_000},
		"three of ten log out":            {d.revocations, 83.3},
		"and a list keeps that for 310 s": {d.entries, 25_833},
	} {
		if math.Abs(got[0]-got[1]) > 0.001*got[1] {
			t.Errorf("%s: %v, want %v", what, got[0], got[1])
		}
	}
}

// A server that is busy for a second with each second's writes is two servers
// at half of its rate.
func TestStores(t *testing.T) {
	d := demand{logins: 10, revocations: 20}
	e := engine{logins: 100, revocations: 100, refreshes: 1000}
	if got := e.stores(d, 700); got != 2 {
		t.Errorf("0.7 + 0.1 + 0.2 of a server are %v servers, want 2", got)
	}
	if got := e.stores(d, 701); got != 3 {
		t.Errorf("a little more is %v servers, want 3", got)
	}
}

func TestAGapIsAnError(t *testing.T) {
	if _, err := build(results.Set{{Kind: "run"}}); err == nil || !strings.Contains(err.Error(), "Engines/redis") {
		t.Errorf("without any figure the program says %v", err)
	}
}
