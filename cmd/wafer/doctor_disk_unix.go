//go:build linux || darwin || freebsd

package main

import "syscall"

// freeSpace returns the number of bytes that this user may still write at a path.
func freeSpace(path string) (free uint64, known bool, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, false, err
	}
	return uint64(max(s.Bavail, 0)) * uint64(s.Bsize), true, nil
}
