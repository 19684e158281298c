package e2e_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// flowSteps is the length of the random tests of this package.
var flowSteps = flag.Int("wafer.steps", 3000, "steps of each random flow")

// seeded returns a generator whose seed is printed if the test fails. Set
// WAFER_SEED to repeat a run.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("WAFER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WAFER_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to run this again: WAFER_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}
