//go:build !linux

package revocation_test

import "time"

// threadTime is not available here.
func threadTime() (time.Duration, bool) { return 0, false }
