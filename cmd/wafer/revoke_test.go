package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

type revokedJSON struct {
	Position  store.Position `json:"position"`
	Staleness float64        `json:"max_staleness_seconds"`
}

func (s *shop) state(b *browser) store.State {
	s.t.Helper()
	snap, err := s.db.Family(s.t.Context(), store.ID(s.open(b).ID))
	if err != nil {
		s.t.Fatal(err)
	}
	return snap.State
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
	if got.Position <= head.Head || got.Staleness != 30 {
		t.Errorf("%+v: want a position above %d, and 30 s", got, head.Head)
	}
	for b, want := range map[*browser]store.State{anna: store.CutOff, annas: store.CutOff, bob: store.CutOff, carl: store.Ended, dora: store.Alive} {
		if state := s.state(b); state != want {
			t.Errorf("%v: want %v", state, want)
		}
	}
	b, err := s.db.Since(t.Context(), head.Head, 10, 0)
	if err != nil || len(b.Entries) != 3 || b.Head != got.Position {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, e := range b.Entries {
		if e.Reason != "stolen" || e.Actor != "ops" {
			t.Errorf("%+v", e)
		}
	}
	// A single session needs no confirmation.
	id = fmt.Sprintf("%x", s.open(dora).ID)
	r = s.command(exitDone, "", with([]string{"revoke"}, with(s.store(), "--session", id, "--reason", "asked for")...)...)
	contains(t, r.out, "revoked at position ")
	if s.state(dora) != store.Ended {
		t.Error("dora's session lives")
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
	if err := s.db.Announce(t.Context(), store.Announcement{Access: time.Minute, MaxStaleness: staleness}); err != nil {
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
