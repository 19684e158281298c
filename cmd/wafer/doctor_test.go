package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// doctor runs doctor with ring and store, and returns its findings by check.
func (s *shop) doctor(want int) map[string][]finding {
	s.t.Helper()
	args := with([]string{"doctor", "--ring", s.ringPath}, s.store()...)
	r := s.command(want, "", with(args, "--json")...)
	found := map[string][]finding{}
	wrong := false
	for _, f := range parse[[]finding](s.t, r) {
		found[f.Check] = append(found[f.Check], f)
		wrong = wrong || !f.OK
		if f.Found == "" || !f.OK && f.Do == "" {
			s.t.Errorf("%+v", f)
		}
	}
	if wrong != (want == exitNo) {
		s.t.Errorf("exit code %d: %+v", want, found)
	}
	plain := s.command(want, "", args...)
	if wrong {
		contains(s.t, plain.out, "WRONG", "do: ")
	}
	return found
}

// wrong fails the test unless exactly one finding of the check is wrong with
// that text, and every other check is fine.
func (s *shop) wrong(check, says string) {
	s.t.Helper()
	count := 0
	for name, all := range s.doctor(exitNo) {
		for _, f := range all {
			if f.OK {
				continue
			}
			if name != check {
				s.t.Errorf("%+v is wrong: want only %s", f, check)
			}
			if strings.Contains(f.Found, says) {
				count++
			}
		}
	}
	if count != 1 {
		s.t.Errorf("%d findings of %s say %q: want one", count, check, says)
	}
}

func TestDoctor(t *testing.T) {
	s := openShop(t, 0)
	found := s.doctor(exitDone)
	for check, n := range map[string]int{"primary": 1, "rotation": 1, "next key": 1, "clock": 1, "log": 1, "durability": 1, "file": 5, "directory": 1} {
		if len(found[check]) != n {
			t.Errorf("%s: %+v: want %d", check, found[check], n)
		}
	}
	if runtime.GOOS == "linux" && len(found["disk"]) != 1 {
		t.Errorf("disk: %+v", found["disk"])
	}
	contains(t, found["durability"][0].Found, "journal_mode=wal, synchronous=2")
	contains(t, found["log"][0].Found, "everywhere after 30s", "floor 0")
	// One of them is enough, and none is not.
	contains(t, s.command(exitDone, "", with([]string{"doctor"}, s.store()...)...).out, "durability")
	contains(t, s.command(exitDone, "", "doctor", "--ring", s.ringPath).out, "next key")
	contains(t, s.command(exitUsage, "", "doctor").err, "--ring, --store or both")
	s.command(exitUsage, "", "doctor", "--store", "mysql:x")
	s.command(exitUsage, "", "doctor", "--ring", s.ringPath, "--keeper", "x")
}

