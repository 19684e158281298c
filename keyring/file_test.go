package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// assertNoLeftovers fails unless dir holds exactly the files named.
func assertNoLeftovers(t testing.TB, dir string, want ...string) {
	t.Helper()
	var names []string
	for _, entry := range must(os.ReadDir(dir))(t) {
		names = append(names, entry.Name())
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Fatalf("the directory holds %q: want %q", names, want)
	}
}

// wantUnreadable fails unless Open refuses the ring in path and Create leaves it
// alone: a file that cannot be read is not absent.
func wantUnreadable(t testing.TB, what, path string, keeper Keeper) {
	t.Helper()
	_, err := Open(t.Context(), File(path), keeper)
	if err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("%s: Open says %v", what, err)
	}
	_, err = Create(t.Context(), File(path), keeper, epoch, Schedule{})
	if err == nil {
		t.Errorf("%s: Create put a new key set in its place", what)
	}
}

func TestFileHoldsTheRing(t *testing.T) {
	path := newRingFile(t)
	r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	must(r.Rotate(t.Context(), day(31), DefaultSeals))(t)
	must(r.Revoke(t.Context(), day(32), r.Set().Keys()[0].ID(), "\"lost\" <laptop> & \u2028 ünïcode"))(t)
	again := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	a, b := must(marshalSet(r.Set()))(t), must(marshalSet(again.Set()))(t)
	if !bytes.Equal(a, b) {
		t.Fatalf("the ring that wrote holds\n%s\nthe one that read holds\n%s", a, b)
	}
	for i, k := range r.Set().Keys() {
		if other := again.Set().Keys()[i]; !k.Expires().Equal(other.Expires()) || !k.Activates().Equal(other.Activates()) {
			t.Errorf("%v: until %v where it was written, until %v where it was read", k, k.Expires(), other.Expires())
		}
	}
	assertNoLeftovers(t, filepath.Dir(path), "ring", "ring.lock")
	lines := strings.Split(string(readFile(t, path)), "\n")
	if len(lines) != 4 || lines[0] != "wafer/1 keyring" || lines[1] != "3" || lines[3] != "" {
		t.Fatalf("the file's lines are %q", lines)
	}
}

func TestFileModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no modes")
	}
	path := newRingFile(t)
	check := func() {
		t.Helper()
		for _, name := range []string{path, path + ".lock"} {
			if mode := must(os.Stat(name))(t).Mode(); mode != 0o600 {
				t.Errorf("%s has mode %v", name, mode)
			}
		}
	}
	check()
	r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	must(r.Rotate(t.Context(), epoch, 0))(t)
	check()
}

func TestFileWithAnyBitFlippedIsRefused(t *testing.T) {
	path := newRingFile(t)
	good := readFile(t, path)
	keeper := testKeeper(t)
	source := file(path)
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			version, sealed, err := parseFile(bad)
			if err != nil {
				continue
			}
			// The seal must refuse what the file's form accepts.
			m := new(memorySource)
			m.put(version, sealed)
			if _, err := Open(t.Context(), m, keeper); err == nil || errors.Is(err, ErrAbsent) {
				t.Fatalf("bit %d of byte %d flipped: Open says %v", bit, i, err)
			}
		}
	}
	// And through the file itself, one bit of each of its lines.
	for _, i := range []int{0, len(documentFormat) + 1, len(good) / 2, len(good) - 2, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		writeFile(t, path, bad)
		wantUnreadable(t, fmt.Sprintf("byte %d flipped", i), string(source), keeper)
		if !bytes.Equal(readFile(t, path), bad) {
			t.Fatal("the file was written")
		}
	}
}

func TestFileThatIsNotWholeIsRefused(t *testing.T) {
	path := newRingFile(t)
	good := readFile(t, path)
	keeper := testKeeper(t)
	for n := range good {
		if version, _, err := parseFile(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are version %d", n, len(good), version)
		}
	}
	_, sealed, err := parseFile(good)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	for what, content := range map[string][]byte{
		"empty file":                   {},
		"half written":                 good[:len(good)/2],
		"the last newline missing":     good[:len(good)-1],
		"one byte more":                append(bytes.Clone(good), 'A'),
		"one newline more":             append(bytes.Clone(good), '\n'),
		"a zero byte more":             append(bytes.Clone(good), 0),
		"twice":                        append(bytes.Clone(good), good...),
		"CRLF":                         bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")),
		"CRLF at the end alone":        append(bytes.Clone(good[:len(good)-1]), "\r\n"...),
		"a carriage return in base64":  []byte(lines[0] + lines[1] + lines[2][:20] + "\r" + lines[2][20:]),
		"a byte order mark":            append([]byte("\xef\xbb\xbf"), good...),
		"all zeros, as after a crash":  make([]byte, len(good)),
		"an older format":              bytes.Replace(good, []byte("wafer/1"), []byte("wafer/0"), 1),
		"outer version raised":         formatFile(2, sealed),
		"outer version huge":           formatFile(1<<63, sealed),
		"outer version 0":              formatFile(0, sealed),
		"outer version with a zero":    []byte(lines[0] + "01\n" + lines[2]),
		"outer version with a plus":    []byte(lines[0] + "+1\n" + lines[2]),
		"outer version out of range":   []byte(lines[0] + "18446744073709551617\n" + lines[2]),
		"no outer version":             []byte(lines[0] + "\n" + lines[2]),
		"nothing sealed":               []byte(lines[0] + lines[1] + "\n"),
		"unpadded base64":              []byte(lines[0] + lines[1] + strings.TrimRight(lines[2], "=\n") + "A\n"),
		"larger than any ring file":    append(bytes.Clone(good), make([]byte, maxFile)...),
		"the keeper's text by mistake": []byte(keeperText + "\n"),
	} {
		writeFile(t, path, content)
		wantUnreadable(t, what, path, keeper)
		if !bytes.Equal(readFile(t, path), content) {
			t.Fatalf("%s: the file was written", what)
		}
	}
}

