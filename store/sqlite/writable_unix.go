//go:build linux || darwin || freebsd

package sqlite

import (
	"fmt"
	"syscall"
)

// writable checks that this user may write a file. It does not open it: closing
// would drop the locks that another handle of this process has on it.
func writable(path string) error {
	const write = 2
	if err := syscall.Access(path, write); err != nil {
		return fmt.Errorf("this user may not write it: %w", err)
	}
	return nil
}
