//go:build unix

package testserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
)

// ask sends one command and returns the first line of the answer. Only a server that
// hangs reaches the timeout.
func ask(addr, command string) (string, error) { return askWithin(2*time.Minute, addr, command) }

func askWithin(d time.Duration, addr, command string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(d))
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

func want(t *testing.T, addr, command, answer string) {
	t.Helper()
	if got, err := ask(addr, command); err != nil || got != answer {
		t.Errorf("%s was answered %q, %v: want %q", command, got, err, answer)
	}
}

func TestRedisKeepsWhatItAcknowledged(t *testing.T) {
	s := testserver.Redis(t)
	want(t, s.Addr, "SET a 1", "+OK")
	s.Kill()
	if _, err := ask(s.Addr, "PING"); err == nil {
		t.Error("a server that was killed answers")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	want(t, s.Addr, "INCR a", ":2")
	s.Pause()
	if _, err := askWithin(300*time.Millisecond, s.Addr, "PING"); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume()
	want(t, s.Addr, "PING", "+PONG")
	s.Stop()
	if s.PID() != 0 {
		t.Error("a server that was stopped has a process")
	}
}

func TestRedisReplicaAndCluster(t *testing.T) {
	master := testserver.Redis(t)
	want(t, master.Addr, "SET a 1", "+OK")
	replica := testserver.RedisReplica(t, master)
	want(t, replica.Addr, "SET a 2", "-READONLY You can't write against a read only replica.")
	nodes := testserver.RedisCluster(t)
	moved := 0
	for _, s := range nodes {
		if got, err := ask(s.Addr, "SET a 1"); err == nil && strings.HasPrefix(got, "-MOVED") {
			moved++
		}
	}
	if moved != 2 {
		t.Errorf("%d of three masters sent a key elsewhere: want two", moved)
	}
}

func TestPostgres(t *testing.T) {
	s := testserver.Postgres(t, "max_connections=10")
	first := s.PID()
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if s.PID() == first || syscall.Kill(first, 0) == nil {
		t.Errorf("process %d runs after a kill", first)
	}
	again(t, s)
	s.Pause()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ssl := []byte{0, 0, 0, 8, 4, 210, 22, 47} // "do you speak TLS?"
	c.Write(ssl)
	c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := c.Read(ssl); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume()
	c.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := c.Read(ssl); err != nil {
		t.Errorf("a server that goes on does not answer: %v", err)
	}
}

// again kills a server and starts it at once, while sessions begin all the time. A
// child that outlived its server would keep the memory, and the next server would end
// at once.
func again(t *testing.T, s *testserver.Server) {
	t.Helper()
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if c, err := net.Dial("tcp", s.Addr); err == nil {
					io.WriteString(c, "\x00\x00\x00\x27\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
					c.Read(make([]byte, 1))
					c.Close()
				}
			}
		})
	}
	defer clients.Wait()
	defer close(done)
	for range rounds.Of(3, 50) {
		time.Sleep(20 * time.Millisecond)
		s.Kill()
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if log := s.Log(); strings.Contains(log, "pre-existing shared memory") {
		t.Errorf("a child of a killed server outlived it:\n%s", log)
	}
}

func TestProxy(t *testing.T) {
	s := testserver.Redis(t)
	p := testserver.NewProxy(t, s.Addr)
	want(t, p.Addr, "INCR a", ":1")
	for _, f := range []struct {
		fault testserver.Fault
		after string // what the server then has
	}{
		{testserver.LoseRequest, ":1"},
		{testserver.HalfRequest, ":1"},
		{testserver.LoseAnswer, ":2"},
		{testserver.HalfAnswer, ":3"},
	} {
		p.Once(f.fault)
		if got, err := ask(p.Addr, "INCR a"); err == nil {
			t.Errorf("fault %d: answered %q", f.fault, got)
		}
		want(t, p.Addr, "INCRBY a 0", f.after)
	}
	if p.Cuts() != 4 {
		t.Errorf("%d cuts: want 4", p.Cuts())
	}
	p.Set(testserver.Hang)
	answer := make(chan string, 1)
	go func() {
		got, err := ask(p.Addr, "INCRBY a 0")
		answer <- fmt.Sprint(got, err)
	}()
	select {
	case got := <-answer:
		t.Errorf("a hanging proxy answered %s", got)
	case <-time.After(200 * time.Millisecond):
	}
	p.Set(testserver.Pass)
	if got := <-answer; got != ":3<nil>" {
		t.Errorf("after hanging: %s", got)
	}
	p.Set(testserver.Refuse)
	if got, err := ask(p.Addr, "PING"); err == nil {
		t.Errorf("a proxy that refuses answered %q", got)
	}
	p.Set(testserver.Pass)
	want(t, p.Addr, "PING", "+PONG")
}