func TestDoctorRing(t *testing.T) {
	// The next key takes over by itself; then no next key is published.
	s := openShop(t, keyring.DefaultSeals+time.Hour)
	s.doctorKeys("next key", "none is published")
	// Long after that, the next key is overdue for replacement too.
	s = openShop(t, 2*keyring.DefaultSeals+3*time.Hour)
	s.doctorKeys("rotation", "overdue for 3h0m0s")
	// A clock before the first key.
	s = openShop(t, -time.Hour)
	s.doctorKeys("primary", "no key may seal now")
	// A file that is not a ring.
	if err := os.WriteFile(s.ringPath, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.doctorKeys("ring", "not a whole ring file")
}

// doctorKeys runs doctor on the ring alone.
func (s *shop) doctorKeys(check, says string) {
	s.t.Helper()
	r := s.command(exitNo, "", "doctor", "--ring", s.ringPath, "--json")
	for _, f := range parse[[]finding](s.t, r) {
		if f.Check == check && !f.OK && strings.Contains(f.Found, says) && f.Do != "" {
			return
		}
	}
	s.t.Errorf("no %s that says %q: %s", check, says, r.out)
}

func TestDoctorClock(t *testing.T) {
	for _, c := range []struct {
		apart    time.Duration
		ok, warn bool
	}{
		{0, true, false}, {2400 * time.Millisecond, true, false}, {-2400 * time.Millisecond, true, false},
		{2600 * time.Millisecond, true, true}, {-4900 * time.Millisecond, true, true},
		{5100 * time.Millisecond, false, true}, {-5100 * time.Millisecond, false, true}, {time.Hour, false, true},
	} {
		now := time.Now()
		k := &checkup{}
		k.checkClock(now, now.Add(100*time.Millisecond), now.Add(50*time.Millisecond+c.apart+50*time.Millisecond*time.Duration(sign(c.apart))))
		if f := k.findings[0]; f.OK != c.ok || (f.Do != "") != c.warn {
			t.Errorf("%v apart: %+v", c.apart, f)
		}
	}
	// Through the command: the store's clock is the system's.
	s := openShop(t, 0)
	s.now = time.Now().Add(time.Hour)
	s.wrong("clock", "apart")
	s.now = time.Now().Add(3500 * time.Millisecond)
	if f := s.doctor(exitDone)["clock"][0]; f.Do == "" {
		t.Errorf("no warning: %+v", f)
	}
}

func sign(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return 1
}

func TestDoctorLog(t *testing.T) {
	s := openShop(t, 0)
	s.execute("UPDATE entries SET time = ?", time.Now().Add(time.Minute).UnixMilli())
	s.wrong("log", "from the future")

	// No node has used the store yet, which is a warning.
	s = &shop{t: t, dbPath: filepath.Join(t.TempDir(), "wafer.db")}
	openStoreFile(t, s.dbPath)
	if err := os.Chmod(filepath.Dir(s.dbPath), 0o700); err != nil {
		t.Fatal(err)
	}
	contains(t, s.command(exitDone, "", with([]string{"doctor"}, s.store()...)...).out, "no node has ever announced itself")

	// Every entry was dropped.
	s = openShop(t, 0)
	b, err := s.db.Since(t.Context(), store.Cursor{}, store.MaxEntries, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.execute("DELETE FROM entries")
	s.execute("UPDATE log SET floor = head, floor_id = head_id")
	if f := s.doctor(exitDone)["log"][0]; !strings.Contains(f.Found, b.Log.String()) {
		t.Errorf("%+v", f)
	}
}

// announces announces a node to the shop's store.
func (s *shop) announces(node byte, change func(a *store.Announcement)) {
	s.t.Helper()
	set := s.ring.Set()
	a := store.Announcement{
		Access: time.Minute, Absolute: time.Hour, MaxStaleness: 30 * time.Second, Realm: shopRealm, Ring: store.ID(set.ID()), RingVersion: set.Version(),
		Node: store.ID{node}, Instance: "__Host-staff", Settings: "Access=5m0s\nIdle=30m0s\n",
	}
	if change != nil {
		change(&a)
	}
	if known, err := s.db.Announce(s.t.Context(), a); err != nil || !known.Accepted {
		s.t.Fatalf("%+v, %v", known, err)
	}
}

// Doctor says to which realm and ring the store belongs, and announces nothing.
func TestDoctorBelongs(t *testing.T) {
	s := openShop(t, 0)
	before := s.belongs()
	found := s.doctor(exitDone)
	contains(t, found["realm"][0].Found, shopRealm)
	contains(t, found["key set"][0].Found, "version 1 of ring "+s.ring.Set().ID().String(), "the same")
	contains(t, found["nodes"][0].Found, "__Host-session: 1 announced themselves within 3m0s")
	if after := s.belongs(); len(after.Nodes) != len(before.Nodes) || after.Realm != before.Realm {
		t.Errorf("%+v before, and %+v after", before, after)
	}
	// Without a ring there is nothing to compare.
	contains(t, s.command(exitDone, "", with([]string{"doctor"}, s.store()...)...).out, "has seen version 1 of ring "+s.ring.Set().ID().String()+"\n")

	// An unused store belongs to nobody, and stays so.
	s = &shop{t: t, dbPath: filepath.Join(t.TempDir(), "wafer.db")}
	s.db = openStoreFile(t, s.dbPath)
	if err := os.Chmod(filepath.Dir(s.dbPath), 0o700); err != nil {
		t.Fatal(err)
	}
	contains(t, s.command(exitDone, "", with([]string{"doctor"}, s.store()...)...).out, "no realm yet", "no ring", "no node has announced itself within")
	if known := s.belongs(); known.Realm != "" || len(known.Nodes) != 0 || !known.Ring.IsZero() {
		t.Errorf("%+v", known)
	}
}

// A ring that is older than what the store has seen, or another, is wrong; one that
// is newer is not.
func TestDoctorComparesTheRing(t *testing.T) {
	s := openShop(t, 0)
	s.announces(1, func(a *store.Announcement) { a.RingVersion = 7 })
	s.doctorBelongs("key set", "version 7", "this is version 1: an older document")
	s = openShop(t, 0)
	if _, err := s.ring.Revoke(t.Context(), time.Now(), s.ring.Set().Keys()[1].ID(), "a test"); err != nil {
		t.Fatal(err)
	}
	if got := s.doctor(exitDone)["key set"][0]; !got.OK || !strings.Contains(got.Found, "and this is version 2") {
		t.Errorf("a newer one: %+v", got)
	}
	s = openShop(t, 0)
	s.announces(1, func(a *store.Announcement) { a.Ring, a.Adopt = store.ID{9}, true })
	s.doctorBelongs("key set", store.ID{9}.String(), "this is another: ring "+s.ring.Set().ID().String())
}

// doctorBelongs fails the test unless a finding of the check is wrong and says all
// that.
func (s *shop) doctorBelongs(check string, says ...string) {
	s.t.Helper()
	for _, f := range s.doctor(exitNo)[check] {
		if !f.OK && f.Do != "" {
			contains(s.t, f.Found, says...)
			return
		}
	}
	s.t.Errorf("no %s is wrong: want %q", check, says)
}

// Nodes that differ in what they should share are named by what they differ in.
func TestDoctorComparesTheNodes(t *testing.T) {
	s := openShop(t, 0)
	s.announces(1, nil)
	s.announces(2, nil)
	s.announces(3, func(a *store.Announcement) { a.Settings = "Access=5m0s\nNewer=x\n" }) // a later release
	s.announces(4, func(a *store.Announcement) { a.Ring, a.RingVersion = store.ID{}, 0 }) // with static secrets
	found := s.doctor(exitDone)["nodes"]
	if len(found) != 3 {
		t.Fatalf("%+v", found)
	}
	contains(t, found[1].Found, "__Host-staff: 4 announced themselves")
	contains(t, found[2].Found, "2 session cookies share the store")

	s.announces(2, func(a *store.Announcement) { a.RingVersion = 0 })
	if f := s.doctor(exitDone)["nodes"][1]; !f.OK || f.Do == "" || !strings.Contains(f.Found, "0 on 1, 1 on 2") {
		t.Errorf("another version is no warning: %+v", f)
	}
	s.announces(2, func(a *store.Announcement) { a.Settings = "Access=1m0s\nIdle=30m0s\n" })
	s.wrong("nodes", "__Host-staff: nodes differ in Access: 1m0s on 1, 5m0s on 3")
	s.announces(2, nil)
	s.doctor(exitDone)
	// The store refuses a node with another ring. One that adopted its own is seen.
	s.announces(2, func(a *store.Announcement) { a.Ring, a.Adopt = store.ID{9}, true })
	s.doctorBelongs("nodes", "nodes differ in their ring", store.ID{9}.String()+" on 1", s.ring.Set().ID().String()+" on 2")
}

// droppingLog is a log whose entries are dropped, or that goes back, after its first
// page was read.
type droppingLog struct {
	store.Store
	asked    int
	wentBack bool
}

func (d *droppingLog) Since(_ context.Context, after store.Cursor, _ int, _ time.Duration) (store.Batch, error) {
	if d.asked++; d.asked == 1 {
		return store.Batch{Head: 9, More: true, Entries: []store.Entry{{Position: 5}, {Position: 6}}}, nil
	}
	if after != (store.Cursor{}) {
		if d.wentBack {
			return store.Batch{Broken: true, Head: 4}, nil
		}
		return store.Batch{Broken: true, Head: 9, Floor: 7}, nil
	}
	return store.Batch{Head: 9, Floor: 7, Entries: []store.Entry{{Position: 8}, {Position: 9}}}, nil
}

// Entries that are dropped while doctor reads the log are no fault; a log that goes
// back meanwhile is one.
func TestDoctorReadsAMovingLog(t *testing.T) {
	if s, err := readLog(t.Context(), &droppingLog{}); err != nil || s.entries != 2 || s.Floor != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := readLog(t.Context(), &droppingLog{wentBack: true}); err == nil || !strings.Contains(err.Error(), "went back") {
		t.Errorf("%v", err)
	}
}

func TestDoctorStoreIsDamaged(t *testing.T) {
	s := &shop{t: t, dbPath: filepath.Join(t.TempDir(), "wafer.db")}
	for _, content := range []string{"", "junk", strings.Repeat("junk", 1000)} {
		if err := os.WriteFile(s.dbPath, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := s.command(exitNo, "", with([]string{"doctor", "--json"}, s.store()...)...)
		if f := parse[[]finding](t, r)[0]; f.Check != "store" || f.OK || f.Do == "" {
			t.Errorf("%q: %+v", content, f)
		}
	}
	s.command(exitNo, "", "doctor", "--store", "sqlite:"+s.dbPath+"x")
}

func TestDoctorFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes")
	}
	s := openShop(t, 0)
	for path, check := range map[string]string{s.ringPath: "file", s.dbPath: "file", s.dbPath + "-wal": "file", s.dir: "directory"} {
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, before.Mode()|0o022); err != nil {
			t.Fatal(err)
		}
		s.wrong(check, path+" has mode")
		if err := os.Chmod(path, before.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	// A key that others can read opens no ring, and both are reported.
	if err := os.Chmod(s.ringPath+".key", 0o640); err != nil {
		t.Fatal(err)
	}
	found := s.doctor(exitNo)
	if found["ring"][0].OK {
		t.Errorf("%+v", found)
	}
	for _, f := range found["file"] {
		if f.OK == strings.Contains(f.Found, ".key") {
			t.Errorf("%+v", f)
		}
	}
}

func TestDoctorDisk(t *testing.T) {
	for free, want := range map[uint64]finding{
		spaceFails - 1: {OK: false, Do: "x"}, spaceFails: {OK: true, Do: "x"}, spaceWarns - 1: {OK: true, Do: "x"}, spaceWarns: {OK: true},
	} {
		k := &checkup{}
		k.judgeSpace("data", free)
		if f := k.findings[0]; f.OK != want.OK || (f.Do != "") != (want.Do != "") || f.Check != "disk" {
			t.Errorf("%d bytes: %+v", free, f)
		}
	}
	if _, _, err := freeSpace(filepath.Join(t.TempDir(), "absent")); err == nil && runtime.GOOS == "linux" {
		t.Error("there is room where nothing is")
	}
}

// Settings that lose data at a loss of power.
func TestDoctorDurability(t *testing.T) {
	for _, d := range []struct {
		journal     string
		synchronous int
		ok          bool
	}{{"wal", 2, true}, {"wal", 3, true}, {"wal", 1, false}, {"wal", 0, false}, {"delete", 2, false}, {"memory", 2, false}} {
		k := &checkup{}
		k.judgeSQLite(d.journal, d.synchronous)
		if f := k.findings[0]; f.OK != d.ok {
			t.Errorf("%+v: %+v", d, f)
		}
	}
}
