package main

import (
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
