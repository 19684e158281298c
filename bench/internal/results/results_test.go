package results

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range []Record{
		{Kind: "run", Text: map[string]string{"go": "1.26"}},
		{Kind: "benchmark", Name: "a", Values: map[string]float64{"ns/op": 3}},
		{Kind: "load", Name: "b", Values: map[string]float64{"p50-us": 1}},
		{Kind: "benchmark", Name: "a", Values: map[string]float64{"ns/op": 1}},
		{Kind: "benchmark", Name: "a", Values: map[string]float64{"ns/op": 2}},
	} {
		if err := Write(f, r); err != nil {
			t.Fatal(err)
		}
	}
	set, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Values("a", "ns/op"); !slices.Equal(got, []float64{1, 2, 3}) {
		t.Errorf("the values are %v", got)
	}
	if m, ok := set.Median("a", "ns/op"); m != 2 || !ok {
		t.Errorf("the median is %v, %v", m, ok)
	}
	if _, ok := set.Median("a", "B/op"); ok {
		t.Error("a unit that was not measured has a median")
	}
	if got := set.Names("benchmark"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the names are %q", got)
	}
}

func TestReadRefusesWhatIsNoRun(t *testing.T) {
	for _, text := range []string{"", `{"kind":"load","name":"a"}`, `{"kind":"run","unknown":1}`, `{"kind":`} {
		path := filepath.Join(t.TempDir(), "r.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if set, err := Read(path); err == nil {
			t.Errorf("%q was read as %v", text, set)
		}
	}
}
