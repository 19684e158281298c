package sqlite

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// everyStatement calls every method, so that the engine prepares all of its
// statements, and returns them.
func everyStatement(t *testing.T, s *Store) (texts []string) {
	t.Helper()
	ctx := t.Context()
	id := func(i byte) store.ID { return store.ID{i} }
	key, name := store.Key{1}, store.Name{1}
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	create := func(c store.Creation) store.Snapshot {
		t.Helper()
		c.Subject, c.Idle, c.Absolute = "alice", time.Hour, time.Hour
		snap, err := s.Create(ctx, c)
		fail(err)
		return snap
	}
	_, err := s.Announce(ctx, store.Announcement{Access: time.Millisecond, Absolute: time.Millisecond, Realm: "r", Ring: id(9), Node: id(9)})
	fail(err)
	first := create(store.Creation{ID: id(1), Names: []store.Name{name}, Actor: "bob", NotBefore: 1 << 52, Ends: [2]store.ID{id(8)}})
	_, err = s.Bind(ctx, store.Binding{ID: id(1), Key: key, Verified: first.Family.Seal, Counts: true})
	fail(err)
	_, err = s.Commit(ctx, store.Commit{ID: id(1), Basis: store.MaxPosition, Key: key, Value: []byte("v")})
	fail(err)
	create(store.Creation{ID: id(2), Renews: &store.Renewal{ID: id(1), Basis: store.MaxPosition, Key: key}, Value: []byte("v"), Limit: 2, EndOldest: true})
	for _, raise := range []bool{true, false} {
		_, err = s.Advance(ctx, store.Advance{ID: id(2), Generation: 1, Key: key, Basis: store.MaxPosition, PositionOnly: raise})
		fail(err)
	}
	_, err = s.Reissue(ctx, store.Reissue{ID: id(2), Generation: 1, Key: key, Basis: store.MaxPosition})
	fail(err)
	_, err = s.Revoke(ctx, store.Revocation{Subjects: []string{"alice"}, Except: &store.Rebirth{ID: id(2), Basis: store.MaxPosition, Key: key}})
	fail(err)
	create(store.Creation{ID: id(3), Names: []store.Name{name}})
	_, err = s.Revoke(ctx, store.Revocation{Name: name, ID: id(7)})
	fail(err)
	_, err = s.Revoke(ctx, store.Revocation{Sessions: []store.ID{id(3), id(4)}, Everyone: true})
	fail(err)
	create(store.Creation{ID: id(5), Limit: 1})
	_, err = s.Restore(ctx, store.Restoration{Above: 1, Entries: []store.Entry{{Kind: store.KindSession, Session: id(6), Position: 1}, {Kind: store.KindSubject, Subject: "carol", Position: 1}}})
	fail(err)
	_, err = s.SwapKeys(ctx, 0, []byte("keys"))
	fail(err)
	_, err = s.Durability(ctx)
	fail(err)
	fail(s.writer.submit(ctx, func(t *tx) error { // dead families, whose ids must stay known and need not
		return t.bury([]listed{{id: id(1)}, {id: id(5)}})
	}))
	fail(s.Sweep(ctx))

	collected := make(chan []string, 1)
	fail(s.writer.submit(ctx, func(t *tx) error {
		collected <- slices.Collect(maps.Keys(t.c.stmt))
		return nil
	}))
	texts = <-collected
	for _, p := range []*pool{s.readers.log, s.readers.families, s.readers.lists} {
		texts = slices.AppendSeq(texts, maps.Keys(p.stmt))
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// plan returns what SQLite would do for a statement.
func plan(ctx context.Context, t *testing.T, s *Store, text string) (lines []string) {
	t.Helper()
	rows, err := s.readers.lists.QueryContext(ctx, "EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestNoStatementScans explains every statement that the engine prepares. None may
// read a table from end to end, or sort what it has read.
func TestNoStatementScans(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "wafer.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	allowed := []string{
		"SCAN peers",                // at most store.MaxPeers
		"SCAN (subquery",            // countQuery's, with a limit
		"SCAN pragma_",              // one row each
		"SCAN CONSTANT ROW",         // no table
		"SCAN entries|" + dropQuery, // in the order of the key, with a limit
	}
	explained := 0
	for _, text := range everyStatement(t, s) {
		if verb, _, _ := strings.Cut(text, " "); verb == "BEGIN" || verb == "COMMIT" || verb == "ROLLBACK" || verb == "PRAGMA" {
			continue
		}
		explained++
		for _, line := range plan(t.Context(), t, s, text) {
			scans := strings.Contains(line, "SCAN") && !slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(line+"|"+text, a) })
			if scans || strings.Contains(line, "TEMP B-TREE") {
				t.Errorf("%s\n\t%s", text, line)
			}
		}
	}
	if explained < 40 {
		t.Errorf("%d statements were explained: what has prepared the others?", explained)
	}
}

// TestWalksSkipTheEnded explains the statements that walk families. Each must walk
// an index without ended rows, and begin and end where its condition does.
func TestWalksSkipTheEnded(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "wafer.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for text, want := range map[string]string{
		subjectQuery:      "SEARCH families USING INDEX families_subject (subject=? AND birth>?)",
		countQuery:        "SEARCH families USING INDEX families_subject (subject=? AND birth>?)",
		countActorQuery:   "SEARCH families USING INDEX families_actor (actor=? AND birth>?)",
		listQuery:         "SEARCH families USING INDEX families_subject (subject=? AND birth>? AND (birth,started,id)<(?,?,?))",
		everyoneListQuery: "SEARCH families USING INDEX families_living (birth>? AND (birth,started,id)<(?,?,?))",
		bearersQuery:      "SEARCH names USING PRIMARY KEY (name=? AND born<?)",
		cutoffsQuery:      "SEARCH f USING COVERING INDEX families_subject (subject=? AND birth<?)",
		nameQuery:         "SEARCH entries USING COVERING INDEX entries_name (name=?)",
		nameIDQuery:       "SEARCH entries USING INDEX entries_name_id (id=?)",
	} {
		if lines := plan(t.Context(), t, s, text); !slices.Contains(lines, want) {
			t.Errorf("%s\n\twant %s, not\n\t%s", text, want, strings.Join(lines, "\n\t"))
		}
	}
	if lines := plan(t.Context(), t, s, cutoffsQuery); !slices.Contains(lines, "SEARCH f USING COVERING INDEX families_actor (actor=? AND birth<?)") {
		t.Errorf("the cutoffs of actors: %q", lines)
	}
	var partial int
	if err := s.readers.lists.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql LIKE '%WHERE%ended = 0'
		AND name IN ('families_living', 'families_subject', 'families_actor')`).Scan(&partial); err != nil || partial != 3 {
		t.Errorf("%d of 3 indexes are without ended rows, %v", partial, err)
	}
}
