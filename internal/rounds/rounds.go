// Package rounds returns how often a test repeats its rounds: a few times by
// default, so that all tests run in minutes, and many times in CI.
//
//	for range rounds.Of(20, 1000) { … }
//
// CI sets WAFER_FULL=1. A test must find a broken rule with either count. The
// larger one finds rare cases.
package rounds

import "os"

// Full reports whether tests run their full rounds: WAFER_FULL is not empty in
// the environment.
func Full() bool { return os.Getenv("WAFER_FULL") != "" }

// Of returns full if tests run their full rounds, else few.
func Of(few, full int) int {
	if Full() {
		return full
	}
	return few
}
