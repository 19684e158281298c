package sqlite_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// TestFieldsByteForByte writes families and entries whose bytes a statement that
// joins columns could mistake for others, and reads them by every way to read one.
func TestFieldsByteForByte(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "wafer.db"), sqlite.Options{})
	ff := func(n int) (b [32]byte) {
		for i := range n {
			b[i] = 0xff
		}
		return b
	}
	names := []store.Name{{31: 1}, {0, '\'', 31: 2}, {1}, ff(32)}
	for i, c := range []store.Creation{
		{},
		{Label: "a\nb'\"\\", Methods: "pwd otp", Level: "é", Actor: "bob", Native: true, Names: names},
		{Label: "é", Names: names[3:], Key: store.Key{31: 1}},
		{Names: names[:1], Level: "x", Key: ff(32), Seal: store.Seal{19: 1}},
		{Seal: store.Seal{0: 0xff, 19: 0xff}, Actor: "alice", Methods: "\t", Key: store.Key{0x80}},
	} {
		c.ID, c.Subject, c.Idle, c.Absolute = store.ID{15: byte(i + 1)}, "alice", time.Hour, 2*time.Hour
		if i%2 == 1 {
			c.ID[0] = 0xff
		}
		made, err := db.Create(t.Context(), c)
		if err != nil || made.Outcome != store.Written {
			t.Fatalf("%d: %v, %v", i, made.Outcome, err)
		}
		same := func(how string, got store.Family, err error) {
			t.Helper()
			if err != nil || !reflect.DeepEqual(got, made.Family) {
				t.Errorf("%d: %s: %v\n%+v; written was\n%+v", i, how, err, got, made.Family)
			}
		}
		read, err := db.Family(t.Context(), c.ID)
		same("Family", read.Family, err)
		page, err := db.Families(t.Context(), store.Query{Subject: "alice", Limit: 100})
		found := false
		for _, f := range page.Families {
			if f.ID == c.ID {
				found = true
				same("Families", f, err)
			}
		}
		if !found {
			t.Errorf("%d: it is not in the list, %v", i, err)
		}
		raised, err := db.Advance(t.Context(), store.Advance{ID: c.ID, Generation: 1, Native: c.Native, Key: c.Key, PositionOnly: true})
		same("Advance", raised.Family, err)
	}

	bound, next := store.ID{15: 50}, store.ID{0xff, 15: 51}
	for _, c := range []store.Creation{
		{ID: bound, Names: names, Key: store.Key{31: 3}, Idle: time.Hour, Absolute: time.Hour},
		{ID: next, Renews: &store.Renewal{ID: bound, Key: store.Key{31: 3}, Basis: store.MaxPosition}},
	} {
		c.Subject = "bob"
		if s, err := db.Create(t.Context(), c); err != nil || s.Outcome != store.Written {
			t.Fatalf("%v, %v", s.Outcome, err)
		}
	}
	if s, err := db.Family(t.Context(), bound); err != nil || s.Family.Successor != next || !reflect.DeepEqual(s.Family.Names, names) {
		t.Errorf("a family with a successor: %+v, %v", s.Family, err)
	}

	after := headOf(t, db)
	var want []string
	for i, r := range []store.Revocation{
		{Everyone: true, Reason: "\n", Actor: "é"},
		{Everyone: true, Ring: store.ID{15: 1}, RingVersion: 1},
		{Everyone: true, Ring: store.ID{0xff}, RingVersion: 1<<64 - 1, Actor: "x"},
		{Name: names[0], ID: store.ID{15: 9}, Reason: "r"},
		{Name: names[3]},
		{Subjects: []string{"é'"}, Actor: "y"},
		{Sessions: []store.ID{{15: 77}}, Reason: "z"},
	} {
		if s, err := db.Revoke(t.Context(), r); err != nil || s.Outcome != store.Written {
			t.Fatalf("%d: %v, %v", i, s.Outcome, err)
		}
		e := store.Entry{ID: r.ID, Name: r.Name, Ring: r.Ring, RingVersion: r.RingVersion, Reason: r.Reason, Actor: r.Actor}
		if len(r.Subjects) > 0 {
			e.Subject = r.Subjects[0]
		}
		if len(r.Sessions) > 0 {
			e.Session = r.Sessions[0]
		}
		want = append(want, about(e))
	}
	b, err := db.Since(t.Context(), after, 100, 0)
	if err != nil || len(b.Entries) != len(want) {
		t.Fatalf("%d entries of %d, %v", len(b.Entries), len(want), err)
	}
	for i, e := range b.Entries {
		if i != 3 { // only that one was given an id
			e.ID = store.ID{}
		}
		if got := about(e); got != want[i] {
			t.Errorf("entry %d is\n%s; written was\n%s", i, got, want[i])
		}
	}
}

// about formats what an entry is about.
func about(e store.Entry) string {
	return fmt.Sprintf("%v %q %v %v %v %d %q %q", e.Session, e.Subject, e.ID, e.Name, e.Ring, e.RingVersion, e.Reason, e.Actor)
}
