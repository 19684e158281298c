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

// Server is a server that can be stopped and started again on the same port with the
// same data. Its methods are safe for concurrent use.
type Server struct {
	Addr string // host:port
	Dir  string // its data and its log, server.log

	program string
	args    []string
	as      *syscall.Credential // nil for the user of this process
	ready   func(ctx context.Context, addr string) error
	discard syscall.Signal // ends it at once, and releases its shared memory

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil if the server does not run
	exited chan struct{} // closed when cmd has
}

// patience bounds how long a server may take to start, to recover or to end. Only a
// server that hangs takes so long, and not one on a slow or busy disk.
const patience = 4 * time.Minute

// restarts bounds how long Start tries again with a server that ends at once: another
// process may have used its port for a moment.
const restarts = 30 * time.Second

// ErrMissing if a server's program is not installed.
var ErrMissing = errors.New("testserver: not installed")

// Need ends the test unless err is nil. It skips the test on [ErrMissing] outside of
// CI, and fails it otherwise.
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

// find looks for a program in the PATH and then in further directories. It returns
// [ErrMissing] if there is none.
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

// FreePort returns a port of the loopback interface that is not in use. The port, and
// the one 10,000 above it, which a Redis cluster uses as well, are outside the range
// that systems use for outgoing connections.
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

// Start starts a server that was ended, and waits until it answers. It returns an
// error if the server runs already, or if it does not answer within four minutes.
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

// answers waits until the server answers. It returns errEnded if the server ends
// instead.
func (s *Server) answers(ctx context.Context, exited <-chan struct{}) error {
	for {
		one, stop := context.WithTimeout(ctx, 10*time.Second)
		err := s.ready(one, s.Addr)
		stop()
		select {
		case <-exited:
			return errEnded // an answer came from another process
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

// Log returns the last 4 KiB of the server's log.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b[max(0, len(b)-4096):])
}

// Kill ends the server and its children as a power failure would (SIGKILL), and
// returns when they are gone. It does nothing if the server does not run.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

// Stop shuts the server down in order (SIGINT) and returns when it is gone.
// redis-server saves as configured, and postgres ends its sessions.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Discard ends a server that will not be started again. The server writes nothing
// more, but releases its shared memory, which a killed one leaves behind.
func (s *Server) Discard() { s.end(s.discard) }

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	syscall.Kill(s.cmd.Process.Pid, signal)
	s.signal(syscall.SIGCONT) // a paused process handles no other signal
	select {
	case <-s.exited:
		s.cmd = nil
	case <-time.After(patience):
		s.kill()
	}
}

// kill kills the server and all of its children, and waits until they are gone. The
// caller holds the lock.
//
// A child that survives its server keeps the server's memory, and then the next
// server on the same data refuses to start. So kill stops the server before it lists
// the children, since the server could start one more that would not be killed. And
// kill waits for each child: one that is killed while it waits for the disk is gone
// only when the disk answers.
func (s *Server) kill() {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	syscall.Kill(pid, syscall.SIGSTOP)
	until := time.Now().Add(patience)
	for !stopped(pid) && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
	family := children(pid)
	syscall.Kill(pid, syscall.SIGKILL) // first, so that it does not see its children die
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

// Pause stops the server and its children in their tracks (SIGSTOP). Connections stay
// open, and nothing answers.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGSTOP)
}

// Resume lets a paused server continue.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGCONT)
}

// signal sends a signal to the server, then to its children.
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

// PID returns the server's process id, or 0 if the server does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}
