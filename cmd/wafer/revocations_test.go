package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

func openStoreFile(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// lines decodes JSON lines.
func lines(t *testing.T, text string) (all []entryView) {
	t.Helper()
	for line := range strings.Lines(text) {
		var v entryView
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, v)
	}
	return all
}

func TestRevocations(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	s.request(anna, func(w http.ResponseWriter, r *http.Request) error { return s.sessions.Commit(w, r, cart{}) })
	id := store.ID(s.open(anna).ID)
	snap, err := s.db.Revoke(t.Context(), store.Revocation{
		Sessions: []store.ID{id}, Subjects: []string{"bob\x1b[2Jx"}, Reason: "a\nreason\u202e", Actor: "ops",
	})
	if err != nil {
		t.Fatal(err)
	}
	args := with([]string{"revocations"}, s.store()...)
	var kinds []string
	for _, v := range lines(t, s.command(exitDone, "", with(args, "--json", "--all")...).out) {
		kinds = append(kinds, v.Kind)
	}
	if got := strings.Join(kinds, " "); got != "everyone superseding session subject" {
		t.Errorf("with --all: %s", got)
	}
	all := lines(t, s.command(exitDone, "", with(args, "--json")...).out)
	if len(all) != 3 || all[1].Session != id.String() || all[1].Actor != "ops" || all[2].Subject != "bob\x1b[2Jx" ||
		all[2].Reason != "a\nreason\u202e" || all[2].Position != snap.Entry || all[0].Reason != "the log begins" || time.Since(all[2].Time) > time.Minute {
		t.Errorf("%+v", all)
	}
	r := s.command(exitDone, "", args...)
	if strings.Count(r.out, "\n") != 3 || strings.ContainsAny(r.out, "\x1b\u202e") {
		t.Errorf("not three plain lines: %q", r.out)
	}
	contains(t, r.out, id.String(), "reason: a\uFFFDreason", "actor: ops", fmt.Sprint(snap.Entry))
	r = s.command(exitDone, "", with(args, "--after", fmt.Sprint(snap.Entry-1))...)
	if strings.Count(r.out, "\n") != 1 || !strings.HasPrefix(r.out, fmt.Sprint(snap.Entry)) {
		t.Errorf("after %d: %q", snap.Entry-1, r.out)
	}
	if r = s.command(exitDone, "", with(args, "--after", fmt.Sprint(snap.Entry), "--json")...); r.out != "" {
		t.Errorf("after the head: %q", r.out)
	}
	s.command(exitUsage, "", with(args, "--after", "9007199254740992")...)
	s.command(exitUsage, "", with(args, "--after", "-1")...)
}

