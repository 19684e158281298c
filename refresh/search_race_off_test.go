//go:build !race

package refresh_test

const searchShare = 1
