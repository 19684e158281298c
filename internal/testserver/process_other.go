//go:build unix && !linux

package testserver

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: as}
}

// children returns the processes whose parent is pid.
func children(pid int) (list []int) {
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	for _, line := range strings.Fields(string(out)) {
		child, err := strconv.Atoi(line)
		if err == nil {
			list = append(list, child)
		}
	}
	return list
}

// state returns the state of a process as ps prints it, or "" if it is gone.
func state(pid int) string {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return strings.TrimSpace(string(out))
}

// stopped reports whether a process is stopped or no longer runs.
func stopped(pid int) bool { return strings.HasPrefix(state(pid), "T") || gone(pid) }

// gone reports whether a process has released its memory and its files.
func gone(pid int) bool {
	s := state(pid)
	return s == "" || strings.HasPrefix(s, "Z")
}

// inMemory returns "", since systems differ in which directory is in memory.
func inMemory() string { return "" }
