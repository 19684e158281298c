//go:build linux || darwin || freebsd

package sqlite

import (
	"fmt"
	"syscall"
)

// writable returns an error if this user may not write the file. It does not open
// the file: closing it would drop the locks that another handle of this process
// holds.
func writable(path string) error {
	const write = 2
	if err := syscall.Access(path, write); err != nil {
		return fmt.Errorf("this user may not write it: %w", err)
	}
	return nil
}
