package e2e_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// flowSteps is how long the random tests of this package are.
var flowSteps = flag.Int("wafer.steps", 3000, "steps of each random flow")

// seeded returns a generator whose seed is printed if the test fails; set
// WAFER_SEED to run one again.
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
