package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

func init() { roles["quota"] = quotaChild }

// filler is a family with as much in it as it may have.
type filler struct {
	id    store.ID
	value []byte
	last  store.Snapshot
}

// fill writes families with values until a write fails, and returns those that
// were acknowledged, and the error.
func fill(ctx context.Context, db *sqlite.Store, most int, from byte) (written []*filler, err error) {
	for i := range most {
		f := &filler{id: store.ID{from, byte(i >> 8), byte(i), 1}, value: fmt.Appendf(nil, "%d %s", i, strings.Repeat("v", 4000))}
		s, err := db.Create(ctx, store.Creation{ID: f.id, Subject: "alice", Idle: time.Hour, Absolute: time.Hour})
		if err != nil {
			return written, err
		}
		f.last = s
		written = append(written, f)
		s, err = db.Commit(ctx, store.Commit{ID: f.id, Basis: s.Family.Position, Value: f.value})
		if err != nil {
			f.value = nil
			return written, err
		}
		f.last = s
	}
	return written, nil
}

// stand reports an acknowledged family that does not stand.
func stand(ctx context.Context, db *sqlite.Store, written []*filler) error {
	for _, f := range written {
		s, err := db.Family(ctx, f.id)
		switch {
		case err != nil:
			return err
		case s.State != store.Alive || s.Family.Position < f.last.Family.Position:
			return fmt.Errorf("family %v is %v at %d; acknowledged was %d", f.id, s.State, s.Family.Position, f.last.Family.Position)
		case f.value != nil && string(s.Family.Value) != string(f.value):
			return fmt.Errorf("family %v has a value of %d bytes of %d", f.id, len(s.Family.Value), len(f.value))
		}
	}
	return nil
}

// full goes through a disk that is full and has room again.
func full(ctx context.Context, db *sqlite.Store, path string, makeRoom func() error) error {
	written, err := fill(ctx, db, 5000, 1)
	if err == nil {
		return errors.New("5000 families and the disk is not full")
	}
	if len(written) == 0 {
		return fmt.Errorf("full from the start: %w", err)
	}
	said := err.Error()
	// It stays full: for writers alone and in groups, of each kind, while
	// readers go on.
	for range 3 {
		failed := make(chan error)
		for i := range 8 {
			go func() {
				_, err := db.Commit(ctx, store.Commit{ID: written[0].id, Basis: store.MaxPosition, Value: []byte(strings.Repeat("w", 4100+i))})
				failed <- err
			}()
		}
		for range 8 {
			if err := <-failed; err == nil {
				written[0].value = nil // a small write may still have found room
			}
		}
		if err := stand(ctx, db, written); err != nil {
			return fmt.Errorf("while the disk is full: %w", err)
		}
		if _, err := db.Since(ctx, 0, 10, 0); err != nil {
			return fmt.Errorf("while the disk is full: %w", err)
		}
		if list, err := db.Families(ctx, "alice", 10); err != nil || len(list) == 0 {
			return fmt.Errorf("while the disk is full: %d families, %w", len(list), err)
		}
	}
	if err := makeRoom(); err != nil {
		return err
	}
	more, err := fill(ctx, db, 30, 2)
	if err != nil {
		return fmt.Errorf("with room again (it was %q): %w", said, err)
	}
	ended, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{more[0].id}})
	if err != nil {
		return err
	}
	written = append(written, more[1:]...)
	if err := stand(ctx, db, written); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	if err := db.Close(); err != nil {
		return err
	}
	if db, err = sqlite.Open(ctx, path, sqlite.Options{}); err != nil {
		return err
	}
	defer db.Close()
	if s, err := db.Family(ctx, more[0].id); err != nil || s.State != store.Ended || s.Head < ended.Entry {
		return fmt.Errorf("the ended family is %v, %w", s.State, err)
	}
	if err := stand(ctx, db, written); err != nil {
		return fmt.Errorf("reopened: %w", err)
	}
	return nil
}

// small mounts a small file system, until the test ends.
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

// TestDiskFullOpen opens where there is no room: an error, and nothing that
// would be in the way of an Open later.
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

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		list = append(list, f.Name())
	}
	return list
}

// TestFileLimit is the same under a limit of the file's size, which needs no
// privileges and gives another error number.
func TestFileLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	if out, err := command(t.Context(), "quota", path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	check(t, path)
}

func quotaChild(args []string) error {
	signal.Ignore(syscall.SIGXFSZ)
	db, err := sqlite.Open(context.Background(), args[0], sqlite.Options{})
	if err != nil {
		return err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 300_000, Max: before.Max}); err != nil {
		return err
	}
	return full(context.Background(), db, args[0], func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) })
}
