//go:build race

package e2e_test

// raceEnabled makes the heavy tests smaller; none is skipped.
const raceEnabled = true
