package sqlite_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/waferkit/wafer/store/sqlite"
)

// small mounts a small file system for the duration of the test.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("only a superuser may mount; TestFileLimit fills without: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(small(t, "8m"), "wafer.db")
	ballast := path + ".ballast"
	db := openOnly(t, path, sqlite.Options{})
	t.Cleanup(func() { db.Close() })
	if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := full(t.Context(), db, path, func() error { return os.Truncate(ballast, 0) }); err != nil {
		t.Error(err)
	}
	check(t, path)
}

// TestDiskFullOpen opens a store on a full disk. Open must return an error, and
// leave nothing that would make a later Open fail.
func TestDiskFullOpen(t *testing.T) {
	for _, room := range []int{0, 4096, 12 << 10, 40 << 10, 80 << 10} {
		path := filepath.Join(small(t, "512k"), "wafer.db")
		ballast := path + ".ballast"
		if err := os.WriteFile(ballast, make([]byte, 512<<10-room), 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err == nil {
			db.Close()
			t.Logf("%d bytes are enough", room)
		} else {
			t.Logf("%d bytes: %v", room, err)
		}
		if left := names(t, filepath.Dir(path)); err != nil && len(left) != 1 {
			t.Errorf("%d bytes: left behind %v", room, left)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		db = openOnly(t, path, sqlite.Options{})
		if written, err := fill(t.Context(), db, 1, 3); err != nil || len(written) != 1 {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
