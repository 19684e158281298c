//go:build !race

package e2e_test

// raceEnabled makes the heavy tests smaller. None is skipped.
const raceEnabled = false
