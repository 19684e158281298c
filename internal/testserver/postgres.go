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

// postgresDirectories are the places where Debian, Red Hat and Homebrew install the
// programs.
var postgresDirectories = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"}

// StartPostgres makes a cluster in dir and starts postgres on it, with settings such
// as "max_connections=20". The directory must exist, and the server's user must be
// able to reach it. The superuser is postgres and needs no password. If this process
// is root, the server runs as the user postgres or nobody, since it refuses to run
// as root. The caller ends the server by Kill, Stop or Discard. It returns
// [ErrMissing] if the program is not installed.
func StartPostgres(dir string, settings ...string) (*Server, error) {
	if err := InitPostgres(dir); err != nil {
		return nil, err
	}
	return ServePostgres(dir, settings...)
}

// InitPostgres makes a cluster in dir/data without starting a server. To copy such a
// cluster costs less than to make another.
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

// ServePostgres starts postgres on the cluster in dir/data, which may be the copy of
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

// unprivileged returns the user to run the server as, and makes that user the owner
// of dir. It returns nil if this process is not root.
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

// postgresReady begins a session as the superuser. A server that is starting up or
// recovering refuses it.
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

// Postgres is [StartPostgres] for a test or a benchmark, whose end ends the server.
func Postgres(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s, err := StartPostgres(PostgresDir(tb), append([]string{PostgresWAL}, settings...)...)
	Need(tb, err)
	tb.Cleanup(s.Discard)
	return s
}

// PostgresWAL is a setting that bounds the size of a server's journal, for servers
// whose data are in memory.
const PostgresWAL = "max_wal_size=160MB"

// PostgresDir makes a directory that the server's user can reach, and removes it
// after the test. That user cannot reach a directory of [testing.TB.TempDir].
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

// MakePostgresDir makes a directory that the server's user can reach. The caller
// removes it. The directory is in memory if the system has room there: waiting for a
// disk at each commit costs tests more than all else, and files in memory survive
// the death of the server as well. The variable TMPDIR names another place.
func MakePostgresDir() (string, error) {
	parent := ""
	if os.Getenv("TMPDIR") == "" {
		parent = inMemory()
	}
	return os.MkdirTemp(parent, "wafer-postgres-")
}

// PostgresURL returns the URL of a database of the server, for a user that needs no
// password.
func (s *Server) PostgresURL(user, database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, s.Addr, database)
}
