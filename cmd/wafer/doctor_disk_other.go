//go:build !(linux || darwin || freebsd)

package main

// freeSpace is not implemented on this system.
func freeSpace(string) (free uint64, known bool, err error) { return 0, false, nil }
