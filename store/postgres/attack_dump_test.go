//go:build unix

package postgres_test

import (
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
)

// TestADumpIsABackup restores a dump of pg_dump into another database. The log must
// be the same one at an earlier time, and lost entries can be written back.
func TestADumpIsABackup(t *testing.T) {
	program, err := exec.LookPath("pg_dump")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		if len(found) == 0 {
			t.Fatal("pg_dump comes with postgres, and is not there")
		}
		program = found[len(found)-1]
	}
	db, pool, o := openNew(t)
	f := loggedIn(t, db, enginebench.ID(1), time.Hour)
	named := store.Creation{ID: enginebench.ID(2), Subject: "bob", Actor: "support", Names: []store.Name{{0, '\\', 0xff}}, Key: store.Key{1}, Seal: store.Seal{2}, Idle: time.Hour, Absolute: time.Hour}
	other, err := db.Create(background, named)
	if err != nil || other.Outcome != store.Written {
		t.Fatal(other.Outcome, err)
	}
	if p, err := db.Announce(background, store.Announcement{Realm: "shop", Ring: enginebench.ID(4), RingVersion: 7, Node: enginebench.ID(5)}); err != nil || !p.Accepted {
		t.Fatal(p, err)
	}
	s, err := db.Commit(background, store.Commit{ID: f.ID, Basis: f.Position, Value: []byte("\x00value\\")})
	if err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	// As inserts, so that the text can be sent by the driver.
	dump, err := exec.Command(program, "-d", serverURL(t), "--schema", quoted(o.Schema), "--rows-per-insert", "100", "--no-owner").Output()
	if err != nil {
		t.Fatal(err)
	}
	at, err := db.Since(background, store.Cursor{}, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := db.Revoke(background, store.Revocation{Sessions: []store.ID{f.ID}})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := db.Since(background, after(at), 10, 0)
	if err != nil || len(entries.Entries) != 1 {
		t.Fatal(len(entries.Entries), err)
	}

	database := newSchema()
	run(t, pool, "CREATE DATABASE "+database)
	url := server(t).PostgresURL("postgres", database)
	conn, err := pgx.Connect(background, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(background)
	// Newer releases of pg_dump add commands of psql that are not SQL.
	lines := slices.DeleteFunc(strings.SplitAfter(string(dump), "\n"), func(line string) bool { return strings.HasPrefix(line, "\\") })
	if _, err := conn.PgConn().Exec(background, strings.Join(lines, "")).ReadAll(); err != nil {
		t.Fatal(err)
	}
	o.MustExist = true
	again := open(t, newPool(t, url), o)
	got, err := again.Family(background, f.ID)
	if err != nil || got.State != store.Alive || string(got.Family.Value) != "\x00value\\" || got.Log != s.Log || got.Head != s.Head {
		t.Fatalf("%v, %q, log %v, head %d, %v: want the family and the log of before, head %d", got.State, got.Family.Value, got.Log, got.Head, err, s.Head)
	}
	if got, err := again.Family(background, named.ID); err != nil || !reflect.DeepEqual(got.Family, other.Family) {
		t.Errorf("%+v, %v: want %+v", got.Family, err, other.Family)
	}
	if p, err := again.Announce(background, store.Announcement{Realm: "another"}); err != nil || p.Accepted || p.Realm != "shop" || p.RingVersion != 7 || len(p.Nodes) != 1 {
		t.Errorf("%+v, %v: want the realm, the ring and the node of before", p, err)
	}
	if r, err := again.Revoke(background, store.Revocation{Name: named.Names[0]}); err != nil || r.Ended != 1 {
		t.Errorf("a name's revocation ends %d, %v: want the one that bears it", r.Ended, err)
	}
	r, err := again.Restore(background, store.Restoration{Entries: entries.Entries, Above: lost.Head})
	if err != nil || r.Outcome != store.Written || r.Entry <= lost.Entry {
		t.Errorf("restored at %d, %v, %v: want above what was lost, %d", r.Entry, r.Outcome, err, lost.Entry)
	}
	if a, err := again.Advance(background, store.Advance{ID: f.ID, Generation: 1, Basis: s.Entry}); err != nil || a.State != store.Ended {
		t.Errorf("%v, %v: want it ended again", a.State, err)
	}
}
