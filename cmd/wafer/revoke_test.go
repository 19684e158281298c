package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

type revokedJSON struct {
	Position  store.Position `json:"position"`
	Staleness float64        `json:"max_staleness_seconds"`
	Ended     *int           `json:"ended"`
}

func (s *shop) state(b *browser) store.State {
	s.t.Helper()
	snap, err := s.db.Family(s.t.Context(), store.ID(s.open(b).ID))
	if err != nil {
		s.t.Fatal(err)
	}
	return snap.State
}

// entriesAbove returns the entries of the log above a position.
func entriesAbove(t *testing.T, db store.Store, at store.Position) (entries []store.Entry) {
	t.Helper()
	b, err := db.Since(t.Context(), store.Cursor{}, store.MaxEntries, 0)
	if err != nil || b.More {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, e := range b.Entries {
		if e.Position > at {
			entries = append(entries, e)
		}
	}
	return entries
}

func TestRevokeNames(t *testing.T) {
	s := openShop(t, 0)
	anna, annas, bob, carl, dora := s.login("anna"), s.login("anna"), s.login("bob"), s.login("carl"), s.login("dora")
	id := fmt.Sprintf("%x", s.open(carl).ID)
	head, err := s.db.Cutoffs(t.Context(), store.ID{}, "")
	if err != nil {
		t.Fatal(err)
	}
	args := with([]string{"revoke"}, with(s.store(), "--subject", "anna", "--subject=bob", "--session", id, "--reason", "stolen", "--actor", "ops", "--json")...)

	// Without a terminal there is no confirmation.
	r := s.command(exitNo, "y\n", args...)
	contains(t, r.err, "anna, bob", "--yes")
	if s.state(anna) != store.Alive || s.state(carl) != store.Alive {
		t.Fatal("it was revoked without confirmation")
	}
	got := parse[revokedJSON](t, s.command(exitDone, "", with(args, "--yes")...))
	if got.Position <= head.Head || got.Staleness != 30 || got.Ended == nil || *got.Ended != 4 {
		t.Errorf("%+v: want a position above %d, 30 s, and 4 ended", got, head.Head)
	}
	for b, want := range map[*browser]store.State{anna: store.CutOff, annas: store.CutOff, bob: store.CutOff, carl: store.Ended, dora: store.Alive} {
		if state := s.state(b); state != want {
			t.Errorf("%v: want %v", state, want)
		}
	}
	entries := entriesAbove(t, s.db, head.Head)
	if len(entries) != 3 || entries[2].Position != got.Position {
		t.Fatalf("%+v", entries)
	}
	for _, e := range entries {
		if e.Reason != "stolen" || e.Actor != "ops" {
			t.Errorf("%+v", e)
		}
	}
	// A single session needs no confirmation.
	id = fmt.Sprintf("%x", s.open(dora).ID)
	r = s.command(exitDone, "", with([]string{"revoke"}, with(s.store(), "--session", id, "--reason", "asked for")...)...)
	contains(t, r.out, "revoked at position ", "it ended: 1\n")
	if s.state(dora) != store.Ended {
		t.Error("dora's session lives")
	}
}

// Revoking a name ends the sessions that bear it and no other, whosever they are.
// The log shows the name's hash; nothing shows the name.
func TestRevokeByName(t *testing.T) {
	const name, other = "https://idp.example session 4711", "https://idp.example session 4712"
	s := openShop(t, 0)
	anna, bob := s.login("anna", wafer.Names(name, other)), s.login("bob", wafer.Names(name))
	carl, dora := s.login("carl", wafer.Names(other)), s.login("dora")
	s.secrets = append(s.secrets, name, other)
	args := with([]string{"revoke"}, with(s.store(), "--name", name, "--reason", "back-channel logout", "--actor", "idp", "--json")...)
	got := parse[revokedJSON](t, s.command(exitDone, "", args...))
	if got.Ended == nil || *got.Ended != 2 {
		t.Errorf("%+v: want 2 ended", got)
	}
	for b, want := range map[*browser]store.State{anna: store.Ended, bob: store.Ended, carl: store.Alive, dora: store.Alive} {
		if state := s.state(b); state != want {
			t.Errorf("%v: want %v", state, want)
		}
	}
	hash, err := store.NameOf(name)
	if err != nil {
		t.Fatal(err)
	}
	var names int
	for _, v := range lines(t, s.command(exitDone, "", with([]string{"revocations", "--json"}, s.store()...)...).out) {
		if v.Kind == "name" {
			names++
			if v.Name != hash.String() || v.Reason != "back-channel logout" || v.Actor != "idp" || v.Session != "" || v.Subject != "" {
				t.Errorf("%+v", v)
			}
		}
	}
	if names != 1 {
		t.Errorf("%d entries of names: want 1", names)
	}
	contains(t, s.command(exitDone, "", with([]string{"revocations"}, s.store()...)...).out, "name  "+hash.String())

	// Nobody is left; a session that begins later is not ended by the earlier entry.
	later := s.login("anna", wafer.Names(name))
	if again := parse[revokedJSON](t, s.command(exitDone, "", with(args, "--name", other)...)); *again.Ended != 2 || again.Position <= got.Position {
		t.Errorf("%+v: want 2 ended, above %d", again, got.Position)
	}
	if s.state(later) != store.Ended || s.state(carl) != store.Ended || s.state(dora) != store.Alive {
		t.Errorf("anna %v, carl %v, dora %v", s.state(later), s.state(carl), s.state(dora))
	}
	for _, wrong := range []string{"", strings.Repeat("n", 256), "a\x00b"} {
		r := s.command(exitUsage, "", with([]string{"revoke"}, with(s.store(), "--name", wrong, "--reason", "x")...)...)
		contains(t, r.err, "--name 1 of 1")
	}
}

// revocationsMade counts the revocations of a store.
type revocationsMade struct {
	store.Store
	made []store.Revocation
}

func (r *revocationsMade) Revoke(ctx context.Context, one store.Revocation) (store.Snapshot, error) {
	r.made = append(r.made, one)
	return r.Store.Revoke(ctx, one)
}

// A name that more sessions bear than one call ends is revoked until none is left,
// as one revocation: the log has one entry of the name.
func TestRevokeNameUntilNoneIsLeft(t *testing.T) {
	const bearers = 2*store.MaxEntries + 77
	db := &revocationsMade{Store: memory.New(memory.Options{})}
	name, err := store.NameOf("a job for everyone")
	if err != nil {
		t.Fatal(err)
	}
	for i := range bearers {
		c := store.Creation{ID: store.ID{1, byte(i), byte(i >> 8)}, Subject: fmt.Sprint(i), Names: []store.Name{name}, Idle: time.Hour, Absolute: time.Hour}
		if snap, err := db.Create(t.Context(), c); err != nil || snap.Outcome != store.Written {
			t.Fatal(snap.Outcome, err)
		}
	}
	last, ended, err := revokeAll(t.Context(), db, store.Revocation{Reason: "x"}, []store.Name{name})
	if err != nil || ended != bearers || len(db.made) != 3 {
		t.Errorf("%d ended by %d calls, %v: want %d by 3", ended, len(db.made), err, bearers)
	}
	for _, r := range db.made {
		if r.ID.IsZero() || r.ID != db.made[0].ID {
			t.Errorf("the calls have ids %v and %v", db.made[0].ID, r.ID)
		}
	}
	c, err := db.Cutoffs(t.Context(), store.ID{}, "")
	if err != nil || last != c.Head {
		t.Errorf("position %d, and the head is %d, %v", last, c.Head, err)
	}
	if page, err := db.Families(t.Context(), store.Query{Limit: 10}); err != nil || len(page.Families) != 0 {
		t.Errorf("%d live, %v", len(page.Families), err)
	}
}

// The sessions that a revocation of everyone ends are not counted, and of a subject
// with very many sessions only the first are.
func TestRevokeSaysWhatItEnded(t *testing.T) {
	s := openShop(t, 0)
	s.fill(store.MaxLooked+20, "anna")
	args := with([]string{"revoke"}, with(s.store(), "--reason", "x", "--yes")...)
	contains(t, s.command(exitDone, "", with(args, "--subject", "anna")...).out, fmt.Sprintf("it ended: %d or more\n", store.MaxLooked))
	contains(t, s.command(exitDone, "", with(args, "--subject", "anna")...).out, "it ended: 0\n")
	r := s.command(exitDone, "", with(args, "--everyone")...)
	if strings.Contains(r.out, "ended") {
		t.Errorf("%q", r.out)
	}
	if got := parse[revokedJSON](t, s.command(exitDone, "", with(args, "--everyone", "--json")...)); got.Ended != nil {
		t.Errorf("everyone: %d ended", *got.Ended)
	}
}

func TestRevokeAsks(t *testing.T) {
	s := openShop(t, 0)
	for answer, want := range map[string]int{"n\n": exitNo, "": exitNo, "maybe\n": exitNo, "y\n": exitDone, "YES\n": exitDone} {
		for _, everyone := range []bool{true, false} {
			anna := s.login("anna")
			args := with([]string{"revoke"}, with(s.store(), "--reason", "test", "--subject", "anna")...)
			if everyone {
				args[len(args)-2] = "--everyone"
				args = args[:len(args)-1]
			}
			var out, err bytes.Buffer
			e := &env{stdin: strings.NewReader(answer), stdout: &out, stderr: &err, now: time.Now, terminal: true}
			if code := run(t.Context(), e, args); code != want {
				t.Errorf("%q: exit code %d, want %d\n%s", answer, code, want, err.String())
			}
			if alive := s.state(anna) == store.Alive; alive != (want != exitDone) {
				t.Errorf("%q: alive: %v", answer, alive)
			}
			contains(t, err.String(), "[y/N]")
		}
	}
}

func TestRevokeIsWrittenWrongly(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	long := strings.Repeat("r", 256)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nobody":           {[]string{"--reason", "x", "--yes"}, "nobody is named"},
		"no reason":        {[]string{"--subject", "anna", "--yes"}, "--reason"},
		"no store":         {[]string{"--subject", "anna", "--reason", "x", "--yes", "--store", ""}, "--store"},
		"engine":           {[]string{"--subject", "anna", "--reason", "x", "--yes", "--store", "mysql:x"}, "sqlite:FILE"},
		"long reason":      {[]string{"--subject", "anna", "--reason", long, "--yes"}, "reason of 256 bytes"},
		"long actor":       {[]string{"--subject", "anna", "--reason", "x", "--actor", long, "--yes"}, "actor of 256 bytes"},
		"empty subject":    {[]string{"--subject", "", "--reason", "x", "--yes"}, "--subject 1 of 1"},
		"a cookie for id":  {[]string{"--session", anna.session, "--reason", "x", "--yes"}, "--session 1 of 1"},
		"zero id":          {[]string{"--session", strings.Repeat("0", 32), "--reason", "x"}, "--session 1 of 1"},
		"further argument": {[]string{"--subject", "anna", "--reason", "x", "--yes", "bob"}, "unexpected"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.command(exitUsage, "", with([]string{"revoke"}, with(s.store(), c.args...)...)...)
			contains(t, r.err, c.says)
			if s.state(anna) != store.Alive {
				t.Error("it was revoked")
			}
		})
	}
	missing := filepath.Join(s.dir, "other.db")
	r := s.command(exitError, "", "revoke", "--store", "sqlite:"+missing, "--everyone", "--reason", "x", "--yes")
	contains(t, r.err, "there is no store at")
}

