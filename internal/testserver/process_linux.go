package testserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes makes a server die with the process that started it.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as}
}

// children returns the processes whose parent is pid.
func children(pid int) (list []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if _, parent := stat(child); parent == pid {
			list = append(list, child)
		}
	}
	return list
}

// stat returns the state of a process, which is a letter, and its parent. Both are 0
// if the process is gone.
func stat(pid int) (state byte, parent int) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0
	}
	// "pid (any text) state ppid …"
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent
}

// stopped reports whether a process is stopped or no longer runs.
func stopped(pid int) bool {
	state, _ := stat(pid)
	return state == 'T' || state == 't' || ended(state)
}

// gone reports whether a process has released its memory and its files.
func gone(pid int) bool {
	state, _ := stat(pid)
	return ended(state)
}

// ended reports whether a state is that of a process that is gone, or that remains in
// the table only until its parent waits for it.
func ended(state byte) bool { return state == 0 || state == 'Z' || state == 'X' }

// inMemory returns a directory in memory with room for the data of some servers, or
// "" if there is none.
func inMemory() string {
	const dir, tmpfs, room = "/dev/shm", 0x01021994, 1 << 30
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil || s.Type != tmpfs || s.Bavail*uint64(s.Bsize) < room {
		return ""
	}
	return dir
}
