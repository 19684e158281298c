//go:build unix

package testserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

const postgresPackage = "postgresql"

// postgresDirectories is where Debian, Red Hat and Homebrew keep the programs.
var postgresDirectories = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"}

// StartPostgres makes a cluster in dir, which must exist and be reachable by the
// server's user, and starts postgres on it, with settings such as
// "max_connections=20". The superuser is postgres and needs no password. Where
// this process is root, the server runs as the user postgres or nobody, since it
// refuses root. Kill, Stop or Discard ends it.
func StartPostgres(dir string, settings ...string) (*Server, error) {
	if err := InitPostgres(dir); err != nil {
		return nil, err
	}
	return ServePostgres(dir, settings...)
}

// InitPostgres makes a cluster in dir/data and starts nothing. Copies of a
// cluster that nobody has started cost less than making each.
func InitPostgres(dir string) error {
	initdb, err := find("initdb", postgresPackage, postgresDirectories...)
	if err != nil {
		return err
	}
	as, err := unprivileged(dir)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	cmd := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = dir, attributes(as)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("testserver: initdb: %w\n%s", err, out)
	}
	return nil
}

// ServePostgres starts postgres on the cluster in dir/data, such as the copy of
// another server's.
func ServePostgres(dir string, settings ...string) (*Server, error) {
	program, err := find("postgres", postgresPackage, postgresDirectories...)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir, program: program, as: as, ready: postgresReady, discard: syscall.SIGQUIT}
	s.args = []string{"-D", filepath.Join(dir, "data"), "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", ""}
	for _, setting := range settings {
		s.args = append(s.args, "-c", setting)
	}
	return s, s.Start()
}

// unprivileged returns whom to run as, and gives dir to that user.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("testserver: postgres refuses root, and there is nobody else: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// postgresReady begins a session as the superuser. A server that starts up or
// recovers refuses it.
func postgresReady(ctx context.Context, addr string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if d, ok := ctx.Deadline(); ok {
		c.SetDeadline(d)
	}
	body := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00" // protocol 3.0
	message := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	if _, err := c.Write(append(message, body...)); err != nil {
		return err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		return err
	}
	if first[0] != 'R' {
		return errors.New("it refuses a session")
	}
	return nil
}

// Postgres is [StartPostgres] for a test or a benchmark, which ends it.
func Postgres(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s, err := StartPostgres(PostgresDir(tb), append([]string{PostgresWAL}, settings...)...)
	Need(tb, err)
	tb.Cleanup(s.Discard)
	return s
}

// PostgresWAL is a setting that bounds how much room a server's journal takes,
// for servers whose data are in memory.
const PostgresWAL = "max_wal_size=160MB"

// PostgresDir makes a directory that the server's user can reach, which one of
// [testing.TB.TempDir] is not, and removes it after the test.
func PostgresDir(tb testing.TB) string {
	tb.Helper()
	dir, err := MakePostgresDir()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// MakePostgresDir makes a directory that the server's user can reach, for the
// caller to remove. It is in memory where the system has room there: a commit
// that waits for a disk costs tests more than all else, and what is written
// survives the server's death there as well. The variable TMPDIR names another
// place.
func MakePostgresDir() (string, error) {
	parent := ""
	if os.Getenv("TMPDIR") == "" {
		parent = inMemory()
	}
	return os.MkdirTemp(parent, "wafer-postgres-")
}

// PostgresURL names a database of the server, as a user that needs no password.
func (s *Server) PostgresURL(user, database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, s.Addr, database)
}
