//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

func copyData(t *testing.T, from, to string) {
	t.Helper()
	if err := copyTree(from, to); err != nil {
		t.Fatal(err)
	}
}

// An earlier copy of the server's files is restored, so the log goes back. The
// nodes hold the later revocations: they must keep them in force and write them
// back. Browsers that were not active since must stay logged in.
func faultRestoredFiles(t *testing.T, s *testserver.Server, o postgres.Options) {
	data, copied := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "copy")
	// The log drops what is older than Access, and then no node can write it back. On
	// a busy machine the server may live on for longer than the default.
	w := world(t, faulttest.Config{Access: time.Minute}, o, func(int) string { return s.Addr })
	carol, bob, erin := w.Browser("carol"), w.Browser("bob"), w.Browser("erin")
	var dead store.Position
	w.Run(func() {
		carol.Expect(t, "start", 200, 0)
		bob.Expect(t, "start", 200, 1)
		time.Sleep(500 * time.Millisecond)
		since := time.Now()
		s.Stop()
		copyData(t, data, copied)
		w.Note("the server was copied")
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		w.Settle()
		dead = w.ExpectRevoke(t, 0, wafer.Revocation{Subjects: []string{"carol"}})
		time.Sleep(300 * time.Millisecond)
		erin.Expect(t, "start", 200, 1)
		w.Quiet(func() {
			w.Loses(since)
			s.Kill()
		})
		copyData(t, copied, data)
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		w.Note("the copy runs")
		w.Settle()
		// The copy does not have the session that this login replaces. Run settles
		// in the end, and presents that session's cookies to every node.
		erin.Expect(t, "start", 200, 2)
		bob.Expect(t, "read", 200, 0, 1, 2)
		time.Sleep(300 * time.Millisecond)
	})
	db := open(t, newPool(t, s.PostgresURL("postgres", "postgres")), o)
	c, err := db.Cutoffs(context.Background(), store.ID{}, "carol")
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject < dead {
		t.Errorf("carol is revoked up to %d, want what was lost, %d, written back", c.Subject, dead)
	}
	carol.Expect(t, "read", 401, 0)
}

// The schema is dropped under load. A new log trusts no older cookie, so everybody
// is logged out, and nothing that was revoked may come back. A running engine must
// not create the schema: only nodes that are restarted do.
func faultDroppedSchema(t *testing.T, s *testserver.Server, o postgres.Options) {
	admin := newPool(t, s.PostgresURL("postgres", "postgres"))
	w := world(t, faulttest.Config{}, o, func(int) string { return s.Addr })
	w.Run(func() {
		time.Sleep(400 * time.Millisecond)
		var before []*faulttest.Browser
		for node := range 3 {
			b := w.Browser("alice")
			b.Expect(t, "start", 200, node)
			before = append(before, b)
		}
		w.Loses(time.Time{})
		drop(t, admin, o.Schema)
		time.Sleep(100 * time.Millisecond)
		w.Restart(0)
		w.Settle()
		for node, b := range before {
			b.Expect(t, "read", 401, node)
			b.Expect(t, "start", 200, node)
			b.Expect(t, "read", 200, 0, 1, 2)
		}
		time.Sleep(200 * time.Millisecond)
	})
}

// drop drops a schema that is in use. It may deadlock with a node's transaction,
// and PostgreSQL may choose to end the drop.
func drop(t *testing.T, admin *pgxpool.Pool, schema string) {
	t.Helper()
	for try := 1; ; try++ {
		_, err := admin.Exec(background, "DROP SCHEMA "+quoted(schema)+" CASCADE")
		var e *pgconn.PgError
		if errors.As(err, &e) && e.Code == "40P01" && try < 20 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}
