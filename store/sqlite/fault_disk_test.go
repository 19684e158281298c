//go:build unix

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

// filler is a family whose fields have their maximum size.
type filler struct {
	id    store.ID
	value []byte
	last  store.Snapshot
}

// fill writes families with values until a write fails. It returns those that
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

// stand returns an error if an acknowledged family is not as it was written.
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

// full checks a store on a disk that becomes full and then has room again.
func full(ctx context.Context, db *sqlite.Store, path string, makeRoom func() error) error {
	written, err := fill(ctx, db, 5000, 1)
	if err == nil {
		return errors.New("5000 families and the disk is not full")
	}
	if len(written) == 0 {
		return fmt.Errorf("full from the start: %w", err)
	}
	said := err.Error()
	// While the disk stays full, commits go on, alone and in groups. Whether or
	// not they succeed, reads must go on, and acknowledged families must stay.
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
		if _, err := db.Since(ctx, store.Cursor{}, 10, 0); err != nil {
			return fmt.Errorf("while the disk is full: %w", err)
		}
		if page, err := db.Families(ctx, store.Query{Subject: "alice", Limit: 10}); err != nil || len(page.Families) == 0 {
			return fmt.Errorf("while the disk is full: %d families, %w", len(page.Families), err)
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

// TestFileLimit does the same under a limit on the file's size, which needs no
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
