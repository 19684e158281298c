//go:build unix

package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// endedOf adds families of a subject that have ended, of which the first n were
// alive in the indexes for a while, as all are that end.
func endedOf(tb testing.TB, pool *pgxpool.Pool, schema, subject string, n int) {
	tb.Helper()
	run(tb, pool, fmt.Sprintf(`INSERT INTO %[1]s.families
			(id, birth, oldest, position, last_commit, generation, copy, used, started, authenticated, issued, idle, absolute, keep, due, native, ended, counts, seal, subject, actor, label, methods, level)
		SELECT gen_random_uuid(), l.everyone + i, l.everyone, l.everyone, 0, 1, 0, 0, t, t, t, 3600000, 43200000, t, t + 3600000, false, false, false, decode(repeat('00', 20), 'hex'), '%[2]s', '', 'a device', '', ''
		FROM %[1]s.log l, %[1]s.clock() t, generate_series(1, %[3]d) i`, quoted(schema), subject, n),
		fmt.Sprintf("UPDATE %s.families SET ended = true WHERE subject = '%s' AND label = 'a device'", quoted(schema), subject))
}

// reads returns how many pages of tables and indexes a statement reads, and undoes
// what it writes. A connection plans statements once, which reads the server's own
// tables: it runs the statement until it costs the same twice.
func reads(t *testing.T, pool *pgxpool.Pool, text string) (pages int) {
	t.Helper()
	for last := -1; ; last = pages {
		tx, err := pool.BeginTx(background, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		if err != nil {
			t.Fatal(err)
		}
		var explained []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		exec1(t, tx, &explained, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+text)
		if err := tx.Rollback(background); err != nil {
			t.Fatal(err)
		}
		if pages = explained[0].Plan.Hit + explained[0].Plan.Read; pages == last {
			return pages
		}
	}
}

// callsOf are the calls that walk an index, by the subject that makes them.
func callsOf(schema, subject string) map[string]string {
	login := func(limit int) string {
		return fmt.Sprintf(`SELECT * FROM @schema@.create_family(gen_random_uuid(), '%s', '', false, NULL, '', '', '', NULL, decode(repeat('00', 20), 'hex'), 3600000, 3600000, NULL, NULL, 0, 0,
			0, '{}', NULL, 0, NULL, NULL, NULL, '', '', %d, true, NULL, 0, '', '', false)`, subject, limit)
	}
	calls := map[string]string{
		"login":                login(0),
		"login with a limit":   login(2),
		"list":                 fmt.Sprintf("SELECT * FROM @schema@.list('%s', 9007199254740992, 0, '00000000-0000-0000-0000-000000000000', 1000)", subject),
		"list of everybody":    "SELECT * FROM @schema@.list('', 9007199254740992, 0, '00000000-0000-0000-0000-000000000000', 1000)",
		"revocation":           fmt.Sprintf("SELECT * FROM @schema@.revoke('{}', ARRAY['%s'], false, NULL, 0, NULL, 0, NULL, 0, '', '', false)", subject),
		"revocation of a name": `SELECT * FROM @schema@.revoke_name(decode(repeat('01', 32), 'hex'), NULL, 0, '', '', false)`,
		"housekeeping":         "SELECT @schema@.drop(256)",
	}
	for name, text := range calls {
		calls[name] = postgres.Fill(text, schema)
	}
	return calls
}

// TestACallReadsNothingThatEnded counts the pages that calls read, for an account of
// which very many families have ended and for another. Vacuum has been there: see
// TestBeforeAVacuum.
func TestACallReadsNothingThatEnded(t *testing.T) {
	pool := newPool(t, serverURL(t)+"&default_query_exec_mode=exec&pool_max_conns=1")
	o := postgres.Options{Schema: newSchema(), Timeout: patience}
	db := open(t, pool, o)
	for i := range 3 {
		for j, who := range []string{"mallory", "bob"} {
			if _, err := db.Create(background, store.Creation{ID: enginebench.ID(2*i + j), Subject: who, Names: []store.Name{{byte(i + 1)}}, Idle: time.Hour, Absolute: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := rounds.Of(20_000, 100_000)
	others := make([]store.ID, 4_000)
	for i := range others {
		others[i] = enginebench.ID(1000 + i)
	}
	crowd(t, pool, o.Schema, others, func(i int) string { return fmt.Sprint("user ", i) }, time.Hour)
	// Housekeeping has a cutoff to drop, of which it asks whether anybody is below.
	c, err := db.Cutoffs(background, store.ID{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Revoke(background, store.Revocation{Subjects: []string{"carol"}, Above: c.Everyone + store.Position(n)}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Announce(background, store.Announcement{Access: time.Millisecond, Absolute: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	before := map[string]int{}
	for _, who := range []string{"mallory", "bob"} {
		for name, text := range callsOf(o.Schema, who) {
			before[who+name] = reads(t, pool, text)
		}
	}
	endedOf(t, pool, o.Schema, "mallory", n)
	endedOf(t, pool, o.Schema, "carol", n)
	run(t, pool, "VACUUM ANALYZE "+quoted(o.Schema)+".families")
	for _, who := range []string{"mallory", "bob"} {
		for name, text := range callsOf(o.Schema, who) {
			// The indexes are higher now, by a level or two, and a call descends
			// several of them several times.
			if after := reads(t, pool, text); after > before[who+name]+60 {
				t.Errorf("%s of %s reads %d pages with %d ended families of mallory's, and %d without", name, who, after, n, before[who+name])
			}
		}
	}
}

// TestBeforeAVacuum makes logins with a limit, each of which ends the oldest, while
// another transaction is open since before. No vacuum and no index scan may then
// remove what the indexes have of the families that ended. A walk must begin above
// that.
func TestBeforeAVacuum(t *testing.T) {
	pool := newPool(t, serverURL(t)+"&default_query_exec_mode=exec&pool_max_conns=1")
	o := postgres.Options{Schema: newSchema(), Timeout: patience}
	db := open(t, pool, o)
	other := newPool(t, serverURL(t))
	tx, err := other.BeginTx(background, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(background)
	var id string
	exec1(t, tx, &id, "SELECT txid_current()::text")
	made, calls := 0, callsOf(o.Schema, "mallory")
	logins := func(n int) {
		for range n {
			made++
			s, err := db.Create(background, store.Creation{ID: enginebench.ID(made), Subject: "mallory", Idle: time.Hour, Absolute: time.Hour, Limit: 2, EndOldest: true})
			if err != nil || s.Outcome != store.Written {
				t.Fatal(s.Outcome, err)
			}
		}
	}
	logins(20)
	before := map[string]int{}
	for _, name := range []string{"login with a limit", "list", "revocation"} {
		before[name] = reads(t, pool, calls[name])
	}
	more := rounds.Of(800, 2000)
	logins(more)
	for name, pages := range before {
		// The rows of some twenty logins share a page.
		after := reads(t, pool, calls[name])
		t.Logf("%s: %d pages, then %d", name, pages, after)
		if after > pages+more/25 {
			t.Errorf("%s reads %d pages after %d logins more, and %d before", name, after, more, pages)
		}
	}
}

// TestNoIndexHasWhatARefreshWrites checks what a refresh that updates no index (HOT)
// rests on: no index has a column that refreshes, bindings and commits write, not
// even in its condition.
func TestNoIndexHasWhatARefreshWrites(t *testing.T) {
	_, pool, o := openNew(t)
	for table, columns := range map[string][]string{
		"families": {"position", "last_commit", "generation", "copy", "used", "issued", "key", "counts", "seal", "successor", "keep"},
		"subjects": {"position", "time"},
		"peers":    {"turn", "seen", "instance", "settings", "ring", "ring_version"},
	} {
		var indexed []string
		exec1(t, pool, &indexed, `SELECT coalesce(array_agg(DISTINCT a.attname::text), '{}') FROM pg_attribute a JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
			JOIN pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid AND i.relkind = 'i' WHERE a.attrelid = ($1::text)::regclass`, quoted(o.Schema)+"."+table)
		has := map[string]bool{}
		for _, name := range indexed {
			has[name] = true
		}
		if table == "families" && !(has["due"] && has["ended"] && has["birth"]) {
			t.Fatalf("of %s the indexes have %v: want also what stands in a condition", table, indexed)
		}
		for _, name := range columns {
			if has[name] {
				t.Errorf("an index of %s has %s", table, name)
			}
		}
	}
}

// TestACutoffThatMovesUpdatesNoIndex revokes one subject again and again.
func TestACutoffThatMovesUpdatesNoIndex(t *testing.T) {
	pool, o := newPool(t, serverURL(t)), postgres.Options{Schema: newSchema()}
	db, err := postgres.OpenURL(t.Context(), serverURL(t), o)
	if err != nil {
		t.Fatal(err)
	}
	const n = 400
	for range n {
		if _, err := db.Revoke(background, store.Revocation{Subjects: []string{"anna"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil { // which makes the backends report their statistics
		t.Error(err)
	}
	var rows int
	exec1(t, pool, &rows, "SELECT count(*) FROM "+quoted(o.Schema)+".subjects")
	var hot, updates int64
	waitFor(t, "the statistics are in", func() bool {
		_, _, updates, hot = sizes(t, pool, o.Schema, "subjects")
		return updates >= n-1
	})
	if rows != 1 || hot*100 < updates*80 {
		t.Errorf("%d rows, %d of %d updates were HOT: want 1 row, 80%%", rows, hot, updates)
	}
}

var million = flag.Bool("million", false, "BenchmarkEnded also has 1,000,000 ended families")

// BenchmarkEnded measures a login with a limit and a list of an account that has ended
// families, and a login of another, as the median time of a call and its ratio to that
// with 10 ended families.
func BenchmarkEnded(b *testing.B) {
	sizes := []int{10, 1000, 100_000}
	if *million {
		sizes = append(sizes, 1_000_000)
	}
	least := map[string]float64{}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			pool := newPool(b, serverURL(b))
			o := postgres.Options{Schema: newSchema(), Timeout: patience}
			db := open(b, pool, o)
			made := 0
			login := func(who string) func() error {
				return func() error {
					made++
					_, err := db.Create(context.Background(), store.Creation{ID: enginebench.ID(made), Subject: who, Idle: time.Hour, Absolute: time.Hour, Limit: 5, EndOldest: true})
					return err
				}
			}
			endedOf(b, pool, o.Schema, "mallory", n)
			run(b, pool, "VACUUM ANALYZE "+quoted(o.Schema)+".families", "CHECKPOINT")
			calls := map[string]func() error{
				"login": login("mallory"), "other-login": login("bob"),
				"list": func() error {
					_, err := db.Families(context.Background(), store.Query{Subject: "mallory", Limit: 1000})
					return err
				},
			}
			took := map[string][]time.Duration{}
			for warm := 20; b.Loop(); warm-- {
				for name, call := range calls {
					began := time.Now()
					if err := call(); err != nil {
						b.Fatal(err)
					}
					if warm < 0 {
						took[name] = append(took[name], time.Since(began))
					}
				}
			}
			for name, all := range took {
				median := float64(enginebench.Median(all).Microseconds())
				if n == sizes[0] {
					least[name] = median
				}
				b.ReportMetric(median, name+"-µs")
				if least[name] > 0 {
					b.ReportMetric(median/least[name], name+"-of-10")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// TestARowThatSomethingElseWrote reads rows with a seal, a key or a name that no
// engine writes.
func TestARowThatSomethingElseWrote(t *testing.T) {
	for _, set := range []string{
		`seal = '\x00'`, `seal = decode(repeat('00', 21), 'hex')`, `key = '\x'`, `key = decode(repeat('01', 33), 'hex')`, `names = ARRAY['\x01'::bytea]`,
		`names = array_fill(decode(repeat('01', 32), 'hex'), ARRAY[5])`, `names = ARRAY[NULL::bytea]`,
	} {
		db, pool, o := openNew(t)
		id := enginebench.ID(1)
		loggedIn(t, db, id, time.Hour)
		if _, err := pool.Exec(background, "UPDATE "+quoted(o.Schema)+".families SET "+set+" WHERE id = $1", pgtype.UUID{Bytes: id, Valid: true}); err != nil {
			t.Fatal(err)
		}
		_, family := db.Family(background, id)
		_, list := db.Families(background, store.Query{Subject: "anna", Limit: 1})
		_, advance := db.Advance(background, store.Advance{ID: id, Generation: 1})
		for call, err := range map[string]error{"Family": family, "Families": list, "Advance": advance} {
			if err == nil {
				t.Errorf("%s of a row with %s has no error", call, set)
			}
		}
	}
	db, pool, o := openNew(t)
	if _, err := db.Revoke(background, store.Revocation{Name: store.Name{1}}); err != nil {
		t.Fatal(err)
	}
	run(t, pool, "UPDATE "+quoted(o.Schema)+`.entries SET name = '\x01' WHERE name IS NOT NULL`)
	if b, err := db.Since(background, store.Cursor{}, 10, 0); err == nil {
		t.Errorf("an entry with a name of one byte is read: %+v", b.Entries)
	}
}
