//go:build unix

package testserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const redisPackage = "redis-server"

// StartRedis starts a redis-server with its data in dir, which must exist. The server
// keeps an append-only file that it synchronises at every write, as the engine's
// documentation requires. args change that, as on its command line ("--maxmemory",
// "4mb"). The caller ends the server by Kill or Stop. It returns [ErrMissing] if the
// program is not installed.
func StartRedis(dir string, args ...string) (*Server, error) {
	program, err := find("redis-server", redisPackage)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: dir, program: program, ready: redisReady, discard: syscall.SIGKILL}
	s.args = append([]string{
		"--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--dir", dir, "--daemonize", "no",
		"--save", "", "--appendonly", "yes", "--appendfsync", "always",
		"--repl-diskless-sync-delay", "0", // do not wait for a second replica
	}, args...)
	return s, s.Start()
}

// redisReady sends a PING.
func redisReady(ctx context.Context, addr string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if d, ok := ctx.Deadline(); ok {
		c.SetDeadline(d)
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+PONG") && !strings.HasPrefix(line, "-NOAUTH") {
		err = errors.New(strings.TrimSpace(line))
	}
	return err
}

// Redis is [StartRedis] for a test or a benchmark, whose end kills the server.
func Redis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s, err := StartRedis(tb.TempDir(), args...)
	Need(tb, err)
	tb.Cleanup(s.Kill)
	return s
}

// RedisReplica starts a replica of a master and waits until it has caught up.
func RedisReplica(tb testing.TB, of *Server, args ...string) *Server {
	tb.Helper()
	host, port, _ := net.SplitHostPort(of.Addr)
	s := Redis(tb, append([]string{"--replicaof", host + " " + port}, args...)...)
	await(tb, "the replica to catch up", func() bool {
		return strings.Contains(s.RedisCommand(tb, "INFO", "replication"), "master_link_status:up")
	})
	return s
}

// RedisCluster starts a cluster of three masters.
func RedisCluster(tb testing.TB, args ...string) []*Server {
	tb.Helper()
	var nodes []*Server
	create := []string{"--cluster", "create"}
	for range 3 {
		s := Redis(tb, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000"}, args...)...)
		nodes, create = append(nodes, s), append(create, s.Addr)
	}
	cli, err := find("redis-cli", "redis-tools")
	Need(tb, err)
	if out, err := exec.Command(cli, append(create, "--cluster-yes")...).CombinedOutput(); err != nil {
		tb.Fatalf("testserver: redis-cli --cluster create: %v\n%s", err, out)
	}
	for _, s := range nodes {
		await(tb, "the cluster to form", func() bool {
			info := s.RedisCommand(tb, "CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return nodes
}

// RedisCommand runs one command on the server, and returns the output of redis-cli.
func (s *Server) RedisCommand(tb testing.TB, command ...string) string {
	tb.Helper()
	cli, err := find("redis-cli", "redis-tools")
	Need(tb, err)
	host, port, _ := net.SplitHostPort(s.Addr)
	out, err := exec.Command(cli, append([]string{"-h", host, "-p", port}, command...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("testserver: %s: %v: %s", command[0], err, out)
	}
	return strings.TrimRight(string(out), "\r\n")
}

// await waits until done returns true, and fails the test if that takes longer than
// patience.
func await(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for until := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			tb.Fatalf("testserver: waited %v for %s", patience, what)
		}
	}
}
