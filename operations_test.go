package wafer_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/operations.md contains each kind of event and each alarm of the ring.
func TestOperationsNamesEveryEvent(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(b)), " ")
	}
	page := read("docs/operations.md")
	kinds := regexp.MustCompile(`Kind = "([^"]+)"`).FindAllStringSubmatch(read("event.go"), -1)
	alarms := regexp.MustCompile(`w\.alarm\((?:fmt\.Sprintf\()?"([^"%:]+)`).FindAllStringSubmatch(read("internal/keywatch/keywatch.go"), -1)
	if len(kinds) < 13 || len(alarms) < 4 {
		t.Errorf("%d kinds and %d alarms; the test looks in the wrong place", len(kinds), len(alarms))
	}
	for _, found := range append(kinds, alarms...) {
		if !strings.Contains(page, strings.TrimSpace(found[1])) {
			t.Errorf("docs/operations.md does not say what to do about %q", found[1])
		}
	}
}
