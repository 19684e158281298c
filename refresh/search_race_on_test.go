//go:build race

package refresh_test

// searchShare makes the worlds of the search smaller under the race detector,
// which has nothing to find in one goroutine; no world is skipped.
const searchShare = 10