// A log of more than one batch is read whole.
func TestRevocationsOfManyBatches(t *testing.T) {
	s := openShop(t, 0)
	const n = 2*store.MaxEntries + 300
	for i := 0; i < n; i += 100 {
		var r store.Revocation
		for k := range 100 {
			r.Subjects = append(r.Subjects, fmt.Sprint(i+k))
		}
		if _, err := s.db.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	all := lines(t, s.command(exitDone, "", with([]string{"revocations", "--json"}, s.store()...)...).out)
	if len(all) != n+1 || all[n].Subject != fmt.Sprint(n-1) {
		t.Errorf("%d entries: want %d", len(all), n+1)
	}
}

// Following shows later entries, and an interrupt ends it without an error.
func TestRevocationsFollow(t *testing.T) {
	s := openShop(t, 0)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int)
	go func() {
		e := &env{stdin: strings.NewReader(""), stdout: in, stderr: &stderr, now: time.Now}
		code <- run(ctx, e, with([]string{"revocations", "--follow", "--json"}, s.store()...))
	}()
	d := json.NewDecoder(out)
	next := func() (v entryView) {
		t.Helper()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := next(); v.Kind != "everyone" {
		t.Errorf("%+v", v)
	}
	for i := range 3 {
		if _, err := s.db.Revoke(t.Context(), store.Revocation{Subjects: []string{fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
		if v := next(); v.Subject != fmt.Sprint(i) {
			t.Errorf("%+v: want %d", v, i)
		}
	}
	interrupt()
	select {
	case c := <-code:
		if c != exitDone {
			t.Errorf("exit code %d: %s", c, stderr.String())
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it goes on after an interrupt")
	}
}

// readOn reads the log with a reader until there is no more, and returns the
// positions that it showed and what it told the operator.
func readOn(t *testing.T, r *logReader) (shown []store.Position, told string) {
	t.Helper()
	var out, stderr bytes.Buffer
	r.env.stdout, r.env.stderr = &out, &stderr
	for more := true; more; {
		var err error
		if more, err = r.next(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(out.String()) {
		position, err := strconv.ParseUint(strings.Fields(line)[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, store.Position(position))
	}
	return shown, stderr.String()
}

// follower is a reader of the shop's log, as revocations --follow has it.
func (s *shop) follower(after store.Position) *logReader {
	e := new(env)
	return &logReader{flags: e.flags("revocations", "", ""), db: s.db, shown: after}
}

// revokes revokes n subjects and returns the positions.
func (s *shop) revokes(n int) (at []store.Position) {
	s.t.Helper()
	for i := range n {
		snap, err := s.db.Revoke(s.t.Context(), store.Revocation{Subjects: []string{fmt.Sprint(i)}})
		if err != nil {
			s.t.Fatal(err)
		}
		at = append(at, snap.Entry)
	}
	return at
}

// drop drops the entries up to a position, as the store does once they are old.
func (s *shop) drop(at store.Position) {
	s.t.Helper()
	s.execute("UPDATE log SET floor = ?, floor_id = (SELECT id FROM entries WHERE position = ?)", int64(at), int64(at))
	s.execute("DELETE FROM entries WHERE position <= ?", int64(at))
}

// A log that was rolled back, even below what was shown, is reported and read from
// its beginning.
func TestRevocationsOfALogThatWentBack(t *testing.T) {
	s := openShop(t, 0)
	s.revokes(2)
	r := s.follower(0)
	shown, told := readOn(t, r)
	if len(shown) != 3 || told != "" {
		t.Fatalf("%v, %q", shown, told)
	}
	// The store is restored from a backup with one entry less, and goes on.
	s.execute("DELETE FROM entries WHERE position = ?", int64(shown[2]))
	s.execute("UPDATE log SET head = ?, head_id = (SELECT id FROM entries WHERE position = ?)", int64(shown[1]), int64(shown[1]))
	again, told := readOn(t, r)
	contains(t, told, "The log went back")
	if !slices.Equal(again, shown[:2]) {
		t.Errorf("%v: want %v", again, shown[:2])
	}
	if again, told = readOn(t, r); len(again) != 0 || told != "" {
		t.Errorf("nothing new: %v, %q", again, told)
	}
	at := s.revokes(1)
	if again, told = readOn(t, r); !slices.Equal(again, at) || told != "" {
		t.Errorf("%v, %q: want %v", again, told, at)
	}
	// Another log has what looks like a later floor, too.
	s.execute("UPDATE log SET id = randomblob(16)")
	s.drop(at[0])
	more := s.revokes(1)
	s.drop(more[0])
	more = s.revokes(1)
	again, told = readOn(t, r)
	contains(t, told, "The log went back")
	if !slices.Equal(again, more) {
		t.Errorf("another log: %v, want %v", again, more)
	}
}

// Entries that were dropped while nobody read are reported as dropped, not as a log
// that went back, and nothing is shown twice.
func TestRevocationsOfALogThatDroppedEntries(t *testing.T) {
	s := openShop(t, 0)
	r := s.follower(0)
	shown, _ := readOn(t, r)
	at := s.revokes(4)
	s.drop(shown[0]) // exactly what was read
	if again, told := readOn(t, r); !slices.Equal(again, at) || told != "" {
		t.Errorf("%v, %q: want %v", again, told, at)
	}
	more := s.revokes(3)
	s.drop(more[0])
	again, told := readOn(t, r)
	if !slices.Equal(again, more[1:]) || !strings.Contains(told, fmt.Sprintf("up to position %d have been dropped", more[0])) || strings.Contains(told, "went back") {
		t.Errorf("%v, %q: want %v", again, told, more[1:])
	}
	if again, told = readOn(t, r); len(again) != 0 || told != "" {
		t.Errorf("nothing new: %v, %q", again, told)
	}
	s.drop(more[2]) // all of it
	if again, told = readOn(t, r); len(again) != 0 || told != "" {
		t.Errorf("everything read was dropped: %v, %q", again, told)
	}
	last := s.revokes(1)
	if again, told = readOn(t, r); !slices.Equal(again, last) || told != "" {
		t.Errorf("%v, %q: want %v", again, told, last)
	}

	// --after shows what is above, and says what it cannot show.
	if again, told = readOn(t, s.follower(last[0]-1)); !slices.Equal(again, last) || told != "" {
		t.Errorf("%v, %q: want %v", again, told, last)
	}
	again, told = readOn(t, s.follower(more[0]))
	if !slices.Equal(again, last) || !strings.Contains(told, fmt.Sprintf("up to position %d have been dropped", more[2])) {
		t.Errorf("%v, %q: want %v", again, told, last)
	}
	if again, told = readOn(t, s.follower(last[0])); len(again) != 0 || told != "" {
		t.Errorf("after the head: %v, %q", again, told)
	}
}
