package revocation_test

import (
	"syscall"
	"time"
)

// threadTime returns the processor time that this thread has spent.
func threadTime() (spent time.Duration, ok bool) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err == nil
}
