//go:build race

package wafer_test

// raceEnabled makes the heavy tests smaller; none is skipped.
const raceEnabled = true
