package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// starts starts a node of an application in that realm, and stops it again. The
// error is New's.
func (s *shop) starts(realm string, ring *keyring.Ring) error {
	s.t.Helper()
	sessions, err := wafer.New(s.t.Context(), ring, s.db, wafer.Config[cart]{Realm: realm, Observe: func(wafer.Event) {}})
	if err == nil {
		sessions.Close()
	}
	return err
}

// opened opens the ring's file as a node does that starts now.
func (s *shop) opened() *keyring.Ring {
	s.t.Helper()
	keeper, err := keyring.OpenKeeper(s.ringPath + ".key")
	if err != nil {
		s.t.Fatal(err)
	}
	ring, err := keyring.Open(s.t.Context(), keyring.File(s.ringPath), keeper)
	if err != nil {
		s.t.Fatal(err)
	}
	return ring
}

// belongs returns to what the store belongs.
func (s *shop) belongs() store.Peers {
	s.t.Helper()
	known, err := s.db.Announce(s.t.Context(), store.Announcement{})
	if err != nil {
		s.t.Fatal(err)
	}
	return known
}

// asked runs a command at a terminal.
func (s *shop) asked(want int, answer string, args ...string) result {
	s.t.Helper()
	var out, err bytes.Buffer
	e := &env{stdin: strings.NewReader(answer), stdout: &out, stderr: &err, getenv: func(string) string { return "" }, now: time.Now, terminal: true}
	r := result{run(s.t.Context(), e, args), out.String(), err.String()}
	if r.code != want {
		s.t.Errorf("wafer %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, want, r.out, r.err)
	}
	return r
}

// A store that was first used with a mistyped realm refuses the right one until an
// operator says that it belongs to that.
func TestRealmSet(t *testing.T) {
	s := openShop(t, 0) // its node runs in shopRealm, which was mistyped
	const right = "shop.example/right"
	args := with([]string{"realm", "set", "--realm", right}, s.store()...)
	if err := s.starts(right, s.ring); err == nil || !strings.Contains(err.Error(), "wafer realm set") || !strings.Contains(err.Error(), shopRealm) {
		t.Fatalf("before: %v", err)
	}
	r := s.command(exitNo, "", args...)
	contains(t, r.err, shopRealm, "use it now: 1.", "--yes")
	r = s.asked(exitNo, "n\n", args...)
	contains(t, r.err, "use it now: 1.", "Nothing was changed")
	if known := s.belongs(); known.Realm != shopRealm {
		t.Fatalf("it was changed without a yes: %+v", known)
	}
	got := parse[struct{ Realm, Before string }](t, s.asked(exitDone, "y\n", with(args, "--json")...))
	if got.Realm != right || got.Before != shopRealm {
		t.Errorf("%+v", got)
	}
	if err := s.starts(right, s.ring); err != nil {
		t.Errorf("after: %v", err)
	}
	if err := s.starts(shopRealm, s.ring); err == nil {
		t.Error("the old realm is taken, too")
	}
	// Its own realm needs no confirmation, and what else the store knows stays.
	contains(t, s.command(exitDone, "", args...).out, `belongs to realm "`+right+`"`)
	if known := s.belongs(); known.Ring != store.ID(s.ring.Set().ID()) || known.RingVersion != s.ring.Set().Version() {
		t.Errorf("the ring is %+v", known)
	}
	for _, wrong := range [][]string{{}, {"--realm", ""}, {"--realm", strings.Repeat("r", 256)}, {"--realm", "a\x00b"}} {
		s.command(exitUsage, "", with([]string{"realm", "set"}, with(s.store(), wrong...)...)...)
	}
	s.command(exitUsage, "", "realm", "set", "--realm", right)
	s.command(exitError, "", "realm", "set", "--realm", right, "--store", "sqlite:"+filepath.Join(s.dir, "typo.db"))
}

// A store that no application has used yet can be given its realm beforehand.
func TestRealmSetOfAnUnusedStore(t *testing.T) {
	s := &shop{t: t, dbPath: filepath.Join(t.TempDir(), "wafer.db")}
	s.db = openStoreFile(t, s.dbPath)
	s.command(exitDone, "", with([]string{"realm", "set", "--realm", "shop"}, s.store()...)...)
	if known := s.belongs(); known.Realm != "shop" {
		t.Errorf("%+v", known)
	}
}

// After an older document of the ring was put back, no node starts until an
// operator adopts it.
func TestKeysAdoptAnOlderDocument(t *testing.T) {
	s := openShop(t, 0)
	older, err := os.ReadFile(s.ringPath)
	if err != nil {
		t.Fatal(err)
	}
	s.command(exitDone, "", "keys", "rewrap", "--ring", s.ringPath, "--to", "file:"+filepath.Join(s.dir, "new.key"))
	newer, err := os.ReadFile(s.ringPath)
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := keyring.OpenKeeper(filepath.Join(s.dir, "new.key"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), keyring.File(s.ringPath), keeper)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.starts(shopRealm, ring); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(older, newer) || s.belongs().RingVersion != 2 {
		t.Fatalf("there is no newer document: %+v", s.belongs())
	}
	if err := os.WriteFile(s.ringPath, older, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.starts(shopRealm, s.opened()); err == nil || !strings.Contains(err.Error(), "wafer keys adopt") {
		t.Fatalf("before: %v", err)
	}
	args := with([]string{"keys", "adopt", "--ring", s.ringPath}, s.store()...)
	contains(t, s.command(exitNo, "", args...).err, "version 2", "this is version 1", "use the store now: ", "--yes")
	if s.belongs().RingVersion != 2 {
		t.Fatal("it was adopted without a yes")
	}
	contains(t, s.asked(exitDone, "y\n", args...).out, "goes on with version 1 of ring "+s.opened().Set().ID().String())
	if err := s.starts(shopRealm, s.opened()); err != nil {
		t.Errorf("after: %v", err)
	}
	if known := s.belongs(); known.RingVersion != 1 || known.Realm != shopRealm {
		t.Errorf("%+v", known)
	}
	// The ring that the store has already needs no confirmation.
	s.command(exitDone, "", args...)
}

// A ring that replaces another, in a file or in the store, is adopted.
func TestKeysAdoptAnotherRing(t *testing.T) {
	for _, inStore := range []bool{false, true} {
		t.Run(fmt.Sprintf("in the store: %v", inStore), func(t *testing.T) {
			s := openShop(t, 0)
			where := []string{"--ring", filepath.Join(s.dir, "other"), "--keeper", "file:" + filepath.Join(s.dir, "other.key")}
			source := keyring.File(filepath.Join(s.dir, "other"))
			if inStore {
				where[1], source = "store:", s.db
			}
			s.command(exitDone, "", with([]string{"keys", "create"}, with(where, s.store()...)...)...)
			keeper, err := keyring.OpenKeeper(filepath.Join(s.dir, "other.key"))
			if err != nil {
				t.Fatal(err)
			}
			other, err := keyring.Open(t.Context(), source, keeper)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.starts(shopRealm, other); err == nil || !strings.Contains(err.Error(), "wafer keys adopt") {
				t.Fatalf("before: %v", err)
			}
			args := with([]string{"keys", "adopt"}, with(where, s.store()...)...)
			contains(t, s.command(exitNo, "", args...).err, s.ring.Set().ID().String(), other.Set().ID().String())
			got := parse[struct {
				Ring    string
				Version uint64
			}](t, s.command(exitDone, "", with(args, "--yes", "--json")...))
			if got.Ring != other.Set().ID().String() || got.Version != other.Set().Version() {
				t.Errorf("%+v", got)
			}
			if err := s.starts(shopRealm, other); err != nil {
				t.Errorf("after: %v", err)
			}
			if err := s.starts(shopRealm, s.ring); err == nil {
				t.Error("the old ring is taken, too")
			}
		})
	}
}

// A store whose nodes have static secrets has seen no ring: the first is taken
// without adopting it, and adopting it beforehand needs no confirmation.
func TestKeysAdoptAfterStaticSecrets(t *testing.T) {
	w := newKeysWorld(t)
	w.now = time.Now()
	w.store()
	db := w.openStore()
	static, err := keyring.Static(strings.Repeat("3c", 32))
	if err != nil {
		t.Fatal(err)
	}
	node := w.node(static, db)
	w.ring()
	w.want(exitDone, "goes on with version 1", "keys", "adopt", "--ring", "@ring", "--store", "sqlite:@db")
	known, err := db.Announce(t.Context(), store.Announcement{})
	if err != nil || known.Ring != store.ID(w.open("ring").Set().ID()) || known.RingVersion != 1 || known.Realm != "test" {
		t.Errorf("%+v, %v", known, err)
	}
	w.node(w.open("ring"), db)
	w.node(static, db) // which has neither id nor version
	session, _ := w.logIn(node)
	if code := ask(node, "GET", "/me", session).StatusCode; code != http.StatusOK {
		t.Errorf("at the node with static secrets: %d", code)
	}
	w.usage("keys adopt", "", "--ring @ring", "--store sqlite:@db")
	w.want(exitError, "no key set there", "keys", "adopt", "--ring", "@none", "--keeper", "file:@ring.key", "--store", "sqlite:@db")
}
