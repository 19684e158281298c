//go:build unix

package sqlite_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// refused opens a file that Open must refuse, and returns the error.
func refused(t *testing.T, path string, want ...string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err == nil {
		db.Close()
		t.Error("it was opened")
		return
	}
	for _, w := range append(want, path) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error lacks %q: %v", w, err)
		}
	}
}

// TestOpenModes checks the modes of what Open creates under a umask that permits
// everything.
func TestOpenModes(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	dir := filepath.Join(t.TempDir(), "made", "deep")
	path := filepath.Join(dir, "wafer.db")
	db := open(t, path, sqlite.Options{})
	if _, err := fill(t.Context(), db, 3, 1); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600,
		dir: fs.ModeDir | 0o700, filepath.Dir(dir): fs.ModeDir | 0o700,
	} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if list := names(t, dir); len(list) != 3 {
		t.Errorf("Open left more behind than its own: %v", list)
	}
}

// TestOpenPaths opens paths that have characters with a meaning in a URL.
func TestOpenPaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for i, path := range []string{"plain.db", "a b.db", "100%41?mode=memory#x.db", "wäfer&cache=shared.db", ":memory:", "file:x.db", "./sub/../dots.db"} {
		if strings.Contains(path, "sub") {
			if err := os.Mkdir("sub", 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for open, want := range []store.Outcome{store.Written, store.Taken} {
			db := openOnly(t, path, sqlite.Options{})
			s, err := db.Create(t.Context(), store.Creation{ID: store.ID{byte(i), 1}, Subject: "alice", Idle: time.Hour, Absolute: time.Hour})
			if err != nil || s.Outcome != want {
				t.Errorf("%s, opened %d times: %v, %v", path, open+1, s.Outcome, err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenLinks(t *testing.T) {
	dir := t.TempDir()
	path, link, nowhere := filepath.Join(dir, "wafer.db"), filepath.Join(dir, "link.db"), filepath.Join(dir, "nowhere.db")
	db := open(t, path, sqlite.Options{})
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "absent"), nowhere); err != nil {
		t.Fatal(err)
	}
	written, err := fill(t.Context(), db, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := stand(t.Context(), open(t, link, sqlite.Options{}), written); err != nil {
		t.Errorf("through a link: %v", err)
	}
	if other, err := sqlite.Open(t.Context(), nowhere, sqlite.Options{}); err == nil {
		other.Close()
		if info, err := os.Stat(nowhere); err != nil || info.Mode() != 0o600 {
			t.Errorf("a link to nowhere: made with mode %v, %v", info.Mode(), err)
		}
	}
}

// TestOpenRefuses opens files that are not stores of this release.
func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, "directory"},
		{"empty", func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o600)) }, "empty"},
		{"a byte", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte{0}, 0o600)) }, ""},
		{"text", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("these are my notes, dear\n"), 0o600))
		}, "not a database"},
		{"much text", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, bytes.Repeat([]byte("these are my notes, dear\n"), 1000), 0o600))
		}, "not a database"},
		{"zeros", func(t *testing.T, path string) { must(t, os.WriteFile(path, make([]byte, 64<<10), 0o600)) }, ""},
		{"another program's", func(t *testing.T, path string) {
			execute(t, path, "CREATE TABLE mine (a, b)", "INSERT INTO mine VALUES (1, 2)")
		}, "another program"},
		{"another program's, which names itself", func(t *testing.T, path string) {
			execute(t, path, "PRAGMA application_id = 252006673", "CREATE TABLE mine (a, b)")
		}, "another program"},
		{"a database without tables", func(t *testing.T, path string) {
			execute(t, path, "CREATE TABLE mine (a, b)", "DROP TABLE mine")
		}, ""},
		{"a later schema", func(t *testing.T, path string) { made(t, path); execute(t, path, "PRAGMA user_version = 99") }, "99"},
		{"no version", func(t *testing.T, path string) { made(t, path); execute(t, path, "PRAGMA user_version = 0") }, "version"},
		{"a version below", func(t *testing.T, path string) { made(t, path); execute(t, path, "PRAGMA user_version = -1") }, "version"},
		{"no application id", func(t *testing.T, path string) { made(t, path); execute(t, path, "PRAGMA application_id = 0") }, "another program"},
		{"a schema from before the first release", func(t *testing.T, path string) {
			made(t, path)
			execute(t, path, "ALTER TABLE families DROP COLUMN seal")
		}, "before the first release"},
		{"no log", func(t *testing.T, path string) { made(t, path); execute(t, path, "DELETE FROM log") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wafer.db")
			c.make(t, path)
			before, _ := os.ReadFile(path)
			refused(t, path, c.want)
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("what was refused has been changed")
			}
			if list := names(t, filepath.Dir(path)); len(list) != 1 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
	t.Run("no path", func(t *testing.T) { refused(t, "") })
	t.Run("below a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(path, []byte("x"), 0o600))
		refused(t, filepath.Join(path, "wafer.db"))
	})
}

