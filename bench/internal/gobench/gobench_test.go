package gobench

import (
	"maps"
	"testing"
)

func TestParse(t *testing.T) {
	list := parse("root", `goos: linux
BenchmarkRequest/data/wafer-2         	   53846	      2194 ns/op	       427.0 cookie-bytes	    1632 B/op	      21 allocs/op
    bench_test.go:12: a remark
BenchmarkAdvance/64_clients 	     272	        61.5 %of-bare
BenchmarkBudget/data-to-scs-memstore-8 	1	0.1345 ratio
PASS
`)
	want := []struct {
		name   string
		values map[string]float64
	}{
		{"root:Request/data/wafer", map[string]float64{"procs": 2, "ns/op": 2194, "cookie-bytes": 427, "B/op": 1632, "allocs/op": 21}},
		{"root:Advance/64_clients", map[string]float64{"procs": 1, "%of-bare": 61.5}},
		{"root:Budget/data-to-scs-memstore", map[string]float64{"procs": 8, "ratio": 0.1345}},
	}
	if len(list) != len(want) {
		t.Fatalf("%d results of %d: %v", len(list), len(want), list)
	}
	for i, w := range want {
		if list[i].Name != w.name || !maps.Equal(list[i].Values, w.values) {
			t.Errorf("result %d is %v, want %v", i, list[i], w)
		}
	}
}
