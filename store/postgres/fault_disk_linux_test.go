package postgres_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
)

// small mounts a small file system that the server's user can reach, for the
// duration of the test.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := testserver.PostgresDir(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("only a superuser may mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

// The disk is full. Writes that need room must fail whole, reads must go on, and a
// server that gave up must go on when there is room again.
func TestFaultDiskFull(t *testing.T) {
	t.Parallel()
	dir := small(t, "192m")
	s := serverIn(t, dir)
	w := world(t, faulttest.Config{}, notified, func(int) string { return s.Addr })
	ballast := filepath.Join(dir, "ballast")
	w.Run(func() {
		time.Sleep(400 * time.Millisecond)
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		for block := make([]byte, 64<<10); err == nil; {
			_, err = f.Write(block)
		}
		f.Close()
		w.Note("the disk is full: %v", err)
		// New rows need new pages, and so does the journal in the end.
		r, failed := wafer.Revocation{}, 0
		for i := range 1000 {
			r.Subjects = append(r.Subjects, string(rune('a'+i%26))+time.Now().String())
		}
		want := rounds.Of(3, 10)
		waitFor(t, "revocations of 1,000 subjects fail", func() bool {
			if _, err := w.Revoke(0, r); err != nil {
				if failed == 0 {
					t.Logf("the first failure: %v", err)
				}
				failed++
			}
			time.Sleep(100 * time.Millisecond)
			return failed >= want
		})
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		w.Note("there is room again")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if c, err := pgx.Connect(ctx, s.PostgresURL("postgres", "postgres")); err == nil {
			c.Close(ctx)
		} else {
			t.Logf("the server has given up: %v", err)
			s.Kill()
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		}
		w.Settle()
		w.ExpectRevoke(t, 0, r)
	})
}