// TestOpenOtherJournal opens a store whose file is not in WAL mode, as a copy
// that SQLite made (VACUUM INTO) is.
func TestOpenOtherJournal(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "wafer.db"), filepath.Join(dir, "backup.db")
	db := open(t, path, sqlite.Options{})
	written, err := fill(t.Context(), db, 20, 1)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, path, "VACUUM INTO '"+backup+"'")
	restored := open(t, backup, sqlite.Options{})
	if err := stand(t.Context(), restored, written); err != nil {
		t.Error(err)
	}
	if _, err := fill(t.Context(), restored, 3, 2); err != nil {
		t.Error(err)
	}
	var mode string
	if err := raw(t, backup).QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("the journal's mode is %q, %v", mode, err)
	}
}

// TestOpenWALWithoutFile removes the file after a crash, but not its -wal. A new
// file must not receive the old one's pages.
func TestOpenWALWithoutFile(t *testing.T) {
	path, _ := killed(t)
	must(t, os.Remove(path))
	must(t, os.RemoveAll(path+"-shm"))
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Log(err)
		return
	}
	defer db.Close()
	c, err := db.Cutoffs(t.Context(), store.ID{}, "")
	if err != nil || c.Head != c.Everyone {
		t.Errorf("a new file has an old log: %+v, %v", c, err)
	}
	check(t, path)
}

// killed returns a file as a kill leaves it, with committed families in its -wal.
func killed(t *testing.T) (path string, written []*filler) {
	t.Helper()
	from := filepath.Join(t.TempDir(), "wafer.db")
	db := open(t, from, sqlite.Options{})
	written, err := fill(t.Context(), db, 30, 1)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "wafer.db")
	for _, suffix := range []string{"", "-wal"} {
		copyTo(t, from+suffix, path+suffix)
	}
	return path, written
}

// TestOpenMissingFiles removes the files beside a store. SQLite makes -shm again,
// and the -wal of a store that was closed.
func TestOpenMissingFiles(t *testing.T) {
	path, written := killed(t)
	for range 2 {
		must(t, os.RemoveAll(path+"-shm"))
		db := openOnly(t, path, sqlite.Options{})
		if err := stand(t.Context(), db, written); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if list := names(t, filepath.Dir(path)); len(list) != 1 {
			t.Errorf("after Close: %v", list)
		}
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made makes a store and closes it.
func made(t *testing.T, path string) []*filler {
	t.Helper()
	db := openOnly(t, path, sqlite.Options{})
	written, err := fill(t.Context(), db, 3, 1)
	must(t, err)
	must(t, db.Close())
	return written
}

// execute runs statements as another program would.
func execute(t testing.TB, path string, statements ...string) {
	t.Helper()
	db := raw(t, path)
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", s, err))
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