// More than one call of the store can carry.
func TestRevokeMany(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	args := with([]string{"revoke"}, with(s.store(), "--reason", "x", "--yes", "--everyone")...)
	for i := range store.MaxEntries + 200 {
		args = append(args, "--subject", fmt.Sprint("user ", i), "--session", fmt.Sprintf("%032x", i+1))
	}
	s.command(exitDone, "", args...)
	entries := lines(t, s.command(exitDone, "", with([]string{"revocations", "--json"}, s.store()...)...).out)
	if len(entries) != 1+2*(store.MaxEntries+200)+1 || entries[len(entries)-1].Kind != "everyone" {
		t.Errorf("%d entries", len(entries))
	}
	if s.state(anna) == store.Alive {
		t.Error("anna lives")
	}
}

// waitingStore is a store that only a node with this MaxStaleness has used.
func waitingStore(t *testing.T, staleness time.Duration) *shop {
	t.Helper()
	s := &shop{t: t, dbPath: filepath.Join(t.TempDir(), "wafer.db")}
	s.db = openStoreFile(t, s.dbPath)
	if _, err := s.db.Announce(t.Context(), store.Announcement{Access: time.Minute, MaxStaleness: staleness}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRevokeWaits(t *testing.T) {
	for _, staleness := range []time.Duration{0, 700 * time.Millisecond} {
		s := waitingStore(t, staleness)
		began := time.Now()
		r := s.command(exitDone, "", "revoke", "--store", "sqlite:"+s.dbPath, "--everyone", "--reason", "x", "--yes", "--wait", "--json")
		took := time.Since(began)
		if took < staleness || took > staleness+time.Minute {
			t.Errorf("it returned after %v; MaxStaleness is %v", took, staleness)
		}
		if got := parse[revokedJSON](t, r); got.Staleness != staleness.Seconds() {
			t.Errorf("%+v", got)
		}
		if staleness > 0 {
			contains(t, r.err, "Every node has it in at most", "No node accepts it any more")
		} else {
			contains(t, r.err, "nobody to wait for")
		}
	}
}

// interrupting is an output that interrupts the program when a text is written.
type interrupting struct {
	bytes.Buffer
	when      string
	interrupt func()
}

func (i *interrupting) Write(p []byte) (int, error) {
	if strings.Contains(string(p), i.when) {
		i.interrupt()
	}
	return i.Buffer.Write(p)
}

// An interrupt ends the wait, not the revocation.
func TestRevokeWaitInterrupted(t *testing.T) {
	s := waitingStore(t, time.Hour)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out bytes.Buffer
	output := &interrupting{when: "Every node has it in at most", interrupt: interrupt}
	e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: output, now: time.Now}
	if code := run(ctx, e, []string{"revoke", "--store", "sqlite:" + s.dbPath, "--subject", "anna", "--reason", "x", "--yes", "--wait"}); code != exitNo {
		t.Errorf("exit code %d\n%s", code, output)
	}
	contains(t, output.String(), "revoked all the same")
	contains(t, out.String(), "revoked at position ")
	if c, err := s.db.Cutoffs(t.Context(), store.ID{}, "anna"); err != nil || c.Subject == 0 {
		t.Errorf("%+v, %v", c, err)
	}
}
