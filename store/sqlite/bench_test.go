package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// The benchmarks compare the engine with the bare statements that do the same
// work: through the same driver, on the same schema and file system, with the
// same pragmas, in the same run. Rounds of both alternate. Reported are the
// medians of both rates and of their ratio:
//
//	bare/s     operations a second by the statements alone
//	store/s    operations a second by the Store
//	%store-of-bare   the ratio
//
// The budgets are 60% with 64 clients, against statements that are committed in
// groups, and 80% with one client, against statements that are committed one by
// one: in BEGIN IMMEDIATE and COMMIT, which is faster than a statement that
// commits itself.

// BenchmarkAdvance compares a refresh with its UPDATE.
func BenchmarkAdvance(b *testing.B) {
	compare(b, func(b *testing.B, clients int) (bare, engine func(i int) error) {
		path, ids := filled(b, 10_000)
		other := copied(b, path)
		db := open(b, path, sqlite.Options{})
		c := newBare(b, other, clients)
		generations, bareGenerations := enginebench.Generations(len(ids)), enginebench.Generations(len(ids))
		bare = func(i int) error {
			// One client at a time uses a family.
			i = i % len(ids)
			g := bareGenerations[i]
			bareGenerations[i]++
			return c.do(func(c *bareCommitter) error { return c.advance(ids[i], g) })
		}
		engine = func(i int) error {
			i = i % len(ids)
			g := generations[i]
			generations[i]++
			s, err := db.Advance(b.Context(), store.Advance{ID: ids[i], Generation: g})
			if err == nil && s.Outcome != store.Written {
				err = fmt.Errorf("%v, %v", s.Outcome, s.State)
			}
			return err
		}
		return bare, engine
	})
}

// BenchmarkRevoke compares a logout with its INSERT and UPDATE.
func BenchmarkRevoke(b *testing.B) {
	compare(b, func(b *testing.B, clients int) (bare, engine func(i int) error) {
		path, ids := filled(b, 40_000)
		other := copied(b, path)
		db := open(b, path, sqlite.Options{})
		c := newBare(b, other, clients)
		// Each family is revoked once. After that the ids are unknown ones.
		id := func(i int) store.ID {
			if i < len(ids) {
				return ids[i]
			}
			return enginebench.ID(1<<40 + i)
		}
		bare = func(i int) error {
			return c.do(func(c *bareCommitter) error { return c.revoke(id(i)) })
		}
		engine = func(i int) error {
			s, err := db.Revoke(b.Context(), store.Revocation{Sessions: []store.ID{id(i)}, Reason: "logout"})
			if err == nil && s.Outcome != store.Written {
				err = fmt.Errorf("%v, %v", s.Outcome, s.State)
			}
			return err
		}
		return bare, engine
	})
}

// compare runs rounds of both in turn at 1, 64 and 256 clients.
func compare(b *testing.B, prepare func(b *testing.B, clients int) (bare, engine func(i int) error)) {
	for _, clients := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			b.Logf("on %s", fileSystem(b.TempDir()))
			bare, engine := prepare(b, clients)
			ops := 40 * clients
			if clients == 1 {
				ops = 200
			}
			enginebench.Compare(b, clients, ops, enginebench.Way{Name: "bare", Do: bare}, enginebench.Way{Name: "store", Do: engine})
		})
	}
}

// bareCommitter is the smallest thing that commits in groups. It distinguishes no
// errors, and has no contexts and no log.
type bareCommitter struct {
	conn                *sql.Conn
	update, insert, end *sql.Stmt
	begin, commit       *sql.Stmt
	alone               bool // one client: each statement commits itself
	queue               chan *bareWrite
	position            int64
}

type bareWrite struct {
	do   func(c *bareCommitter) error
	done chan error
}

// bareUpdate is the statement of a refresh as one would write it by hand.
const bareUpdate = `UPDATE families SET generation = generation + 1, copy = 0, used = 0, issued = ?1, position = max(position, ?2)
	WHERE id = ?3 AND generation = ?4 AND ended = 0 AND issued + idle > ?1 AND max(started, authenticated) + absolute > ?1
	AND birth >= max(?5, coalesce((SELECT position FROM subjects s WHERE s.subject = families.subject), 0))
	RETURNING subject, label, birth, position, last_commit, generation, copy, used, started, authenticated, issued, idle, absolute`