func TestFileOuterVersionIsBoundToTheSeal(t *testing.T) {
	path := newRingFile(t)
	r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	must(r.Rotate(t.Context(), epoch, 0))(t)
	version, sealed, err := parseFile(readFile(t, path))
	if err != nil || version != 2 {
		t.Fatal(version, err)
	}
	writeFile(t, path, formatFile(3, sealed))
	for name, err := range map[string]error{"the running ring": r.Reload(t.Context()), "a new one": second(Open(t.Context(), File(path), testKeeper(t)))} {
		if err == nil || !strings.Contains(err.Error(), "outer version") {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustPrimary(t, r.Set(), epoch)
}

func second[V any](_ V, err error) error { return err }

func TestFileUnderAnotherKeeper(t *testing.T) {
	path := newRingFile(t)
	wantUnreadable(t, "another keeper", path, must(NewKeeper(staticSecrets[0]))(t))
}

func TestFileThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	keeper := testKeeper(t)

	wantUnreadable(t, "a directory", dir, keeper)

	regular := filepath.Join(dir, "regular")
	writeFile(t, regular, nil)
	wantUnreadable(t, "below a regular file", filepath.Join(regular, "ring"), keeper)

	// Modes do not stop root; a loop of links stops everyone.
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	wantUnreadable(t, "a loop of links", loop, keeper)

	if _, err := os.Stat("/proc/self/mem"); err == nil { // opens, but cannot be read
		_, _, err := file("/proc/self/mem").LoadKeys(t.Context())
		wantError(t, err, syscall.EIO)
	}

	missing := filepath.Join(dir, "missing", "ring")
	_, err := Open(t.Context(), File(missing), keeper)
	wantError(t, err, ErrAbsent)
	_, err = Create(t.Context(), File(missing), keeper, epoch, Schedule{})
	wantError(t, err, fs.ErrNotExist)
}

// A temporary file that a crash left before its rename blocks nobody, and is
// not read as a key set.
func TestFileLeftoversDoNoHarm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	keeper := testKeeper(t)
	leave := func(content []byte) {
		temp := must(writeTemp(path, content))(t)
		if mode := must(os.Stat(temp))(t).Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("a temporary file has mode %v", mode)
		}
	}
	leave([]byte("half a docu"))
	writeFile(t, path+".lock", nil) // a lock file that nobody holds
	_, err := Open(t.Context(), File(path), keeper)
	wantError(t, err, ErrAbsent)
	r := must(Create(t.Context(), File(path), keeper, epoch, Schedule{}))(t)
	newer := must(r.Set().rotate(epoch, 0))(t)
	leave(formatFile(2, must(keeper.Encrypt(t.Context(), must(marshalSet(newer))(t)))(t)))
	if v := must(Open(t.Context(), File(path), keeper))(t).Set().Version(); v != 1 {
		t.Fatalf("opened version %d: the one that never got its name", v)
	}
	must(r.Rotate(t.Context(), day(1), 0))(t)
	if v := must(Open(t.Context(), File(path), keeper))(t).Set().Version(); v != 2 {
		t.Fatalf("version %d after a rotation", v)
	}
}

func TestFileSwapComparesVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	source := File(path)
	for _, c := range []struct {
		version uint64
		want    bool
	}{{0, true}, {0, false}, {2, false}, {1, true}, {1, false}, {2, true}} {
		document := []byte{byte(c.version), 7}
		swapped, err := source.SwapKeys(t.Context(), c.version, document)
		if err != nil || swapped != c.want {
			t.Fatalf("swap of version %d: %v, %v: want %v", c.version, swapped, err, c.want)
		}
		if swapped {
			version, got, err := source.LoadKeys(t.Context())
			if err != nil || version != c.version+1 || !bytes.Equal(got, document) {
				t.Fatalf("loaded version %d %x, %v", version, got, err)
			}
		}
	}
	assertNoLeftovers(t, filepath.Dir(path), "ring", "ring.lock")
}

// The first document may have any version: a key set that was moved here keeps
// its own.
func TestFileSwapOfTheFirstVersion(t *testing.T) {
	source := File(filepath.Join(t.TempDir(), "ring"))
	for _, want := range []bool{true, false} {
		if swapped, err := source.SwapKeys(t.Context(), 6, []byte("moved")); err != nil || swapped != want {
			t.Fatalf("%v, %v: want %v", swapped, err, want)
		}
		if version, _, err := source.LoadKeys(t.Context()); err != nil || version != 7 {
			t.Fatalf("version %d, %v: want 7", version, err)
		}
	}
}

func TestFileRefusesToSwapOverWhatItCannotRead(t *testing.T) {
	path := newRingFile(t)
	r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	writeFile(t, path, []byte("junk"))
	if _, err := r.Rotate(t.Context(), epoch, 0); err == nil {
		t.Fatal("rotated over junk")
	}
	if swapped, err := File(path).SwapKeys(t.Context(), 1, []byte("x")); swapped || err == nil {
		t.Fatal("swapped over junk", err)
	}
	if got := readFile(t, path); string(got) != "junk" {
		t.Fatalf("the file became %q", got)
	}
}
