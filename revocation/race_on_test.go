//go:build race

package revocation_test

// raceEnabled makes the heavy tests smaller; no test is skipped.
const raceEnabled = true
