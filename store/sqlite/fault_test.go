//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

func init() { roles["nobody"] = nobodyChild }

// sample is a closed store, and what it must contain.
type sample struct {
	path   string
	size   int64
	log    store.ID
	head   store.Position
	ended  store.ID
	cutOff store.ID
	alive  []*filler
}

func newSample(t *testing.T) *sample {
	t.Helper()
	s := &sample{path: filepath.Join(t.TempDir(), "wafer.db"), ended: store.ID{9, 1}, cutOff: store.ID{9, 2}}
	db := openOnly(t, s.path, sqlite.Options{})
	ctx := t.Context()
	for id, subject := range map[store.ID]string{s.ended: "bob", s.cutOff: "carol"} {
		if _, err := db.Create(ctx, store.Creation{ID: id, Subject: subject, Idle: time.Hour, Absolute: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{s.ended}, Subjects: []string{"carol"}}); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.alive, err = fill(ctx, db, 40, 1); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 300 { // pages of families alone
		group.Go(func() {
			if _, err := db.Create(ctx, store.Creation{ID: store.ID{8, byte(i >> 8), byte(i)}, Subject: fmt.Sprint(i), Idle: time.Hour, Absolute: time.Hour}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b, err := db.Since(ctx, store.Cursor{}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.log, s.head = b.Log, b.Head
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.path)
	must(t, err)
	s.size = info.Size()
	return s
}

// damaged copies the sample and calls damage with the copy.
func (s *sample) damaged(t *testing.T, damage func(f *os.File) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wafer.db")
	copyTo(t, s.path, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	must(t, damage(f))
	must(t, f.Close())
	return path
}

// survey opens a damaged file and uses all of it. It returns the first error,
// which is how damage may show. A wrong result without an error fails the test.
// Nothing can be expected of damaged rows, so rows are compared only if whole is
// set.
func (s *sample) survey(t *testing.T, path string, whole bool) error {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	ctx := t.Context()
	c, err := db.Cutoffs(ctx, s.ended, "carol")
	if err != nil {
		return err
	}
	if c.Log != s.log || c.Head < s.head {
		t.Errorf("a log of its own: %+v; it was %v up to %d", c, s.log, s.head)
	}
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if whole {
		for id, want := range map[store.ID]store.State{s.ended: store.Ended, s.cutOff: store.CutOff} {
			snap, err := db.Family(ctx, id)
			note(err)
			if err == nil && snap.State != want {
				t.Errorf("a family that was %v is %v", want, snap.State)
			}
		}
		note(stand(ctx, db, s.alive))
	}
	entries := 0
	for at := (store.Cursor{}); ; {
		b, err := db.Since(ctx, at, store.MaxEntries, 0)
		note(err)
		if err != nil || len(b.Entries) == 0 {
			break
		}
		entries += len(b.Entries)
		last := b.Entries[len(b.Entries)-1]
		at = store.Cursor{Position: last.Position, ID: last.ID}
	}
	if first == nil && whole && entries != len(s.alive)+3 {
		t.Errorf("%d entries of %d", entries, len(s.alive)+3)
	}
	for _, f := range s.alive[:10] {
		snap, err := db.Family(ctx, f.id)
		note(err)
		_, err = db.Advance(ctx, store.Advance{ID: f.id, Generation: max(1, snap.Family.Generation), Basis: store.MaxPosition})
		note(err)
	}
	_, err = db.Families(ctx, store.Query{Subject: "alice", Limit: 100})
	note(err)
	_, err = fill(ctx, db, 5, 3)
	note(err)
	_, err = db.Revoke(ctx, store.Revocation{Sessions: []store.ID{{7}}, Subjects: []string{"alice"}, Everyone: true})
	note(err)
	note(db.Sweep(ctx))
	return first
}

func TestTruncated(t *testing.T) {
	s := newSample(t)
	for _, size := range []int64{0, 1, 99, 100, 511, 512, 1024, 4095, 4096, 4097, s.size / 2, s.size/2&^4095 + 4096, s.size - 4096, s.size - 1} {
		path := s.damaged(t, func(f *os.File) error { return f.Truncate(size) })
		if err := s.survey(t, path, true); err == nil {
			// SQLite may treat a short last page as one that ends in zeros.
			// Then everything must be there, as survey checks.
			if size != s.size-1 {
				t.Errorf("cut to %d bytes of %d: no error", size, s.size)
			}
			continue
		} else if size < 5000 {
			t.Logf("cut to %d bytes: %v", size, err)
		}
		// An error, but nothing new in its place.
		if info, err := os.Stat(path); err != nil || info.Size() != size {
			t.Errorf("cut to %d bytes: it is now %d, %v", size, info.Size(), err)
		}
	}
}

// TestTruncatedWAL truncates the WAL that a kill left. The rest must show the
// store at one moment.
func TestTruncatedWAL(t *testing.T) {
	original, _ := killed(t)
	info, err := os.Stat(original + "-wal")
	must(t, err)
	for _, size := range []int64{0, 1, 32, 56, 4152, 10_000, info.Size() / 2, info.Size() - 1} {
		path := filepath.Join(t.TempDir(), "wafer.db")
		copyTo(t, original, path)
		copyTo(t, original+"-wal", path+"-wal")
		must(t, os.Truncate(path+"-wal", size))
		db := openOnly(t, path, sqlite.Options{})
		b, err := db.Since(t.Context(), store.Cursor{}, 1000, 0)
		if err != nil || len(b.Entries) == 0 || b.Entries[len(b.Entries)-1].Position != b.Head {
			t.Errorf("cut to %d bytes: %d entries to %d, %v", size, len(b.Entries), b.Head, err)
		}
		var before store.Position
		for _, e := range b.Entries {
			if e.Previous != before {
				t.Errorf("cut to %d bytes: a gap between %d and %d", size, before, e.Position)
			}
			before = e.Position
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		check(t, path)
	}
}

// TestOverwritten overwrites whole pages of the file, which SQLite can detect.
func TestOverwritten(t *testing.T) {
	s := newSample(t)
	r := rand.New(rand.NewPCG(1, 2))
	junk := func(n int64) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	const page = 4096
	for _, c := range []struct {
		name string
		at   int64
		with []byte
	}{
		{"zeros over the name", 0, make([]byte, 16)},
		{"zeros over the header", 0, make([]byte, 100)},
		{"junk over the header", 0, junk(100)},
		{"zeros over the first page", 0, make([]byte, page)},
		{"junk over the first page", 0, junk(page)},
		{"zeros over the schema", 100, make([]byte, page-100)},
		{"zeros from the second page on", page, make([]byte, s.size-page)},
		{"junk from the second page on", page, junk(s.size - page)},
		{"zeros over half", s.size / 2 &^ (page - 1), make([]byte, s.size/2)},
		{"junk over half", s.size / 2 &^ (page - 1), junk(s.size / 2)},
		{"all zeros", 0, make([]byte, s.size)},
	} {
		path := s.damaged(t, func(f *os.File) error {
			_, err := f.WriteAt(c.with, c.at)
			return err
		})
		if err := s.survey(t, path, true); err == nil {
			t.Errorf("%s: no error", c.name)
		} else {
			t.Logf("%s: %v", c.name, err)
		}
	}
}

// TestScribbled writes junk into random places. SQLite keeps no checksums, so a
// row may change unnoticed; but nothing may panic, hang or start afresh.
func TestScribbled(t *testing.T) {
	s := newSample(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	noticed := 0
	const rounds = 15
	for range rounds {
		path := s.damaged(t, func(f *os.File) error {
			for range 1 + r.IntN(8) {
				b := make([]byte, 1+r.IntN(300))
				for i := range b {
					b[i] = byte(r.Uint32())
				}
				if _, err := f.WriteAt(b, 4096+r.Int64N(s.size-8192)); err != nil {
					return err
				}
			}
			return nil
		})
		if s.usable(t, path) != nil {
			noticed++
		}
	}
	t.Logf("%d of %d were noticed", noticed, rounds)
}

// usable is survey for a file whose log row may be damaged too.
func (s *sample) usable(t *testing.T, path string) error {
	t.Helper()
	other := *s
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		return err
	}
	c, err := db.Cutoffs(t.Context(), store.ID{}, "")
	db.Close()
	if err != nil {
		return err
	}
	if c.Head == c.Everyone && c.Head > s.head && c.Log != s.log {
		t.Error("a damaged file was begun anew")
	}
	other.log, other.head = c.Log, c.Head
	return other.survey(t, path, false)
}

// TestDamagedWhileOpen overwrites the file while a store has it open. Reads and
// writes must fail without a panic.
func TestDamagedWhileOpen(t *testing.T) {
	s := newSample(t)
	db := openOnly(t, s.path, sqlite.Options{})
	// As another process: closing a file drops this one's locks on it.
	if out, err := command(t.Context(), "zero", s.path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	failed := 0
	for _, f := range s.alive {
		if _, err := db.Family(t.Context(), f.id); err != nil {
			failed++
		}
		if _, err := db.Commit(t.Context(), store.Commit{ID: f.id, Basis: store.MaxPosition, Value: f.value}); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("nobody noticed")
	}
	_ = db.Close()
}

func init() { roles["zero"] = zeroChild }

func zeroChild(args []string) error {
	info, err := os.Stat(args[0])
	if err != nil {
		return err
	}
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, info.Size()-4096), 4096)
	return err
}

// TestPermissions opens the file as a user who may not. A superuser may do
// everything, so the test uses a process that has given up that right.
func TestPermissions(t *testing.T) {
	const nobody = 65534
	for _, c := range []struct {
		name            string
		file, directory fs.FileMode
		owner           int
		absent          bool
	}{
		{"read-only file", 0o400, 0o700, nobody, false},
		{"unreadable file", 0o000, 0o700, nobody, false},
		{"somebody else's file", 0o600, 0o777, 0, false},
		{"somebody else's file that all may read", 0o644, 0o777, 0, false},
		{"read-only directory", 0o600, 0o500, nobody, false},
		{"read-only directory without a file", 0o600, 0o500, nobody, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "wafer.db")
			written := made(t, file)
			dir := filepath.Dir(file)
			must(t, os.Chmod(filepath.Dir(dir), 0o711))
			if os.Getuid() != 0 {
				if c.owner != nobody {
					t.Skip("only a superuser has files of somebody else's")
				}
			} else {
				must(t, os.Chown(dir, nobody, nobody))
				must(t, os.Chown(file, c.owner, c.owner))
			}
			must(t, os.Chmod(file, c.file))
			path := file
			if c.absent {
				path += ".absent"
			}
			must(t, os.Chmod(dir, c.directory))
			out, err := command(t.Context(), "nobody", path).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			t.Logf("%s", out)
			must(t, os.Chmod(dir, 0o700))
			must(t, os.Chmod(file, 0o600))
			if c.owner == nobody {
				// Once its owner may write it again, nothing prevents Open.
				if out, err := command(t.Context(), "nobody", file).CombinedOutput(); err == nil || !strings.Contains(string(out), errOpened.Error()) {
					t.Errorf("its owner, who may again: %v, %s; beside it: %v", err, out, names(t, dir))
				}
			}
			db := open(t, file, sqlite.Options{})
			if err := stand(t.Context(), db, written); err != nil {
				t.Error(err)
			}
		})
	}
}

var errOpened = errors.New("it was opened")

// nobodyChild succeeds if it may not open the file.
func nobodyChild(args []string) error {
	if os.Getuid() == 0 {
		const nobody = 65534
		if err := syscall.Setgroups(nil); err != nil {
			return err
		}
		if err := syscall.Setgid(nobody); err != nil {
			return err
		}
		if err := syscall.Setuid(nobody); err != nil {
			return err
		}
	}
	db, err := sqlite.Open(context.Background(), args[0], sqlite.Options{BusyTimeout: 200 * time.Millisecond})
	if err == nil {
		db.Close()
		return errOpened
	}
	fmt.Println(err)
	return nil
}
