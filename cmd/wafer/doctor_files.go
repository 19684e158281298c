package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// checkFiles checks the modes of the files and their directories, and the free
// space on their disks.
func (c *checkup) checkFiles() {
	var files []string
	if path := c.ring.ring; path != "" && path != "store:" {
		files = append(files, path)
	}
	kind, key, found := strings.Cut(c.ring.keeper, ":")
	switch {
	case found && kind == "file":
		files = append(files, key)
	case c.ring.keeper == "" && len(files) > 0:
		files = append(files, files[0]+".key")
	}
	engine, path, _ := strings.Cut(c.db, ":")
	if engine == "sqlite" {
		files = append(files, path, path+"-wal", path+"-shm")
	}
	var dirs []string
	for _, file := range files {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue // opening the ring or store reports it; SQLite creates and removes the last two
		}
		c.checkFile(file)
		if dir := filepath.Dir(file); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		c.checkDir(dir)
		c.checkDisk(dir)
	}
}

func (c *checkup) checkFile(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		c.add("file", false, "see that this user may look at it", "%v", err)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		c.add("file", false, fmt.Sprintf("run chmod 600 %s, and think of what is in it as seen", path), "%s has mode %04o: others than its owner may use it", path, info.Mode().Perm())
	default:
		c.add("file", true, "", "%s has mode %04o", path, info.Mode().Perm())
	}
}

func (c *checkup) checkDir(dir string) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		c.add("directory", false, "see that this user may look at it", "%v", err)
	case info.Mode().Perm()&0o022 != 0 && runtime.GOOS != "windows":
		c.add("directory", false, fmt.Sprintf("run chmod 700 %s", dir), "%s has mode %04o: others than its owner may put files in the place of ours", dir, info.Mode().Perm())
	default:
		c.add("directory", true, "", "%s has mode %04o", dir, info.Mode().Perm())
	}
}

// Limits of free space, in bytes. The write-ahead log alone takes some 4 MB, and
// a million families some 250 MB.
const (
	spaceWarns = 1 << 30
	spaceFails = 100 << 20
)

func (c *checkup) checkDisk(dir string) {
	free, known, err := freeSpace(dir)
	switch {
	case err != nil:
		c.add("disk", false, "see that this user may look at it", "%s: %v", dir, err)
	case known:
		c.judgeSpace(dir, free)
	}
}

func (c *checkup) judgeSpace(dir string, free uint64) {
	const do = "make room: on a full disk nobody can log in, refresh or be revoked"
	found := fmt.Sprintf("%d MiB are free at %s", free>>20, dir)
	switch {
	case free < spaceFails:
		c.add("disk", false, do, "%s", found)
	case free < spaceWarns:
		c.add("disk", true, do, "%s", found)
	default:
		c.add("disk", true, "", "%s", found)
	}
}
