//go:build unix

package testserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is one server, which may be stopped and started again on the same
// port with the same data. Its methods are safe for concurrent use.
type Server struct {
	Addr string // host:port
	Dir  string // its data and its log, server.log

	program string
	args    []string
	as      *syscall.Credential // nil: as this process
	ready   func(ctx context.Context, addr string) error
	discard syscall.Signal // ends it at once, with what it shares given back

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil: not running
	exited chan struct{} // closed when cmd has
}

// patience is how long a server may take to start, to recover or to end. Only
// one that hangs takes as long: a slow disk that others keep busy does not.
const patience = 4 * time.Minute

// restarts is for how long a server that ends at once is started again: another
// process may have had its port for a moment.
const restarts = 30 * time.Second

// ErrMissing says that a server's program is not installed.
var ErrMissing = errors.New("testserver: not installed")

// Need ends the test where err says so: a program that is absent is a reason to
// skip, but in CI a failure.
func Need(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("WAFER_CI") == "":
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
}

// find looks for a program in the PATH and in further directories.
func find(program, debianPackage string, directories ...string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, pattern := range directories {
		found, _ := filepath.Glob(filepath.Join(pattern, program))
		if len(found) > 0 {
			return found[len(found)-1], nil // the newest
		}
	}
	return "", fmt.Errorf("%w: %s is not in the PATH; install the package %s", ErrMissing, program, debianPackage)
}

// FreePort returns a port of the loopback interface that nobody listens on. It
// is outside the range that systems take for outgoing connections, and so is
// the one 10,000 above, which a Redis cluster uses as well.
func FreePort() (int, error) {
	for range 100 {
		port := 12000 + rand.IntN(10000)
		if free(port) && free(port+10000) {
			return port, nil
		}
	}
	return 0, errors.New("testserver: found no free port between 12000 and 22000")
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Start starts a server that was stopped, and waits until it answers.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errors.New("testserver: it runs already")
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		cmd := exec.Command(s.program, s.args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, log, log
		cmd.SysProcAttr = attributes(s.as)
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("testserver: start %s: %w", s.program, err)
		}
		exited := make(chan struct{})
		go func() {
			cmd.Wait()
			close(exited)
		}()
		err := s.answers(ctx, exited)
		if err == nil {
			s.cmd, s.exited = cmd, exited
			return nil
		}
		if !errors.Is(err, errEnded) {
			s.cmd, s.exited = cmd, exited
			s.kill()
			return fmt.Errorf("testserver: %s did not answer within %v: %w; it says:\n%s", s.program, patience, err, s.Log())
		}
		if time.Since(began) > restarts {
			return fmt.Errorf("testserver: %s ended at once, again and again; it says:\n%s", s.program, s.Log())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

var errEnded = errors.New("testserver: it has ended")

// answers waits until the server answers: errEnded if it ends instead.
func (s *Server) answers(ctx context.Context, exited <-chan struct{}) error {
	for {
		one, stop := context.WithTimeout(ctx, 10*time.Second)
		err := s.ready(one, s.Addr)
		stop()
		select {
		case <-exited:
			return errEnded // if anything answered, it was another process
		default:
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-exited:
			return errEnded
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) logFile() string { return filepath.Join(s.Dir, "server.log") }

// Log returns the end of what the server wrote.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b[max(0, len(b)-4096):])
}

// Kill ends the server and its children as a power failure would (SIGKILL), and
// returns when they are gone. What does not run is left alone.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

// Stop ends the server in order (SIGINT: redis-server saves what it is set up
// to save, postgres ends its sessions), and returns when it is gone.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Discard ends a server that nobody starts again. It writes nothing more, and
// leaves nothing in the memory that processes share, as a killed one does.
func (s *Server) Discard() { s.end(s.discard) }

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	syscall.Kill(s.cmd.Process.Pid, signal)
	s.signal(syscall.SIGCONT) // a paused process receives no other signal
	select {
	case <-s.exited:
		s.cmd = nil
	case <-time.After(patience):
		s.kill()
	}
}

// kill kills the server and all of its children, and waits until they are gone.
// The lock is held.
//
// A child that survives its server keeps the server's memory, and the next
// server on the same data refuses to start. So the server is stopped before its
// children are listed: it cannot make one more that nobody kills. And a child
// that is killed while it waits for the disk is gone only when the disk answers.
func (s *Server) kill() {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	syscall.Kill(pid, syscall.SIGSTOP)
	until := time.Now().Add(patience)
	for !stands(pid) && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
	family := children(pid)
	syscall.Kill(pid, syscall.SIGKILL) // first: it must not see its children die
	for _, child := range family {
		syscall.Kill(child, syscall.SIGKILL)
	}
	<-s.exited
	for _, child := range family {
		for !gone(child) && time.Now().Before(until) {
			time.Sleep(time.Millisecond)
		}
	}
	s.cmd = nil
}

// Pause stops the server and its children in their tracks (SIGSTOP): its
// connections stay, and nothing answers.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGSTOP)
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGCONT)
}

// signal reaches the server, then its children.
func (s *Server) signal(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	syscall.Kill(pid, signal)
	for _, child := range children(pid) {
		syscall.Kill(child, signal)
	}
}

// PID returns the server's process id, 0 if it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}
