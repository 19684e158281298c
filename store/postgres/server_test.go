//go:build unix

package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store/postgres"
)

// shared is the server of all tests that do no harm to it.
var shared struct {
	sync.Once
	dir    string
	server *testserver.Server
	err    error
}

// template is a cluster that was never started. Each server gets a copy.
var template struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Discard()
	}
	for _, dir := range []string{shared.dir, template.dir} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

// server returns the shared server, and starts it if it does not run yet.
func server(t testing.TB) *testserver.Server {
	t.Helper()
	shared.Do(func() {
		make := testserver.MakePostgresDir
		if _, benchmark := t.(*testing.B); benchmark {
			// The cost of commits is measured on a disk.
			make = func() (string, error) { return os.MkdirTemp("", "wafer-postgres-") }
		}
		if shared.dir, shared.err = make(); shared.err == nil {
			settings := []string{"max_connections=200"}
			if rounds.Full() {
				// Autovacuum interferes as much as it can. It looks at every table
				// of every test's schema each time.
				settings = append(settings, "autovacuum_naptime=1s")
			}
			shared.server, shared.err = serve(shared.dir, settings...)
		}
	})
	testserver.Need(t, shared.err)
	return shared.server
}

// serverOf starts a server for one test.
func serverOf(t testing.TB, settings ...string) *testserver.Server {
	t.Helper()
	return serverIn(t, testserver.PostgresDir(t), settings...)
}

// serverIn is serverOf with its data in dir.
func serverIn(t testing.TB, dir string, settings ...string) *testserver.Server {
	t.Helper()
	s, err := serve(dir, settings...)
	testserver.Need(t, err)
	t.Cleanup(s.Discard)
	return s
}

// serve starts a server on a copy of the template.
func serve(dir string, settings ...string) (*testserver.Server, error) {
	template.Do(func() {
		if template.dir, template.err = testserver.MakePostgresDir(); template.err == nil {
			template.err = testserver.InitPostgres(template.dir)
		}
	})
	if template.err != nil {
		return nil, template.err
	}
	if err := copyTree(filepath.Join(template.dir, "data"), filepath.Join(dir, "data")); err != nil {
		return nil, err
	}
	return testserver.ServePostgres(dir, append([]string{testserver.PostgresWAL}, settings...)...)
}

// copyTree copies the cluster of a server that does not run, and keeps its owner.
func copyTree(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-Rp", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w\n%s", err, out)
	}
	return nil
}

// serverURL returns the URL of the shared server's database, as its superuser.
func serverURL(t testing.TB) string { return server(t).PostgresURL("postgres", "postgres") }

var schemas atomic.Int64

// newSchema returns the name of a schema for one test. It stays until the server
// ends.
func newSchema() string { return fmt.Sprintf("test_%d", schemas.Add(1)) }

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(url, pooled) {
		dial := config.ConnConfig.DialFunc
		config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return uncancelled{conn}, err
		}
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// pooled in a URL says that it leads through pgbouncer.
const pooled = "application_name=pooled"

// uncancelled is a connection that sends no request to cancel a query, which the
// driver does on a connection of its own. On such a request pgbouncer 1.18, which
// Debian 12 has, sometimes exits with "server in bad state" (its issue 822).
type uncancelled struct{ net.Conn }

func (c uncancelled) Write(b []byte) (int, error) {
	const cancelRequest = 80877102
	if len(b) == 16 && binary.BigEndian.Uint32(b) == 16 && binary.BigEndian.Uint32(b[4:]) == cancelRequest {
		return 0, errors.New("pgbouncer may exit on a request to cancel a query")
	}
	return c.Conn.Write(b)
}

func open(t testing.TB, pool *pgxpool.Pool, o postgres.Options) *postgres.Store {
	t.Helper()
	db, err := postgres.Open(context.Background(), pool, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// openNew opens a store for one test in the shared server.
func openNew(t testing.TB) (*postgres.Store, *pgxpool.Pool, postgres.Options) {
	t.Helper()
	pool, o := newPool(t, serverURL(t)), postgres.Options{Schema: newSchema()}
	return open(t, pool, o), pool, o
}

func exec1(t testing.TB, q interface {
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
}, into any, text string, args ...any) {
	t.Helper()
	if err := q.QueryRow(context.Background(), text, args...).Scan(into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func run(t testing.TB, pool *pgxpool.Pool, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := pool.Exec(context.Background(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// moving gives a schema a clock that is ahead by the value in a table of the schema
// from.
func moving(t testing.TB, admin *pgxpool.Pool, schema, from string) {
	t.Helper()
	run(t, admin, "CREATE OR REPLACE FUNCTION "+quoted(schema)+".clock() RETURNS bigint LANGUAGE sql VOLATILE AS "+
		"$$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + (SELECT ms FROM "+quoted(from)+".ahead) $$")
}

// clockOf makes the table of a schema's clock, and returns a function that moves the
// clock.
func clockOf(t testing.TB, admin *pgxpool.Pool, schema string) (move func(d time.Duration)) {
	t.Helper()
	run(t, admin, "CREATE TABLE "+quoted(schema)+".ahead AS SELECT 0::bigint AS ms", "GRANT SELECT ON "+quoted(schema)+".ahead TO PUBLIC")
	moving(t, admin, schema, schema)
	return func(d time.Duration) {
		run(t, admin, fmt.Sprintf("UPDATE %s.ahead SET ms = ms + %d", quoted(schema), d.Milliseconds()))
	}
}

// bouncer starts pgbouncer in transaction mode before the shared server, and
// returns its URL.
func bouncer(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		for _, path := range []string{"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer"} {
			if _, e := os.Stat(path); e == nil {
				program, err = path, nil
			}
		}
	}
	if err != nil {
		testserver.Need(t, fmt.Errorf("%w: pgbouncer is not in the PATH; install the package pgbouncer", testserver.ErrMissing))
	}
	s := server(t)
	dir, err := os.MkdirTemp("", "wafer-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port, err := testserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	_, target, _ := cutLast(s.Addr, ':')
	for name, text := range map[string]string{
		"users": "\"postgres\" \"\"\n",
		"ini": fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 3
max_client_conn = 500
`, target, port, filepath.Join(dir, "users")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-q", filepath.Join(dir, "ini"))
	cmd.Dir = dir
	if os.Geteuid() == 0 { // pgbouncer refuses to run as root
		u, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("pgbouncer ended with %v, and said:\n%s", cmd.ProcessState, said)
		}
	})
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable&"+pooled, port)
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), url)
		if err == nil {
			conn.Close(context.Background())
			return url
		}
		if time.Now().After(until) {
			said, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("pgbouncer does not answer: %v; it says:\n%s", err, said)
		}
	}
}

func cutLast(s string, at byte) (before, after string, found bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == at {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
