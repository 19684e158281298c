//go:build !linux

package revocation_test

import "time"

// threadTime cannot tell.
func threadTime() (time.Duration, bool) { return 0, false }
