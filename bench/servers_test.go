package bench

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/waferkit/wafer/bench/internal/app"
	"github.com/waferkit/wafer/internal/testserver"
)

var started struct {
	once    sync.Once
	servers *app.Servers
	err     error
}

// servers starts Redis and Postgres for the first caller. If they are not
// installed, it skips, or fails in CI.
func servers(tb testing.TB) *app.Servers {
	tb.Helper()
	started.once.Do(func() { started.servers, started.err = app.StartServers() })
	testserver.Need(tb, started.err)
	return started.servers
}

func TestMain(m *testing.M) {
	code := m.Run()
	if started.servers != nil {
		if err := started.servers.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// answer is a ResponseWriter that keeps the status and costs next to nothing.
type answer struct {
	header http.Header
	status int
	bytes  int
}

func (a *answer) Header() http.Header { return a.header }
func (a *answer) WriteHeader(s int)   { a.status = s }
func (a *answer) Write(b []byte) (int, error) {
	a.bytes += len(b)
	return len(b), nil
}

// serving returns a function that makes the handler answer the request. It
// restores the request if a library has written into it, and fails the
// benchmark if an answer is wrong.
func serving(tb testing.TB, h http.Handler, request *http.Request) func() {
	w, r, ctx := &answer{header: make(http.Header)}, new(http.Request), request.Context()
	*r = *request
	return func() {
		clear(w.header)
		w.status, w.bytes = 0, 0
		if r.Context() != ctx {
			*r = *request
		}
		h.ServeHTTP(w, r)
		if w.status != 0 || w.bytes == 0 {
			tb.Fatalf("answered %d with %d bytes", w.status, w.bytes)
		}
	}
}

func session(tb testing.TB, a *app.App) *http.Request {
	tb.Helper()
	r, err := a.Session()
	if err != nil {
		tb.Fatal(err)
	}
	return r
}
