package store_test

import (
	"testing"

	"github.com/waferkit/wafer/store"
)

var idSeeds = []string{
	"", "0", "00000000000000000000000000000000", "000102030405060708090a0b0c0d0e0f",
	"000102030405060708090A0B0C0D0E0F", "000102030405060708090a0b0c0d0e0g", "000102030405060708090a0b0c0d0e0f0",
}

// FuzzParseID: one text for one id, and nothing else parses.
func FuzzParseID(f *testing.F) {
	for _, seed := range idSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := store.ParseID(text)
		if err == nil && id.String() != text {
			t.Errorf("%q parses, and prints as %q", text, id)
		}
		if err != nil && !id.IsZero() {
			t.Errorf("%q does not parse, and gives %v", text, id)
		}
		var again store.ID
		if again.UnmarshalText([]byte(text)) == nil != (err == nil) || again != id {
			t.Errorf("%q: UnmarshalText and ParseID disagree", text)
		}
	})
}

func TestParseID(t *testing.T) {
	if len(idSeeds) == 0 {
		t.Fatal("FuzzParseID has no seeds")
	}
	parsed := 0
	for _, text := range idSeeds {
		if _, err := store.ParseID(text); err == nil {
			parsed++
		}
	}
	if parsed != 2 {
		t.Errorf("%d of the seeds parse: want 2", parsed)
	}
}
