//go:build unix

package postgres_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store/postgres"
)

// logged returns a server's whole log.
func logged(t *testing.T, s *testserver.Server) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Requests with a valid cookie must cost the server no statement. The server logs
// every statement.
func TestPromise4_FaultReadsCostNoStatement(t *testing.T) {
	s := serverOf(t, "log_statement=all", "log_min_duration_statement=0")
	statements := func() int {
		log := logged(t, s)
		return strings.Count(log, "statement: ") + strings.Count(log, "execute ")
	}
	// Followers query every 10 s, and poll as rarely.
	w := world(t, faulttest.Config{Access: 2 * time.Minute, Idle: 5 * time.Minute, MaxStaleness: 30 * time.Second},
		postgres.Options{Notify: true, Poll: 10 * time.Second}, func(int) string { return s.Addr })
	const reads = 1000
	var before int
	var began time.Time
	calls, cookies := w.ReadsCost(reads, func() {
		time.Sleep(200 * time.Millisecond)
		before, began = statements(), time.Now()
		if before == 0 {
			t.Error("the server logs nothing")
		}
	})
	time.Sleep(100 * time.Millisecond)
	cost := statements() - before
	most := reads / 10 * (1 + int(time.Since(began)/time.Second)) // by the followers and housekeeping
	t.Logf("%d reads: %d calls of the store, %d cookies set, %d statements of the followers", 3*reads, calls, cookies, cost)
	if calls != 0 || cookies != 0 || cost > most {
		t.Errorf("%d reads took %d calls of the store, %d cookies and %d statements", 3*reads, calls, cookies, cost)
	}
}