func newBare(b *testing.B, path string, clients int) *bareCommitter {
	pragmas := []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(67108864)", "cache_size(-16384)"}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}).String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	ctx := context.Background()
	c := &bareCommitter{alone: clients == 1, queue: make(chan *bareWrite, 256)}
	if c.conn, err = db.Conn(ctx); err != nil {
		b.Fatal(err)
	}
	for text, s := range map[string]**sql.Stmt{
		"BEGIN IMMEDIATE": &c.begin, "COMMIT": &c.commit, bareUpdate: &c.update,
		"INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, ?, ?, ?)": &c.insert,
		"UPDATE families SET ended = 1 WHERE id = ?":                         &c.end,
	} {
		if *s, err = c.conn.PrepareContext(ctx, text); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.conn.QueryRowContext(ctx, "SELECT head FROM log").Scan(&c.position); err != nil {
		b.Fatal(err)
	}
	if c.alone {
		return c
	}
	var wait sync.WaitGroup
	wait.Go(c.run)
	b.Cleanup(func() { // before the pool closes
		close(c.queue)
		wait.Wait()
		c.conn.Close()
	})
	return c
}

func (c *bareCommitter) do(f func(c *bareCommitter) error) error {
	if c.alone {
		return c.transact([]*bareWrite{{do: f}})
	}
	w := &bareWrite{f, make(chan error, 1)}
	c.queue <- w
	return <-w.done
}

// run commits what waits, up to 256 at once, until the queue is closed.
func (c *bareCommitter) run() {
	for w := range c.queue {
		group := []*bareWrite{w}
	gather:
		for len(group) < 256 {
			select {
			case w, open := <-c.queue:
				if !open {
					break gather
				}
				group = append(group, w)
			default:
				break gather
			}
		}
		err := c.transact(group)
		for _, w := range group {
			w.done <- err
		}
	}
}

func (c *bareCommitter) transact(group []*bareWrite) error {
	_, err := c.begin.Exec()
	for _, w := range group {
		if err == nil {
			err = w.do(c)
		}
	}
	if err == nil {
		_, err = c.commit.Exec()
	}
	return err
}

func (c *bareCommitter) advance(id store.ID, generation uint32) error {
	var subject, label string
	var n [11]int64
	return c.update.QueryRow(time.Now().UnixMilli(), c.position, id[:], generation, 0).Scan(&subject, &label,
		&n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &n[10])
}

func (c *bareCommitter) revoke(id store.ID) error {
	c.position++
	entry := enginebench.ID(int(c.position))
	if _, err := c.insert.Exec(c.position, c.position-1, entry[:], store.KindSession, id[:], nil, "logout", "", time.Now().UnixMilli()); err != nil {
		return err
	}
	_, err := c.end.Exec(id[:])
	return err
}

// filled returns a file of n families, each with a subject of its own, and their
// ids.
func filled(tb testing.TB, n int) (path string, ids []store.ID) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "wafer.db")
	db, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	ids = make([]store.ID, n)
	for i := range ids {
		ids[i] = enginebench.ID(i)
	}
	enginebench.Parallel(tb, 256, n, func(i int) error {
		s, err := db.Create(tb.Context(), store.Creation{ID: ids[i], Subject: fmt.Sprintf("user-%d@example.com", i), Idle: 12 * time.Hour, Absolute: 12 * time.Hour})
		if err == nil && s.Outcome != store.Written {
			err = fmt.Errorf("create: %v", s.Outcome)
		}
		return err
	})
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	return path, ids
}

// copied copies a closed file.
func copied(tb testing.TB, path string) string {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	other := filepath.Join(tb.TempDir(), "bare.db")
	if err := os.WriteFile(other, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return other
}

// fileSystem returns the name of a directory's file system, so that nobody
// mistakes the figures of a tmpfs for a disk's.
func fileSystem(dir string) string {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	at, kind := "", "a file system of unknown kind"
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && len(f[1]) >= len(at) && (f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")) {
			at, kind = f[1], f[2]+" ("+f[0]+")"
		}
	}
	return kind
}
