package revocation_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

// seedVariable makes a random test run again: WAFER_SEED=… go test -run …
const seedVariable = "WAFER_SEED"

// random returns a source of randomness, and logs how to repeat the run.
func random(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("to see it again: %s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// smaller returns how many of n rounds to run: all of them only in a full run
// without the race detector, which makes each round much slower.
func smaller(n, divisor int) int {
	if raceEnabled {
		return n / divisor
	}
	return rounds.Of(n/divisor, n)
}

func session(n int) store.ID {
	id := store.ID{0: 1}
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func subject(n int) string { return "subject " + strconv.Itoa(n) }

func ending(id store.ID, p store.Position) store.Entry {
	return store.Entry{Kind: store.KindSession, Session: id, Position: p}
}

func superseding(id store.ID, p store.Position) store.Entry {
	return store.Entry{Kind: store.KindSuperseding, Session: id, Position: p}
}

func ofSubject(s string, p store.Position) store.Entry {
	return store.Entry{Kind: store.KindSubject, Subject: s, Position: p}
}

// ofSubjects are entries of n subjects from the first on.
func ofSubjects(first, n int) []store.Entry {
	all := make([]store.Entry, n)
	for i := range all {
		all[i] = ofSubject(subject(first+i), 0)
	}
	return all
}

func everyone(p store.Position) store.Entry {
	return store.Entry{Kind: store.KindEveryone, Position: p}
}
