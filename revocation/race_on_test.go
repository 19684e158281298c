//go:build race

package revocation_test

// raceEnabled makes the heavy tests smaller; none is skipped.
const raceEnabled = true
