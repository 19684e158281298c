// Package rounds says how often a test repeats what it tries: a few times by
// default, so that everybody can run all tests in minutes, and many times in CI.
//
//	for range rounds.Of(20, 1000) { … }
//
// CI sets WAFER_FULL=1. A test must find a broken rule with either count; the
// larger one finds what is rare.
package rounds

import "os"

// Full reports whether tests run their full rounds: WAFER_FULL is set in the
// environment.
func Full() bool { return os.Getenv("WAFER_FULL") != "" }

// Of returns full if tests run their full rounds, else few.
func Of(few, full int) int {
	if Full() {
		return full
	}
	return few
}
