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

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil: not running
	exited chan struct{} // closed when cmd has
}

// startTimeout is how long a server may take until it answers.
const startTimeout = 60 * time.Second

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
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
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
		for {
			one, stop := context.WithTimeout(ctx, time.Second)
			err := s.ready(one, s.Addr)
			stop()
			if err == nil {
				s.cmd, s.exited = cmd, exited
				return nil
			}
			if ctx.Err() != nil {
				cmd.Process.Kill()
				<-exited
				return fmt.Errorf("testserver: %s did not answer within %v: %w; it says:\n%s", s.program, startTimeout, err, s.Log())
			}
			select {
			case <-exited:
			case <-time.After(10 * time.Millisecond):
				continue
			}
			break
		}
		// It gave up: what was killed just now may still hold the port or
		// the memory.
		select {
		case <-ctx.Done():
			return fmt.Errorf("testserver: %s ended at once; it says:\n%s", s.program, s.Log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Until(deadline(ctx)) < startTimeout-10*time.Second {
			return fmt.Errorf("testserver: %s ended at once, again and again; it says:\n%s", s.program, s.Log())
		}
	}
}

func deadline(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

func (s *Server) logFile() string { return filepath.Join(s.Dir, "server.log") }

// Log returns the end of what the server wrote.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b[max(0, len(b)-4096):])
}

// Kill ends the server and its children as a power failure would (SIGKILL), and
// returns when they are gone. What does not run is left alone.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in order (SIGINT: redis-server saves what it is set up
// to save, postgres ends its sessions), and returns when it is gone.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	family := children(pid)
	if signal == syscall.SIGKILL {
		syscall.Kill(pid, signal) // first: it must not see its children die
		for _, child := range family {
			syscall.Kill(child, signal)
		}
	} else {
		syscall.Kill(pid, signal)
	}
	s.signal(syscall.SIGCONT) // what is paused hears no other signal
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		syscall.Kill(pid, syscall.SIGKILL)
		<-s.exited
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
