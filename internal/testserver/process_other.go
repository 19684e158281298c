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
