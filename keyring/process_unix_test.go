//go:build unix

package keyring

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes the test binary a child that plays the role named, with
// the ring file as its only argument.
const roleVariable = "WAFER_KEYRING_TEST_ROLE"

var roles = map[string]func(path string) error{
	"hold the lock":   holdTheLock,
	"rotate":          rotateOnce,
	"swap for ever":   swapForEver,
	"disk full":       changeOnAFullDisk,
	"create on full":  createOnAFullDisk,
	"keeper, no disk": createKeeperOnAFullDisk,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](os.Args[len(os.Args)-1]); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(t testing.TB, role, path string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(must(os.Executable())(t), path)}
	c.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	c.Stderr = os.Stderr
	c.in = must(c.StdinPipe())(t)
	c.out = bufio.NewReader(must(c.StdoutPipe())(t))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	return c
}

func (c *child) waitFor(t testing.TB, line string) {
	t.Helper()
	got, err := c.out.ReadString('\n')
	if err != nil || strings.TrimSpace(got) != line {
		t.Fatalf("the child said %q, %v: want %q", got, err, line)
	}
}

// finish waits for the child, which must succeed, and returns its output.
func (c *child) finish(t testing.TB) string {
	t.Helper()
	c.in.Close()
	out, _ := io.ReadAll(c.out)
	if err := c.Wait(); err != nil {
		t.Fatalf("the child: %v: %s", err, out)
	}
	return string(out)
}

func holdTheLock(path string) error {
	unlock, err := lockFile(context.Background(), path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	fmt.Println("locked")
	io.ReadAll(os.Stdin)
	return nil
}

func TestLockHeldByAnotherProcess(t *testing.T) {
	t.Parallel()
	path := newRingFile(t)
	before := readFile(t, path)
	r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	holder := startChild(t, "hold the lock", path)
	holder.waitFor(t, "locked")

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	_, err := r.Rotate(ctx, epoch, 0) // comes back: the holder lets go only after it
	wantError(t, err, context.DeadlineExceeded)
	if !bytes.Equal(readFile(t, path), before) {
		t.Fatal("written past the lock")
	}
	// Reading needs no lock.
	must(Open(t.Context(), File(path), testKeeper(t)))(t)

	// The lock ends with the process, however that ends.
	done := make(chan error, 1)
	go func() {
		_, err := r.Rotate(t.Context(), epoch, 0)
		done <- err
	}()
	time.Sleep(30 * time.Millisecond)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the lock outlived its process")
	}
}

func rotateOnce(path string) error {
	keeper, err := NewKeeper(keeperText)
	if err != nil {
		return err
	}
	r, err := Open(context.Background(), File(path), keeper)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	io.ReadAll(os.Stdin)
	changed, err := r.Rotate(context.Background(), day(31), DefaultSeals)
	fmt.Println("changed", changed)
	return err
}

func TestProcessesThatRotateAtOnceMakeOneKey(t *testing.T) {
	t.Parallel()
	path := newRingFile(t)
	var children []*child
	for range 5 {
		children = append(children, startChild(t, "rotate", path))
	}
	for _, c := range children {
		c.waitFor(t, "ready")
	}
	for _, c := range children {
		c.in.Close()
	}
	changed := 0
	for _, c := range children {
		changed += strings.Count(c.finish(t), "changed true")
	}
	s := must(Open(t.Context(), File(path), testKeeper(t)))(t).Set()
	if changed != 1 || len(s.Keys()) != 3 || s.Version() != 2 {
		t.Fatalf("%d processes changed the set, which is now %v", changed, s)
	}
}

// swapForEver writes documents that contain their own version until it is killed.
func swapForEver(path string) error {
	source := File(path)
	version, _, err := source.LoadKeys(context.Background())
	for err == nil {
		document := bytes.Repeat([]byte{byte(version + 1)}, 64<<10)
		var swapped bool
		if swapped, err = source.SwapKeys(context.Background(), version, document); swapped {
			version++
			fmt.Println(version)
		}
	}
	return err
}

func TestKilledWriterLeavesAWholeFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring")
	var reached uint64
	for range 6 {
		c := startChild(t, "swap for ever", path)
		c.out.ReadString('\n')
		time.Sleep(time.Duration(rand.Int64N(int64(30 * time.Millisecond))))
		c.Process.Kill()
		said, _ := io.ReadAll(c.out)
		c.Wait()
		version, document, err := File(path).LoadKeys(t.Context())
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		if want := bytes.Repeat([]byte{byte(version)}, 64<<10); !bytes.Equal(document, want) {
			t.Fatalf("version %d is not what was written as it", version)
		}
		var acknowledged uint64
		for line := range strings.Lines(string(said)) {
			if strings.HasSuffix(line, "\n") {
				fmt.Sscan(line, &acknowledged)
			}
		}
		if version <= reached || version < acknowledged {
			t.Fatalf("version %d after %d at the last kill and %d acknowledged", version, reached, acknowledged)
		}
		reached = version
	}
}

// fillTheDisk lets no file of this process grow beyond n bytes: the writes
// fail half-way, as on a full disk.
func fillTheDisk(n uint64) error {
	signal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n})
}

func wantDiskFull(err error) error {
	if !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("on a full disk: %v", err)
	}
	return nil
}

func changeOnAFullDisk(path string) error {
	keeper, err := NewKeeper(keeperText)
	if err != nil {
		return err
	}
	r, err := Open(context.Background(), File(path), keeper)
	if err != nil {
		return err
	}
	if err := fillTheDisk(100); err != nil {
		return err
	}
	before := r.Set()
	_, err = r.Rotate(context.Background(), epoch, 0)
	if before != r.Set() {
		return errors.New("the ring took a set that was not stored")
	}
	return wantDiskFull(err)
}

func createOnAFullDisk(path string) error {
	if err := fillTheDisk(100); err != nil {
		return err
	}
	keeper, err := NewKeeper(keeperText)
	if err != nil {
		return err
	}
	_, err = Create(context.Background(), File(path), keeper, epoch, Schedule{})
	return wantDiskFull(err)
}

func createKeeperOnAFullDisk(path string) error {
	if err := fillTheDisk(20); err != nil {
		return err
	}
	_, err := CreateKeeper(path)
	return wantDiskFull(err)
}

func TestFullDiskLeavesTheOldDocument(t *testing.T) {
	t.Parallel()
	path := newRingFile(t)
	before := readFile(t, path)
	startChild(t, "disk full", path).finish(t)
	if !bytes.Equal(readFile(t, path), before) {
		t.Fatal("the document was changed")
	}
	assertNoLeftovers(t, filepath.Dir(path), "ring", "ring.lock")

	none := filepath.Join(t.TempDir(), "ring")
	startChild(t, "create on full", none).finish(t)
	assertNoLeftovers(t, filepath.Dir(none), "ring.lock")

	none = filepath.Join(t.TempDir(), "keeper")
	startChild(t, "keeper, no disk", none).finish(t)
	assertNoLeftovers(t, filepath.Dir(none))
}
