package wafer_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The README's program is the program in examples/readme, which is compiled and
// tested.
func TestReadmeProgramIsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("examples/readme/main.go")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md has no program: want a block of go that begins with package main")
	}
	if got, want := string(block[1]), string(program); got != want {
		t.Errorf("README.md and examples/readme/main.go differ.\nREADME:\n%s\nexample:\n%s", got, want)
	}
	if n := strings.Count(string(program), "\n"); n > 60 {
		t.Errorf("the README's program has %d lines; keep it short", n)
	}
}
